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

// needed are the rights of this process without which it could not start programs as another user, end them, and hand
// files over. Root has them.
var needed = []struct {
	number int
	name   string
}{
	{unix.CAP_SETUID, "CAP_SETUID"}, {unix.CAP_SETGID, "CAP_SETGID"}, {unix.CAP_CHOWN, "CAP_CHOWN"},
	{unix.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}, {unix.CAP_FOWNER, "CAP_FOWNER"}, {unix.CAP_KILL, "CAP_KILL"},
	{unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, // what a run uses is read from /proc
}

func mayChange() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Errorf("its capabilities could not be read: %w", err)
	}
	var lacks []string
	for _, c := range needed {
		if data[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			lacks = append(lacks, c.name)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("it is not root, and lacks %s", strings.Join(lacks, ", "))
	}
	return nil
}

// Do calls a function whose file operations have the rights of the user alone: what the user put in the way, such as a
// link, leads to nothing that the user itself could not reach. The function must start no goroutine that touches files.
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
		runtime.LockOSThread() // for good: the thread ends with the goroutine
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

// Runs reports whether the user may run a program. A nil User may run all that this process may.
func (u *User) Runs(path string) bool {
	return u == nil || u.Do(func() error {
		return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	}) == nil
}

// become gives this thread, for its use of files, the rights of the user.
func (u *User) become() error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return fmt.Errorf("leave the groups of the server: %w", e)
	}
	_ = unix.Setfsgid(u.GID) // they tell nothing: what they did is asked for below
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

// deepest is how many folders in one another are handed over.
const deepest = 200

// Own gives files and folders, with all in them, to the user; of a nil User, to this process. What belongs to it
// already is not looked into. No link is followed, and a file of the server that has a further name elsewhere stays the
// server's: that name may be outside.
func (u *User) Own(paths ...string) error {
	for _, path := range paths {
		was, there := ownerOf(path)
		if !there || was == u.uid() {
			continue
		}
		if u == nil && os.Geteuid() != 0 {
			continue // who may not give files away was not given any
		}
		o := &hand{to: u, from: was}
		if err := o.over(unix.AT_FDCWD, path, 0); err != nil {
			return fmt.Errorf("hand %s over: %w", path, err)
		}
	}
	return nil
}

// OwnWithin is Own for all that is in a folder and that this process or a former user has, and not for the folder
// itself. What is there is found by descriptors: a folder that is replaced meanwhile by a link leads nowhere.
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
		return nil // who may not give files away was not given any
	}
	h := &hand{to: u, from: former, any: u == nil}
	if err := h.inside(fd, 0); err != nil {
		return fmt.Errorf("hand over what is in %s: %w", dir, err)
	}
	return nil
}

// hand hands a folder over.
type hand struct {
	to   *User
	from int
	any  bool // whoever has them
}

// over hands over one name in a folder, the folder itself after what is in it: an interrupted hand-over begins again.
func (h *hand) over(dir int, name string, depth int) error {
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
	if folder && depth < deepest {
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

func (h *hand) inside(fd, depth int) error {
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
		if err := h.over(fd, name, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Drop takes from what this thread starts next, as another user, all rights of the server: the capabilities that would
// stay where the server is not root.
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

// apart is the first version of Landlock that can keep signals within what this thread starts, without a word on files.
const apart = 6

// Apart reports whether the kernel keeps the programs of a user that Restrict began apart from one another.
func Apart() bool {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return e == 0 && abi >= apart
}

// Restrict keeps what this thread starts next from becoming another user by a program such as sudo, and, where the
// kernel can, from reading the memory and environment of processes of the same user that were started elsewhere, and
// from ending them.
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
