package jobs

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"carillon/app/automation"
	"carillon/app/workspace"
	"carillon/db"
)

// hugeFiles and hugeBytes are settings for measuring by hand: 100000 files of 10000 bytes each make a repository of 1
// GB.
const hugeFiles, hugeBytes = "CARILLON_TEST_HUGE_FILES", "CARILLON_TEST_HUGE_BYTES"

// importFiles makes a bare repository of many files in one commit.
func importFiles(t *testing.T, bare string, files, size int) {
	t.Helper()
	command(t, "", "init", "-q", "--bare", "-b", "main", bare)
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir = bare
	in, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	w := bufio.NewWriterSize(in, 1<<20)
	noise := rand.NewChaCha8([32]byte{})
	body := make([]byte, size)
	_, err = w.WriteString("commit refs/heads/main\ncommitter A <a@example.com> 0 +0000\ndata 5\nFiles\n")
	check(t, err)
	for i := range files {
		_, _ = noise.Read(body)
		_, err := fmt.Fprintf(w, "M 100644 inline d%d/e%d/f%d.txt\ndata %d\n%s\n", i%100, i/100%100, i, size, body)
		check(t, err)
	}
	check(t, w.Flush())
	check(t, in.Close())
	check(t, cmd.Wait())
}

func TestARunInARepositoryOfManyFilesStartsAndItsChangeIsFound(t *testing.T) {
	t.Parallel()
	set := func(name string, byDefault int) int {
		text := os.Getenv(name)
		if text == "" {
			return byDefault
		}
		n, err := strconv.Atoi(text)
		check(t, err)
		return n
	}
	files, size := set(hugeFiles, 20_000), set(hugeBytes, 10)
	k := prepare(t)
	bare := filepath.Join(t.TempDir(), "repository.git")
	importFiles(t, bare, files, size)
	k.start()
	w, err := k.rules.Workspaces.Create(t.Context(), k.actor, workspace.Input{
		Name: "Huge", GitURL: bare, DefaultBranch: "main",
	})
	check(t, err)
	k.workspace = w.ID
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, which := range []string{"first", "second"} {
		begun := time.Now()
		run := k.run(`ls d7/e3 | wc -l; echo changed > d7/e3/f307.txt`, func(in *automation.Input) { in.Name = which })
		e := k.ended(run)
		if e.Status != db.Succeeded {
			t.Fatalf("the %s run %s: %s", which, e.Status, e.Reason)
		}
		s := k.session(run.Session.ID)
		if s.FilesChanged != 1 || len(s.Diff) == 0 {
			t.Errorf("the %s run changed %d files, in a diff of %d bytes; want its one change", which, s.FilesChanged,
				len(s.Diff))
		}
		var first time.Time
		check(t, k.db.NewRaw("SELECT min(at) FROM session_events WHERE session_id = ? AND kind = 'turn'",
			run.Session.ID).Scan(t.Context(), &first))
		t.Logf("the %s run: its script began after %s, and all was over after %s", which,
			first.Sub(begun).Round(10*time.Millisecond), time.Since(begun).Round(10*time.Millisecond))
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 128<<20 {
		t.Errorf("it took %d MiB of memory", grown>>20)
	}
	var children syscall.Rusage
	check(t, syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children))
	t.Logf("it took %d MiB of memory more, and the largest of its children %d MiB",
		(int64(after.Sys)-int64(before.Sys))>>20, children.Maxrss>>10)
}
