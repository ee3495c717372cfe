package git

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// editedSubmodules are the submodules at paths whose files differ from their own commit. The server's Git reads them
// through a view, since an agent can configure them. A submodule that cannot be read counts as edited.
func (in *inspection) editedSubmodules(ctx context.Context, paths []string) ([]string, error) {
	var edited []string
	for _, path := range paths {
		dir := filepath.Join(in.w.Dir, path)
		if !exists(filepath.Join(dir, ".git")) || !in.hasFile(path) {
			continue // it was never checked out
		}
		if clean, err := in.cleanSubmodule(ctx, dir); err != nil && ctx.Err() != nil {
			return nil, err
		} else if err != nil || !clean {
			edited = append(edited, path)
		}
	}
	return edited, nil
}

// submoduleOf is the Git folder of a submodule. A folder outside of the session's own is an error.
func (in *inspection) submoduleOf(dir string) (string, error) {
	gitDir := filepath.Join(dir, ".git")
	if text, err := readSmall(gitDir); err == nil {
		at, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
		if !ok {
			return "", fmt.Errorf("%s names no Git folder", gitDir)
		}
		if gitDir = at; !filepath.IsAbs(at) {
			gitDir = filepath.Join(dir, at)
		}
	}
	gitDir, err := filepath.EvalSymlinks(gitDir)
	if err != nil {
		return "", err
	}
	for _, own := range in.ownFolders {
		if own, err = filepath.EvalSymlinks(own); err == nil &&
			strings.HasPrefix(gitDir, own+string(filepath.Separator)) {
			return gitDir, nil
		}
	}
	return "", fmt.Errorf("%s is outside of the session's folders", gitDir)
}

// cleanSubmodule reports whether a submodule has no uncommitted changes and no new files that are not ignored.
func (in *inspection) cleanSubmodule(ctx context.Context, dir string) (bool, error) {
	repo := in.repo
	var gitDir string
	var head []byte
	err := repo.user.Do(func() (err error) {
		if gitDir, err = in.submoduleOf(dir); err == nil {
			head, err = readSmall(filepath.Join(gitDir, "HEAD"))
		}
		return err
	})
	if err != nil {
		return false, err
	}
	name := fmt.Sprintf(".submodule-%x", sha256.Sum256([]byte(dir)))[:40]
	view := repo.viewDir(name)
	if err := repo.makeView(repo.user, view, gitDir); err != nil {
		return false, err
	}
	defer func() { _ = removeAll(view) }()
	if err := errors.Join(writeAtomic(filepath.Join(view, "HEAD"), string(head)), repo.grantView(view)); err != nil {
		return false, err
	}
	index, err := repo.copyIndex(filepath.Join(gitDir, "index"))
	if err != nil {
		return false, err
	}
	defer os.Remove(index)
	ask := func(args ...string) ([]byte, error) {
		return repo.run(ctx, call{
			gitDir: view, workTree: dir, args: args, env: []string{"GIT_INDEX_FILE=" + index}, limit: 1 << 20,
		})
	}
	out, err := ask("-c", "core.excludesFile="+filepath.Join(gitDir, "info", "exclude"), "ls-files", "-z", "--modified",
		"--others", "--exclude-standard")
	if err != nil || len(out) > 0 {
		return false, err
	}
	_, err = ask("diff-index", "--quiet", "--cached", "--ignore-submodules=dirty", "HEAD", "--")
	var f *failure
	if errors.As(err, &f) && f.exit == 1 {
		return false, nil
	}
	return err == nil, err
}
