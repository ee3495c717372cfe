package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRootRunsTheServerInAFolderThatIsClosedToOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root needs another way")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if r, err := runnerOf(t, Config{Dir: dir}); err != nil || r.namespace == nil {
		t.Skipf("the system allows no user namespace (%v)", err)
	}
	var log records
	s := start(t, Config{Dir: dir, Throwaway: true, Log: log.logger()})
	if uid := owner(t, s.cluster()); uid != 0 {
		t.Errorf("the cluster belongs to user %d; want root", uid)
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("log: %s; want no warning", log.String())
	}
}

func TestRootRunsTheServerAsAnotherUserWhereItMust(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root needs another way")
	}
	t.Parallel()
	dir, err := os.MkdirTemp("", "carillon-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := runnerOf(t, Config{Dir: dir, separate: true}); err != nil {
		t.Skipf("no other user can reach the programs (%v)", err)
	}
	// Three ways to the same user: a new cluster, one that is that user's already, and one that is root's.
	for _, way := range []struct {
		name     string
		separate bool
		give     bool
	}{{"new cluster", true, false}, {"cluster of that user", false, false}, {"cluster of root", true, true}} {
		if way.give {
			chownAll(t, cluster(dir), 0)
		}
		var log records
		s := start(t, Config{Dir: dir, Throwaway: true, Log: log.logger(), separate: way.separate})
		uid := owner(t, s.cluster())
		if uid == 0 || owner(t, filepath.Join(s.cluster(), "postmaster.pid")) != uid {
			t.Errorf("%s: it belongs to user %d; want one that is not root", way.name, uid)
		}
		if !strings.Contains(log.String(), "does not run as root") {
			t.Errorf("%s: log: %s; want a warning", way.name, log.String())
		}
		if got := query(t, s, "SELECT current_user::text"); got != Name {
			t.Errorf("%s: got %s; want %s", way.name, got, Name)
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFolderThatTheOtherUserCannotReachSaysWhatToDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root needs another way")
	}
	t.Parallel()
	closed := t.TempDir()
	if err := os.Chmod(filepath.Dir(closed), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := runnerOf(t, Config{Dir: closed, separate: true})
	if err == nil || !strings.Contains(err.Error(), "run as an ordinary user") ||
		!strings.Contains(err.Error(), closed) {
		t.Errorf("got %v; want advice", err)
	}
}

func TestClusterOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root runs the server as the owner of the cluster")
	}
	dir := t.TempDir()
	if err := os.Symlink("/", cluster(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := runnerOf(t, Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "belongs to user root") {
		t.Errorf("got %v; want the owner", err)
	}
}

func runnerOf(t *testing.T, config Config) (runner, error) {
	t.Helper()
	programs, err := Find(bin(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return chooseRunner(t.Context(), config, programs, cluster(config.Dir))
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func chownAll(t *testing.T, root string, uid int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	})
	if err != nil {
		t.Fatal(err)
	}
}
