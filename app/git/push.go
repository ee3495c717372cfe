package git

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Push brings what the worktree has checked out to a branch of the remote; an empty branch is the session's.
// It never overwrites: a branch that has other commits is ErrRejected, as is a rule of the remote's against
// the push. Other errors to tell apart: those of Probe.
func (s *Store) Push(ctx context.Context, w Worktree, r Remote, branch string) error {
	at, err := s.layout().remoteURL(r)
	if err != nil {
		return err
	}
	if err := checkID(w.Workspace, w.Session); err != nil {
		return err
	}
	repo, err := s.open(w.Workspace)
	if err != nil {
		return err
	}
	if err := repo.cleaner(repo.mirror).cleanObjects(true); err != nil {
		return err
	}
	branch = cmp.Or(branch, w.Branch)
	if _, err := repo.run(ctx, call{args: []string{"check-ref-format", "--branch", branch}}); err != nil {
		return fmt.Errorf("“%s” cannot be the name of a branch", branch)
	}
	found, err := repo.resolve(ctx, "worktrees/"+w.Session+"/HEAD", "refs/heads/"+w.Branch)
	if err != nil {
		return err
	}
	head := cmp.Or(found[0], found[1]) // without a worktree, the commit of its branch
	if head == "" {
		return fmt.Errorf("push the session: %w", ErrNoWorktree)
	}
	if err := repo.push(ctx, r, at, head, "refs/heads/"+branch); err != nil {
		return fmt.Errorf("push to %s: %w", branch, err)
	}
	return nil
}

// push brings a commit of the repository to a reference of the remote at a URL, or at the URL with .git where the
// remote redirects there. A + before the reference overwrites it.
func (repo *repository) push(ctx context.Context, r Remote, at, commit, ref string) error {
	exchange, err := repo.prepareExchange(ctx)
	if err != nil {
		return err
	}
	if err := repo.readPushedObjects(ctx, commit); err != nil {
		return err
	}
	ref, force := strings.CutPrefix(ref, "+")
	spec := commit + ":" + ref
	if force {
		spec = "+" + spec
	}
	env, err := repo.remoteEnv(ctx, r)
	if err != nil {
		return err
	}
	once := func(at string) error {
		_, err := repo.run(ctx, call{
			gitDir: exchange, asServer: true,
			args: []string{"push", "--quiet", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--", at,
				spec},
			// A path's own hooks run at a push, so git's check of who owns it must not be relaxed.
			env:     append(slices.Clone(env), "GIT_CONFIG_GLOBAL=/dev/null", "HOME="+repo.private("empty")),
			secrets: r.secrets(),
		})
		return remoteError(err)
	}
	err = once(at)
	if errors.Is(err, ErrMoved) && !strings.HasSuffix(at, ".git") {
		err = once(at + ".git")
	}
	return err
}

// readPushedObjects reads, with the rights of the user of agents, all objects that a push of a commit sends. The Git
// that reaches the remote has the server's rights, and would follow a link to an object that the user may not read. The
// objects of the remote's branches were fetched from there and need no check.
func (repo *repository) readPushedObjects(ctx context.Context, commit string) error {
	if repo.user == nil {
		return nil
	}
	if err := repo.prepareView(); err != nil {
		return err
	}
	remote, err := repo.branches(ctx, call{gitDir: repo.exchangeDir(repo.id), asServer: true})
	if err != nil {
		return err
	}
	local, err := repo.branches(ctx, call{gitDir: repo.view})
	if err != nil {
		return err
	}
	revisions := commit + "\n"
	for name, sha := range remote {
		if isSHA(sha) && local[name] == sha {
			revisions += "^" + sha + "\n"
		}
	}
	_, err = repo.run(ctx, call{
		gitDir: repo.view, args: []string{"pack-objects", "--quiet", "--revs", "--stdout", "--window=0"},
		stdin: strings.NewReader(revisions), discard: true,
	})
	return err
}
