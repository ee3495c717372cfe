package jobs

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/forge"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/app/workspace"
	"carillon/db"
)

// forgeAccess is a client for the forge of a workspace, with the workspace's token, and the repository's name there.
type forgeAccess struct {
	client     *forge.Client
	repository string
}

// accessForge gives the access to the forge of a workspace, or nil if the forge is not known.
func accessForge(ctx context.Context, rules *automation.Service, ws *db.Workspace, h *http.Client,
	now func() time.Time) (*forgeAccess, error) {
	f, ok := workspace.ForgeOf(ws)
	if !ok {
		return nil, nil
	}
	environment, err := rules.Workspaces.Environment(ctx, ws)
	if err != nil {
		return nil, err
	}
	token := environment.Token
	if _, password, ok := strings.Cut(token, ":"); ok { // Git may need a user name, the API does not
		token = password
	}
	client := &forge.Client{Kind: f.Kind, Base: f.Base, Token: token, HTTP: h, Now: now}
	return &forgeAccess{client, f.Repository}, nil
}

// mentions collects the pull requests whose addresses an agent writes during one turn.
type mentions struct {
	mu    sync.Mutex
	found []forge.PullRequest // in the order of their mention
}

// maxMentions bounds how many are kept.
const maxMentions = 50

// collect takes the pull requests that an event of the agent or of its tools mentions.
func (m *mentions) collect(e transcript.Event) {
	text := e.Text
	if e.Tool != nil {
		text += "\n" + e.Tool.Result
	}
	list := forge.FindURLs(text)
	if len(list) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		m.found = append(m.found, list[i])
	}
	if over := len(m.found) - maxMentions; over > 0 {
		m.found = m.found[over:]
	}
}

// list gives each pull request once: those of the answer first, then the others, the last mentioned first.
func (m *mentions) list(answer string) []forge.PullRequest {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, seen := []forge.PullRequest{}, map[string]bool{}
	add := func(p forge.PullRequest) {
		if !seen[p.Key()] {
			seen[p.Key()] = true
			list = append(list, p)
		}
	}
	for _, p := range forge.FindURLs(answer) {
		add(p)
	}
	for i := len(m.found) - 1; i >= 0; i-- {
		add(m.found[i])
	}
	return list
}

// notePullRequests records the pull requests that an agent mentioned. In a chat a mention does not link a pull request.
func (w *work) notePullRequests(ctx context.Context, tree git.Worktree, found []forge.PullRequest) {
	if len(found) == 0 || w.session.Type == db.Chat {
		return
	}
	branch := w.Store.HeadBranch(tree)
	err := w.retryPastEnd(ctx, "note pull requests", func(ctx context.Context) error {
		if err := db.CheckLease(ctx, w.DB, w.lease); err != nil {
			return err
		}
		ws, err := w.readWorkspace(ctx)
		if err != nil {
			return err
		}
		return w.Rules.PullRequests().TakeMentions(ctx, ws, w.session.ID, branch, found)
	})
	if err != nil {
		w.Log.Warn("note pull requests", "session", w.session.ID, "err", err)
	}
}

// openTimeout bounds the opening of one pull request.
const openTimeout = 5 * time.Minute

// openRequested opens the requested pull requests of sessions whose worktrees are on this worker.
func (r *Runner) openRequested(ctx, runCtx context.Context, runs *sync.WaitGroup) {
	if r.Forge == nil || ctx.Err() != nil {
		return
	}
	list, err := db.RequestedPullRequests(ctx, r.DB, r.Worker, 20)
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("look for requested pull requests", "err", err)
		}
		return
	}
	for i := range list {
		session := &list[i]
		r.mu.Lock()
		busy := r.opening[session.ID] || len(r.opening) >= 2
		if !busy {
			r.opening[session.ID] = true
		}
		r.mu.Unlock()
		if busy {
			continue
		}
		runs.Go(func() {
			defer func() {
				r.mu.Lock()
				delete(r.opening, session.ID)
				r.mu.Unlock()
			}()
			r.openPullRequest(runCtx, session)
		})
	}
}

// openPullRequest opens a pull request of a session and ends its request. A request that a shutdown interrupts is
// processed again at the next start; each of its steps may be repeated.
func (r *Runner) openPullRequest(ctx context.Context, session *db.Session) {
	limited, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	problem, err := r.createPullRequest(limited, session)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.Log.Error("open a pull request", "session", session.ID, "err", err)
		problem = "Something went wrong on our side. It was logged."
	}
	if err := r.Rules.PullRequests().EndRequest(ctx, session, problem); err != nil {
		r.Log.Error("end the request for a pull request", "session", session.ID, "err", err)
	}
}

// createPullRequest commits uncommitted changes, pushes the session's branch and opens the pull request. problem is a
// sentence about something that a person can fix.
func (r *Runner) createPullRequest(ctx context.Context, session *db.Session) (problem string, err error) {
	ws := session.Workspace
	access, err := accessForge(ctx, r.Rules, ws, r.Forge, r.Now)
	switch {
	case err != nil:
		return "", err
	case access == nil:
		return "Carillon does not know on which forge the repository of this workspace is. Choose it in the " +
			"workspace’s settings.", nil
	case access.client.Token == "":
		return "The workspace has no access token, which the forge’s API wants. Add one in the workspace’s settings.",
			nil
	}
	environment, err := r.Rules.Workspaces.Environment(ctx, ws)
	if err != nil {
		return "", err
	}
	crash.Here(crash.RequestTaken)
	tree := r.Store.Worktree(ws.ID.String(), session.ID.String(), session.Branch, session.BaseCommit)
	if problem, err := r.commitChanges(ctx, session, tree); problem != "" || err != nil {
		return problem, err
	}
	crash.Here(crash.WorkCommitted)
	remote := git.Remote{
		URL: ws.GitURL, Token: environment.Token, Branch: ws.DefaultBranch, Anywhere: ws.Anywhere,
	}
	err = r.Store.Push(ctx, tree, remote, "")
	if err != nil {
		return r.pushProblem(session, err), nil
	}
	crash.Here(crash.BranchPushed)
	answer, err := db.LastAnswer(ctx, r.DB, session.ID)
	if err != nil {
		return "", err
	}
	p, err := access.client.Create(ctx, access.repository, forge.NewPullRequest{
		Title: session.Title, Body: pullRequestBody(answer), Branch: session.Branch,
		Base: cmp.Or(session.BaseBranch, ws.DefaultBranch),
	})
	if err != nil {
		r.Log.Info("open a pull request", "session", session.ID, "err", err)
		return forgeProblem(err), nil
	}
	crash.Here(crash.PullRequestOpened)
	err = r.Rules.PullRequests().Take(ctx, ws, session.ID, *p, db.FoundCreated)
	crash.Here(crash.PullRequestNoted)
	return "", err
}

// tooLarge is the problem of a session whose content Git may not load. A retry alone does not help.
const tooLarge = "A commit or a folder of the session is larger than Git may hold in memory. Let the agent " +
	"replace it, and try again."

// commitChanges commits uncommitted changes. If the worktree was removed, its commits are on its branch and there is
// nothing to do.
func (r *Runner) commitChanges(ctx context.Context, session *db.Session,
	tree git.Worktree) (problem string, err error) {
	name, email := "", ""
	if session.PRRequestedBy != uuid.Nil {
		if who, err := db.UserByID(ctx, r.DB, session.PRRequestedBy); err == nil {
			name, email = who.Name, who.Email
		} else if !db.IsNotFound(err) {
			return "", err
		}
	}
	_, err = r.Store.Commit(ctx, tree, session.Title, name, email)
	switch {
	case errors.Is(err, git.ErrNoWorktree):
		return "", nil
	case errors.Is(err, git.ErrConflicts):
		return "The worktree has unsettled conflicts. Let the agent settle them, and try again.", nil
	case errors.Is(err, git.ErrLargeFiles):
		return "Changed files belong to Git LFS. Let the agent commit them, and try again.", nil
	case errors.Is(err, git.ErrTooLarge):
		return tooLarge, nil
	case err != nil:
		return "", err
	}
	changes, err := r.Store.Changes(ctx, tree)
	if errors.Is(err, git.ErrTooLarge) {
		return tooLarge, nil
	}
	if err == nil && changes.Ahead == 0 {
		return "There is nothing to open a pull request for: the session has no commits of its own.", nil
	}
	return "", err
}

// pushProblem says why a branch could not be pushed.
func (r *Runner) pushProblem(session *db.Session, err error) string {
	r.Log.Info("push the branch of a session", "session", session.ID, "err", err)
	for _, known := range []error{git.ErrRejected, git.ErrCredentials, git.ErrUnreachable,
		git.ErrNotRepository, git.ErrMoved, git.ErrNoWorktree} {
		if errors.Is(err, known) {
			return "The branch could not be pushed: " + known.Error() + "."
		}
	}
	return "The branch could not be pushed. What Git said is in the worker’s log."
}

// pullRequestBody is the text of a pull request: the agent's last answer, which is masked already.
func pullRequestBody(answer string) string {
	answer = strings.TrimSpace(answer)
	if answer == "" {
		return "Opened by Carillon."
	}
	return answer + "\n\n---\nOpened by Carillon."
}
