package automation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/budget"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/shell"
	"carillon/app/toggle"
	"carillon/db"
)

// maxCommand is the most bytes that a gate's or a success check's command may have.
const maxCommand = 16 << 10

// applyQuality takes over gate, success check and budget.
func applyQuality(ctx context.Context, actor account.Actor, a *db.Automation, in Input, p provider.Provider,
	bad fault.Invalid) {
	before := *a
	a.Gate = db.Gate{
		Command:     command(ctx, actor, bad, "gate_command", in.Gate.Command, before.Gate.Command),
		BranchMoved: in.Gate.BranchMoved, NoOpenPR: in.Gate.NoOpenPR,
	}
	a.Success = db.SuccessCheck{
		Command:  command(ctx, actor, bad, "success_command", in.Success.Command, before.Success.Command),
		Contains: form.Line(bad, "success_contains", "", in.Success.Contains, 1000, false),
	}
	if a.SessionType == db.Develop {
		a.Success.FilesChanged, a.Success.PullRequest = in.Success.FilesChanged, in.Success.PullRequest
	}
	if a.Success.PullRequest && a.CreatePR {
		bad["success_pull_request"] = "With Create pull request, Carillon opens it after a run that has succeeded, " +
			"so the run cannot be asked for it. Ask for changed files instead."
	}
	a.Budget = budget.Read(in.Budget, p, bad)
}

// applyToggles takes over the session toggles, in the order of the editor. Only a Develop session has any.
func applyToggles(a *db.Automation, in Input, p provider.Provider, bad fault.Invalid) {
	a.Toggles = []string{}
	if a.SessionType != db.Develop {
		return
	}
	for _, t := range toggle.All {
		if slices.Contains(in.Toggles, t.Key) {
			a.Toggles = append(a.Toggles, t.Key)
		}
	}
	if p.Script && len(a.Toggles) > 0 {
		bad["toggles"] = p.Name +
			" runs a script, and a script takes no instructions. Switch the session modes off, or choose an agent."
	}
}

// command checks a script that runs on a worker: whoever sets or changes one needs the permission for it.
func command(ctx context.Context, actor account.Actor, bad fault.Invalid, field, typed, before string) string {
	typed = strings.TrimSpace(strings.ReplaceAll(typed, "\r\n", "\n"))
	switch {
	case typed == "" || typed == before:
	case !actor.Can(account.UseShell):
		account.RecordRefusal(ctx, actor, "may not run commands on a worker")
		bad[field] = "You may not run commands on a worker. Leave this as it was, or ask for the permission to use " +
			"the Shell provider."
	case len(typed) > maxCommand:
		bad[field] = fmt.Sprintf("This is %d KiB long. At most %d KiB fit.", (len(typed)+1023)>>10, maxCommand>>10)
	case !utf8.ValidString(typed) || strings.ContainsRune(typed, 0):
		bad[field] = "This has bytes that are not text."
	default:
		if problems := shell.Check(typed); len(problems) > 0 {
			bad[field] = fmt.Sprintf("Line %d: %s.", problems[0].Line, strings.TrimSuffix(problems[0].Text, "."))
		}
	}
	return typed
}

// commandObstacle says why a gate's or success check's command may not run, if its owner has lost the permission for
// it.
func commandObstacle(a *db.Startable) string {
	if (a.Gate.Command == "" && a.Success.Command == "") || account.Grants(a.CreatorPermissions, account.UseShell) {
		return ""
	}
	return fmt.Sprintf("its check runs a command, and %s, who owns the automation, may not run any", a.CreatorName)
}

// nothingMark is the line with which an agent says that there was nothing to do.
const nothingMark = "NOTHING TO DO"

// RunInstructions is what an agent is told about how its run ends.
const RunInstructions = "You work unattended: nobody answers questions. If you find that there is nothing to do, " +
	"change no files and end your answer with a line that says exactly " + nothingMark + "."

// NothingToDo reports whether a run found nothing to do by its final answer: that ends with a line that says so, and no
// files changed.
func NothingToDo(answer string, filesChanged bool) bool {
	return !filesChanged && toggle.LastLine(answer) == nothingMark
}

// FoundNothing reports whether a run found nothing to do: see NothingToDo, or the last that its agent reported by
// itself, and no files changed.
func (s Runs) FoundNothing(ctx context.Context, e *db.Execution, answer string, filesChanged bool) (bool, error) {
	if filesChanged || NothingToDo(answer, filesChanged) {
		return !filesChanged, nil
	}
	list, err := db.ReportsOf(ctx, s.DB, e.SessionID, 1)
	return len(list) > 0 && list[0].Outcome == db.ReportNothingToDo, err
}

// Unmet says what a run lacks of its success check, as far as rows and its answer can tell; the command is the
// worker's.
func (s Runs) Unmet(ctx context.Context, c db.SuccessCheck, session uuid.UUID, answer string,
	filesChanged bool) (string, error) {
	switch {
	case c.Contains != "" && !strings.Contains(answer, c.Contains):
		return fmt.Sprintf("its success check was not met: the final answer does not contain “%s”", c.Contains), nil
	case c.FilesChanged && !filesChanged:
		return "its success check was not met: no files changed", nil
	case c.PullRequest:
		ok, err := db.HasPullRequest(ctx, s.DB, session)
		if err == nil && !ok {
			return "its success check was not met: no pull request was opened", nil
		}
		return "", err
	}
	return "", nil
}

// NotifyOfReview tells the people of a run's automation when its review has a blocking finding. It returns
// db.ErrLeaseLost, and tells nobody, when another process holds the session.
func (s Runs) NotifyOfReview(ctx context.Context, lease db.Lease, execution uuid.UUID, answer string) error {
	if !toggle.Blocking(answer) {
		return nil
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CheckLease(ctx, tx, lease); err != nil {
			return err
		}
		e, err := db.ExecutionByID(ctx, tx, execution)
		if err != nil {
			return err
		}
		findings := strings.TrimSpace(answer)
		findings = strings.TrimSpace(findings[:strings.LastIndexByte(findings, '\n')+1])
		if utf8.RuneCountInString(findings) > 2000 {
			findings = string([]rune(findings)[:2000]) + "…"
		}
		return s.notifyCreator(ctx, tx, e.Automation, inbox.Notice{
			Kind: inbox.Review, Title: "The review of " + e.Automation.Name + " found something blocking",
			Body:      form.Or(findings, "Read the review in the session."),
			Execution: e.ID, Session: e.SessionID, Key: "review " + e.ID.String(),
		})
	})
	return fault.Wrap(err, "note review of execution %s", execution)
}
