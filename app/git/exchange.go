package git

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Git that reaches a remote has keys and tokens in its environment, so that no agent may run it, read its memory or
// lead it elsewhere. It works in an exchange: a Git folder of the server's own that has the remote's branches. It reads
// the objects of the mirror, and writes into the exchange alone.

// prepareExchange makes sure that the exchange of the repository exists and returns it. A new one starts with the
// remote's branches that the mirror has, so that little has to be fetched.
func (repo *repository) prepareExchange(ctx context.Context) (string, error) {
	dir := repo.exchangeDir(repo.id)
	fresh := !exists(filepath.Join(dir, "HEAD"))
	objects := filepath.Join(dir, "objects")
	for _, folder := range []string{filepath.Join(dir, "refs"), filepath.Join(objects, "info"),
		filepath.Join(objects, "pack")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", diskFull(err)
		}
	}
	err := writeAtomic(filepath.Join(objects, "info", "alternates"), filepath.Join(repo.mirror, "objects")+"\n")
	if err != nil {
		return "", diskFull(err)
	}
	config := configOf(false)
	shallow := ""
	err = repo.user.Do(func() error {
		config, shallow = configOf(usesSHA256(repo.mirror)), shallowCommits(repo.mirror)
		return nil
	})
	if shallow == "" {
		err = errors.Join(err, removeIfExists(filepath.Join(dir, "shallow")))
	} else {
		err = errors.Join(err, writeAtomic(filepath.Join(dir, "shallow"), shallow))
	}
	err = errors.Join(err, writeAtomic(filepath.Join(dir, "config"), config))
	if err == nil && fresh && repo.mirror == repo.mirrorDir(repo.id) {
		repo.seed(ctx, dir)
	}
	return dir, diskFull(errors.Join(err, writeAtomic(filepath.Join(dir, "HEAD"), noHead)))
}

// seed writes the remote's branches that the mirror has into a new exchange. Without it the next fetch brings
// everything. They are written at once, and without Git: a Git that is killed would leave a lock that no later call
// would meet.
func (repo *repository) seed(ctx context.Context, exchange string) {
	names, err := repo.branches(ctx, call{gitDir: repo.view})
	if err != nil || len(names) == 0 {
		return
	}
	refs := slices.Sorted(maps.Keys(names))
	shas := make([]string, len(refs))
	for i, name := range refs {
		shas[i] = names[name]
	}
	found, err := repo.resolve(ctx, shas...)
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
	if err := writeAtomic(filepath.Join(exchange, "packed-refs"), packed.String()); err != nil {
		repo.log.Warn("name the remote's branches", "repository", filepath.Base(exchange), "err", err)
	}
}

// branches are the remote's branches that a Git folder has, by their full names, with detachedRef. The value is a
// commit, or for a symbolic reference the name of its target. The remote's HEAD is left out.
func (g *runner) branches(ctx context.Context, c call) (map[string]string, error) {
	c.args = []string{"for-each-ref", "--format=%(refname)%09%(objectname)%09%(symref)", origin, detachedRef}
	out, err := g.run(ctx, c)
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

// maxUnpacked is the number of objects from which on a fetched pack is kept as it is. The objects of a smaller one are
// written one by one, as Git does: one pack a fetch would soon be very many.
const maxUnpacked = 100

// moveObjects moves the packs that were fetched into the exchange to the mirror. It writes through no link that an
// agent made there. Packs that an interrupted call left are moved by the next one. The objects of packs with fewer than
// most are written one by one.
func (repo *repository) moveObjects(ctx context.Context, most uint32) error {
	from := filepath.Join(repo.exchangeDir(repo.id), "objects", "pack")
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var files []string // the files of each pack, its index last: with that it is there
	for _, e := range entries {
		name, isIndex := strings.CutSuffix(e.Name(), ".idx")
		if !isIndex {
			continue
		}
		few, err := repo.unpack(ctx, filepath.Join(from, name+".pack"), most)
		if err != nil {
			return err
		}
		for _, e := range entries {
			switch {
			case !strings.HasPrefix(e.Name(), name+"."):
			case few:
				if err := removeIfExists(filepath.Join(from, e.Name())); err != nil {
					return err
				}
			case e.Name() != name+".idx" && !strings.HasSuffix(e.Name(), ".keep"):
				files = append(files, e.Name())
			}
		}
		if !few {
			files = append(files, name+".idx")
		}
	}
	return repo.movePacks(from, files)
}

// unpack writes the objects of a pack one by one, with the rights of the user of agents, where they are fewer than
// most. It reports whether it did.
func (repo *repository) unpack(ctx context.Context, pack string, most uint32) (bool, error) {
	f, err := os.Open(pack)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [12]byte // the signature, the version, the number of objects
	if _, err := io.ReadFull(f, head[:]); err != nil || binary.BigEndian.Uint32(head[8:]) >= most {
		return false, err
	}
	// The call reads from the beginning.
	_, err = repo.run(ctx, call{gitDir: repo.view, args: []string{"unpack-objects", "-q"}, stdin: f})
	return err == nil, err
}

// movePacks moves files of packs into the mirror, in their order.
func (repo *repository) movePacks(from string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(repo.mirror, "objects", "pack"), 0o700); err != nil {
		return diskFull(err)
	}
	packs, err := openBelow(repo.mirror, "objects/pack")
	if err != nil {
		return err
	}
	defer packs.Close()
	for _, name := range names {
		path := filepath.Join(from, name)
		if err := repo.user.Own(path); err != nil {
			return err
		}
		if err := moveInto(packs, path, name); err != nil {
			return diskFull(err)
		}
	}
	return nil
}

// moveInto moves a file to a name below a root, whatever file system that is on.
func moveInto(root *os.Root, path, name string) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Renameat(unix.AT_FDCWD, path, int(dir.Fd()), name)
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	temp := name + "." + rand.Text()
	out, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return os.Remove(path)
}

// updateBranches gives the mirror the remote's branches as the exchange has them. It deletes branches first: a deleted
// one may stand in the way of another.
func (repo *repository) updateBranches(ctx context.Context, refs *remoteRefs) error {
	remote, err := repo.branches(ctx, call{gitDir: repo.exchangeDir(repo.id), asServer: true})
	if err != nil {
		return err
	}
	if refs.detached == "" {
		delete(remote, detachedRef)
	}
	local, err := repo.branches(ctx, call{gitDir: repo.view})
	if err != nil {
		return err
	}
	var deleted, moved strings.Builder
	for name := range local {
		if remote[name] == "" {
			fmt.Fprintf(&deleted, "option no-deref\ndelete %s\n", name)
		}
	}
	for name, sha := range remote {
		if local[name] != sha {
			fmt.Fprintf(&moved, "option no-deref\nupdate %s %s\n", name, sha)
		}
	}
	for _, edit := range []string{deleted.String(), moved.String()} {
		if edit == "" {
			continue
		}
		if err := repo.updateRefs(ctx, edit); err != nil {
			return err
		}
	}
	// A session whose HEAD names a missing object keeps the Git of every other session from fetching.
	_, err = repo.git(ctx, "rev-list", "--quiet", "--max-count=1", "--all")
	return err
}

// shallowCommits are the lines of a mirror's shallow file that name a commit, one whose parents are missing.
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
