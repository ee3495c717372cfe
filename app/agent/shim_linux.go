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

// newKeyring gives this thread, and what it starts, a ring of the kernel's keys in place of the one that came from who
// started the server: with that come its tickets and keys of file systems. Where there are no rings nothing is to be
// kept.
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

// offer has the kernel end what is started next, rather than the server, where the memory of the machine is used up,
// and write no file with the memory of what crashes. Restore takes the first back for this process.
func offer() (restore func()) {
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

// How often is looked at what the descendants use: a look through folders takes a twentieth of the time at most.
const (
	watchEvery   = 500 * time.Millisecond
	diskEvery    = 2 * time.Second
	diskSeldom   = time.Minute
	diskPart     = 20
	mostNewFiles = 500_000 // of a folder that are looked at; what has more counts by what was written
)

// watch tells when the descendants of this process use more than they may.
func watch(l bounds) <-chan excess {
	if l.Processes <= 0 && l.Memory <= 0 && l.Disk <= 0 && l.Room <= 0 {
		return nil
	}
	over := make(chan excess, 1)
	go func() {
		f, d := &family{root: os.Getpid()}, newWriting(l)
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
				continue // the whole machine has no more, and one file is read instead of one for each process
			}
			all := f.now()
			if l.Processes > 0 && len(all) > l.Processes {
				over <- excess{why: fmt.Sprintf("it was ended since it had more than %d processes at once",
					l.Processes)}
				return
			}
			// What processes share counts once where it matters, which takes longer to find out.
			if l.Memory > 0 && memory(all, resident) > l.Memory && memory(all, share) > l.Memory {
				over <- excess{why: fmt.Sprintf("it was ended since it used more than %d MiB of memory", l.Memory>>20)}
				return
			}
		}
	}()
	return over
}

// writing is what a turn has written.
type writing struct {
	bounds
	began time.Time
	next  time.Time
	free  int64 // the most that was free on the disk
}

func newWriting(l bounds) *writing {
	w := &writing{bounds: l, began: time.Now().Add(-time.Second)} // a file's time is that of the kernel's last tick
	if len(l.Own) > 0 {
		w.free, _ = room(l.Own[0])
	}
	return w
}

// much is what a turn has to have written to be ended where the disk has no room left.
const much = 64 << 20

// over tells whether the turn has written more than it may, or much where the disk has no room. How much is free is
// looked at first: who fills a disk takes from that.
func (w *writing) over(f *family) *excess {
	now := time.Now()
	if w.Disk <= 0 && w.Room <= 0 || len(w.Own) == 0 || now.Before(w.next) {
		return nil
	}
	w.next = now.Add(diskEvery)
	free, least := room(w.Own[0])
	w.free = max(w.free, free)
	least = min(least, w.Room)
	lacks := free < least
	if !lacks && (w.Disk <= 0 || w.free-free < w.Disk/2) {
		return nil
	}
	wrote := written(f.now())
	most := w.Disk
	if lacks && (most <= 0 || most > much) {
		most = much
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

// files is how many bytes the files of folders take on the disk that were changed since the turn began, and whether all
// could be looked at.
func (w *writing) files(folders []string) (sum int64, whole bool) {
	whole = true
	looked := 0
	for _, dir := range folders {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if looked++; looked > mostNewFiles || err != nil && !errors.Is(err, fs.ErrNotExist) {
				whole = false
			}
			switch {
			case looked > mostNewFiles || sum > w.Disk && w.Disk > 0:
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

// written is how many bytes processes, those that they waited for, and what this process waited for have given to
// disks, without what was removed before it got there.
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
func descendants(root int) []int { return (&family{root: root}).now() }

// family finds the descendants of a process again and again. Of processes that were none it reads no more than that
// they are there: none becomes one later.
type family struct {
	root    int
	foreign map[int]bool
	looks   int
}

// afresh is after how many looks all processes are read again: a number may belong to another process by then.
const afresh = 60

// now lists the living descendants.
func (f *family) now() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	if f.looks++; f.looks%afresh == 0 {
		f.foreign = nil
	}
	var strangers []int // whose children are none of ours
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
	for next := children[f.root]; len(next) > 0; {
		pid := next[0]
		all = append(all, pid)
		next = append(next[1:], children[pid]...)
	}
	// Whose parents ended between the reading of both is neither for now.
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

// Conceal keeps processes of the same user from reading this process's memory and environment, where
// the server's secrets are. Root can still read them.
func Conceal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("conceal the server's memory: %w", err)
	}
	return nil
}
