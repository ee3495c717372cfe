// Package runas starts programs, and touches files, as another user of the machine than the server's own.
package runas

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// User is the user as whom agents and scripts run. A nil User is the server's own, for whom every method does what it
// would do without it.
type User struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"` // its group, the only one that its programs have
	Home string `json:"home"`
}

// LookUp finds a user of this machine by name or number, and expects that this process may change to it. The error is a
// part of a sentence that says what is wrong.
func LookUp(text string) (*User, error) {
	found, err := user.Lookup(text)
	if err != nil {
		if _, number := strconv.Atoi(text); number == nil {
			found, err = user.LookupId(text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("there is no user %s on this machine", strconv.Quote(text))
	}
	u := &User{Name: found.Username, Home: found.HomeDir}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("the user %s has no number", u.Name)
	}
	u.UID, u.GID = uid, gid
	switch {
	case u.UID == 0:
		return nil, fmt.Errorf("the user %s is root, which can do everything on this machine", u.Name)
	case u.UID == os.Geteuid():
		return nil, fmt.Errorf("the user %s is the one that Carillon itself runs as", u.Name)
	case u.GID == 0 || u.GID == os.Getegid():
		return nil, fmt.Errorf("the group of the user %s is root’s or that of Carillon itself", u.Name)
	}
	if err := mayChange(); err != nil {
		return nil, fmt.Errorf("this process may not change to the user %s: %w", u.Name, err)
	}
	return u, nil
}

// Credential is what a program is started with: the user, its group and no further ones. It is nil for a nil User.
func (u *User) Credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
}

// Start starts a program as the user: without any right of the server, without a way to become another one, and, where
// the kernel can, apart from the user's other programs. Of a nil User it is cmd.Start.
func (u *User) Start(cmd *exec.Cmd) error {
	if u == nil {
		return cmd.Start()
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = u.Credential()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		Drop()
		Restrict()
		done <- cmd.Start()
	}()
	return <-done
}

// HomeDir is the home folder of the user.
func (u *User) HomeDir() (string, error) {
	if u == nil {
		return os.UserHomeDir()
	}
	if u.Home == "" {
		return "", errors.New("the user has no home folder")
	}
	return u.Home, nil
}

// Reaches reports whether the user can look at a path. A nil User reaches all that this process does.
func (u *User) Reaches(path string) bool {
	return u == nil || u.Do(func() error {
		_, err := os.Lstat(path)
		return err
	}) == nil
}

// Uses reports whether the user can read a file, or use what lies in a folder. A nil User can.
func (u *User) Uses(path string) bool {
	return u == nil || u.Do(func() error {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			_, err = os.Lstat(path + "/.") // its own entry: who may go into it finds that
			return err
		case !info.Mode().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return f.Close()
	}) == nil
}

// Belongs reports whether a file or folder is the user's; of a nil User, whether it is this process's.
func (u *User) Belongs(path string) bool {
	uid, ok := ownerOf(path)
	return ok && uid == u.uid()
}

// Owns is Belongs for what was looked at already.
func (u *User) Owns(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == u.uid()
}

func (u *User) uid() int {
	if u == nil {
		return os.Geteuid()
	}
	return u.UID
}

func (u *User) gid() int {
	if u == nil {
		return os.Getegid()
	}
	return u.GID
}

func ownerOf(path string) (int, bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}

// Pass lets the user go through folders of the server, without being able to list them. A nil User needs nothing.
func (u *User) Pass(dirs ...string) error {
	return u.open(0o010, dirs)
}

// Enter lets the user list and read folders of the server, and go through them.
func (u *User) Enter(dirs ...string) error {
	return u.open(0o050, dirs)
}

// Add lets the user make files in folders of the server, and replace or remove its own alone. What others have there
// stays.
func (u *User) Add(dirs ...string) error {
	return u.open(0o070, dirs)
}

// Read lets the user read files that the server wrote.
func (u *User) Read(files ...string) error {
	return u.open(0o040, files)
}

// Run lets the user start programs that the server wrote.
func (u *User) Run(files ...string) error {
	return u.open(0o050, files)
}

// open gives the user's group rights on files and folders that belong to this process. Where all have them already,
// nothing is changed. What the user made in their place is refused, also where it does so meanwhile.
func (u *User) open(rights os.FileMode, paths []string) error {
	if u == nil {
		return nil
	}
	for _, path := range paths {
		if err := u.openOne(rights, path); err != nil {
			return err
		}
	}
	return nil
}

func (u *User) openOne(rights os.FileMode, path string) error {
	f, err := openItself(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(stat.Uid) == os.Geteuid():
	case ok && info.IsDir() && int(stat.Uid) == u.UID: // which is to be the server's
		if err := f.Chown(os.Geteuid(), -1); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s does not belong to Carillon", path)
	}
	mode := info.Mode()
	if all := rights >> 3; int(stat.Gid) != u.GID && mode.Perm()&all == all && rights&0o020 == 0 {
		return nil
	}
	if int(stat.Gid) == u.GID && mode.Perm()&rights == rights && (rights&0o020 == 0 || mode&os.ModeSticky != 0) {
		return nil
	}
	if int(stat.Gid) != u.GID {
		if err := f.Chown(-1, u.GID); err != nil {
			return err
		}
		mode &^= 0o070 // of the group before
	}
	mode = mode&(os.ModePerm|os.ModeSticky) | rights
	if rights&0o020 != 0 {
		mode |= os.ModeSticky
	}
	return f.Chmod(mode)
}

// openItself opens a file or a folder that is no link, and waits for no pipe.
func openItself(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
