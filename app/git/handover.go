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

// grantFolders lets the user pass through the folders of the server that lead to its own.
func (g *runner) grantFolders() error {
	if g.user == nil {
		return nil
	}
	ways := []string{g.root, g.private(), g.private("home")}
	for _, dir := range []string{filepath.Join(g.root, "repos"), filepath.Join(g.root, "worktrees"),
		filepath.Join(g.root, "runs"), filepath.Join(g.root, "homes"), g.private("views"), g.private("spares")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		ways = append(ways, dir)
	}
	err := errors.Join(g.user.Pass(ways...), g.user.Read(g.private("home", ".gitconfig")), g.user.Add(g.private("tmp")))
	if err != nil {
		return fmt.Errorf("let the user %s reach what it is given: %w", g.user.Name, err)
	}
	return nil
}

// Prepare makes the folders of the data folder and lets the user of agents reach the folders of runs. It needs no
// repository.
func (s *Store) Prepare() error { return s.runner().prepare() }

// fanOut is how many folders of objects there are, by the first byte of their names.
const fanOut = 256

// grantRepository lets the user read a view and its repository, and use it as its own but for what the server's Git
// obeys: its configuration, hooks and excluded files, and where it has other objects from. The folders of objects and
// references stay the server's as well, so that nobody puts a link in their place.
func (repo *repository) grantRepository() error {
	u := repo.user
	if u == nil {
		return nil
	}
	err := repo.grantView(repo.view)
	folders := []string{"objects", "objects/pack", "refs", "refs/heads", "refs/tags", "refs/remotes",
		"refs/remotes/origin", "refs/carillon",
		"worktrees", "sessions"}
	for i := range fanOut {
		folders = append(folders, fmt.Sprintf("objects/%02x", i))
	}
	for _, part := range folders {
		dir := filepath.Join(repo.mirror, filepath.FromSlash(part))
		if made := os.Mkdir(dir, 0o700); made != nil && !errors.Is(made, fs.ErrExist) {
			err = errors.Join(err, made)
		}
		err = errors.Join(err, u.Add(dir))
	}
	for _, part := range []string{"hooks", "info", "objects/info"} {
		dir := filepath.Join(repo.mirror, filepath.FromSlash(part))
		err = errors.Join(err, os.MkdirAll(dir, 0o700), u.Enter(dir))
	}
	if mark := filepath.Join(repo.mirror, markSHA256); u.Belongs(mark) { // the server made none
		err = errors.Join(err, removeAll(mark))
		repo.cleaner(repo.mirror).logRemoved(markSHA256)
	}
	for _, part := range []string{"config", "HEAD", markSHA256} {
		if read := u.Read(filepath.Join(repo.mirror, part)); !errors.Is(read, fs.ErrNotExist) {
			err = errors.Join(err, read)
		}
	}
	if err = errors.Join(err, u.Add(repo.mirror)); err == nil {
		err = repo.handOverShared()
	}
	if err != nil {
		return fmt.Errorf("let the user %s use the repository: %w", u.Name, err)
	}
	return nil
}

// handOverShared hands over, once, what was made in a repository for all its sessions while another user had it:
// objects, references and what was set aside. Sessions' own folders are handed over with their worktrees.
func (repo *repository) handOverShared() error {
	file := repo.ownerFile(repo.mirror)
	text, err := readSmall(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	former, uid := strings.TrimSpace(string(text)), ""
	if repo.user != nil {
		uid = strconv.Itoa(repo.user.UID)
	}
	if former == uid {
		return nil
	}
	formerUID := os.Geteuid()
	if n, err := strconv.Atoi(former); err == nil {
		formerUID = n
	}
	err = repo.user.Own(filepath.Join(repo.mirror, "packed-refs"), filepath.Join(repo.mirror, "shallow"),
		filepath.Join(repo.mirror, asideDir))
	for _, folder := range []string{"heads", "tags", "remotes/origin", "carillon"} {
		refs := filepath.Join(repo.mirror, "refs", filepath.FromSlash(folder))
		err = errors.Join(err, repo.user.OwnWithin(refs, formerUID))
	}
	if err = errors.Join(err, repo.handOverObjects(formerUID)); err != nil {
		return err
	}
	if repo.user == nil {
		return errors.Join(os.Chmod(repo.mirror, 0o700), removeIfExists(file))
	}
	return errors.Join(os.MkdirAll(repo.private("handed"), 0o700), writeAtomic(file, uid+"\n"))
}

// handOverObjects hands over the objects of a repository that a user had, and not the folders that hold them.
func (repo *repository) handOverObjects(uid int) error {
	objects := filepath.Join(repo.mirror, "objects")
	err := repo.user.OwnWithin(filepath.Join(objects, "pack"), uid)
	for i := range fanOut {
		err = errors.Join(err, repo.user.OwnWithin(filepath.Join(objects, fmt.Sprintf("%02x", i)), uid))
	}
	return err
}

// grantView lets the user read a view, and not write there.
func (g *runner) grantView(view string) error {
	return errors.Join(g.user.Enter(view), g.user.Read(filepath.Join(view, "config"), filepath.Join(view, "HEAD")))
}

// handOver gives the user what is a session's: its worktree, its place in the repository and its own Git folder, with
// the references that others may replace. A folder that is the user's already is not walked through. Where the setting
// was switched off again, the server takes the files back.
func (repo *repository) handOver(w Worktree) error {
	common := repo.commonDir(w.Workspace, w.Session)
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
	if err := repo.user.Own(w.Dir, repo.adminDir(w.Workspace, w.Session), common); err != nil {
		return err
	}
	if repo.user == nil {
		return repo.handOverShared() // back
	}
	return nil
}
