package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// selfPath is the path of the running binary, even if its file was replaced since.
func selfPath() (string, error) { return "/proc/self/exe", nil }

// closeOnExec closes every descriptor but the first three in the child, also unknown ones that the server inherited.
func closeOnExec() {
	if unix.CloseRange(lifeFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) != nil { // an old kernel
		syscall.CloseOnExec(lifeFD)
		syscall.CloseOnExec(reportFD)
		syscall.CloseOnExec(heldFD)
	}
}

// adopt makes this process the parent of orphaned descendants in place of init.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// newKeyring gives this thread and its children a new kernel keyring. The inherited one has tickets and keys of file
// systems of whoever started the server. A kernel without keyrings needs none.
func newKeyring() { _, _, _ = unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0) }

func leaderAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// terminate sends SIGTERM to the child's group. It leaves out bubblewrap, which would end at once and kill the child.
func terminate(leader int, path string) {
	if !isSandbox(path) {
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

// preferOOMKill makes the kernel end the processes that are started next, and not the server, when the machine is out
// of memory. It also disables core dumps. restore undoes the first for this process.
func preferOOMKill() (restore func()) {
	const file = "/proc/self/oom_score_adj"
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	was, err := os.ReadFile(file)
	if err != nil {
		return func() {}
	}
	if n, err := strconv.Atoi(string(bytes.TrimSpace(was))); err != nil || n >= 500 ||
		os.WriteFile(file, []byte("500"), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, was, 0) }
}

// Intervals of the checks of resource use. The search through folders takes a twentieth of the time at most.
const (
	watchEvery  = 500 * time.Millisecond
	diskEvery   = 2 * time.Second
	diskSeldom  = time.Minute
	diskPart    = 20
	maxNewFiles = 500_000 // files of a folder that are examined; a folder with more counts by the written bytes
)

// watch reports when the descendants of this process exceed a limit.
func watch(l bounds) <-chan excess {
	if l.Processes <= 0 && l.Memory <= 0 && l.Disk <= 0 && l.FreeDisk <= 0 {
		return nil
	}
	over := make(chan excess, 1)
	go func() {
		f, d := &descendantList{root: os.Getpid()}, newWriting(l)
		for {
			time.Sleep(watchEvery)
			if why := d.over(f); why != nil {
				over <- *why
				return
			}
			if l.Processes <= 0 && l.Memory <= 0 {
				continue
			}
			if n := tasks(); l.Memory <= 0 && 0 < n && n <= l.Processes {
				// the whole machine has no more processes, and one file is read instead of one for each process
				continue
			}
			all := f.list()
			if l.Processes > 0 && len(all) > l.Processes {
				over <- excess{why: fmt.Sprintf("it was ended since it had more than %d processes at once",
					l.Processes)}
				return
			}
			// Shared memory is counted once only if the simple sum exceeds the limit, because this takes longer.
			if l.Memory > 0 && memory(all, resident) > l.Memory && memory(all, share) > l.Memory {
				over <- excess{why: fmt.Sprintf("it was ended since it used more than %d MiB of memory", l.Memory>>20)}
				return
			}
		}
	}()
	return over
}

// writing tracks the bytes that a turn has written.
type writing struct {
	bounds
	began time.Time
	next  time.Time
	free  int64 // the most that was free on the disk
}

func newWriting(l bounds) *writing {
	w := &writing{bounds: l, began: time.Now().Add(-time.Second)} // a file's time is the time of the kernel's last tick
	if len(l.Own) > 0 {
		w.free, _ = freeSpace(l.Own[0])
	}
	return w
}

// minWritten is how many bytes a turn must have written to be ended when the disk has too little free space.
const minWritten = 64 << 20

// over returns an excess if the turn has written more than its limit, or more than minWritten while the disk has too
// little free space. It checks the free space first.
func (w *writing) over(f *descendantList) *excess {
	now := time.Now()
	if w.Disk <= 0 && w.FreeDisk <= 0 || len(w.Own) == 0 || now.Before(w.next) {
		return nil
	}
	w.next = now.Add(diskEvery)
	free, least := freeSpace(w.Own[0])
	w.free = max(w.free, free)
	least = min(least, w.FreeDisk)
	lacks := free < least
	if !lacks && (w.Disk <= 0 || w.free-free < w.Disk/2) {
		return nil
	}
	wrote := written(f.list())
	most := w.Disk
	if lacks && (most <= 0 || most > minWritten) {
		most = minWritten
	}
	there, whole := w.files(w.Own)
	if wrote > most && there <= most {
		more, all := w.files(w.Shared)
		there, whole = there+more, whole && all
	}
	w.next = time.Now().Add(min(max(diskEvery, diskPart*time.Since(now)), diskSeldom))
	switch {
	case there <= most && (whole || wrote <= most):
		return nil
	case w.Disk > 0 && max(there, wrote) > w.Disk && (there > w.Disk || !whole):
		return &excess{why: fmt.Sprintf("it was ended since it wrote more than %d MiB of files", w.Disk>>20)}
	case lacks:
		return &excess{fmt.Sprintf(
			"it was ended since the disk has less than %d MiB left and it had written over %d MiB of files",
			least>>20, most>>20), true}
	}
	return nil
}

// files sums up the bytes on the disk of files in folders that were changed since the turn began. whole reports whether
// all files could be examined.
func (w *writing) files(folders []string) (sum int64, whole bool) {
	whole = true
	looked := 0
	for _, dir := range folders {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if looked++; looked > maxNewFiles || err != nil && !errors.Is(err, fs.ErrNotExist) {
				whole = false
			}
			switch {
			case looked > maxNewFiles || sum > w.Disk && w.Disk > 0:
				return fs.SkipAll
			case err != nil || !d.Type().IsRegular():
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil // it is gone
			}
			if s, ok := info.Sys().(*syscall.Stat_t); ok && time.Unix(s.Ctim.Unix()).After(w.began) {
				sum += s.Blocks * 512
			}
			return nil
		})
	}
	return sum, whole
}

// written sums up the bytes that processes and their ended children have written to disks, without data that was
// removed before it reached a disk.
func written(pids []int) (sum int64) {
	for _, pid := range append(pids, os.Getpid()) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		for line := range bytes.Lines(text) {
			name, value, _ := bytes.Cut(line, []byte(": "))
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			switch string(name) {
			case "write_bytes":
				sum += n
			case "cancelled_write_bytes":
				sum -= n
			}
		}
	}
	return sum
}

// tasks is the number of processes and threads on the machine; 0: unknown.
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

// resident is the memory of a process, with all shared memory.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64) // 0 for an invalid number
	return pages * int64(os.Getpagesize())
}

// share is the memory of a process with its share of shared memory, or else its resident memory.
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

// leftBehind counts the descendants of this process, and lists the names of some of their programs, each once.
func leftBehind() (n int, names []string) {
	all := descendants(os.Getpid())
	for _, pid := range all {
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil { // the process has ended
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

// descendants lists the living processes below root, by their parents in /proc.
func descendants(root int) []int { return (&descendantList{root: root}).list() }

// descendantList finds the descendants of a process repeatedly. It does not read other processes again, because none of
// them becomes a descendant later.
type descendantList struct {
	root    int
	foreign map[int]bool
	looks   int
}

// rereadEvery is after how many calls all processes are read again, because a process id may be reused.
const rereadEvery = 60

// list lists the living descendants.
func (f *descendantList) list() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	if f.looks++; f.looks%rereadEvery == 0 {
		f.foreign = nil
	}
	var strangers []int // processes that are not descendants, nor are their children
	children := map[int][]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if f.foreign[pid] {
			strangers = append(strangers, pid)
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// The name of the program is in parentheses and may contain any byte.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(string(fields[1])); err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	var all []int
	for next := children[f.root]; len(next) > 0; {
		pid := next[0]
		all = append(all, pid)
		next = append(next[1:], children[pid]...)
	}
	// A process whose parent ended between the two reads is left undecided.
	f.foreign = map[int]bool{}
	for next := append(strangers, children[0]...); len(next) > 0; {
		pid := next[0]
		next = next[1:]
		if pid != f.root && !f.foreign[pid] {
			f.foreign[pid] = true
			next = append(next, children[pid]...)
		}
	}
	return all
}

// ProtectMemory prevents processes of the same user from reading this process's memory and environment, which contain
// the server's secrets. Root can still read them.
func ProtectMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("conceal the server's memory: %w", err)
	}
	return nil
}
