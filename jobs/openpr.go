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
	"carillon/db"
)

// forgeClient is what asks the forge of a workspace, with the workspace's token, and the name of its repository there.
// It is not ok for a workspace whose forge is not known.
func forgeClient(ctx context.Context, rules *automation.Service, ws *db.Workspace, h *http.Client,
	now func() time.Time) (*forge.Client, string, bool, error) {
	f, ok := automation.ForgeOf(ws)
	if !ok {
		return nil, "", false, nil
	}
	environment, err := rules.Environment(ctx, ws)
	if err != nil {
		return nil, "", false, err
	}
	token := environment.Token
	if _, password, ok := strings.Cut(token, ":"); ok { // Git may want a name with it, and the API does not
		token = password
	}
	return &forge.Client{Kind: f.Kind, Base: f.Base, Token: token, HTTP: h, Now: now}, f.Repository, true, nil
}

// mentions are the pull requests whose addresses an agent writes, during one message.
type mentions struct {
	mu    sync.Mutex
	found []forge.PullRequest // the last one last
}

// maxMentions is how many are remembered.
const maxMentions = 50

// hear looks at one thing that an agent said, or that its tools did.
func (m *mentions) hear(e transcript.Event) {
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

// all are the pull requests, each once: those of the answer first, then the one mentioned last.
func (m *mentions) all(answer string) []forge.PullRequest {
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

// notePullRequests notes the pull requests that an agent wrote of. A chat only talks of them.
func (w *work) notePullRequests(ctx context.Context, tree git.Worktree, found []forge.PullRequest) {
	if len(found) == 0 || w.session.Type == db.Chat {
		return
	}
	branch := w.Store.HeadBranch(tree)
	err := w.surely(ctx, "note pull requests", func(ctx context.Context) error {
		if err := db.Hold(ctx, w.DB, w.lease); err != nil {
			return err
		}
		ws, err := w.ofWorkspace(ctx)
		if err != nil {
			return err
		}
		return w.Rules.FoundPullRequests(ctx, ws, w.session.ID, branch, found)
	})
	if err != nil {
		w.Log.Warn("note pull requests", "session", w.session.ID, "err", err)
	}
}

// openingTime bounds what it takes to open one pull request.
const openingTime = 5 * time.Minute

// openRequested opens the pull requests that were asked for and whose worktrees are here.
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

// openPullRequest opens a pull request of a session and ends its request. One that a shutdown interrupts is taken up
// again at the next start: what was done of it is found done.
func (r *Runner) openPullRequest(ctx context.Context, session *db.Session) {
	limited, cancel := context.WithTimeout(ctx, openingTime)
	defer cancel()
	problem, err := r.createPullRequest(limited, session)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		r.Log.Error("open a pull request", "session", session.ID, "err", err)
		problem = "Something went wrong on our side. It was logged."
	}
	if err := r.Rules.EndPullRequestRequest(ctx, session, problem); err != nil {
		r.Log.Error("end the request for a pull request", "session", session.ID, "err", err)
	}
}

// createPullRequest commits what is uncommitted, pushes the session's branch and opens the pull request. What a person
// can mend comes back as a sentence.
func (r *Runner) createPullRequest(ctx context.Context, session *db.Session) (problem string, err error) {
	ws := session.Workspace
	client, repository, ok, err := forgeClient(ctx, r.Rules, ws, r.Forge, r.Now)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "Carillon does not know on which forge the repository of this workspace is. Choose it in the " +
			"workspace’s settings.", nil
	case client.Token == "":
		return "The workspace has no access token, which the forge’s API wants. Add one in the workspace’s settings.",
			nil
	}
	environment, err := r.Rules.Environment(ctx, ws)
	if err != nil {
		return "", err
	}
	crash.Here(crash.RequestTaken)
	tree := r.Store.Worktree(ws.ID.String(), session.ID.String(), session.Branch, session.BaseCommit)
	if problem, err := r.commit(ctx, session, tree); problem != "" || err != nil {
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
	p, err := client.Create(ctx, repository, forge.NewPullRequest{
		Title: session.Title, Body: body(answer), Branch: session.Branch,
		Base: cmp.Or(session.BaseBranch, ws.DefaultBranch),
	})
	if err != nil {
		r.Log.Info("open a pull request", "session", session.ID, "err", err)
		return forgeProblem(err), nil
	}
	crash.Here(crash.PullRequestOpened)
	err = r.Rules.TakePullRequest(ctx, ws, session.ID, *p, db.FoundCreated)
	crash.Here(crash.PullRequestNoted)
	return "", err
}

// tooLarge says what keeps a pull request from being opened that no later try mends.
const tooLarge = "A commit or a folder of the session is larger than Git may hold in memory. Let the agent " +
	"replace it, and try again."

// commit puts what is uncommitted into a commit. A worktree that was removed has its commits on its branch.
func (r *Runner) commit(ctx context.Context, session *db.Session, tree git.Worktree) (problem string, err error) {
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

// body is what a pull request says: the agent's last answer, which is masked already.
func body(answer string) string {
	answer = strings.TrimSpace(answer)
	if answer == "" {
		return "Opened by Carillon."
	}
	return answer + "\n\n---\nOpened by Carillon."
}
