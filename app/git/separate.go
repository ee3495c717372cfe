package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Each session has a common Git folder (commondir) of its own in the mirror, and its worktree points there: its
// configuration, hooks, remotes, aliases, excluded files, stash and logs are its own. Objects, branches and worktrees
// are links to those of the mirror.

// sharedWithMirror are the parts that a session shares with its mirror. Other references, such as the stash, are its
// own.
var sharedWithMirror = []string{"objects", "packed-refs", "shallow", "worktrees",
	"refs/heads", "refs/remotes", "refs/tags", "refs/carillon"}

// makeSessionDir makes the session's own common Git folder, where it does not exist yet, and points the worktree at it.
// It keeps the session's configuration.
func (repo *repository) makeSessionDir(w Worktree, configured string) error {
	dir := repo.commonDir(w.Workspace, w.Session)
	for _, folder := range []string{filepath.Dir(dir), dir, filepath.Join(dir, "refs")} {
		// Through a link that an agent made the server would write where the agent cannot.
		if exists(folder) && !isFolder(folder) {
			if err := os.Remove(folder); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return diskFull(err)
		}
	}
	for _, part := range sharedWithMirror {
		if strings.HasPrefix(part, "refs/") {
			if err := os.MkdirAll(filepath.Join(repo.mirror, part), 0o700); err != nil {
				return diskFull(err)
			}
		}
		link := filepath.Join(dir, part)
		target, err := filepath.Rel(filepath.Dir(link), filepath.Join(repo.mirror, part))
		if err != nil {
			return err
		}
		if was, err := os.Readlink(link); err == nil && was == target {
			continue
		}
		if err := removeAll(link); err != nil {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return diskFull(err)
		}
	}
	if config := filepath.Join(dir, "config"); !exists(config) {
		if err := writeAtomic(config, configured); err != nil {
			return diskFull(err)
		}
	}
	pointer := filepath.Join(repo.adminDir(w.Workspace, w.Session), "commondir")
	return diskFull(errors.Join(
		writeAtomic(filepath.Join(dir, "HEAD"), noHead),
		writeAtomic(pointer, "../../sessions/"+w.Session+"\n"),
	))
}

// sessionConfig is the first configuration of a session. Its Git packs and prunes nothing by itself: it would take
// objects for unused that only other sessions refer to.
func (repo *repository) sessionConfig(w Worktree) string {
	var b strings.Builder
	version, format := 0, ""
	if usesSHA256(repo.mirror) {
		version, format = 1, "\tobjectFormat = sha256\n"
	}
	fmt.Fprintf(&b, "[core]\n\trepositoryformatversion = %d\n\tlogAllRefUpdates = true\n", version)
	fmt.Fprintf(&b, "[extensions]\n%s\tworktreeConfig = true\n", format)
	b.WriteString("[gc]\n\tauto = 0\n\tpruneExpire = never\n[maintenance]\n\tauto = false\n")
	if url, err := readSmall(repo.originFile(repo.id)); err == nil && CheckURL(string(url)) == nil {
		// the URL has no secret in it
		fmt.Fprintf(&b, "[remote \"origin\"]\n\turl = \"%s\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
			strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(url)))
	}
	return b.String()
}

// stashCommits are the commits on the session's stash, newest first.
func (repo *repository) stashCommits(ctx context.Context, w Worktree) ([]string, error) {
	return repo.reflogCommits(ctx, filepath.Join(repo.commonDir(w.Workspace, w.Session), "logs", "refs", "stash"))
}

// reflogCommits are the commits that a log of a reference names and that exist, newest first.
func (repo *repository) reflogCommits(ctx context.Context, path string) ([]string, error) {
	text, err := repo.readAsUser(path)
	if err != nil {
		return nil, nil // nothing was logged
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if field := strings.Fields(line); len(field) > 1 && isSHA(field[1]) {
			names = append([]string{field[1]}, names...)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	found, err := repo.resolve(ctx, names...)
	var list []string
	for _, sha := range found {
		if sha != "" {
			list = append(list, sha)
		}
	}
	return list, err
}

// agentBranches are the branches that the session's Git made or moved, without the session's own, and their commits.
func (repo *repository) agentBranches(ctx context.Context, w Worktree) (map[string]string, error) {
	root := filepath.Join(repo.commonDir(w.Workspace, w.Session), "logs", "refs", "heads")
	var names []string
	_ = repo.user.Do(func() error {
		return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || len(names) >= maxBranches {
				return filepath.SkipAll
			}
			if name, err := filepath.Rel(root, path); err == nil && d.Type().IsRegular() && name != w.Branch &&
				!strings.ContainsAny(name, "\n\x00") {
				names = append(names, name)
			}
			return nil
		})
	})
	if len(names) == 0 {
		return nil, nil
	}
	refs := make([]string, len(names))
	for i, name := range names {
		refs[i] = "refs/heads/" + name
	}
	found, err := repo.resolve(ctx, refs...)
	made := map[string]string{}
	for i, sha := range found {
		if sha != "" {
			made[names[i]] = sha
		}
	}
	return made, err
}

// maxBranches is how many branches of a session are listed.
const maxBranches = 50
