package check

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/git"
)

func TestWhatIsLeftInAWorkersFolderIsFound(t *testing.T) {
	n := newNight(t)
	n.days()
	root, worker := t.TempDir(), uuid.NewString()
	must(t, os.WriteFile(filepath.Join(root, "worker"), []byte(worker+"\n"), 0o600))
	store := &git.Store{Root: root}
	var ids []struct {
		ID          string `bun:"id"`
		WorkspaceID string `bun:"workspace_id"`
	}
	must(t, n.DB.NewRaw("SELECT id::text AS id, workspace_id::text AS workspace_id FROM sessions ORDER BY id LIMIT 4").
		Scan(t.Context(), &ids))
	ws := ids[0].WorkspaceID
	must(t, store.Scratch(t.Context(), ws))
	add := func(session string) {
		t.Helper()
		_, err := store.Add(t.Context(), ws, session, "", "")
		must(t, err)
	}
	look := func(settled time.Time) string {
		t.Helper()
		f, err := WorkerOf(root)
		must(t, err)
		f.Settled = settled
		r, err := f.Look(context.WithoutCancel(t.Context()), n.DB)
		must(t, err)
		var list []string
		for _, b := range r.Breaches {
			list = append(list, strings.TrimPrefix(b.ID.String()+" "+b.What, uuid.Nil.String()+" "))
		}
		return strings.Join(list, "\n")
	}
	mine := ids[0].ID
	gone := ids[1].ID
	elsewhere := ids[2].ID
	moved := ids[3].ID
	n.exec("UPDATE sessions SET status = 'done', closed_at = now(), worker = ?, worktree_removed_at = NULL, "+
		"changes_at = now(), files_changed = 0, commits = 0, stashes = 0", worker)
	for _, id := range []string{mine, gone, elsewhere, moved} {
		add(id)
	}
	n.exec("UPDATE sessions SET worker = 'another' WHERE id IN (?, ?)", elsewhere, moved)
	n.exec("INSERT INTO session_moves (session_id, worker, name, fence, at) VALUES (?, ?, '', 1, now())", moved, worker)
	later := time.Now().Add(time.Minute)
	if got := look(time.Now().Add(-time.Minute)); got != "" {
		t.Errorf("found is %q of what another worker has since a moment; want nothing yet", got)
	}
	if got, want := look(later),
		elsewhere+" has a place for one in the repository and a worktree here, "+
			"and another worker has the session"; got != want {
		t.Errorf("found is %q; want %q", got, want)
	}
	n.exec("UPDATE sessions SET worker = ? WHERE id = ?", worker, elsewhere)
	n.exec("UPDATE sessions SET worktree_removed_at = now() WHERE id = ?", gone)
	if got, want := look(later),
		gone+" has a branch and a place for one in the repository and a worktree here, and its worktree is noted as "+
			"removed"; got != want {
		t.Errorf("found is %q; want %q", got, want)
	}
	must(t, store.Remove(t.Context(), ws, gone, true))
	if got, want := look(later), gone+" has a branch here, and its worktree is noted as removed"; got != want {
		t.Errorf("found is %q; want %q", got, want)
	}
	n.exec("UPDATE sessions SET commits = 1 WHERE id = ?", gone)
	if got := look(later); got != "" {
		t.Errorf("of a session with commits, whose branch stays, found is %q", got)
	}
	unknown := uuid.NewString()
	add(unknown)
	run := filepath.Join(root, "runs", mine+"-1")
	must(t, os.MkdirAll(run, 0o700))
	lock := filepath.Join(root, "repos", ws+".git", "packed-refs.lock")
	must(t, os.WriteFile(lock, nil, 0o600))
	want := unknown + " has a place for one in the repository and a worktree here, and nobody knows the session\n" +
		run + " is the folder of a run that is over\n" + lock + " is a lock of a Git that is gone"
	if got := look(later); got != want {
		t.Errorf("found is %q; want %q", got, want)
	}
	if got := look(time.Now().Add(-time.Minute)); got != "" {
		t.Errorf("what is young may be under way, and found is %q", got)
	}
	n.exec("UPDATE sessions SET status = 'in_progress', closed_at = NULL, lease_until = now() WHERE id = ?", mine)
	if got := look(later); strings.Contains(got, run) {
		t.Errorf("the folder of a run at work is found: %q", got)
	}
}
