package jobs

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"carillon/db"
)

func TestNoRunBeginsWhereTheDiskHasNoRoom(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=100m,mode=0755"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	k := prepare(t)
	k.runner.Data, k.runner.Store.Root = disk, disk
	k.runner.Limits.FreeDisk = 256 << 20 // of so small a disk it is a fiftieth
	filler := filepath.Join(disk, "filler")
	check(t, os.WriteFile(filler, make([]byte, 99<<20), 0o600))
	k.start()
	run := k.run("echo fine", nil)
	k.eventually("the worker to find the disk full", func() error {
		if !k.runner.diskFull.Load() {
			return errors.New("it has not looked")
		}
		return nil
	})
	if s := k.session(run.Session.ID); s.Status != db.SessionQueued {
		t.Errorf("the session is %s; want it to wait", s.Status)
	}
	check(t, os.Remove(filler))
	if e := k.ended(run); e.Status != db.Succeeded {
		t.Errorf("with room the run is %s: %s", e.Status, e.Reason)
	}
}
