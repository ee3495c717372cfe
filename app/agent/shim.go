//go:build unix

package agent

import (
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"carillon/app/runas"
)

// shimName is argv[0] of the server's binary when it is to be the parent of a child.
const shimName = "carillon-run-child"

// Descriptors of the shim beside stdin, stdout and stderr.
const (
	lifeFD   = 3 // its end of file asks the shim to end the child
	reportFD = 4 // the shim writes one ending
	heldFD   = 5 // a folder that is locked while the shim lives; optional
)

// shimReady is set by MaybeShim. Without it a program that does not call MaybeShim would start itself again and again
// in place of its children.
var shimReady atomic.Bool

// ending is the report of the shim to the server.
type ending struct {
	Start  string `json:"start,omitempty"` // why the program could not be started
	Exit   int    `json:"exit"`            // as in a shell: 128 + the number of a signal
	Signal string `json:"signal,omitempty"`
	Asked  bool   `json:"asked,omitempty"` // the server asked for the end, or died
	Left   []int  `json:"left,omitempty"`  // processes that survived SIGKILL

	Over     string `json:"over,omitempty"`   // the limit that the turn exceeded
	DiskFull bool   `json:"lacked,omitempty"` // the disk had too little free space

	LeftBehind int      `json:"behind,omitempty"` // processes that still ran after the program had ended by itself
	Names      []string `json:"names,omitempty"`  // programs of some of these processes
}

// MaybeShim must be called at the beginning of main, and in TestMain of every package whose tests run agents. In a
// process that Run started as a shim it never returns: it starts the child, waits for the end of the child or of the
// server, ends all descendants, and exits. In any other process it returns at once.
func MaybeShim() {
	shimReady.Store(true)
	if len(os.Args) < 3 || os.Args[0] != shimName {
		return
	}
	closeOnExec()
	var b bounds
	_ = json.Unmarshal([]byte(os.Args[1]), &b) // start has written it
	e := runShim(time.Duration(b.Grace)*time.Millisecond, b, os.Args[2], os.Args[2:])
	report := os.NewFile(reportFD, "report")
	_ = json.NewEncoder(report).Encode(e) // the server may have died
	syscall.Exit(0)                       // os.Exit would wait a second for the race detector
}

func runShim(grace time.Duration, limits bounds, path string, argv []string) ending {
	// The kernel ties Pdeathsig to the thread that starts the child, so this thread must stay alive.
	runtime.LockOSThread()
	asked := make(chan struct{}, 2)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		_, _ = os.NewFile(lifeFD, "life").Read(make([]byte, 1))
		asked <- struct{}{}
	}()
	go func() {
		<-signals
		asked <- struct{}{}
	}()

	adopt()
	if isSandbox(path) {
		newKeyring()
	}
	restore := preferOOMKill()
	attr := leaderAttr()
	if limits.User != nil {
		attr.Credential = limits.User.Credential()
		runas.Drop()
		if !isSandbox(path) { // a sandbox does this itself, with calls that are forbidden from here on
			runas.Restrict()
		}
	}
	leader, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: attr,
	})
	restore()
	if err != nil {
		return ending{Start: err.Error()}
	}
	over := watch(limits)
	status := make(chan syscall.WaitStatus, 1)
	gone := make(chan struct{})
	go reap(leader, status, gone)

	var e ending
	var ws syscall.WaitStatus
	select {
	case ws = <-status:
	case o := <-over:
		e.Over, e.DiskFull = o.why, o.diskFull
		sweep(leader, gone, 0)
		ws = <-status
	case <-asked:
		e.Asked = true
		terminate(leader, path)
		select {
		case ws = <-status:
		case <-time.After(grace):
			sweep(leader, gone, 0)
			ws = <-status
		}
	}
	if !e.Asked && e.Over == "" {
		select {
		case <-gone:
		case <-time.After(settle): // gives processes that end with their parent a moment
			e.LeftBehind, e.Names = leftBehind()
		}
	}
	e.Left = sweep(leader, gone, min(grace, time.Second))
	if runtime.GOOS != "linux" {
		signalAll(leader, syscall.SIGKILL) // orphans are not children of the shim there, so gone came too early
	}
	e.Exit = ws.ExitStatus()
	if ws.Signaled() {
		e.Exit, e.Signal = 128+int(ws.Signal()), ws.Signal().String()
	}
	return e
}

// settle is how long a program's remaining processes may take to end by themselves before they count as left behind.
const settle = 100 * time.Millisecond

// excess is the exceeded limit for which a turn is ended.
type excess struct {
	why      string
	diskFull bool // the disk had too little free space
}

// isSandbox reports whether a program is bubblewrap.
func isSandbox(path string) bool { return filepath.Base(path) == "bwrap" }

// Bounds of the names of programs that were left behind.
const (
	mostNames = 10
	longName  = 64
)

// reap waits for children until there is none, so that no zombie stays in a container. It closes gone when no
// descendant of the shim lives.
func reap(leader int, status chan<- syscall.WaitStatus, gone chan<- struct{}) {
	for {
		var ws syscall.WaitStatus
		switch pid, err := syscall.Wait4(-1, &ws, 0, nil); {
		case err == syscall.EINTR:
		case err != nil:
			close(gone)
			return
		case pid == leader:
			status <- ws
		}
	}
}

// sweep ends every descendant: it sends SIGTERM, after the grace period SIGKILL, and repeats until none is left. After
// ten seconds it returns the processes that the kernel cannot end.
func sweep(leader int, gone <-chan struct{}, grace time.Duration) []int {
	if grace > 0 {
		signalAll(leader, syscall.SIGTERM)
		select {
		case <-gone:
			return nil
		case <-time.After(grace):
		}
	}
	for wait, deadline := time.Millisecond, time.Now().Add(10*time.Second); ; wait = min(2*wait, 50*time.Millisecond) {
		// Processes are stopped first: one that forks quickly would otherwise escape.
		signalAll(leader, syscall.SIGSTOP)
		left := signalAll(leader, syscall.SIGKILL)
		select {
		case <-gone:
			return nil
		case <-time.After(wait):
		}
		if time.Now().After(deadline) {
			return left
		}
	}
}
