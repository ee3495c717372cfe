package git

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestACommitThatIsTooLargeTakesNoMemoryOfTheServer(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the limit to a program's data is Linux's")
	}
	s, remote := setup(t)
	s.memoryLimit = 64 << 20
	w := begin(t, s, remote, "one")
	write(t, w.Dir, "new.txt", "new\n")
	_, err := s.Changes(t.Context(), w)
	must(t, err) // ordinary work needs far less
	head := git(t, w.Dir, "rev-parse", "HEAD")
	large := largeCommit(t, s.layout().mirrorDir("w"), git(t, w.Dir, "rev-parse", "HEAD^{tree}"), head, 80<<20)
	git(t, w.Dir, "update-ref", "HEAD", large)
	_, err = s.Changes(t.Context(), w)
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "more than 64 MiB of memory") {
		t.Errorf("looking at a commit of 80 MiB came to %v; want that it is too large", err)
	}
	git(t, w.Dir, "update-ref", "HEAD", head)
	_, err = s.Changes(t.Context(), w)
	must(t, err)
}

// What is asked of all objects of a repository needs memory by their number. A large repository is not taken for a
// damaged one.
func TestALookAtAllObjectsHasTheMemoryThatARepositoryNeeds(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the limit to a program's data is Linux's")
	}
	s, remote := setup(t)
	w := begin(t, s, remote, "one")
	write(t, w.Dir, "new.txt", "new\n")
	head, err := s.Commit(t.Context(), w, "New", "", "")
	must(t, err)
	s.memoryLimit = 64 << 10 // too little for any Git
	repo, err := s.open("w")
	must(t, err)
	if _, err := repo.resolve(t.Context(), "HEAD"); err == nil {
		t.Fatal("a Git does with 64 KiB, so this test tests nothing")
	}
	if found, err := repo.fsck(t.Context()); err != nil || found != "" {
		t.Errorf("a whole repository is said to have %q, %v", found, err)
	}
	if !repo.hasRemoteObjects(t.Context()) {
		t.Error("a whole repository is said to lack objects")
	}
	if !repo.hasObjects(t.Context(), head) {
		t.Error("a whole commit is said to lack objects")
	}
}

// largeCommit writes a commit with a message of so many bytes, and returns its name.
func largeCommit(t *testing.T, repository, tree, parent string, size int) string {
	t.Helper()
	head := fmt.Sprintf("tree %s\nparent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\n", tree, parent)
	whole := append(fmt.Appendf(nil, "commit %d\x00", len(head)+size), head...)
	whole = append(whole, bytes.Repeat([]byte("a"), size)...)
	sum := sha1.Sum(whole)
	name := hex.EncodeToString(sum[:])
	dir := filepath.Join(repository, "objects", name[:2])
	must(t, os.MkdirAll(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, name[2:]))
	must(t, err)
	z, err := zlib.NewWriterLevel(f, zlib.BestSpeed)
	must(t, err)
	_, err = io.Copy(z, bytes.NewReader(whole))
	must(t, errors.Join(err, z.Close(), f.Close()))
	return name
}
