package git

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Git that reaches a remote has keys and tokens in its environment, so that no agent may run it, read its memory or
// lead it elsewhere. It works in an exchange: a Git folder of the server's own with names of its own for what the
// remote has. Of the mirror it has the objects alone, whose folders are the server's.

// exchange makes sure that the exchange of the repository at mirror exists and returns it. Name is the workspace's id,
// or a temporary one. A new one begins with the remote's branches as the mirror knows them, so that little has to be
// fetched.
func (s *Store) exchange(ctx context.Context, name, mirror string) (string, error) {
	dir := s.own("exchanges", name)
	fresh := !exists(filepath.Join(dir, "HEAD"))
	if err := os.MkdirAll(filepath.Join(dir, "refs"), 0o700); err != nil {
		return "", diskFull(err)
	}
	objects, err := filepath.Rel(dir, filepath.Join(mirror, "objects"))
	if err != nil {
		return "", err
	}
	if err := linkOnce(filepath.Join(dir, "objects"), objects); err != nil {
		return "", diskFull(err)
	}
	config := configOf(false)
	shallow := ""
	err = s.User.Do(func() error {
		config, shallow = configOf(ofSHA256(mirror)), shallowCommits(mirror)
		return nil
	})
	if shallow == "" {
		err = errors.Join(err, removeIfThere(filepath.Join(dir, "shallow")))
	} else {
		err = errors.Join(err, writeOnce(filepath.Join(dir, "shallow"), shallow))
	}
	err = errors.Join(err, writeOnce(filepath.Join(dir, "config"), config))
	if err == nil && fresh && mirror == s.mirror(name) {
		s.seed(ctx, dir, s.own("views", name))
	}
	return dir, diskFull(errors.Join(err, writeOnce(filepath.Join(dir, "HEAD"), noHead)))
}

// seed names in a new exchange what a view knows of the remote and has. Without it the next fetch brings everything.
// The names are written at once, and without a Git: one that is killed would leave a lock that nobody meets.
func (s *Store) seed(ctx context.Context, exchange, view string) {
	names, err := s.branches(ctx, call{gitDir: view})
	if err != nil || len(names) == 0 {
		return
	}
	refs := slices.Sorted(maps.Keys(names))
	shas := make([]string, len(refs))
	for i, name := range refs {
		shas[i] = names[name]
	}
	found, err := s.resolve(ctx, view, shas...)
	if err != nil {
		return
	}
	var packed strings.Builder
	packed.WriteString("# pack-refs with: sorted \n")
	for i, name := range refs {
		if found[i] != "" && found[i] == shas[i] {
			fmt.Fprintf(&packed, "%s %s\n", shas[i], name)
		}
	}
	if err := writeOnce(filepath.Join(exchange, "packed-refs"), packed.String()); err != nil {
		s.log().Warn("name the remote's branches", "repository", filepath.Base(exchange), "err", err)
	}
}

// branches are the remote's branches as a Git folder knows them, by their full names, with detachedRef. Of a name that
// stands for another one the value is that name; the remote's default branch is left out.
func (s *Store) branches(ctx context.Context, c call) (map[string]string, error) {
	c.args = []string{"for-each-ref", "--format=%(refname)%09%(objectname)%09%(symref)", origin, detachedRef}
	out, err := s.git(ctx, c)
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for line := range strings.Lines(string(out)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(part) == 3 && part[0] != origin+"HEAD" {
			list[part[0]] = cmp.Or(part[2], part[1])
		}
	}
	return list, nil
}

// takeOver gives the mirror of a view the remote's branches as its exchange has them: first without those that are
// gone, which may stand in the way of others.
func (s *Store) takeOver(ctx context.Context, exchange, view string, refs *remoteRefs) error {
	there, err := s.branches(ctx, call{gitDir: exchange, asServer: true})
	if err != nil {
		return err
	}
	if refs.detached == "" {
		delete(there, detachedRef)
	}
	here, err := s.branches(ctx, call{gitDir: view})
	if err != nil {
		return err
	}
	var gone, moved strings.Builder
	for name := range here {
		if there[name] == "" {
			fmt.Fprintf(&gone, "option no-deref\ndelete %s\n", name)
		}
	}
	for name, sha := range there {
		if here[name] != sha {
			fmt.Fprintf(&moved, "option no-deref\nupdate %s %s\n", name, sha)
		}
	}
	for _, edit := range []string{gone.String(), moved.String()} {
		if edit == "" {
			continue
		}
		if _, err := s.git(ctx, call{
			gitDir: view, args: []string{"update-ref", "--stdin"}, stdin: strings.NewReader(edit),
		}); err != nil {
			return err
		}
	}
	// A session that stands at what is missing keeps the Git of every other session from fetching.
	_, err = s.git(ctx, call{gitDir: view, args: []string{"rev-list", "--quiet", "--max-count=1", "--all"}})
	return err
}

// shallowCommits are the lines of a mirror's shallow file that name a commit: whose parents are not there.
func shallowCommits(mirror string) string {
	text, err := readSmall(filepath.Join(mirror, "shallow"))
	if err != nil {
		return ""
	}
	var list strings.Builder
	for line := range strings.Lines(string(text)) {
		if isSHA(strings.TrimSpace(line)) {
			list.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	return list.String()
}

// linkOnce makes a path a link to a target, for all to see at once: another call that makes the same one takes none
// away from a Git that uses it already.
func linkOnce(path, target string) error {
	if was, err := os.Readlink(path); err == nil && was == target {
		return nil
	}
	made := path + "." + rand.Text()
	if err := os.Symlink(target, made); err != nil {
		return err
	}
	err := os.Rename(made, path)
	if err != nil { // a folder is there
		err = errors.Join(removeAll(path), os.Rename(made, path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(made))
	}
	return nil
}
