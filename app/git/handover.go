package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where agents run as another user than the server (Store.User), that user owns the worktrees and what belongs to each
// in the repository, may add to objects and references, and reads the rest of the repository. The server's own folders
// it can go through, to what it is given there, and no more.

// letIn lets the user go through the folders of the server on the way to its own.
func (s *Store) letIn() error {
	if s.User == nil {
		return nil
	}
	ways := []string{s.root(), s.own(), s.own("home")}
	for _, dir := range []string{filepath.Join(s.root(), "repos"), filepath.Join(s.root(), "worktrees"),
		filepath.Join(s.root(), "runs"), filepath.Join(s.root(), "homes"), s.own("views"), s.own("spares")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		ways = append(ways, dir)
	}
	err := errors.Join(s.User.Pass(ways...), s.User.Read(s.own("home", ".gitconfig")), s.User.Add(s.own("tmp")))
	if err != nil {
		return fmt.Errorf("let the user %s reach what it is given: %w", s.User.Name, err)
	}
	return nil
}

// LetIn lets the user of agents reach the folders of runs. It needs no repository.
func (s *Store) LetIn() error { return s.prepare() }

// fanOut is how many folders of objects there are, by the first byte of their names.
const fanOut = 256

// handedTo is the file that notes to which user the shared parts of a repository were handed over.
func (s *Store) handedTo(mirror string) string { return s.own("handed", filepath.Base(mirror)) }

// share lets the user read a view and its repository, and use it as its own but for what the server's Git obeys: its
// configuration, hooks and excluded files, and where it has other objects from. The folders of objects and references
// stay the server's as well, so that nobody puts a link in their place.
func (s *Store) share(view, mirror string) error {
	u := s.User
	if u == nil {
		return nil
	}
	err := s.showView(view)
	folders := []string{"objects", "objects/pack", "refs", "refs/heads", "refs/tags", "refs/remotes",
		"refs/remotes/origin", "refs/carillon",
		"worktrees", "sessions"}
	for i := range fanOut {
		folders = append(folders, fmt.Sprintf("objects/%02x", i))
	}
	for _, part := range folders {
		dir := filepath.Join(mirror, filepath.FromSlash(part))
		if made := os.Mkdir(dir, 0o700); made != nil && !errors.Is(made, fs.ErrExist) {
			err = errors.Join(err, made)
		}
		err = errors.Join(err, u.Add(dir))
	}
	for _, part := range []string{"hooks", "info", "objects/info"} {
		dir := filepath.Join(mirror, filepath.FromSlash(part))
		err = errors.Join(err, os.MkdirAll(dir, 0o700), u.Enter(dir))
	}
	if mark := filepath.Join(mirror, markSHA256); u.Belongs(mark) { // the server made none
		err = errors.Join(err, removeAll(mark))
		s.foreign(mirror, markSHA256)
	}
	for _, part := range []string{"config", "HEAD", markSHA256} {
		if read := u.Read(filepath.Join(mirror, part)); !errors.Is(read, fs.ErrNotExist) {
			err = errors.Join(err, read)
		}
	}
	if err = errors.Join(err, u.Add(mirror)); err == nil {
		err = s.handOverShared(mirror)
	}
	if err != nil {
		return fmt.Errorf("let the user %s use the repository: %w", u.Name, err)
	}
	return nil
}

// handOverShared hands over, once, what was made in a repository for all its sessions while another user had it:
// objects, references and what was set aside. Sessions' own folders are handed over with their worktrees.
func (s *Store) handOverShared(mirror string) error {
	noted := s.handedTo(mirror)
	text, err := readSmall(noted)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	former, uid := strings.TrimSpace(string(text)), ""
	if s.User != nil {
		uid = strconv.Itoa(s.User.UID)
	}
	if former == uid {
		return nil
	}
	had := os.Geteuid()
	if n, err := strconv.Atoi(former); err == nil {
		had = n
	}
	err = s.User.Own(filepath.Join(mirror, "packed-refs"), filepath.Join(mirror, "shallow"),
		filepath.Join(mirror, asideDir))
	for _, folder := range []string{"heads", "tags", "remotes/origin", "carillon"} {
		err = errors.Join(err, s.User.OwnWithin(filepath.Join(mirror, "refs", filepath.FromSlash(folder)), had))
	}
	if err = errors.Join(err, s.handOverObjects(mirror, had)); err != nil {
		return err
	}
	if s.User == nil {
		return errors.Join(os.Chmod(mirror, 0o700), removeIfThere(noted))
	}
	return errors.Join(os.MkdirAll(s.own("handed"), 0o700), writeOnce(noted, uid+"\n"))
}

// handOverObjects hands over the objects of a repository that a user had, and not the folders that hold them.
func (s *Store) handOverObjects(mirror string, had int) error {
	objects := filepath.Join(mirror, "objects")
	err := s.User.OwnWithin(filepath.Join(objects, "pack"), had)
	for i := range fanOut {
		err = errors.Join(err, s.User.OwnWithin(filepath.Join(objects, fmt.Sprintf("%02x", i)), had))
	}
	return err
}

// showView lets the user read a view. It can change nothing there.
func (s *Store) showView(view string) error {
	return errors.Join(s.User.Enter(view), s.User.Read(filepath.Join(view, "config"), filepath.Join(view, "HEAD")))
}

// handOver gives the user what is a session's: its worktree, its place in the repository and its own Git folder, with
// the references that others may replace. What is the user's already is not looked through. Where the setting was
// switched off again, the server takes them back.
func (s *Store) handOver(w Worktree) error {
	mirror, common := s.mirror(w.Workspace), s.common(w.Workspace, w.Session)
	for _, folder := range []string{filepath.Dir(common), common} {
		if exists(folder) && !isFolder(folder) {
			if err := os.Remove(folder); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return diskFull(err)
		}
	}
	if err := s.User.Own(w.Dir, s.admin(w.Workspace, w.Session), common); err != nil {
		return err
	}
	if s.User == nil {
		return s.handOverShared(mirror) // back
	}
	return nil
}
