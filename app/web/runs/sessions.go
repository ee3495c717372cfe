package runs

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/git"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/views"
)

// sessionPages are the pages of sessions, and the parts of them that are loaded again.
type sessionPages struct{ *Pages }

func (s sessionPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ctx, now, z := r.Context(), s.Now(), page.Zone(actor)
	status := r.FormValue("status")
	f := db.SessionFilter{
		Type: db.SessionType(r.FormValue("type")), Workspace: form.OptionalID(s.WorkspaceFilter(r)),
		Mine: r.FormValue("scope") == "own", Automation: form.OptionalID(r.FormValue("automation")),
		Search: r.FormValue("q"), Before: form.OptionalID(r.FormValue("before")), Limit: page.Rows + 1,
	}
	if status != "" {
		f.Statuses = []db.SessionStatus{db.SessionStatus(status)}
	}
	list, err := s.Rules.Sessions().List(ctx, actor, f)
	if err != nil {
		return err
	}
	p := views.SessionsPage{
		Now: now, Search: f.Search, Filtered: r.URL.RawQuery != "" || f.Workspace != uuid.Nil,
		Status: views.Field{Name: "status", Label: "Status", Value: status, Options: []views.Choice{{Label: "Status"}}},
		Type: views.Field{Name: "type", Label: "Type", Value: string(f.Type), Options: []views.Choice{
			{Label: "Type"}, {Value: "develop", Label: "Develop"}, {Value: "chat", Label: "Chat"},
			{Value: "bot", Label: "Bot"}}},
	}
	for _, st := range []db.SessionStatus{db.SessionQueued, db.SessionInProgress, db.SessionWaiting, db.SessionDone,
		db.SessionCanceled} {
		p.Status.Options = append(p.Status.Options, views.Choice{
			Value: string(st), Label: views.StatusWord(string(st)),
		})
	}
	if actor.Can(account.ViewAll) {
		p.Scope = views.Field{
			Name: "scope", Label: "Whose", Value: cmp.Or(r.FormValue("scope"), "all"),
			Options: []views.Choice{{Value: "own", Label: "Mine"}, {Value: "all", Label: "Everyone’s"}},
		}
	}
	if p.Workspace, err = s.WorkspaceField(r, actor, f.Workspace); err != nil {
		return err
	}
	if len(list) > page.Rows {
		list = list[:page.Rows]
		p.Pager.Older = page.More(r, "before", list[page.Rows-1].ID.String())
	}
	names, err := db.AutomationNames(ctx, s.DB, actor.Access(), 200)
	if err != nil {
		return err
	}
	p.Auto = automationField(r, names)
	if p.Rows, err = s.items(ctx, list, z, now); err != nil {
		return err
	}
	return s.With(w, r, actor, "sessions", "Sessions", func(page views.Page) error {
		return s.Show(w, r, views.Sessions(page, p))
	})
}

// items are sessions as a list shows them, with what came of their runs and with their pull requests.
func (s sessionPages) items(ctx context.Context, list []db.Session, z *time.Location,
	now time.Time) ([]views.SessionItem, error) {
	pulls, err := s.PullRequests(ctx, list)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	runs, err := db.RunsOf(ctx, s.DB, ids)
	if err != nil {
		return nil, err
	}
	waits, err := s.Waits(ctx, list, z, now)
	if err != nil {
		return nil, err
	}
	rows := make([]views.SessionItem, len(list))
	for i := range list {
		rows[i] = present.Session(&list[i], z, now)
		rows[i].Waits = waits[list[i].ID]
		rows[i].PullRequest = pulls[list[i].ID]
		if e, ok := runs[list[i].ID]; ok && !e.Status.InFlight() {
			rows[i].Run = present.Result(&e)
		}
	}
	return rows, nil
}

// Waits says of the queued sessions whose provider is in trouble that they wait for it, of those that wait for a place
// where that is, and of those that have yet to pass their gate that they do.
func (s *Pages) Waits(ctx context.Context, list []db.Session, z *time.Location,
	now time.Time) (map[uuid.UUID]string, error) {
	if !slices.ContainsFunc(list, func(session db.Session) bool {
		return session.AtGate || session.Status == db.SessionQueued
	}) {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	pauses, err := db.PausesOf(ctx, s.DB, ids)
	if err != nil {
		return nil, err
	}
	full, err := s.full(ctx)
	if err != nil {
		return nil, err
	}
	away, err := automation.AwayWorkers(ctx, s.DB, list, now)
	if err != nil {
		return nil, err
	}
	waits := map[uuid.UUID]string{}
	for _, session := range list {
		if session.AtGate {
			waits[session.ID] = "waits for its gate"
			continue
		}
		if w, ok := away[session.ID]; ok {
			waits[session.ID] = "waits for worker " + w.Name + ", last seen " + w.SeenAt.In(z).
				Format("2 January, 15:04")
			continue
		}
		if session.Status == db.SessionQueued && !session.QueuedAt.After(now) {
			if workers := full(session.Provider); workers != "" {
				waits[session.ID] = "waits for a place on " + workers
			}
		}
		if p, ok := pauses[session.ID]; ok {
			waits[session.ID] = "waits for " + s.ProviderName(p.Provider)
			if p.Until.After(now) {
				waits[session.ID] += " until " + p.Until.In(z).Format("2 January, 15:04")
			}
		}
	}
	return waits, nil
}

// pageEvents is how many of a session's newest events its page shows at first.
const pageEvents = 2000

func (s sessionPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, session, http.StatusOK, nil)
}

// showOne shows one session. change puts onto the page what came of a form.
func (s sessionPages) showOne(w http.ResponseWriter, r *http.Request, actor account.Actor, session *db.Session,
	status int, change func(p *views.SessionPage)) error {
	p, err := s.data(r, actor, session)
	if err != nil {
		return err
	}
	if err := s.addTranscript(r, actor, session, p); err != nil {
		return err
	}
	if change != nil {
		change(p)
	}
	return s.With(w, r, actor, "sessions", session.Title, func(page views.Page) error {
		s.Render(w, r, status, views.Session(page, *p))
		return nil
	})
}

// addTranscript puts the newest events of a session on its page, or all of them if that is asked for.
func (s sessionPages) addTranscript(r *http.Request, actor account.Actor, session *db.Session,
	p *views.SessionPage) error {
	whole := r.FormValue("whole") != ""
	limit := pageEvents
	if whole {
		limit = 100_000
	}
	events, err := db.LatestEvents(r.Context(), s.DB, session.ID, limit)
	if err != nil {
		return err
	}
	t, err := s.transcript(r, actor, session)
	if err != nil {
		return err
	}
	for i := range events {
		t.add(&events[i])
	}
	if session.Status != db.SessionInProgress {
		t.rest()
	}
	p.Transcript = views.TranscriptData{
		Session: session.ID.String(), After: strconv.FormatInt(t.seq, 10), Entries: t.entries, Live: true,
		State: stateOf(session),
	}
	if !whole {
		p.Transcript.Whole = views.SessionURL(session.ID.String()) + "?whole=yes"
		p.Transcript.Cut = len(events) == pageEvents && events[0].Seq > 1
	}
	return nil
}

// seen finds the session of a path that the person may see.
func (s sessionPages) seen(r *http.Request, actor account.Actor) (*db.Session, error) {
	sessionID, err := page.ID(r)
	if err != nil {
		return nil, err
	}
	return s.Rules.Sessions().Find(r.Context(), actor, sessionID)
}

// transcript prepares the reading of a session's events.
func (s sessionPages) transcript(r *http.Request, actor account.Actor, session *db.Session) (*transcriptView, error) {
	t := newTranscriptView(page.Zone(actor), s.Now())
	t.scripts = s.IsScript(session.Provider)
	e, err := db.ExecutionBySession(r.Context(), s.DB, session.ID)
	if err != nil && !db.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		t.execution = e
	}
	turns, err := db.TurnsOf(r.Context(), s.DB, session.ID)
	if err != nil {
		return nil, err
	}
	t.know(turns)
	return t, nil
}

// data is a session's page without its transcript.
func (s sessionPages) data(r *http.Request, actor account.Actor, session *db.Session) (*views.SessionPage, error) {
	z := page.Zone(actor)
	manage := automation.CanManageSession(actor, session)
	p := &views.SessionPage{
		Session: present.Session(session, z, s.Now()), Changes: changesOf(session),
		Reply: views.Field{Name: "message", Label: "Message", Rows: 3, Placeholder: "Write to the agent"},
	}
	working := session.Status == db.SessionQueued || session.Status == db.SessionInProgress
	p.CanStop = manage && working && session.CancelRequestedAt.IsZero()
	p.CanComplete = manage && session.Status == db.SessionWaiting
	p.CanReopen = manage && session.Status.Closed()
	if err := s.addConversation(r, actor, p, session, manage); err != nil {
		return nil, err
	}
	switch {
	case !manage:
	case session.Type == db.Develop && s.IsScript(session.Provider):
		// A Develop run of a script is over when the script is: there is nobody to write to.
	case session.Status.Closed():
		p.CannotReply = "The session is closed. Reopen it to write to the agent."
	default:
		p.CanReply = true
		if s.IsScript(session.Provider) {
			p.Reply.Label, p.Reply.Placeholder, p.Reply.Mono = "Script", "A script to run in the same worktree", true
		}
	}
	p.Facts = []views.Fact{
		{Label: "Workspace", Value: session.Workspace.Name, URL: views.WorkspaceURL(session.WorkspaceID.String())},
		{Label: "Agent", Value: s.ProviderName(session.Provider)}, {Label: "Owner", Value: session.Owner.Name},
	}
	acts, err := s.Rules.Agents().ActsFor(r.Context(), actor, session.ID)
	if err != nil {
		return nil, err
	}
	p.Facts = append(p.Facts, rightsFacts(acts)...)
	if session.Model != "" {
		p.Facts = append(p.Facts, views.Fact{Label: "Model", Value: session.Model})
	}
	if session.Branch != "" {
		p.Facts = append(p.Facts, views.Fact{Label: "Branch", Value: session.Branch, Mono: true})
	}
	if session.BaseCommit != "" {
		p.Facts = append(p.Facts, views.Fact{
			Label: "Base", Value: cmp.Or(session.BaseBranch, session.Workspace.DefaultBranch) + " at " +
				shortSHA(session.BaseCommit), Mono: true,
		})
	}
	e, err := db.ExecutionBySession(r.Context(), s.DB, session.ID)
	if err != nil && !db.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		p.Execution = views.Link{Text: "Execution", URL: views.ExecutionURL(e.ID.String())}
		if e.Snapshot.ExecutionType == db.WorkflowDriven {
			turns, err := db.TurnsOf(r.Context(), s.DB, session.ID)
			if err != nil {
				return nil, err
			}
			p.Steps = progress(e, turns)
			p.Facts = append(p.Facts, views.Fact{Label: "Workflow", Value: e.Snapshot.WorkflowName})
		}
		if e.Snapshot.BotName != "" {
			bot := views.Fact{Label: "Bot", Value: e.Snapshot.BotName}
			if session.BotID != uuid.Nil { // else it was removed
				bot.URL = views.BotURL(session.BotID.String())
			}
			p.Facts = append(p.Facts, bot)
		}
		started := views.StatusWord(present.Result(e))
		p.Facts = append(p.Facts, views.Fact{Label: "Run", Value: started})
		didNotBegin(&p.Changes, e)
		if e.ExitCode != nil && s.IsScript(session.Provider) {
			p.Facts = append(p.Facts, views.Fact{Label: "Exit", Value: strconv.Itoa(*e.ExitCode)})
		}
		p.Facts = append(p.Facts, views.Fact{
			Label: "Started by", Show: views.Source(string(e.Source), present.SourceDetail(e)),
		})
	}
	if !s.IsScript(session.Provider) { // which uses none
		used, err := db.SessionUsage(r.Context(), s.DB, session.ID)
		if err != nil {
			return nil, err
		}
		p.Facts = append(p.Facts, present.UsageFacts(used)...)
	}
	if p.Work, err = s.work(r.Context(), actor, session); err != nil {
		return nil, err
	}
	return p, s.addPullRequests(r.Context(), p, session, manage)
}

// sessionMay are the permissions of a session in words.
var sessionMay = map[account.Permission]string{
	account.ViewOwn: "see own automations", account.ViewAll: "see everyone’s automations",
	account.Manage: "manage own automations", account.ManageAll: "manage everyone’s automations",
	account.ManageTickets: "create and edit tickets", account.UseShell: "use the Shell provider",
}

// rightsFacts say on whose words a session acts, and what its agent may do by Carillon's tools.
func rightsFacts(session account.Actor) []views.Fact {
	var list []string
	for _, p := range session.May() {
		list = append(list, sessionMay[p])
	}
	may := strings.Join(list, ", ")
	return []views.Fact{
		{Label: "Acts for", Value: strings.Join(session.Names(), ", ")},
		{Label: "May", Value: cmp.Or(may, "read its own automation and report")},
	}
}

// shortSHA is a commit's id as people write it.
func shortSHA(sha string) string { return sha[:min(len(sha), 10)] }

// didNotBegin tells of a run that did not pass its gate, in place of the files that it changed.
func didNotBegin(c *views.ChangesData, e *db.Execution) {
	if e.Status == db.Skipped && c.Gone != "" {
		c.Gone = "The run did not begin, so nothing was changed."
	}
}

// Bounds of a diff on screen; the rest is counted.
const (
	shownFiles = 100
	shownLines = 1500 // of one file
)

// changesOf is what a session changed, as of its last turn.
func changesOf(session *db.Session) views.ChangesData {
	c := views.ChangesData{
		Session: session.ID.String(), Added: session.LinesAdded, Removed: session.LinesRemoved,
		NotSaved: session.NotSaved, Beside: beside(session),
	}
	switch {
	case session.ChangesKnown():
	case !session.EndedAt.IsZero() && session.Status != db.SessionInProgress:
		c.Gone = "It is not known which files were changed: the run ended before they could be listed."
	default:
		c.Gone = "Changed files are listed when the agent has finished."
	}
	files, _ := git.ParseDiff(session.Diff) // what comes before a place that cannot be read is still shown
	for i, f := range files {
		if i >= shownFiles {
			break
		}
		d := views.Diff{Path: form.Plain(f.Path), From: form.Plain(f.Old), Kind: string(f.Status),
			Added: f.Additions, Removed: f.Deletions, Binary: f.Binary, Open: i < 3}
	hunks:
		for _, h := range f.Hunks {
			if len(d.Lines) > 0 || h.Heading != "" {
				d.Lines = append(d.Lines, views.DiffLine{Sign: "@", Text: form.Plain(h.Heading)})
			}
			for _, l := range h.Lines {
				if len(d.Lines) >= shownLines {
					d.Cut = true
					break hunks
				}
				d.Lines = append(d.Lines, views.DiffLine{Old: l.Old, New: l.New, Sign: sign(l.Kind),
					Text: form.Plain(strings.TrimSuffix(l.Text, "\r"))})
			}
		}
		c.Files = append(c.Files, d)
	}
	c.More = max(0, session.FilesChanged-len(c.Files))
	if session.DiffCut && len(c.Files) > 0 {
		c.Files[len(c.Files)-1].Cut = true
	}
	return c
}

// beside are the sentences about what a session has beside changed files.
func beside(session *db.Session) []string {
	var list []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			list = append(list, "1 "+one)
		case n > 1:
			list = append(list, strconv.Itoa(n)+" "+many)
		}
	}
	add(session.Commits, "commit is ahead of the base.", "commits are ahead of the base.")
	add(session.Stashes, "entry is on the stash.", "entries are on the stash.")
	if session.MadeBranches != "" {
		list = append(list, "The agent made these branches: "+strings.ReplaceAll(session.MadeBranches, "\n", ", ")+".")
	}
	if session.WorktreeRemovedAt.IsZero() {
		add(session.IgnoredFiles, "ignored file will be removed with the worktree, 7 days after the session is closed.",
			"ignored files will be removed with the worktree, 7 days after the session is closed.")
	}
	return list
}

func sign(k git.LineKind) string {
	switch k {
	case git.AddedLine:
		return "+"
	case git.DeletedLine:
		return "-"
	}
	return " "
}

func (s sessionPages) row(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	rows, err := s.items(r.Context(), []db.Session{*session}, page.Zone(actor), s.Now())
	if err != nil {
		return err
	}
	return s.Show(w, r, views.SessionRow(rows[0]))
}

// part answers with a part of a session's page, which fetches itself again when the session has changed.
func (s sessionPages) part(part func(views.SessionPage) templ.Component) page.Handler {
	return func(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
		session, err := s.seen(r, actor)
		if err != nil {
			return err
		}
		p, err := s.data(r, actor, session)
		if err != nil {
			return err
		}
		return s.Show(w, r, part(*p))
	}
}

func (s sessionPages) changes(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	c := changesOf(session)
	if c.Gone != "" {
		e, err := db.ExecutionBySession(r.Context(), s.DB, session.ID)
		if err != nil && !db.IsNotFound(err) {
			return err
		}
		if err == nil {
			didNotBegin(&c, e)
		}
	}
	return s.Show(w, r, views.Changes(c))
}

func (s sessionPages) cancel(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Stopping.", func(sessionID uuid.UUID) error {
		return s.Rules.Sessions().Stop(r.Context(), actor, sessionID)
	})
}

func (s sessionPages) complete(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Marked done.", func(sessionID uuid.UUID) error {
		return s.Rules.Sessions().MarkDone(r.Context(), actor, sessionID)
	})
}

func (s sessionPages) giveUpWorker(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Given up. Another worker continues the session.", func(id uuid.UUID) error {
		return s.Rules.Sessions().GiveUpWorker(r.Context(), actor, id)
	})
}

func (s sessionPages) reopen(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Reopened.", func(sessionID uuid.UUID) error {
		return s.Rules.Sessions().Reopen(r.Context(), actor, sessionID)
	})
}

func (s sessionPages) change(w http.ResponseWriter, r *http.Request, message string,
	change func(uuid.UUID) error) error {
	sessionID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := change(sessionID); err != nil {
		return err
	}
	return s.Redirect(w, r, views.SessionURL(sessionID.String()), message)
}

func (s sessionPages) reply(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	message := r.PostFormValue("message")
	err = s.Rules.Sessions().Reply(r.Context(), actor, session.ID, message)
	var invalid fault.Invalid
	if errors.As(err, &invalid) && invalid["message"] != "" {
		return s.showOne(w, r, actor, session, http.StatusUnprocessableEntity, func(p *views.SessionPage) {
			p.Reply.Value, p.Reply.Error = message, invalid["message"]
		})
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.SessionURL(session.ID.String()), "")
}

// progress is how far each step of a run of a workflow is.
func progress(e *db.Execution, turns []db.Turn) []views.StepLine {
	if e.Snapshot.ExecutionType != db.WorkflowDriven {
		return nil
	}
	var taken []db.Turn
	var answers []string
	for _, t := range turns {
		if t.ExecutionID == e.ID && t.Kind == db.StepTurn {
			taken, answers = append(taken, t), append(answers, t.Answer)
		}
	}
	status, label, problem := map[string]string{}, map[string]string{}, map[string]string{}
	for i, p := range workflow.Walk(e.Snapshot.Steps, answers) {
		if i >= len(taken) {
			break
		}
		status[p.Number()], label[p.Number()] = string(taken[i].Status), p.Label()[len(p.Number())+1:]
		problem[p.Number()] = taken[i].Reason
		if len(p.Path) > 1 { // a loop is as far as its last step
			loop := workflow.Placed{Path: p.Path[:1]}.Number()
			if status[loop] = string(taken[i].Status); taken[i].Status == db.Succeeded {
				status[loop] = string(db.Succeeded)
			}
		}
	}
	list := present.Steps(e.Snapshot.Steps, nil)
	for i := range list {
		list[i].Text, list[i].Status, list[i].Problem = "", status[list[i].Number], problem[list[i].Number]
		if l := label[list[i].Number]; l != "" {
			if list[i].Kind == list[i].Label {
				list[i].Kind = l
			}
			list[i].Label = l
		}
	}
	return list
}
