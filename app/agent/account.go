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

// account is the sign-in of a program in a sandbox. The program works with a copy of the server's file. Programs renew
// their sign-ins, and an old one may be worth nothing afterwards, so that the copy is looked at while the program
// works: what it renewed is taken over for the server and with that for every other sandbox, and what was renewed
// elsewhere becomes its copy. The server's file is changed under a lock alone, by a sign-in of the same form and
// account that is not older. Whatever a program writes beside that stays its own.
type account struct {
	name   string // the provider's
	shared string // the server's file
	root   *os.Root
	seen   string      // the copy, within root
	base   []byte      // what both were when they were the same
	user   *runas.User // whose files both are; nil: the server's own

	renewing *os.File  // locked while the program is the one that may renew a sign-in that has ended
	since    time.Time // when it was locked
}

const (
	// mostAccount is how long the file of a sign-in is, at most.
	mostAccount = 1 << 20
	// accountEvery is how long a renewal waits until others have it, at most.
	accountEvery = 250 * time.Millisecond
	// accountPatience is how long the lock on a sign-in is waited for, which others hold for a moment.
	accountPatience = 30 * time.Second
	// renewPatience is how long a program whose sign-in has ended is waited for to renew it, by those that would too.
	renewPatience = 30 * time.Second
	// renewBefore is how long before its end programs renew a sign-in.
	renewBefore = 5 * time.Minute
	// accountNote is the file, in Turn.RunDir, that tells where a run has its copy.
	accountNote = "sign-in.json"
)

// signInNote is what accountNote has.
type signInNote struct {
	Name, Shared, Folder, Seen string
	User                       *runas.User `json:",omitempty"`
}

// signIn gives the home a copy of the server's sign-in, if there is one.
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
		if rest, ok := strings.CutPrefix(r.Account, path+"/"); ok { // in a folder that is kept
			n.Folder, n.Seen = filepath.Join(s.Home, path), rest
		}
	}
	a, err := n.open()
	if err != nil {
		return err
	}
	r.account = a
	a.awaitWritten()
	if _, _, err := a.sync(atBegin); err != nil {
		r.warn("The sign-in of %s could not be looked after: %v.", r.Name, err)
		if err := a.copyOnly(); err != nil {
			return err
		}
	}
	note, _ := json.Marshal(n) // strings always are JSON
	_, err = r.write(accountNote, note)
	return err
}

func (n signInNote) open() (*account, error) {
	a := &account{name: n.Name, shared: n.Shared, seen: filepath.Clean(n.Seen), user: n.User}
	err := n.User.Do(func() (err error) {
		a.root, err = os.OpenRoot(n.Folder)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// keepSignIn keeps the turn's sign-in and the server's the same until the function that it returns is called. Of
// several that start with a sign-in that has ended one renews it, and the others wait for that.
func (r *run) keepSignIn(ctx context.Context) (end func()) {
	a := r.account
	if a == nil {
		return func() {}
	}
	r.waitForRenewal(ctx)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(accountEvery)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if a.changed() {
					_, _, _ = a.sync(atWork) // what does not go now is tried again, and told at the end
				}
				if !ended(a.base) || time.Since(a.since) > renewPatience {
					a.letOthersRenew()
				}
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-stopped
		defer a.letOthersRenew()
		switch own, fits, err := a.sync(atEnd); {
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

// waitForRenewal waits while another program renews a sign-in that has ended, within bounds: of most sign-ins the
// vendor renews each once. Where it returns with a sign-in that has ended, this program is the one that may renew it,
// or waited in vain.
func (r *run) waitForRenewal(ctx context.Context) {
	a := r.account
	if env, _ := environment(os.Environ(), r.Provider, r.Turn); signedInBy(r.Provider, env) != "" {
		// the file is of no use then
		return
	}
	patience := r.renewPatience
	if patience == 0 {
		patience = renewPatience
	}
	for until := time.Now().Add(patience); ended(a.base) && a.renewing == nil && ctx.Err() == nil &&
		time.Now().Before(until); {
		var f *os.File
		err := a.user.Do(func() (err error) {
			f, err = os.Open(a.shared)
			return err
		})
		if err == nil && syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			a.renewing, a.since = f, time.Now() // until the file is another, or this one is closed
		} else {
			_ = f.Close() // nothing was written
			select {
			case <-ctx.Done():
			case <-time.After(accountEvery):
			}
		}
		_, _, err = a.sync(atWork) // with what is there by now
		for a.renewing != nil && errors.Is(err, syscall.EWOULDBLOCK) && ctx.Err() == nil && time.Now().Before(until) {
			// others hold the lock for a moment: who may renew must know whether somebody has
			time.Sleep(accountEvery / 50)
			_, _, err = a.sync(atWork)
		}
	}
}

func (a *account) letOthersRenew() {
	if a.renewing != nil {
		_ = a.renewing.Close() // which unlocks
		a.renewing = nil
	}
}

// ended reports whether a sign-in says that it has ended, or is about to: its program will renew it.
func ended(text []byte) bool {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return false
	}
	at := max(latest("", value, ends[1:]), accessEnds("", value))
	return at != 0 && time.UnixMilli(at).Before(time.Now().Add(renewBefore))
}

// accessEnds is when the token by which a program asks ends, where that is a JWT; 0 where none is.
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

// forgetSignIn lets go of the folder in which the copy is.
func (r *run) forgetSignIn() {
	if r.account != nil {
		_ = r.account.root.Close() // nothing was written through it
	}
}

// TakeOverSignIn takes over what a run renewed whose worker died. Dir was its Turn.RunDir; nothing of the run is alive.
func TakeOverSignIn(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, accountNote))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var n signInNote
	if err := json.Unmarshal(text, &n); err != nil {
		return fmt.Errorf("%s: %w", accountNote, err)
	}
	a, err := n.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.root.Close()
	if _, _, err = a.sync(atEnd); errors.Is(err, fs.ErrNotExist) { // the server's folder of that program is gone
		return nil
	}
	return err
}

// copyOnly gives the program a copy where it has none, without a lock: the server's file cannot be changed.
func (a *account) copyOnly() error { return a.user.Do(a.copyOnce) }

func (a *account) copyOnce() error {
	if own, _, _ := a.readSeen(); own != nil {
		return nil
	}
	now, _, err := readAccount(os.OpenFile(a.shared, readPlain, 0))
	if err != nil {
		return err
	}
	a.base = now
	return a.renewSeen(now)
}

// awaitWritten waits a moment for a copy that another run of the workspace is just writing.
func (a *account) awaitWritten() {
	_ = a.user.Do(func() error { a.awaitCopy(); return nil }) // it fails in nothing
}

func (a *account) awaitCopy() {
	for range 20 {
		if own, _, _ := a.readSeen(); own != nil {
			return
		}
		if info, err := a.root.Lstat(a.seen); err != nil || !info.Mode().IsRegular() {
			return
		}
		time.Sleep(accountEvery / 5)
	}
}

// The moments at which a copy and the server's sign-in are made the same.
type moment int

const (
	atBegin moment = iota // nothing runs yet: the copy is the server's then
	atWork                // the program may be about to write
	atEnd                 // the program is gone: its copy is of no use any more
)

// changed reports whether the copy or the server's sign-in is another than when they were the same.
func (a *account) changed() bool {
	var own, now []byte
	err := a.user.Do(func() error {
		own, _, _ = a.readSeen()
		now, _, _ = readAccount(os.OpenFile(a.shared, readPlain, 0))
		return nil
	})
	return err == nil && (!bytes.Equal(own, a.base) || !bytes.Equal(now, a.base))
}

// sync takes over a renewed copy, or renews the copy. It returns what the program has in its place, nil for what is no
// sign-in, and whether that may be taken over at all.
func (a *account) sync(when moment) (own []byte, fits bool, err error) {
	err = a.user.Do(func() (err error) {
		own, fits, err = a.syncOnce(when)
		return err
	})
	return own, fits, err
}

func (a *account) syncOnce(when moment) (own []byte, fits bool, err error) {
	unlock, err := lockAccount(a.shared, when)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	own, ownAt, err := a.readSeen()
	if err != nil && !errors.Is(err, errNoAccount) {
		return nil, false, err
	}
	now, nowAt, err := readAccount(os.OpenFile(a.shared, readPlain, 0))
	if errors.Is(err, errNoAccount) {
		// a person has signed out, or is about to sign in: nothing of a run's changes that
		if when == atBegin {
			return nil, true, a.putAside()
		}
		return own, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	fits = own != nil && sameForm(now, own)
	switch {
	case bytes.Equal(own, now):
		a.base = now
	case fits && !bytes.Equal(own, a.base) && renews(own, ownAt, now, nowAt, bytes.Equal(now, a.base)):
		if err := replaceAccount(a.shared, own); err != nil {
			return own, fits, err
		}
		a.base = own
	case when == atBegin, when == atWork && own != nil && !bytes.Equal(now, a.base):
		if err := a.renewSeen(now); err != nil {
			return own, fits, err
		}
		a.base, own, fits = now, now, true
	}
	return own, fits, nil
}

// renews reports whether a sign-in takes the place of another one: by what they tell about when they end or were
// renewed, else because the program had the other one before, else by when they were written.
func renews(own []byte, ownAt time.Time, now []byte, nowAt time.Time, had bool) bool {
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

// readPlain opens a file to be read. It waits for no pipe.
const readPlain = os.O_RDONLY | syscall.O_NONBLOCK

func (a *account) readSeen() ([]byte, time.Time, error) {
	if info, err := a.root.Lstat(a.seen); err != nil || !info.Mode().IsRegular() {
		return nil, time.Time{}, errNoAccount
	}
	f, err := a.root.OpenFile(a.seen, readPlain, 0)
	if err != nil { // gone, or a link by now
		return nil, time.Time{}, errNoAccount
	}
	return readAccount(f, nil)
}

// readAccount reads a sign-in, and when it was written. It closes the file.
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
	if !info.Mode().IsRegular() || info.Size() > mostAccount {
		return nil, none, errNoAccount
	}
	text, err := io.ReadAll(io.LimitReader(f, mostAccount+1))
	if err != nil {
		return nil, none, err
	}
	var object map[string]any
	if len(text) > mostAccount || json.Unmarshal(text, &object) != nil || len(object) == 0 {
		return nil, none, errNoAccount
	}
	return text, info.ModTime(), nil
}

// renewSeen gives the program another sign-in.
func (a *account) renewSeen(text []byte) error {
	if dir := filepath.Dir(a.seen); dir != "." {
		if err := a.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	temp := a.seen + "." + rand.Text()
	if err := a.root.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	err := a.root.Rename(temp, a.seen)
	if err != nil { // a folder is there
		err = errors.Join(a.putAside(), a.root.Rename(temp, a.seen))
	}
	return err
}

// putAside takes away what is in the place of the copy. A folder stays under another name: what a program put into one
// may be more than can be removed in a moment, and goes with its home.
func (a *account) putAside() error {
	err := a.root.Remove(a.seen)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return a.root.Rename(a.seen, a.seen+"."+rand.Text())
}

// replaceAccount writes the server's sign-in, whole.
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
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // the file is mounted by itself, or the folder takes no other
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return errors.Join(err, f.Truncate(int64(len(text))), f.Sync(), f.Close())
}

// lockAccount keeps all others, of other processes too, from a sign-in until unlock is called.
func lockAccount(shared string, when moment) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(shared))
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(accountPatience)
	for {
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = dir.Close() }, nil // closing unlocks
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || when == atWork ||
			time.Now().After(end):
			return nil, errors.Join(fmt.Errorf("lock the sign-in: %w", err), dir.Close())
		}
		time.Sleep(accountEvery / 50)
	}
}

// sameForm reports whether a JSON value has all that another one has: the keys, each with a value of its kind that is
// not empty where the other's is not, and the same account.
func sameForm(was, is []byte) bool {
	var a, b any
	return json.Unmarshal(was, &a) == nil && json.Unmarshal(is, &b) == nil && sameValue("", a, b)
}

func sameValue(key string, was, is any) bool {
	switch was := was.(type) {
	case map[string]any:
		now, ok := is.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range was {
			if value == nil {
				continue
			}
			if other, ok := now[key]; !ok || !sameValue(key, value, other) {
				return false
			}
		}
	case string:
		now, ok := is.(string)
		return ok && (was == "" || now != "") && (now == was || key != "account_id" && key != "email")
	case float64:
		_, ok := is.(float64)
		return ok
	}
	return true
}

// ends are the names that programs give to the time at which a sign-in was renewed, the first, and at which it ends.
var ends = []string{"lastrefresh", "expiresat", "expires", "expirydate", "expiry", "exp"}

// freshness is by what a sign-in is told to be newer than another one: the latest time that it names, in milliseconds;
// 0 where it names none.
func freshness(text []byte) int64 {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return 0
	}
	return latest("", value, ends)
}

// latest is the latest time in a value that has one of some names.
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
			return believed(int64(v))
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil && slices.Contains(names, plainKey(key)) {
			return believed(at.UnixMilli())
		}
	}
	return most
}

// longestSignIn is how far ahead the end of a sign-in is believed. What a run made up must not outlast every renewal.
const longestSignIn = 400 * 24 * time.Hour

func believed(ms int64) int64 {
	if time.UnixMilli(ms).After(time.Now().Add(longestSignIn)) {
		return 0
	}
	return ms
}

func plainKey(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }
