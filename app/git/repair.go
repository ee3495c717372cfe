package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A mirror is repaired in place, since sessions are at work in it: their worktrees, branches, stashes and objects stay.
// The remote's objects are added beside the objects that are there. References and worktrees that name a missing object
// are set aside.

// damagePatterns are parts of Git's messages where the repository itself may be broken, as opposed to the connection to
// the remote. They are only a reason to run git fsck, which says what is damaged.
var damagePatterns = []string{
	"bad object", "is corrupt", "corrupted", "missing blob", "missing tree", "missing commit",
	"missing necessary objects",
	"unable to read tree", "unable to read sha1", "invalid object", "did not send all necessary objects", "bad packed",
	"unresolved deltas", "object file", "index-pack failed", "unexpected line in", "packfile", "cannot lock ref",
	"unable to resolve reference",
	"bad signature", "not a git repository: '", "could not parse commit", "failed to read object",
	"revision walk setup failed", "not a valid object", "broken",
}

// looksDamaged reports whether the mirror may be broken, by the messages of a Git that failed.
func looksDamaged(err error) bool {
	var f *failure
	if errors.Is(err, ErrDiskFull) || errors.Is(err, ErrKilled) || errors.Is(err, ErrLocked) || !errors.As(err, &f) {
		return false
	}
	for _, pattern := range damagePatterns {
		if strings.Contains(strings.ToLower(f.stderr), pattern) {
			return true
		}
	}
	return false
}

// asDamaged returns an error that is ErrDamaged as well where the mirror may be broken.
func asDamaged(err error) error {
	if looksDamaged(err) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// restoreHead writes the mirror's HEAD and configuration again where an agent's Git would not take the mirror for a
// repository. The view does without both, so nothing else would notice.
func (repo *repository) restoreHead(ctx context.Context) error {
	check := func() error {
		_, err := repo.run(ctx, call{gitDir: repo.mirror, args: []string{"rev-parse", "--git-dir"}})
		return err
	}
	if err := removeAll(filepath.Join(repo.mirror, "commondir")); err != nil {
		// it belongs in a worktree's folder of Git, not in a mirror
		return err
	}
	for _, part := range []string{"HEAD", "config"} { // Git would wait for a pipe
		if info, err := os.Lstat(filepath.Join(repo.mirror, part)); err == nil && !info.Mode().IsRegular() {
			if err := removeAll(filepath.Join(repo.mirror, part)); err != nil {
				return err
			}
		}
	}
	if repo.user != nil { // the Git below has that user's rights
		if err := repo.prepareView(); err != nil {
			return diskFull(err)
		}
	}
	var f *failure
	err := check()
	if !errors.As(err, &f) || ctx.Err() != nil {
		return err
	}
	for _, dir := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(repo.mirror, dir), 0o700); err != nil {
			return diskFull(err)
		}
	}
	err = errors.Join(
		writeAtomic(filepath.Join(repo.mirror, "HEAD"), noHead),
		writeAtomic(filepath.Join(repo.mirror, "config"), configOf(exists(filepath.Join(repo.mirror, markSHA256)))),
	)
	if err != nil {
		return diskFull(err)
	}
	if err := repo.user.Read(filepath.Join(repo.mirror, "HEAD"), filepath.Join(repo.mirror, "config")); err != nil {
		return err
	}
	return check()
}

// Repair looks for damage in the workspace's repository and repairs it, as Sync does where its fetch fails. It is for a
// caller that got ErrDamaged. Where the workspace has no remote, r has no URL: broken references are set aside then,
// and nothing is fetched. Errors to tell apart: those of Sync.
func (s *Store) Repair(ctx context.Context, id string, r Remote) error {
	if err := checkID(id); err != nil {
		return err
	}
	g := s.runner()
	var refs *remoteRefs
	if r.URL != "" {
		var err error
		if refs, err = g.listRemote(ctx, r); err != nil {
			return err
		}
	}
	unlock, err := g.lock(ctx, "sync-"+id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := g.repository(id, g.mirrorDir(id)).repair(ctx, r, refs, ErrDamaged); err != nil {
		return fmt.Errorf("mend the repository: %w", remoteError(err))
	}
	return nil
}

// repair repairs the mirror where git fsck proves that it is damaged, and fetches again. It returns cause, the failure
// that the caller had, where nothing is damaged. Nothing is fetched where refs is nil: the workspace has no remote.
func (repo *repository) repair(ctx context.Context, r Remote, refs *remoteRefs, cause error) error {
	if err := repo.prepareView(); err != nil {
		return diskFull(err)
	}
	// The exchange may name objects that are missing. The next fetch makes it again.
	if err := removeAll(repo.exchangeDir(repo.id)); err != nil {
		return err
	}
	references, err := repo.repairReferences(ctx)
	if err != nil {
		return err
	}
	found, err := repo.fsck(ctx)
	if err != nil {
		return err
	}
	if found == "" && !references {
		return cause
	}
	repo.log.Warn("the repository of a workspace is damaged and is mended", "workspace", repo.id, "found", found,
		"cause", cause)
	if refs != nil && found != "" && (strings.Contains(found, "corrupt") || !repo.hasRemoteObjects(ctx)) {
		if err := repo.addObjects(ctx, r, refs); err != nil {
			return err
		}
	}
	if refs != nil {
		err = repo.fetch(ctx, r, refs, maxUnpacked)
	}
	if found != "" {
		aside, asideErr := repo.setAside(ctx)
		if asideErr != nil {
			return errors.Join(err, asideErr)
		}
		if refs != nil && aside && looksDamaged(err) {
			err = repo.fetch(ctx, r, refs, maxUnpacked)
		}
	}
	if looksDamaged(err) {
		return fmt.Errorf("%w, and what its remote has did not mend it: %w", ErrDamaged, err)
	}
	return err
}

// fsck returns what git fsck finds missing or broken, in a few lines; empty: nothing. An object with an odd format,
// which old tools wrote, is not broken.
func (repo *repository) fsck(ctx context.Context) (string, error) {
	const broken = 1 << 1 // git's bits: 2 is for what is reachable and missing, 4 for packs
	const packs = 1 << 2
	out, err := repo.run(ctx, call{
		gitDir: repo.view, args: []string{"fsck", "--no-dangling", "--no-progress"}, limit: 1 << 20,
	})
	if errors.Is(err, errOutputLimit) {
		err = nil
	}
	var f *failure
	output := string(out)
	if errors.As(err, &f) && f.exit > 0 {
		output += f.stderr
		err = nil
	}
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		for _, pattern := range []string{"missing ", "corrupt", "hash mismatch", "broken link", "invalid sha1 pointer",
			"unable to "} {
			if strings.Contains(line, pattern) && len(lines) < 5 {
				lines = append(lines, line)
				break
			}
		}
	}
	if len(lines) == 0 && f != nil && f.exit > 0 && f.exit&(broken|packs) != 0 {
		lines = append(lines, f.message)
	}
	return cleanText(strings.Join(lines, "; ")), nil
}

// hasRemoteObjects reports whether all objects of the remote's branches are there, as of the last fetch.
func (repo *repository) hasRemoteObjects(ctx context.Context) bool {
	_, err := repo.git(ctx, "rev-list", "--objects", "--quiet", "--glob="+origin+"*")
	return err == nil
}

// addObjects adds all objects of the remote to the mirror, as packs beside the ones there: Git reads an object that is
// broken in one pack from another.
func (repo *repository) addObjects(ctx context.Context, r Remote, refs *remoteRefs) error {
	temp, err := repo.build(ctx, repo.id, refs.sha256(), func(temp *repository) error {
		return temp.fetch(ctx, r, refs, 0)
	})
	if err != nil {
		return err
	}
	defer func() { _ = removeAll(temp) }()
	from := filepath.Join(temp, "objects", "pack")
	entries, err := os.ReadDir(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var names []string // the indexes last: with one a pack is there
	for _, index := range []bool{false, true} {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".idx") == index {
				names = append(names, e.Name())
			}
		}
	}
	return repo.movePacks(from, names)
}

// asideDir is where the mirror keeps what was set aside: Git's folders of worktrees, and references with their values.
const asideDir = "carillon-aside"

// repairReferences sets aside references that cannot be read: lines of packed-refs, and files of loose references. It
// reports whether there were any.
func (repo *repository) repairReferences(ctx context.Context) (bool, error) {
	unlock, err := repo.lock(ctx, "tree")
	if err != nil {
		return false, err
	}
	defer unlock()
	found := false
	err = repo.user.Do(func() error {
		mirror, err := os.OpenRoot(repo.mirror)
		if err != nil {
			return err
		}
		defer mirror.Close()
		packed, err := repo.repairPackedRefs(mirror)
		if err != nil {
			return err
		}
		single, err := repairLooseRefs(mirror)
		found = packed || single
		return err
	})
	return found, diskFull(err)
}

// repairLooseRefs sets aside the files of loose references that cannot be read. It reports whether there were any.
func repairLooseRefs(mirror *os.Root) (bool, error) {
	bad := map[string]string{}
	err := fs.WalkDir(mirror.FS(), "refs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".lock") {
			return ignoreNotExist(err)
		}
		text, err := readBelow(mirror, path, maxSmall)
		if err != nil {
			return ignoreNotExist(err)
		}
		if value := strings.TrimSpace(string(text)); !isSHA(value) && !strings.HasPrefix(value, "ref: refs/") {
			bad[path] = value
		}
		return nil
	})
	if err != nil || len(bad) == 0 {
		return false, err
	}
	var kept strings.Builder
	for _, path := range slices.Sorted(maps.Keys(bad)) {
		fmt.Fprintf(&kept, "%s %s\n", path, bad[path])
	}
	if err := writeAside(mirror, "refs", kept.String()); err != nil {
		return false, err
	}
	for path := range bad {
		if err := ignoreNotExist(mirror.Remove(path)); err != nil {
			return true, err
		}
	}
	return true, nil
}

// repairPackedRefs sets aside the lines of packed-refs that cannot be read, under git's own lock. It reports whether
// there were any.
func (repo *repository) repairPackedRefs(mirror *os.Root) (bool, error) {
	const packed, locked = "packed-refs", "packed-refs.lock"
	if _, bad, err := readPacked(mirror); err != nil || bad == "" {
		return false, err
	}
	lock, err := mirror.OpenFile(locked, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if path := filepath.Join(repo.mirror, locked); errors.Is(err, os.ErrExist) && repo.removeStaleLock(path) {
		lock, err = mirror.OpenFile(locked, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if errors.Is(err, os.ErrExist) {
		return false, fmt.Errorf("%w: %s", ErrLocked, filepath.Join(repo.mirror, packed))
	} else if err != nil {
		return false, err
	}
	good, bad, err := readPacked(mirror)
	if err == nil {
		err = writeAside(mirror, packed, bad)
	}
	if err == nil {
		_, err = lock.WriteString(good)
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return false, errors.Join(err, mirror.Remove(locked))
	}
	return true, mirror.Rename(locked, packed)
}

// maxPackedRefs bounds what is read of packed-refs, in bytes: room for over a million references.
const maxPackedRefs = 256 << 20

// readPacked reads packed-refs, which an agent can replace, and returns the lines of references and all other lines.
func readPacked(mirror *os.Root) (good, bad string, err error) {
	text, err := readBelow(mirror, "packed-refs", maxPackedRefs+1)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", nil
	}
	if err == nil && len(text) > maxPackedRefs {
		err = fmt.Errorf("packed-refs is larger than %d bytes", maxPackedRefs)
	}
	if err != nil {
		return "", "", err
	}
	var fine, broken strings.Builder
	for line := range strings.Lines(string(text)) {
		sha, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		peeled, isPeeled := strings.CutPrefix(sha, "^")
		if strings.HasPrefix(line, "#") || isSHA(sha) && strings.HasPrefix(name, "refs/") || isPeeled &&
			isSHA(peeled) && name == "" {
			fine.WriteString(line)
		} else {
			broken.WriteString(line)
		}
	}
	return fine.String(), broken.String(), err
}

// writeAside writes a text into a new file of asideDir. It follows no link that an agent put in the place of the folder
// or the file.
func writeAside(mirror *os.Root, name, text string) error {
	if info, err := mirror.Lstat(asideDir); err == nil && !info.IsDir() {
		if err := mirror.Remove(asideDir); err != nil {
			return err
		}
	}
	if err := mirror.MkdirAll(asideDir, 0o700); err != nil {
		return err
	}
	name = filepath.Join(asideDir, fmt.Sprintf("%s-%d", name, time.Now().UnixNano()))
	f, err := mirror.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(cleanText(text))
	return errors.Join(err, f.Close())
}

// inMirror calls do for the mirror's folder with the rights of the user of agents.
func (repo *repository) inMirror(do func(mirror *os.Root) error) error {
	return diskFull(repo.user.Do(func() error {
		mirror, err := os.OpenRoot(repo.mirror)
		if err != nil {
			return err
		}
		defer mirror.Close()
		return do(mirror)
	}))
}

// setAside removes references and worktrees that name missing objects from the repository. The files of such a worktree
// stay; its session's next Add links them again. It reports whether there were any.
func (repo *repository) setAside(ctx context.Context) (bool, error) {
	unlock, err := repo.lock(ctx, "tree")
	if err != nil {
		return false, err
	}
	defer unlock()
	references, err := repo.setReferencesAside(ctx)
	if err != nil {
		return references, err
	}
	worktrees, err := repo.setWorktreesAside(ctx)
	return references || worktrees, err
}

// setReferencesAside deletes the references that name missing objects, and keeps their names and values in asideDir.
func (repo *repository) setReferencesAside(ctx context.Context) (bool, error) {
	out, err := repo.git(ctx, "for-each-ref", "--format=%(refname) %(objectname)", "refs/")
	if err != nil {
		return false, err
	}
	var kept, edit strings.Builder
	for line := range strings.Lines(string(out)) {
		name, sha, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if strings.HasPrefix(name, origin) || repo.hasObjects(ctx, sha) {
			continue
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		fmt.Fprintf(&kept, "%s %s\n", name, sha)
		fmt.Fprintf(&edit, "option no-deref\ndelete %s\n", name)
		repo.log.Warn("set a reference aside that names an object which is not there", "workspace", repo.id,
			"ref", name, "object", sha)
	}
	if kept.Len() == 0 {
		return false, nil
	}
	err = repo.inMirror(func(mirror *os.Root) error { return writeAside(mirror, "refs", kept.String()) })
	if err != nil {
		return true, err
	}
	return true, repo.updateRefs(ctx, edit.String())
}

// setWorktreesAside moves Git's folders of worktrees at a missing commit into asideDir. A worktree on a branch is not
// one of them: its branch is checked by itself.
func (repo *repository) setWorktreesAside(ctx context.Context) (found bool, err error) {
	sessions, err := repo.sessions(repo.id)
	if err != nil {
		return false, err
	}
	for _, session := range sessions {
		text, err := repo.readAsUser(filepath.Join(repo.adminDir(repo.id, session), "HEAD"))
		head := strings.TrimSpace(string(text))
		if err == nil && (!isSHA(head) || repo.hasObjects(ctx, head)) {
			continue
		}
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		found = true
		to := filepath.Join(asideDir, fmt.Sprintf("%s-%d", session, time.Now().UnixNano()))
		err = repo.inMirror(func(mirror *os.Root) error {
			return errors.Join(mirror.MkdirAll(asideDir, 0o700), mirror.Rename(filepath.Join("worktrees", session), to))
		})
		if err != nil {
			return found, err
		}
		repo.log.Warn("set a worktree aside that names an object which is not there", "workspace", repo.id, "session",
			session, "at", to)
	}
	return found, nil
}

// hasObjects reports whether no object of a commit is missing, apart from objects of the remote's branches.
func (repo *repository) hasObjects(ctx context.Context, sha string) bool {
	_, err := repo.git(ctx, "rev-list", "--objects", "--quiet", sha, "--not", "--glob="+origin+"*")
	var f *failure
	return !errors.As(err, &f) || f.exit < 0 // where Git did not end by itself, the commit is not taken for broken
}
