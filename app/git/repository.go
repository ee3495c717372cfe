package git

import (
	"context"
	"fmt"
	"strings"
)

// repository is the repository of one workspace: the mirror of its remote, with what belongs to its sessions there. The
// server's Git uses it through the view.
type repository struct {
	*runner
	id     string // the workspace's, or a temporary name
	mirror string
	view   string
}

// repository returns the repository at mirror. Its view may not exist yet. The id is the workspace's, or a temporary
// name.
func (g *runner) repository(id, mirror string) *repository {
	return &repository{runner: g, id: id, mirror: mirror, view: g.viewDir(id)}
}

// open makes the view of the workspace's repository ready and returns the repository. Error to tell apart: ErrNoMirror.
func (s *Store) open(workspaceID string) (*repository, error) {
	if err := checkID(workspaceID); err != nil {
		return nil, err
	}
	g := s.runner()
	repo := g.repository(workspaceID, g.mirrorDir(workspaceID))
	if !exists(repo.mirror) {
		return nil, ErrNoMirror
	}
	if err := repo.prepareView(); err != nil {
		return nil, fmt.Errorf("prepare the repository: %w", diskFull(err))
	}
	return repo, nil
}

// git runs Git on the repository and returns its standard output.
func (repo *repository) git(ctx context.Context, args ...string) ([]byte, error) {
	return repo.run(ctx, call{gitDir: repo.view, args: args})
}

// updateRefs changes references by the commands of git update-ref --stdin.
func (repo *repository) updateRefs(ctx context.Context, commands string) error {
	_, err := repo.run(ctx, call{
		gitDir: repo.view, args: []string{"update-ref", "--stdin"}, stdin: strings.NewReader(commands),
	})
	return err
}

// lock waits until the caller alone holds a lock of the workspace, as runner.lock does.
func (repo *repository) lock(ctx context.Context, kind string) (func(), error) {
	return repo.runner.lock(ctx, kind+"-"+repo.id)
}

// resolve returns the commits that names stand for, in one call of Git. A commit is empty where the name has none.
func (repo *repository) resolve(ctx context.Context, names ...string) ([]string, error) {
	var in strings.Builder
	for _, name := range names {
		if strings.ContainsAny(name, "\n\x00") {
			return nil, fmt.Errorf("%q cannot be a name in Git", name)
		}
		fmt.Fprintf(&in, "%s^{commit}\n", name)
	}
	out, err := repo.run(ctx, call{
		gitDir: repo.view, args: []string{"cat-file", "--batch-check=%(objectname) %(objecttype)"},
		stdin: strings.NewReader(in.String()),
	})
	if err != nil {
		return nil, err
	}
	commits := make([]string, len(names))
	for i, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		if sha, ok := strings.CutSuffix(line, " commit"); ok && i < len(commits) && isSHA(sha) {
			commits[i] = sha
		}
	}
	return commits, nil
}

func isSHA(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// zeroID is the id that means "no object", as long as sha is.
func zeroID(sha string) string { return strings.Repeat("0", len(sha)) }

// emptyBlob is the id of an empty file in the format of sha.
func emptyBlob(sha string) string {
	if len(sha) == 64 {
		return "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813"
	}
	return "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
}
