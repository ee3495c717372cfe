package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/app/automation"
	"carillon/app/workflow"
	"carillon/db"
)

// workflow makes a workflow and runs it with the Shell provider.
func (k *kit) workflow(in workflow.Input, change func(*automation.Input)) *automation.Run {
	k.t.Helper()
	in.Name = "Flow"
	wf, err := k.workflows.Create(k.t.Context(), k.actor, in)
	check(k.t, err)
	return k.run("", func(a *automation.Input) {
		a.ExecutionType, a.Workflow = "workflow", wf.ID.String()
		if change != nil {
			change(a)
		}
	})
}

func say(label, text string) workflow.StepInput {
	return workflow.StepInput{Kind: "message", Label: label, Text: text}
}

// said is what a session's transcript holds, as stored.
func (k *kit) said(run *automation.Run) string {
	k.t.Helper()
	events, err := db.EventsOf(k.t.Context(), k.db, run.Session.ID, 0, 1000)
	check(k.t, err)
	var b strings.Builder
	for _, e := range events {
		b.Write(e.Body)
		b.WriteByte('\n')
	}
	return b.String()
}

// labels sums up the turns of a session: "1 Build succeeded".
func (k *kit) labels(run *automation.Run) string {
	k.t.Helper()
	turns, err := db.TurnsOf(k.t.Context(), k.db, run.Session.ID)
	check(k.t, err)
	var list []string
	for _, t := range turns {
		list = append(list, t.Label+" "+string(t.Status))
	}
	return strings.Join(list, "; ")
}

func TestStepsOfAWorkflowRunInTheirOrderWithValuesAsVariables(t *testing.T) {
	k := setup(t)
	run := k.workflow(workflow.Input{
		Steps: []workflow.StepInput{
			{Kind: "asset", Path: "docs/plan.md", Text: "Plan for ${what} on $date\n"},
			{Kind: "instruction_file", Text: "Be brief about $what."},
			{Kind: "system_message", Text: "x"}, {Kind: "clear_context"},
			say("Read", `cat docs/plan.md; printf '%s|' "$what" "${dry-run}" "$session-id"; env | grep -c '^what=' || true`),
			say("Last", "echo the end"),
		},
		Parameters: []workflow.ParameterInput{{Alias: "what", Type: "text", Required: true},
			{Alias: "dry-run", Type: "boolean", Default: "true"}},
	}, func(in *automation.Input) { in.Parameters = map[string]string{"what": "$(touch pwned); `id` $date"} })
	e := k.ended(run)
	if e.Status != db.Succeeded || e.Answer != "the end\n" || e.Unresolved != nil {
		t.Fatalf("it ended %s %q with the answer %q, unresolved %v; want succeeded, the end, nil: %s", e.Status,
			e.Reason, e.Answer, e.Unresolved, k.said(run))
	}
	want := "1 Asset docs/plan.md succeeded; 2 Generate Instruction File succeeded; 3 Send System Message succeeded; " +
		"4 Clear Context succeeded; 5 Read succeeded; 6 Last succeeded"
	if got := k.labels(run); got != want {
		t.Errorf("the turns are %q; want %q", got, want)
	}
	turns, err := db.TurnsOf(t.Context(), k.db, run.Session.ID)
	check(t, err)
	day := turns[0].CreatedAt.UTC().Format("2006-01-02")
	read := "Plan for $(touch pwned); `id` $date on " + day + "\n$(touch pwned); `id` $date|true|" +
		run.Session.ID.String() + "|0\n"
	if turns[4].Answer != read {
		t.Errorf("the script said %q; want %q", turns[4].Answer, read)
	}
	s, err := db.SessionByID(t.Context(), k.db, run.Session.ID)
	check(t, err)
	if !strings.Contains(s.Diff, "AGENTS.md") || !strings.Contains(s.Diff, "docs/plan.md") ||
		strings.Contains(s.Diff, "pwned\n+++") {
		t.Errorf("the diff is %s; want the two files", s.Diff)
	}
}

func TestAFailedStepFailsTheRunAndSaysWhich(t *testing.T) {
	k := setup(t)
	run := k.workflow(workflow.Input{Steps: []workflow.StepInput{say("Build", "true"),
		say("Check", "exit 3"), say("Never", "echo never")}}, nil)
	e := k.ended(run)
	if e.Status != db.Failed || e.Reason != "step 2 Check failed: exit 3" {
		t.Errorf("it ended %s %q; want failed by step 2", e.Status, e.Reason)
	}
	if got, want := k.labels(run), "1 Build succeeded; 2 Check failed"; got != want {
		t.Errorf("the turns are %q; want %q", got, want)
	}
}

func TestALoopBlockRepeatsUntilItsMarkerOrItsMaximum(t *testing.T) {
	k := setup(t)
	for _, tt := range []struct{ name, marker, want string }{
		{"marker", "CLEAN",
			"1.1 Try, round 1 succeeded; 1.2 Look, round 1 succeeded; 1.1 Try, round 2 succeeded; 1.2 Look, round 2 " +
				"succeeded; 2 After succeeded"},
		{"maximum", "NEVER", strings.Repeat("1.1 Try, round N succeeded; 1.2 Look, round N succeeded; ", 3) +
			"2 After succeeded"},
	} {
		look, try := say("Look", `[ "$(cat n)" = xx ] && echo CLEAN || echo dirty`), say("Try", "printf x >> n")
		look.Inside, try.Inside = true, true
		run := k.workflow(workflow.Input{Steps: []workflow.StepInput{{
			Kind: "loop", Marker: tt.marker, Max: "3",
		}, try, look, say("After", "true")}}, nil)
		if e := k.ended(run); e.Status != db.Succeeded {
			t.Errorf("%s: it ended %s %q; want succeeded", tt.name, e.Status, e.Reason)
		}
		got := k.labels(run)
		if tt.name == "maximum" {
			for _, n := range []string{"1", "2", "3"} {
				got = strings.ReplaceAll(got, "round "+n, "round N")
			}
		}
		if got != tt.want {
			t.Errorf("%s: the turns are %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestCompleteSessionDecidesAboutTheSessionAndEndsTheRun(t *testing.T) {
	k := setup(t)
	for _, tt := range []struct {
		name, script string
		want         db.SessionStatus
		labels       string
	}{
		{"unchanged", "true", db.SessionDone, "1 Message succeeded; 2 Complete Session succeeded"},
		{"changed", "echo x > x", db.SessionWaiting,
			"1 Message succeeded; 2 Complete Session succeeded; 3 Message succeeded"},
	} {
		run := k.workflow(workflow.Input{Steps: []workflow.StepInput{say("", tt.script),
			{Kind: "complete_session", OnlyUnchanged: true}, say("", "true")}},
			func(in *automation.Input) { in.AutoComplete, in.OnlyUnchanged = tt.name == "changed", false })
		k.ended(run)
		s, err := db.SessionByID(t.Context(), k.db, run.Session.ID)
		check(t, err)
		if s.Status != tt.want || k.labels(run) != tt.labels {
			t.Errorf("%s: the session is %s after %s; want %s after %s", tt.name, s.Status, k.labels(run), tt.want,
				tt.labels)
		}
	}
}

func TestAnAssetIsNotWrittenThroughALinkOutOfTheWorktree(t *testing.T) {
	k := setup(t)
	outside := t.TempDir()
	run := k.workflow(workflow.Input{Steps: []workflow.StepInput{say("Link", "ln -s "+outside+" out"),
		{Kind: "asset", Path: "out/x", Text: "x"}}}, nil)
	e := k.ended(run)
	if e.Status != db.Failed || !strings.HasPrefix(e.Reason, "step 2 Asset out/x failed: ") {
		t.Errorf("it ended %s %q; want failed by step 2", e.Status, e.Reason)
	}
	if _, err := os.Stat(filepath.Join(outside, "x")); err == nil {
		t.Error("the file was written outside of the worktree")
	}
}

func TestAnInstructionFileThatIsAPipeOrWithoutEndFailsItsStep(t *testing.T) {
	k := setup(t)
	for script, want := range map[string]string{
		"mkfifo CLAUDE.md":                  "CLAUDE.md is not a file",
		"truncate -s 1T CLAUDE.md":          "it has more than 1 MiB",
		"ln -s /dev/zero CLAUDE.md":         "leads out of the worktree",
		"mkfifo pipe; ln -s pipe CLAUDE.md": "pipe is not a file",
	} {
		run := k.workflow(workflow.Input{Steps: []workflow.StepInput{say("Leave", script),
			{Kind: "instruction_file", Path: "CLAUDE.md", Text: "x"}}}, nil)
		e := k.ended(run)
		if e.Status != db.Failed || !strings.HasPrefix(e.Reason, "step 2 ") || !strings.Contains(e.Reason, want) {
			t.Errorf("after %s it ended %s %q; want failed by step 2: %s", script, e.Status, e.Reason, want)
		}
	}
}

func TestSecretParametersAreSealedAtRestAndMasked(t *testing.T) {
	k := setup(t)
	const secret = "hunter2-hunter2"
	run := k.workflow(workflow.Input{
		Steps:      []workflow.StepInput{say("Use", `echo "it is $api_key"; printf %s "$api_key" | wc -c`)},
		Parameters: []workflow.ParameterInput{{Alias: "api-key", Type: "secret", Required: true}},
	}, func(in *automation.Input) { in.Parameters = map[string]string{"api-key": secret} })
	e := k.ended(run)
	if e.Status != db.Succeeded || !strings.Contains(e.Answer, "it is ••••••\n15") {
		t.Errorf("it ended %s %q with %q; want the secret given and masked", e.Status, e.Reason, e.Answer)
	}
	var kept string
	check(t, k.db.NewRaw(`SELECT (SELECT string_agg(a::text, '') FROM automations a) || (SELECT string_agg(e::text, '') FROM executions e) ||
		(SELECT string_agg(t::text, '') FROM turns t) || (SELECT string_agg(s::text, '') FROM session_events s) || (SELECT string_agg(u::text, '') FROM audit_events u)`).Scan(t.Context(), &kept))
	if strings.Contains(kept, secret) {
		t.Error("the secret is in the database in clear")
	}
}

func TestAWorkflowGoesOnWhereARestartLeftIt(t *testing.T) {
	k := setup(t)
	run := k.workflow(workflow.Input{Steps: []workflow.StepInput{say("One", "echo one >> log"),
		say("Two", "echo two >> log"), say("Three", "cat log")}}, nil)
	k.ended(run)
	// As if the worker had died within the second step.
	turns, err := db.TurnsOf(t.Context(), k.db, run.Session.ID)
	check(t, err)
	_, err = k.db.NewRaw("DELETE FROM turns WHERE id = ?", turns[2].ID).Exec(t.Context())
	check(t, err)
	_, err = k.db.NewRaw("UPDATE turns SET status = 'running', answer = '' WHERE id = ?", turns[1].ID).Exec(t.Context())
	check(t, err)
	_, err = k.db.NewRaw("UPDATE executions SET status = 'running', finished_at = NULL WHERE id = ?", run.Execution.ID).
		Exec(t.Context())
	check(t, err)
	check(t, db.Requeue(t.Context(), k.db, run.Session.ID, time.Now()))
	k.runner.Wake()
	e := k.ended(run)
	if e.Status != db.Succeeded || e.Answer != "one\ntwo\ntwo\n" {
		t.Errorf("it ended %s %q with %q; want it to go on with the second step", e.Status, e.Reason, e.Answer)
	}
	if got, want := k.labels(run), "1 One succeeded; 2 Two succeeded; 3 Three succeeded"; got != want {
		t.Errorf("the turns are %q; want %q", got, want)
	}
}
