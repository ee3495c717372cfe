package jobs

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/git"
	"carillon/db"
)

// beside makes a second worker of a kit's database, with a place for one session, which has been given no agents.
func (k *kit) beside(name string) *kit {
	other, data := *k, k.t.TempDir()
	other.runner = &Runner{
		DB: k.db, Rules: k.rules, Store: &git.Store{Root: data}, Providers: func() []agent.Provider {
			return agent.Catalogue()[:1]
		},
		Worker: name, Max: 1, Data: data, Now: time.Now, Log: k.runner.Log,
	}
	return &other
}

// looked lets a kit's worker write what is there of its providers.
func (k *kit) looked() {
	k.t.Helper()
	w := &db.Worker{
		ID: k.runner.Worker, Name: k.runner.Worker, SeenAt: time.Now(), Slots: k.runner.Max,
		Providers: map[string]db.WorkerProvider{},
	}
	for _, p := range k.runner.Providers() {
		found := agent.Detect(k.t.Context(), p)
		w.Providers[p.ID] = db.WorkerProvider{Path: found.Path, Version: found.Version, Problem: found.Problem}
	}
	check(k.t, db.SaveWorker(k.t.Context(), k.db, w))
}

func TestASessionGoesToAWorkerThatHasItsAgentAsLongAsOneLives(t *testing.T) {
	t.Parallel()
	without := prepare(t)
	with := without.beside("with")
	f := with.withAgent()
	f.answers("hang")
	missing := agent.Provider{
		ID: "fake", Name: "Fake agent", Driver: agent.DriverClaude,
		Command: []string{filepath.Join(t.TempDir(), "fake")}, Install: "Install it.",
	}
	without.runner.Providers = func() []agent.Provider { return []agent.Provider{agent.Catalogue()[0], missing} }
	without.looked()
	with.looked()
	without.start() // alone: what it may not take stays
	first := with.run("first", func(in *automation.Input) { in.Provider = "fake" })
	if e := with.ended(with.run("echo one", func(in *automation.Input) { in.Name = "One" })); e.Status != db.Succeeded {
		t.Errorf("a script beside a session that must wait is %s: %s", e.Status, e.Reason)
	}
	if s := with.session(first.Session.ID); s.Status != db.SessionQueued {
		t.Errorf("with its agent on another worker a session is %s", s.Status)
	}
	with.start()
	with.eventually("the agent to work", func() error {
		_, err := os.Stat(filepath.Join(f.dir, "hanging"))
		return err
	})
	second := with.run("second", func(in *automation.Input) { in.Name, in.Provider = "Second", "fake" })
	if e := with.ended(with.run("echo two", func(in *automation.Input) { in.Name = "Two" })); e.Status != db.Succeeded {
		t.Errorf("a script while the other worker is full is %s: %s", e.Status, e.Reason)
	}
	if s := with.session(second.Session.ID); s.Status != db.SessionQueued {
		t.Errorf("with its agent's only worker full a session is %s", s.Status)
	}
	check(t, with.rules.Runs().Cancel(t.Context(), with.actor, first.Execution.ID))
	if e := with.ended(second); e.Status != db.Succeeded || with.session(second.Session.ID).Worker != "with" {
		t.Errorf("when there was a place the run is %s on %s: %s", e.Status, with.session(second.Session.ID).Worker,
			e.Reason)
	}
	with.stop()
	check(t, db.SaveWorker(t.Context(), with.db, &db.Worker{
		ID: "with", Name: "with", SeenAt: time.Now().Add(-db.WorkerSilence - time.Second),
		Providers: map[string]db.WorkerProvider{"fake": {}},
	}))
	third := with.ended(with.run("third", func(in *automation.Input) { in.Name, in.Provider = "Third", "fake" }))
	if third.Status != db.Failed || third.ErrorClass != agent.FailStart || !strings.Contains(third.Reason, "fake") {
		t.Errorf("where no live worker has the agent, the run is %s of class %s: %s", third.Status, third.ErrorClass,
			third.Reason)
	}
}

func TestAWorkerClaimsWhatItHasOrNobodyHas(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	k.withAgent()
	id := k.run("wait", func(in *automation.Input) { in.Provider = "fake" }).Session.ID
	now := time.Now()
	has, lacks := db.WorkerProvider{Path: "/bin/fake"}, db.WorkerProvider{Problem: "not found"}
	late := now.Add(-db.WorkerSilence - time.Second)
	worker := func(id string, seen time.Time, fake ...db.WorkerProvider) db.Worker {
		w := db.Worker{ID: id, Name: id, SeenAt: seen}
		if len(fake) > 0 {
			w.Providers = map[string]db.WorkerProvider{"fake": fake[0]}
		}
		return w
	}
	over := &db.ProviderPause{
		Provider: "fake", Since: now, Until: now.Add(-time.Second), FailedAt: now, Failures: 1,
		ErrorClass: agent.FailAuth, Reason: "no",
	}
	for _, tt := range []struct {
		name    string
		workers []db.Worker
		paused  bool // until now
		want    bool
	}{
		{"nobody has looked", nil, false, true},
		{"it has it", []db.Worker{worker("me", now, has), worker("other", now, has)}, false, true},
		{"it has it and was silent", []db.Worker{worker("me", late, has), worker("other", now, has)}, false, true},
		{"nobody has it", []db.Worker{worker("me", now, lacks), worker("other", now, lacks)}, false, true},
		{"the other has it", []db.Worker{worker("me", now, lacks), worker("other", now, has)}, false, false},
		{"the other has it and it has not looked", []db.Worker{worker("me", now), worker("other", now, has)}, false,
			false},
		{"the other has not looked", []db.Worker{worker("me", now, lacks), worker("other", now)}, false, true},
		{"the other has it and is silent", []db.Worker{worker("me", now, lacks), worker("other", late, has)}, false,
			true},
		{"it has it after a pause", []db.Worker{worker("me", now, has), worker("other", now, lacks)}, true, true},
		{"the other has it after a pause", []db.Worker{worker("me", now, lacks), worker("other", now, has)}, true,
			false},
	} {
		tx, err := k.db.BeginTx(t.Context(), nil)
		check(t, err)
		for i := range tt.workers {
			check(t, db.SaveWorker(t.Context(), tx, &tt.workers[i]))
		}
		if tt.paused {
			_, err := db.InsertPause(t.Context(), tx, over)
			check(t, err)
		}
		list, err := db.ClaimSessions(t.Context(), tx, "me", 1, now.Add(time.Second), now.Add(time.Minute))
		check(t, err)
		if got := slices.ContainsFunc(list, func(s db.Session) bool { return s.ID == id }); got != tt.want {
			t.Errorf("%s: claimed %v; want %v", tt.name, got, tt.want)
		}
		if tt.paused && !tt.want { // to leave it must not use up the one try
			if list, err = db.ClaimSessions(t.Context(), tx, "other", 1, now.Add(time.Second),
				now.Add(time.Minute)); err != nil || len(list) != 1 {
				t.Errorf("%s: the other then claimed %d, %v", tt.name, len(list), err)
			}
		}
		check(t, tx.Rollback())
	}
}

func TestATrialGoesToAWorkerThatHasTheAgent(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	now := time.Now()
	check(t, k.db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.RequestTrial(ctx, tx, "fake", k.actor.ID, now, now.Add(-time.Hour)); err != nil {
			return err
		}
		return db.SaveWorker(ctx, tx, &db.Worker{
			ID: "with", SeenAt: now, Providers: map[string]db.WorkerProvider{"fake": {}},
		})
	}))
	if trial, err := db.ClaimTrial(t.Context(), k.db, "without", now); err != nil || trial != nil {
		t.Errorf("a worker without the agent took %+v, %v", trial, err)
	}
	if trial, err := db.ClaimTrial(t.Context(), k.db, "with", now); err != nil || trial == nil {
		t.Errorf("the worker with the agent took %+v, %v", trial, err)
	}
}
