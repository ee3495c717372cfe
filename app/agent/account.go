package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"carillon/app/runas"
)

// account is the sign-in of a program in a sandbox. The program works with a copy of the server's file. A program
// renews its sign-in, and the former one may become invalid. So the copy and the server's file are synchronized while
// the program works: a renewed copy becomes the server's file and so reaches every other sandbox, and a renewed
// server's file becomes the copy. The server's file is written under a lock alone, and only with a sign-in of the same
// form and account that is not older. Anything else that a program writes stays in its copy.
type account struct {
	name       string // the provider's
	serverFile string // the server's file
	root       *os.Root
	copyFile   string      // the copy, within root
	lastCommon []byte      // content of both when they were last the same
	user       *runas.User // owner of both files; nil: the server's user

	renewing *os.File  // locked while this program may renew a sign-in that has expired
	since    time.Time // when it was locked
}

const (
	// maxSignInSize bounds the file of a sign-in, in bytes.
	maxSignInSize = 1 << 20
	// syncSignInEvery is the interval of synchronization.
	syncSignInEvery = 250 * time.Millisecond
	// signInLockTimeout bounds the wait for the lock on a sign-in, which others hold only briefly.
	signInLockTimeout = 30 * time.Second
	// renewTimeout bounds the wait for another program's renewal of an expired sign-in.
	renewTimeout = 30 * time.Second
	// renewBefore is how long before the expiry programs renew a sign-in.
	renewBefore = 5 * time.Minute
	// signInNoteFile is the file in Turn.RunDir that says where a run has its copy.
	signInNoteFile = "sign-in.json"
)

// signInNote is the content of signInNoteFile.
type signInNote struct {
	Name, Shared, Folder, Seen string
	User                       *runas.User `json:",omitempty"`
}

// signIn copies the server's sign-in into the home, if there is one.
func (r *run) signIn(s *Sandbox, fresh string) error {
	if r.Account == "" {
		return nil
	}
	shared := ""
	err := r.User.Do(func() (err error) {
		if shared, err = filepath.EvalSymlinks(r.sourcePath(r.Account)); err == nil && !isFile(shared) {
			err = errNoAccount
		}
		return err
	})
	if err != nil {
		return nil //nolint:nilerr // the server is not signed in
	}
	n := signInNote{Name: r.Name, Shared: shared, Folder: fresh, Seen: r.Account, User: r.User}
	for _, path := range r.State {
		if rest, ok := strings.CutPrefix(r.Account, path+"/"); ok { // in a folder of Provider.State
			n.Folder, n.Seen = filepath.Join(s.Home, path), rest
		}
	}
	a, err := n.open()
	if err != nil {
		return err
	}
	r.account = a
	a.awaitWritten()
	if _, _, err := a.sync(beforeStart); err != nil {
		r.warn("The sign-in of %s could not be looked after: %v.", r.Name, err)
		if err := a.copyOnly(); err != nil {
			return err
		}
	}
	note, _ := json.Marshal(n) // strings always marshal
	_, err = r.write(signInNoteFile, note)
	return err
}

func (n signInNote) open() (*account, error) {
	a := &account{name: n.Name, serverFile: n.Shared, copyFile: filepath.Clean(n.Seen), user: n.User}
	err := n.User.Do(func() (err error) {
		a.root, err = os.OpenRoot(n.Folder)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// syncSignIn synchronizes the turn's sign-in with the server's until end is called. If several turns start with an
// expired sign-in, one renews it and the others wait.
func (r *run) syncSignIn(ctx context.Context) (end func()) {
	a := r.account
	if a == nil {
		return func() {}
	}
	r.waitForRenewal(ctx)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(syncSignInEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if a.changed() {
					_, _, _ = a.sync(whileRunning) // a failure is tried again, and reported at the end
				}
				if !signInEnded(a.lastCommon) || time.Since(a.since) > renewTimeout {
					a.unlockRenewal()
				}
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-stopped
		defer a.unlockRenewal()
		switch own, fits, err := a.sync(afterEnd); {
		case err != nil:
			r.warn("The sign-in of %s could not be looked after: %v.", r.Name, err)
		case own == nil:
			r.warn("What %s left in place of its sign-in is none. The one from before stays.", r.Name)
		case !fits:
			r.warn("What %s left in place of its sign-in is of another form or account. The one from before stays.",
				r.Name)
		}
	})
}

// waitForRenewal waits, with a timeout, while another program renews an expired sign-in: most vendors renew a sign-in
// only once. If the sign-in is still expired afterwards, this program may renew it, or the timeout has passed.
func (r *run) waitForRenewal(ctx context.Context) {
	a := r.account
	if env, _ := environment(os.Environ(), r.Provider, r.Turn); signedInBy(r.Provider, env) != "" {
		// the file could not be locked
		return
	}
	patience := r.renewTimeout
	if patience == 0 {
		patience = renewTimeout
	}
	for until := time.Now().Add(patience); signInEnded(a.lastCommon) && a.renewing == nil && ctx.Err() == nil &&
		time.Now().Before(until); {
		var f *os.File
		err := a.user.Do(func() (err error) {
			f, err = os.OpenFile(a.serverFile, readPlain, 0)
			return err
		})
		if err == nil && syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			a.renewing, a.since = f, time.Now() // until the file is replaced or this one is closed
		} else {
			_ = f.Close() // nothing was written
			select {
			case <-ctx.Done():
			case <-time.After(syncSignInEvery):
			}
		}
		_, _, err = a.sync(whileRunning) // with what is there by now
		for a.renewing != nil && errors.Is(err, syscall.EWOULDBLOCK) && ctx.Err() == nil && time.Now().Before(until) {
			// the lock is held only briefly, and this program must know whether another has renewed the sign-in
			time.Sleep(syncSignInEvery / 50)
			_, _, err = a.sync(whileRunning)
		}
	}
}

func (a *account) unlockRenewal() {
	if a.renewing != nil {
		_ = a.renewing.Close() // which unlocks
		a.renewing = nil
	}
}

// signInEnded reports whether a sign-in has expired or is about to, so that its program will renew it.
func signInEnded(text []byte) bool {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return false
	}
	at := max(latest("", value, timeKeys[1:]), accessEnds("", value))
	return at != 0 && time.UnixMilli(at).Before(time.Now().Add(renewBefore))
}

// accessEnds is the expiry of a JWT among the values of a sign-in, in milliseconds; 0: there is none.
func accessEnds(key string, value any) int64 {
	most := int64(0)
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			most = max(most, accessEnds(key, inner))
		}
	case string:
		parts := strings.Split(v, ".")
		if len(parts) != 3 || plainKey(key) != "accesstoken" && plainKey(key) != "access" {
			return 0
		}
		var claims any
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil &&
			json.Unmarshal(text, &claims) == nil {
			return latest("", claims, []string{"exp"})
		}
	}
	return most
}

// closeSignIn closes the folder of the copy.
func (r *run) closeSignIn() {
	if r.account != nil {
		_ = r.account.root.Close() // nothing was written through it
	}
}

// TakeOverSignIn takes over the sign-in that a run renewed whose worker died. dir is the run's Turn.RunDir. No process
// of the run may be alive.
func TakeOverSignIn(dir string) error {
	text, err := readRegular(filepath.Join(dir, signInNoteFile), maxSignInSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var n signInNote
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("%s: %w", signInNoteFile, err)
	}
	a, err := n.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.root.Close()
	if _, _, err = a.sync(afterEnd); errors.Is(err, fs.ErrNotExist) {
		// the program's folder in the server's home was removed
		return nil
	}
	return err
}

// copyOnly makes the copy if there is none, without a lock, because the server's file cannot be written.
func (a *account) copyOnly() error { return a.user.Do(a.copyOnce) }

func (a *account) copyOnce() error {
	if own, _, _ := a.readCopy(); own != nil {
		return nil
	}
	now, _, err := readAccount(os.OpenFile(a.serverFile, readPlain, 0))
	if err != nil {
		return err
	}
	a.lastCommon = now
	return a.writeCopy(now)
}

// awaitWritten waits briefly for a copy that another run of the workspace is writing.
func (a *account) awaitWritten() {
	_ = a.user.Do(func() error { a.awaitCopy(); return nil }) // it cannot fail
}

func (a *account) awaitCopy() {
	for range 20 {
		if own, _, _ := a.readCopy(); own != nil {
			return
		}
		if info, err := a.root.Lstat(a.copyFile); err != nil || !info.Mode().IsRegular() {
			return
		}
		time.Sleep(syncSignInEvery / 5)
	}
}

// The phases in which a copy is synchronized with the server's sign-in.
type syncPhase int

const (
	beforeStart  syncPhase = iota // no program runs: the copy is overwritten
	whileRunning                  // the program may write the copy at any time
	afterEnd                      // the program has ended
)

// changed reports whether the copy or the server's sign-in differs from lastCommon.
func (a *account) changed() bool {
	var own, now []byte
	err := a.user.Do(func() error {
		own, _, _ = a.readCopy()
		now, _, _ = readAccount(os.OpenFile(a.serverFile, readPlain, 0))
		return nil
	})
	return err == nil && (!bytes.Equal(own, a.lastCommon) || !bytes.Equal(now, a.lastCommon))
}

// sync takes over a renewed copy, or overwrites the copy with a renewed server's file. own is the copy's content, nil
// if it is not a sign-in. fits reports whether the copy may be taken over.
func (a *account) sync(when syncPhase) (own []byte, fits bool, err error) {
	err = a.user.Do(func() (err error) {
		own, fits, err = a.syncOnce(when)
		return err
	})
	return own, fits, err
}

func (a *account) syncOnce(when syncPhase) (own []byte, fits bool, err error) {
	unlock, err := lockAccount(a.serverFile, when)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	own, ownAt, err := a.readCopy()
	if err != nil && !errors.Is(err, errNoAccount) {
		return nil, false, err
	}
	now, nowAt, err := readAccount(os.OpenFile(a.serverFile, readPlain, 0))
	if errors.Is(err, errNoAccount) {
		// a person has signed out or is signing in: a run must not change that
		if when == beforeStart {
			return nil, true, a.moveAside()
		}
		return own, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	fits = own != nil && sameForm(now, own)
	switch {
	case bytes.Equal(own, now):
		a.lastCommon = now
	case fits && !bytes.Equal(own, a.lastCommon) && isNewer(own, ownAt, now, nowAt, bytes.Equal(now, a.lastCommon)):
		if err := replaceAccount(a.serverFile, own); err != nil {
			return own, fits, err
		}
		a.lastCommon = own
	case when == beforeStart, when == whileRunning && own != nil && !bytes.Equal(now, a.lastCommon):
		if err := a.writeCopy(now); err != nil {
			return own, fits, err
		}
		a.lastCommon, own, fits = now, now, true
	}
	return own, fits, nil
}

// isNewer reports whether a sign-in replaces another one. It compares their times of expiry or renewal; without such
// times a program's sign-in is newer if the program had the other one before; otherwise the times of the files decide.
func isNewer(own []byte, ownAt time.Time, now []byte, nowAt time.Time, had bool) bool {
	a, b := freshness(own), freshness(now)
	switch {
	case a != 0 && b != 0 && a != b:
		return a > b
	case had:
		return true
	}
	return ownAt.After(nowAt)
}

var errNoAccount = errors.New("the file is no sign-in")

// readPlain is the mode to open a file for reading without waiting for a pipe.
const readPlain = os.O_RDONLY | syscall.O_NONBLOCK

func (a *account) readCopy() ([]byte, time.Time, error) {
	if info, err := a.root.Lstat(a.copyFile); err != nil || !info.Mode().IsRegular() {
		return nil, time.Time{}, errNoAccount
	}
	f, err := a.root.OpenFile(a.copyFile, readPlain, 0)
	if err != nil { // removed, or replaced by a link
		return nil, time.Time{}, errNoAccount
	}
	return readAccount(f, nil)
}

// readAccount reads a sign-in and its time of modification, and closes the file.
func readAccount(f *os.File, err error) ([]byte, time.Time, error) {
	var none time.Time
	if errors.Is(err, fs.ErrNotExist) {
		return nil, none, errNoAccount
	}
	if err != nil {
		return nil, none, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, none, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSignInSize {
		return nil, none, errNoAccount
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSignInSize+1))
	if err != nil {
		return nil, none, err
	}
	var object map[string]any
	if len(text) > maxSignInSize || json.Unmarshal(text, &object) != nil || len(object) == 0 {
		return nil, none, errNoAccount
	}
	return text, info.ModTime(), nil
}

// writeCopy writes another sign-in into the program's copy.
func (a *account) writeCopy(text []byte) error {
	if dir := filepath.Dir(a.copyFile); dir != "." {
		if err := a.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	temp := a.copyFile + "." + rand.Text()
	if err := a.root.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	err := a.root.Rename(temp, a.copyFile)
	if err != nil { // a folder has this name
		err = errors.Join(a.moveAside(), a.root.Rename(temp, a.copyFile))
	}
	return err
}

// moveAside removes what has the name of the copy. It renames a folder, whose removal may take long; the folder is
// removed with the home.
func (a *account) moveAside() error {
	err := a.root.Remove(a.copyFile)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return a.root.Rename(a.copyFile, a.copyFile+"."+rand.Text())
}

// replaceAccount replaces the server's sign-in atomically.
func replaceAccount(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err == nil {
		_, err = temp.Write(text)
		err = errors.Join(err, temp.Chmod(info.Mode().Perm()), temp.Sync(), temp.Close())
		if err == nil {
			err = os.Rename(temp.Name(), path)
		}
		if err == nil {
			return nil
		}
		_ = os.Remove(temp.Name())
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // the file is a mount of its own, or the folder is read-only
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), f.Close())
}

// lockAccount locks a sign-in against all other goroutines and processes until unlock is called.
func lockAccount(shared string, when syncPhase) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(shared))
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(signInLockTimeout)
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = dir.Close() }, nil // closing releases the lock
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || when == whileRunning ||
			time.Now().After(end):
			return nil, errors.Join(fmt.Errorf("lock the sign-in: %w", err), dir.Close())
		}
		time.Sleep(syncSignInEvery / 50)
	}
}

// sameForm reports whether a JSON value has the form of another one: the same keys with values of the same kinds, none
// newly empty, and the same account. Beside them it may have further texts, numbers and lists of those alone: OpenCode
// takes an entry whose name is an address for one from which to fetch its configuration, with commands in it. What says
// to whom a program speaks, or by which key, stays as it was.
func sameForm(was, is []byte) bool {
	var a, b any
	return json.Unmarshal(was, &a) == nil && json.Unmarshal(is, &b) == nil && sameValue("", a, b)
}

func sameValue(key string, was, is any) bool {
	switch was := was.(type) {
	case nil:
		return is == nil || isPlain(is) && !steersProgram(key)
	case map[string]any:
		now, ok := is.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range was {
			if other, ok := now[key]; !ok && value != nil || !sameValue(key, value, other) {
				return false
			}
		}
		for key, value := range now {
			if _, ok := was[key]; !ok && !sameValue(key, nil, value) {
				return false
			}
		}
	case []any:
		now, ok := is.([]any)
		return ok && (isPlain(was) && isPlain(now) || slices.EqualFunc(was, now, func(was, now any) bool {
			return sameValue(key, was, now)
		}))
	case string:
		now, ok := is.(string)
		return ok && (was == "" || now != "") && (now == was || !namesAccount(key) && !steersProgram(key))
	case float64:
		_, ok := is.(float64)
		return ok
	case bool:
		_, ok := is.(bool)
		return ok
	}
	return true
}

// isPlain reports whether a value is a text, a number, a boolean, or a list of those.
func isPlain(value any) bool {
	switch v := value.(type) {
	case map[string]any, nil:
		return false
	case []any:
		return !slices.ContainsFunc(v, func(inner any) bool {
			_, list := inner.([]any)
			return list || !isPlain(inner)
		})
	}
	return true
}

func namesAccount(key string) bool {
	return slices.Contains([]string{"accountid", "email"}, plainKey(key))
}

// steering are parts of the names under which a sign-in says to whom a program speaks, and by what.
var steering = []string{"url", "uri", "endpoint", "host", "server", "issuer", "domain", "proxy", "apikey", "header",
	"command"}

// steersProgram reports whether the value of a key says to whom a program speaks, or which kind of sign-in it is.
func steersProgram(key string) bool {
	key = plainKey(key)
	return key == "type" || key == "key" || slices.ContainsFunc(steering, func(part string) bool {
		return strings.Contains(key, part)
	})
}

// timeKeys are the keys of times in sign-ins of programs: first of the renewal, then of the expiry.
var timeKeys = []string{"lastrefresh", "expiresat", "expires", "expirydate", "expiry", "exp"}

// freshness is the latest time in a sign-in, in milliseconds; 0: there is none. A greater one is newer.
func freshness(text []byte) int64 {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return 0
	}
	return latest("", value, timeKeys)
}

// latest is the latest time in a value under one of some keys.
func latest(key string, value any, names []string) int64 {
	most := int64(0)
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			most = max(most, latest(key, inner, names))
		}
	case []any:
		for _, inner := range v {
			most = max(most, latest("", inner, names))
		}
	case float64:
		if slices.Contains(names, plainKey(key)) && v > 0 && v < 1e15 {
			if v < 1e11 { // seconds
				v *= 1000
			}
			return capExpiry(int64(v))
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil && slices.Contains(names, plainKey(key)) {
			if plainKey(key) == timeKeys[0] && at.After(time.Now().Add(renewBefore)) {
				return 0 // no program has renewed its sign-in at a time to come
			}
			return capExpiry(at.UnixMilli())
		}
	}
	return most
}

// maxSignInLifetime bounds the expiry of a sign-in, so that a forged time of a run does not win over every renewal.
const maxSignInLifetime = 400 * 24 * time.Hour

func capExpiry(ms int64) int64 {
	if time.UnixMilli(ms).After(time.Now().Add(maxSignInLifetime)) {
		return 0
	}
	return ms
}

func plainKey(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }
