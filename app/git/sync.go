package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carillon/app/crash"
)

const (
	origin = "refs/remotes/origin/"
	// detachedRef is the remote's HEAD where it is on no branch.
	detachedRef = "refs/carillon/detached"
	// emptyRef is an empty commit of Carillon's own, for worktrees of a repository without commits.
	emptyRef = "refs/carillon/empty"
)

// Sync brings the workspace's mirror up to date with its remote, and makes it when there is none. One runs at a time
// for a workspace; the others wait. It never touches a session's branch: the remote's branches live under
// refs/remotes/origin/. A damaged mirror is repaired in place (repair.go). Errors to tell apart: those of Probe,
// *NoBranch when r.Branch is not there, ErrLocked, ErrDamaged and ErrDiskFull.
func (s *Store) Sync(ctx context.Context, id string, r Remote) error {
	if err := checkID(id); err != nil {
		return err
	}
	g := s.runner()
	refs, err := g.listRemote(ctx, r)
	if err != nil {
		return err
	}
	if err := refs.checkBranch(r); err != nil {
		return err
	}
	unlock, err := g.lock(ctx, "sync-"+id)
	if err != nil {
		return err
	}
	defer unlock()
	g.sweep(id)
	if err := g.noteOrigin(id, refs.url); err != nil {
		return fmt.Errorf("bring the repository up to date: %w", err)
	}
	repo := g.repository(id, g.mirrorDir(id))
	if !exists(repo.mirror) {
		err = repo.create(ctx, r, refs)
	} else {
		if err = repo.restoreHead(ctx); err == nil {
			err = repo.fetch(ctx, r, refs, maxUnpacked)
			crash.Here(crash.MirrorFetched)
		}
		if looksDamaged(err) {
			err = repo.repair(ctx, r, refs, err)
		}
	}
	if err != nil {
		return fmt.Errorf("bring the repository up to date: %w", remoteError(err))
	}
	return nil
}

// sweep removes the temporary files of an interrupted Sync.
func (l layout) sweep(id string) {
	for _, pattern := range []string{filepath.Join(l.root, "repos", ".new-"+id+".git-*"),
		l.viewDir(".new-" + id + ".git-*"), l.exchangeDir(".new-" + id + ".git-*")} {
		left, _ := filepath.Glob(pattern)
		for _, path := range left {
			_ = removeAll(path)
		}
	}
	left, _ := filepath.Glob(l.private("tmp", "index-*"))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > 24*time.Hour &&
			info.Mode().IsRegular() {
			_ = os.Remove(path)
		}
	}
}

// create makes the mirror under a temporary name and renames it when it is complete.
func (repo *repository) create(ctx context.Context, r Remote, refs *remoteRefs) error {
	temp, err := repo.build(ctx, repo.id, refs.sha256(), func(temp *repository) error {
		return temp.fetch(ctx, r, refs, maxUnpacked)
	})
	if err != nil {
		return err
	}
	crash.Here(crash.MirrorMade)
	// The exchange belongs to an earlier mirror, which is gone.
	return errors.Join(removeAll(repo.exchangeDir(repo.id)), os.Rename(temp, repo.mirror))
}

// build makes a bare repository for a workspace in a temporary folder, fills it, and returns the folder.
func (g *runner) build(ctx context.Context, id string, sha256 bool,
	fill func(dir *repository) error) (dir string, err error) {
	if err := g.prepare(); err != nil {
		return "", diskFull(err)
	}
	temp, err := os.MkdirTemp(filepath.Join(g.root, "repos"), ".new-"+id+".git-*")
	if err != nil {
		return "", diskFull(err)
	}
	repo := g.repository(filepath.Base(temp), temp)
	defer func() {
		_ = removeAll(repo.view)
		_ = removeAll(repo.exchangeDir(repo.id))
		if err != nil {
			_ = removeAll(temp)
		}
	}()
	args := []string{"init", "--quiet", "--bare", "--template=",
		"--initial-branch=" + strings.TrimSpace(strings.TrimPrefix(noHead, "ref: refs/heads/"))}
	if sha256 {
		args = append(args, "--object-format=sha256")
	}
	if _, err := g.run(ctx, call{args: append(args, temp)}); err != nil {
		return "", err
	}
	if sha256 {
		if err := os.WriteFile(filepath.Join(temp, markSHA256), nil, 0o600); err != nil {
			return "", diskFull(err)
		}
	}
	return temp, fill(repo)
}

func (r *remoteRefs) sha256() bool {
	for _, sha := range r.heads {
		return len(sha) == 64
	}
	return len(r.detached) == 64
}

// fetch brings the remote's branches into the mirror. The objects of packs with fewer than few are written one by one.
// The Git that reaches the remote has the rights of the server and writes into the exchange alone; the mirror's
// references are written with the rights of the user of agents.
func (repo *repository) fetch(ctx context.Context, r Remote, refs *remoteRefs, few uint32) error {
	if err := repo.prepareView(); err != nil {
		return diskFull(err)
	}
	if same, err := repo.isCurrent(ctx, refs); err != nil || same {
		return err
	}
	exchange, err := repo.prepareExchange(ctx)
	if err != nil {
		return err
	}
	empty := len(refs.heads) == 0 && refs.detached == ""
	if !empty {
		if err := repo.fetchBranches(ctx, exchange, r, refs); err != nil {
			return err
		}
		if err := repo.moveObjects(ctx, few); err != nil {
			return err
		}
		if err := repo.updateBranches(ctx, refs); err != nil {
			return err
		}
	}
	if err := repo.updateRemoteHead(ctx, refs); err != nil {
		return err
	}
	if empty {
		return repo.makeEmptyCommit(ctx, emptyRef)
	}
	return nil
}

// fetchBranches brings the remote's branches and their objects into the exchange.
func (repo *repository) fetchBranches(ctx context.Context, exchange string, r Remote, refs *remoteRefs) error {
	env, err := repo.remoteEnv(ctx, r)
	if err != nil {
		return err
	}
	args := []string{"-c", "fetch.unpackLimit=1", "fetch", "--quiet", "--prune", "--no-prune-tags", "--force",
		"--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-gc", "--", refs.url,
		"+refs/heads/*:" + origin + "*", "^refs/heads/HEAD"}
	if refs.detached != "" {
		args = append(args, "+HEAD:"+detachedRef)
	}
	_, err = repo.run(ctx, call{gitDir: exchange, asServer: true, args: args, env: env, secrets: r.secrets()})
	return err
}

// updateRemoteHead gives the mirror the remote's default branch, and deletes the references of a HEAD that the remote
// no longer has.
func (repo *repository) updateRemoteHead(ctx context.Context, refs *remoteRefs) error {
	var edit strings.Builder
	if refs.defaultBranch != "" {
		if _, err := repo.git(ctx, "symbolic-ref", origin+"HEAD", origin+refs.defaultBranch); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(&edit, "option no-deref\ndelete %sHEAD\n", origin)
	}
	if refs.detached == "" {
		fmt.Fprintf(&edit, "option no-deref\ndelete %s\n", detachedRef)
	}
	if edit.Len() == 0 {
		return nil
	}
	return repo.updateRefs(ctx, edit.String())
}

// isCurrent reports whether the mirror has the remote's branches already, so that nothing need be fetched.
func (repo *repository) isCurrent(ctx context.Context, refs *remoteRefs) (bool, error) {
	out, err := repo.git(ctx, "for-each-ref", "--format=%(refname)%09%(objectname)%09%(symref)", origin, detachedRef)
	if err != nil {
		return false, err
	}
	local, defaultBranch, detached := map[string]string{}, "", ""
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(part) != 3 {
			continue
		}
		switch branch := strings.TrimPrefix(part[0], origin); {
		case part[0] == detachedRef:
			detached = part[1]
		case branch == "HEAD":
			defaultBranch = strings.TrimPrefix(part[2], origin)
		default:
			local[branch] = part[1]
		}
	}
	if len(refs.heads) == 0 && refs.detached == "" || len(local) != len(refs.heads) ||
		defaultBranch != refs.defaultBranch || detached != refs.detached {
		return false, nil
	}
	want := make([]string, 0, len(local))
	for branch, sha := range refs.heads {
		if local[branch] != sha {
			return false, nil
		}
		want = append(want, sha)
	}
	// A branch can name a commit that is missing: then the mirror is damaged, and the fetch fails.
	found, err := repo.resolve(ctx, want...)
	if err != nil {
		return false, err
	}
	for _, sha := range found {
		if sha == "" {
			return false, nil
		}
	}
	return true, nil
}

// makeEmptyCommit makes a reference to an empty commit by Carillon.
func (repo *repository) makeEmptyCommit(ctx context.Context, ref string) error {
	out, err := repo.git(ctx, "mktree")
	if err != nil {
		return err
	}
	tree := strings.TrimSpace(string(out))
	// A fixed date gives the same commit wherever it is made.
	out, err = repo.run(ctx, call{
		gitDir: repo.view, args: []string{"commit-tree", "-m", "Start an empty repository", tree},
		env: []string{"GIT_AUTHOR_DATE=@946684800 +0000", "GIT_COMMITTER_DATE=@946684800 +0000"},
	})
	if err != nil {
		return err
	}
	_, err = repo.git(ctx, "update-ref", ref, strings.TrimSpace(string(out)))
	return err
}

// Scratch makes the workspace's repository without a remote: empty, with one empty commit by Carillon on main. There is
// no remote to push to: work is kept in branches alone. It does nothing where there is a repository already.
func (s *Store) Scratch(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	g := s.runner()
	unlock, err := g.lock(ctx, "sync-"+id)
	if err != nil {
		return err
	}
	defer unlock()
	g.sweep(id)
	if exists(g.mirrorDir(id)) {
		return nil
	}
	temp, err := g.build(ctx, id, false, func(temp *repository) error {
		if err := temp.prepareView(); err != nil {
			return diskFull(err)
		}
		if err := temp.makeEmptyCommit(ctx, "refs/heads/main"); err != nil {
			return err
		}
		_, err := temp.git(ctx, "symbolic-ref", "refs/carillon/main", "refs/heads/main")
		return err
	})
	if err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	crash.Here(crash.MirrorMade)
	return os.Rename(temp, g.mirrorDir(id))
}

// Tidy packs the objects of the workspace's repository, if there are many, prunes objects that no branch and no
// worktree has used for two weeks, and removes stale locks. It can take minutes; Sync waits for it. Once a day is
// enough.
func (s *Store) Tidy(ctx context.Context, id string) error {
	return s.tidy(ctx, id, "gc", "--quiet", "--auto")
}

func (s *Store) tidy(ctx context.Context, id string, args ...string) error {
	unlock, err := s.runner().lock(ctx, "sync-"+id)
	if err != nil {
		return err
	}
	defer unlock()
	repo, err := s.open(id)
	if err != nil {
		return err
	}
	if err := repo.tidy(ctx, args...); err != nil {
		return fmt.Errorf("tidy workspace %s: %w", id, err)
	}
	return nil
}

// tidy removes stale locks, and runs a command of Git that packs the repository.
func (repo *repository) tidy(ctx context.Context, args ...string) error {
	repo.removeStaleLocks()
	if err := repo.handOverObjects(os.Geteuid()); err != nil { // Git removes the objects that it packs
		return err
	}
	// git gc makes a file beside the configuration, where the user of agents may not write.
	packing := repo.repository(".tidy-"+repo.id, repo.mirror)
	defer func() { _ = removeAll(packing.view) }()
	err := packing.prepareView()
	if err == nil {
		// So it gets a Git folder in which that user can make the file. It is its own common folder.
		common := filepath.Join(packing.view, "commondir")
		err = errors.Join(writeAtomic(common, ".\n"), repo.user.Read(common), repo.user.Add(packing.view))
	}
	if err == nil {
		settings := []string{"-c", "gc.auto=6700", "-c", "gc.autoDetach=false", "-c", "gc.writeCommitGraph=false", "-c",
			"repack.updateServerInfo=false"}
		_, err = repo.run(ctx, call{
			gitDir: packing.view, folders: []string{packing.view}, args: append(settings, args...),
		})
	}
	if exchange := repo.exchangeDir(repo.id); err == nil && exists(exchange) {
		_, err = repo.run(ctx, call{gitDir: exchange, asServer: true, args: []string{"pack-refs", "--all"}})
	}
	return err
}

// Head is the commit that a branch of the workspace stands at, as of the last Sync. An empty branch is the
// default one. The error is *NoBranch when there is no such branch, ErrNoMirror when there is no repository.
func (s *Store) Head(ctx context.Context, id, branch string) (string, error) {
	repo, err := s.open(id)
	if err != nil {
		return "", err
	}
	return repo.branchCommit(ctx, branch)
}

// branchCommit is the commit of a branch of the remote, as of the last Sync. A repository that has no remote has its
// own branches, such as a session's.
func (repo *repository) branchCommit(ctx context.Context, branch string) (string, error) {
	prefix, names := origin, []string{origin + "HEAD", detachedRef, emptyRef}
	if !exists(repo.originFile(repo.id)) {
		prefix, names = "refs/heads/", []string{"refs/carillon/main"}
	}
	if branch != "" {
		names = []string{prefix + branch}
	}
	found, err := repo.resolve(ctx, names...)
	if err != nil {
		return "", err
	}
	for _, sha := range found {
		if sha != "" {
			return sha, nil
		}
	}
	out, err := repo.git(ctx, "for-each-ref", "--format=%(refname)", prefix)
	if err != nil {
		return "", err
	}
	var candidates []string
	for line := range strings.Lines(string(out)) {
		name := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), prefix)
		if name != "HEAD" && !strings.HasPrefix(name, "carillon/") {
			candidates = append(candidates, name)
		}
	}
	if prefix == origin && len(candidates) == 0 {
		// The remote has no commit, and therefore no branch yet.
		if found, err := repo.resolve(ctx, emptyRef); err != nil || found[0] != "" {
			return found[0], err
		}
	}
	return "", &NoBranch{Branch: branch, Near: similarBranch(branch, "", candidates)}
}

// noteOrigin writes the URL of a workspace's remote into its file.
func (l layout) noteOrigin(id, url string) error {
	if err := os.MkdirAll(l.private("origins"), 0o700); err != nil {
		return diskFull(err)
	}
	return diskFull(writeAtomic(l.originFile(id), url))
}
