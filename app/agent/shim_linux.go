package agent

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfPath is the running binary, even when its file has been replaced since.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// closeOnExec keeps every descriptor but the first three from the child, also those that the server
// inherited without knowing.
func closeOnExec() {
	if unix.CloseRange(lifeFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) != nil { // an old kernel
		syscall.CloseOnExec(lifeFD)
		syscall.CloseOnExec(reportFD)
		syscall.CloseOnExec(heldFD)
	}
}

// adopt makes the kernel give orphaned descendants to this process in place of init.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// newKeyring gives this thread, and what it starts, a ring of the kernel's keys in place of the one that came from who started the
// server: with that come its tickets and keys of file systems. Where there are no rings nothing is to be kept.
func newKeyring() { _, _, _ = unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0) }

func leaderAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// terminate asks the child's group to end. bubblewrap would end at once and take the child with it, so
// its processes are left out.
func terminate(leader int, path string) {
	if !boxed(path) {
		_ = syscall.Kill(-leader, syscall.SIGTERM)
		return
	}
	for _, pid := range descendants(os.Getpid()) {
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(name) != "bwrap\n" {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
}

// signalAll signals every descendant of this process and returns their ids.
func signalAll(_ int, sig syscall.Signal) []int {
	all := descendants(os.Getpid())
	for _, pid := range all {
		_ = syscall.Kill(pid, sig)
	}
	return all
}

// offer has the kernel end what is started next, rather than the server, where the memory of the machine is used up, and write no
// file with the memory of what crashes. Restore takes the first back for this process.
func offer() (restore func()) {
	const file = "/proc/self/oom_score_adj"
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	was, err := os.ReadFile(file)
	if err != nil {
		return func() {}
	}
	if n, err := strconv.Atoi(string(bytes.TrimSpace(was))); err != nil || n >= 500 || os.WriteFile(file, []byte("500"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, was, 0) }
}

// watchEvery is how often is looked at what the descendants use.
const watchEvery = 500 * time.Millisecond

// watch tells when the descendants of this process use more than they may.
func watch(l Limits) <-chan string {
	if l.Processes <= 0 && l.Memory <= 0 {
		return nil
	}
	over := make(chan string, 1)
	go func() {
		for {
			time.Sleep(watchEvery)
			if n := tasks(); l.Memory <= 0 && 0 < n && n <= l.Processes {
				continue // the whole machine has no more, and one file is read instead of one for each process
			}
			all := descendants(os.Getpid())
			if l.Processes > 0 && len(all) > l.Processes {
				over <- fmt.Sprintf("it was ended since it had more than %d processes at once", l.Processes)
				return
			}
			// What processes share counts once where it matters, which takes longer to find out.
			if l.Memory > 0 && memory(all, resident) > l.Memory && memory(all, share) > l.Memory {
				over <- fmt.Sprintf("it was ended since it used more than %d MiB of memory", l.Memory>>20)
				return
			}
		}
	}()
	return over
}

// tasks is how many processes and threads there are on the machine; 0 where that cannot be read.
func tasks() int {
	text, _ := os.ReadFile("/proc/loadavg") // 0.20 0.18 0.12 1/80 11206
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return 0
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.Atoi(all)
	return n
}

func memory(pids []int, of func(pid int) int64) (sum int64) {
	for _, pid := range pids {
		sum += of(pid)
	}
	return sum
}

// resident is the memory of a process, with all that it shares with others.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64) // of what is no number nothing
	return pages * int64(os.Getpagesize())
}

// share is the memory of a process, with its part of what it shares; where that cannot be read, its resident one.
func share(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return resident(pid)
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "Pss:" {
			kib, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10
		}
	}
	return resident(pid)
}

// behind counts the descendants of this process, and names some of their programs, each once.
func behind() (n int, names []string) {
	all := descendants(os.Getpid())
	for _, pid := range all {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil { // it has ended meanwhile
			continue
		}
		n++
		known := string(bytes.TrimSpace(name[:min(len(name), longName)]))
		if len(names) < mostNames && !slices.Contains(names, known) {
			names = append(names, known)
		}
	}
	return n, names
}

// descendants lists the living processes below root, by the parents that /proc shows.
func descendants(root int) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	children := map[int][]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// The name of the program stands in parentheses and may hold any byte.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var all []int
	for next := children[root]; len(next) > 0; {
		pid := next[0]
		all = append(all, pid)
		next = append(next[1:], children[pid]...)
	}
	return all
}

// Conceal keeps processes of the same user from reading this process's memory and environment, where
// the server's secrets are. Root can still read them.
func Conceal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("conceal the server's memory: %w", err)
	}
	return nil
}
