package jobs

import (
	"encoding/json"
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
	time.Sleep(3 * formerProcessPoll)
	if s := k.session(run.Session.ID); s.Status != db.SessionQueued {
		t.Errorf("the session is %s while a process of the former life is left", s.Status)
	}
	check(t, held.Close())
	k.ended(run)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the former run is still there: %v", err)
	}
}

// A program may have renewed its sign-in just before its worker died. The old one may be worth nothing any more.
func TestASignInThatAFormerRunRenewedIsTakenOver(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	shared := filepath.Join(t.TempDir(), "auth.json")
	check(t, os.WriteFile(shared, []byte(`{"refresh":"old","expires":1000}`), 0o600))
	dir := filepath.Join(k.runner.Data, "runs", uuid.NewString()+"-1")
	home := filepath.Join(dir, "home-1")
	check(t, os.MkdirAll(home, 0o700))
	const renewed = `{"refresh":"new","expires":2000}`
	check(t, os.WriteFile(filepath.Join(home, "auth.json"), []byte(renewed), 0o600))
	note, err := json.Marshal(map[string]string{"Name": "Tool", "Shared": shared, "Folder": home, "Seen": "auth.json"})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "sign-in.json"), note, 0o600))
	k.start()
	k.ended(k.run("true", nil))
	if text, err := os.ReadFile(shared); err != nil || string(text) != renewed {
		t.Errorf("the sign-in is %s (%v); want %s", text, err, renewed)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the former run is still there: %v", err)
	}
}
