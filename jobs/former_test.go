package jobs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/db"
)

// A worker that died leaves processes behind for a moment, and the folders of its runs.
func TestAWorkerBeginsWhenNoProcessOfItsFormerLifeIsLeft(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	dir := filepath.Join(k.runner.Data, "runs", uuid.NewString()+"-1")
	check(t, os.MkdirAll(dir, 0o700))
	held, err := os.Open(dir) // as the shim of a process holds it
	check(t, err)
	check(t, syscall.Flock(int(held.Fd()), syscall.LOCK_SH))
	run := k.run("true", nil)
	k.start()
	time.Sleep(3 * outlivePause)
	if s := k.session(run.Session.ID); s.Status != db.SessionQueued {
		t.Errorf("the session is %s while a process of the former life is left", s.Status)
	}
	check(t, held.Close())
	k.ended(run)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the former run is still there: %v", err)
	}
}
