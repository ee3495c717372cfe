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
	lifeFD   = 3 // end of file asks the shim to end its child
	reportFD = 4 // takes one ending
	heldFD   = 5 // a folder that is locked while the shim lives, where there is one
)

// shimReady is set by MaybeShim. Without it a program that forgot the call would start itself whole,
// again and again, in place of its children.
var shimReady atomic.Bool

// ending is what the shim tells the server.
type ending struct {
	Start  string `json:"start,omitempty"` // why the program could not be started
	Exit   int    `json:"exit"`            // as a shell says it: 128 + the signal's number
	Signal string `json:"signal,omitempty"`
	Asked  bool   `json:"asked,omitempty"` // the server asked for the end, or died
	Left   []int  `json:"left,omitempty"`  // processes that survived SIGKILL

	Over   string `json:"over,omitempty"`   // the limit for which it was ended
	Lacked bool   `json:"lacked,omitempty"` // that was no limit of its own: the disk had no room left

	Behind int      `json:"behind,omitempty"` // processes that were still at work after the program had ended by itself
	Names  []string `json:"names,omitempty"`  // of some of their programs
}

// MaybeShim must be called first thing in main, and in TestMain of every package whose tests run
// agents. In a process that Run started as the parent of a child it never returns: it starts
// the child, waits for its end or the server's, ends everything that descends from it, and exits.
// In any other process it returns at once.
func MaybeShim() {
	shimReady.Store(true)
	if len(os.Args) < 3 || os.Args[0] != shimName {
		return
	}
	closeOnExec()
	var b bounds
	_ = json.Unmarshal([]byte(os.Args[1]), &b) // as start wrote it
	e := runShim(time.Duration(b.Grace)*time.Millisecond, b, os.Args[2], os.Args[2:])
	report := os.NewFile(reportFD, "report")
	_ = json.NewEncoder(report).Encode(e) // if nobody listens, nobody needs it
	syscall.Exit(0)                       // not os.Exit, which runs the race detector's second of waiting
}

func runShim(grace time.Duration, limits bounds, path string, argv []string) ending {
	// The kernel ties Pdeathsig to the thread that starts the child, so that thread has to stay.
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
	if boxed(path) {
		newKeyring()
	}
	restore := offer()
	attr := leaderAttr()
	if limits.User != nil {
		attr.Credential = limits.User.Credential()
		runas.Drop()
		if !boxed(path) { // a sandbox does that itself, by what is forbidden from here on
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
		e.Over, e.Lacked = o.why, o.lacked
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
		case <-time.After(settle): // what ends with its parent has a moment
			e.Behind, e.Names = behind()
		}
	}
	e.Left = sweep(leader, gone, min(grace, time.Second))
	if runtime.GOOS != "linux" {
		signalAll(leader, syscall.SIGKILL) // orphans are not ours there, so gone came too early
	}
	e.Exit = ws.ExitStatus()
	if ws.Signaled() {
		e.Exit, e.Signal = 128+int(ws.Signal()), ws.Signal().String()
	}
	return e
}

// settle is how long what a program leaves behind may take to end by itself before it counts as left behind.
const settle = 100 * time.Millisecond

// excess is why a turn is ended.
type excess struct {
	why    string
	lacked bool // the disk had no room left
}

// boxed reports whether a program makes a sandbox.
func boxed(path string) bool { return filepath.Base(path) == "bwrap" }

// Of the programs left behind so many are named, each by so many bytes at most.
const (
	mostNames = 10
	longName  = 64
)

// reap waits for every child until there is none: no process is left unreaped in a container, and
// gone is closed when nothing that descends from the shim lives.
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

// sweep ends every descendant: SIGTERM, SIGKILL after the grace, and again until none is left. After
// ten seconds it gives up on processes that the kernel will not end, and returns them.
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
		// Stopped first: a process that forks faster than we look would escape.
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
