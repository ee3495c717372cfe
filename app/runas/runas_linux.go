package runas

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// requiredCapabilities are the capabilities to start programs as another user, to end them, and to hand files over.
// Root has them.
var requiredCapabilities = []struct {
	number int
	name   string
}{
	{unix.CAP_SETUID, "CAP_SETUID"}, {unix.CAP_SETGID, "CAP_SETGID"}, {unix.CAP_CHOWN, "CAP_CHOWN"},
	{unix.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}, {unix.CAP_FOWNER, "CAP_FOWNER"}, {unix.CAP_KILL, "CAP_KILL"},
	{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, // to read a run's resource use from /proc
}

func mayChange() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("its capabilities could not be read: %w", err)
	}
	var lacks []string
	for _, c := range requiredCapabilities {
		if data[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("it is not root, and lacks %s", strings.Join(lacks, ", "))
	}
	return nil
}

// Do calls a function whose file operations have the rights of the user alone, so that a link of the user leads nowhere
// that the user cannot reach. The function must not start goroutines that use files.
func (u *User) Do(fn func() error) error {
	if u == nil {
		return fn()
	}
	type end struct {
		err      error
		panicked any
	}
	done := make(chan end, 1)
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			done <- e
		}()
		runtime.LockOSThread() // without unlock: the thread ends with the goroutine
		if e.err = u.become(); e.err == nil {
			e.err = fn()
		}
	}()
	e := <-done
	if e.panicked != nil {
		panic(e.panicked)
	}
	return e.err
}

// Runs reports whether the user may run a program. A nil User may run what this process may run.
func (u *User) Runs(path string) bool {
	return u == nil || u.Do(func() error {
		return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	}) == nil
}

// become sets the rights of the user for this thread's use of files.
func (u *User) become() error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return fmt.Errorf("leave the groups of the server: %w", e)
	}
	_ = unix.Setfsgid(u.GID) // they report no errors: the result is checked below
	_ = unix.Setfsuid(u.UID)
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if gid != u.GID || uid != u.UID {
		return errors.New("change to the user for files: not permitted")
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	for i := range data {
		data[i].Effective, data[i].Inheritable = 0, 0
	}
	return unix.Capset(&head, &data[0])
}

// maxDepth bounds the depth of nested folders that are handed over.
const maxDepth = 200

// Own makes the user the owner of files and folders with their content; for a nil User, this process's user. It skips
// folders that the user owns already. It follows no link, and leaves files of the server with several hard links,
// because another link may be outside.
func (u *User) Own(paths ...string) error {
	for _, path := range paths {
		was, there := ownerOf(path)
		if !there || was == u.uid() {
			continue
		}
		if u == nil && os.Geteuid() != 0 {
			continue // a process without this right has no files of another user
		}
		o := &handover{to: u, from: was}
		if err := o.entry(unix.AT_FDCWD, path, 0); err != nil {
			return fmt.Errorf("hand %s over: %w", path, err)
		}
	}
	return nil
}

// OwnWithin is Own for the content of a folder that belongs to this process's user or to a former user, and not for the
// folder itself. It works with descriptors, so that a folder that is replaced by a link leads nowhere.
func (u *User) OwnWithin(dir string, former int) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("hand over what is in %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if u == nil && os.Geteuid() != 0 {
		return nil // a process without this right has no files of another user
	}
	h := &handover{to: u, from: former, any: u == nil}
	if err := h.inside(fd, 0); err != nil {
		return fmt.Errorf("hand over what is in %s: %w", dir, err)
	}
	return nil
}

// handover changes the owner of a folder's content.
type handover struct {
	to   *User
	from int
	any  bool // of any owner
}

// entry hands over one entry of a folder. It hands over a folder after its content, so that an interrupted handover can
// be repeated.
func (h *handover) entry(dir int, name string, depth int) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	folder := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if folder && depth < maxDepth {
		if err := h.inside(fd, depth); err != nil {
			return err
		}
	}
	owner := int(stat.Uid)
	if owner == h.to.uid() {
		return nil
	}
	if !h.any && owner != h.from && owner != os.Geteuid() || !folder && stat.Nlink > 1 && owner == os.Geteuid() {
		return nil
	}
	return unix.Fchownat(fd, "", h.to.uid(), h.to.gid(), unix.AT_EMPTY_PATH)
}

func (h *handover) inside(fd, depth int) error {
	open, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(open), "folder")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := h.entry(fd, name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Drop removes the server's capabilities from the programs that this thread starts next as another user. They would
// otherwise stay if the server is not root.
func Drop() {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) != nil {
		return
	}
	for i := range data {
		data[i].Inheritable = 0
	}
	_ = unix.Capset(&head, &data[0])
}

// minLandlock is the first version of Landlock that can restrict signals without restricting files.
const minLandlock = 6

// Apart reports whether the kernel can separate programs of the same user that were started with Restrict.
func Apart() bool {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return e == 0 && abi >= minLandlock
}

// Restrict prevents the programs that this thread starts next from becoming another user, such as by sudo. If the
// kernel supports it, they also cannot read the memory and environment of other processes of the same user, nor signal
// them.
func Restrict() {
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if !Apart() {
		return
	}
	rules := struct{ fs, net, scoped uint64 }{scoped: unix.LANDLOCK_SCOPE_SIGNAL}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), unsafe.Sizeof(rules), 0)
	if e != 0 {
		return
	}
	defer unix.Close(int(fd))
	_, _, _ = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
}
