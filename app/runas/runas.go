// Package runas starts programs and changes files as another user of the machine than the server's user.
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

// User is the user that agents and scripts run as. A nil User is the server's user: every method then works with the
// rights of this process.
type User struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"` // its group, the only group of its programs
	Home string `json:"home"`
}

// LookUp finds a user of this machine by name or number. It returns an error if this process may not change to this
// user. The error is a part of a sentence.
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

// Credential gives the user and its group for the start of a program, without further groups. It is nil for a nil User.
func (u *User) Credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
}

// Start starts a program as the user: without the server's rights, unable to become another user, and, if the kernel
// supports it, separated from the user's other programs. For a nil User it is cmd.Start.
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
		runtime.LockOSThread() // without unlock: the thread ends with the goroutine
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

// Reaches reports whether the user can reach a path. A nil User reaches what this process reaches.
func (u *User) Reaches(path string) bool {
	return u == nil || u.Do(func() error {
		_, err := os.Lstat(path)
		return err
	}) == nil
}

// Uses reports whether the user can read a file or the files in a folder. A nil User can.
func (u *User) Uses(path string) bool {
	return u == nil || u.Do(func() error {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			_, err = os.Lstat(path + "/.") // found if the folder can be entered
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

// Belongs reports whether the user owns a file or folder; for a nil User, whether this process's user does.
func (u *User) Belongs(path string) bool {
	uid, ok := ownerOf(path)
	return ok && uid == u.uid()
}

// Owns is Belongs for a given FileInfo.
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

// Pass allows the user to traverse folders of the server, but not to list them. It does nothing for a nil User.
func (u *User) Pass(dirs ...string) error {
	return u.open(0o010, dirs)
}

// Enter allows the user to list and traverse folders of the server.
func (u *User) Enter(dirs ...string) error {
	return u.open(0o050, dirs)
}

// Add allows the user to create files in folders of the server, and to replace or remove its own files alone.
func (u *User) Add(dirs ...string) error {
	return u.open(0o070, dirs)
}

// Read allows the user to read files of the server.
func (u *User) Read(files ...string) error {
	return u.open(0o040, files)
}

// Run allows the user to start programs of the server.
func (u *User) Run(files ...string) error {
	return u.open(0o050, files)
}

// open gives the user's group rights on files and folders of this process. It changes nothing if everybody has these
// rights. It refuses files and folders that the user has put in their place, also during the call.
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
	case ok && info.IsDir() && int(stat.Uid) == u.UID: // the folder must belong to the server
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
		mode &^= 0o070 // rights of the former group
	}
	mode = mode&(os.ModePerm|os.ModeSticky) | rights
	if rights&0o020 != 0 {
		mode |= os.ModeSticky
	}
	return f.Chmod(mode)
}

// openItself opens a file or folder without following a link and without waiting for a pipe.
func openItself(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
