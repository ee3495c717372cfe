package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

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

func leaderAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// terminate asks the child's group to end. bubblewrap would end at once and take the child with it, so
// its processes are left out.
func terminate(leader int, path string) {
	if filepath.Base(path) != "bwrap" {
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
