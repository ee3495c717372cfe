package automation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/inbox"
	"carillon/db"
)

const acme = "https://github.com/acme/app"

// hub lets the kit's workspace have its repository at GitHub, with a token.
func (k *kit) hub() {
	k.T.Helper()
	_, err := k.DB.NewRaw("UPDATE workspaces SET git_url = ?, token_sealed = 'x' WHERE id = ?", acme+".git",
		k.Scratch.ID).Exec(k.T.Context())
	check(k.T, err)
	w, err := db.WorkspaceByID(k.T.Context(), k.DB, k.Scratch.ID)
	check(k.T, err)
	k.Scratch = *w
}

// open starts an automation and leaves its session open.
func (k *kit) open(a *db.Automation) db.Session {
	k.T.Helper()
	if a.Trigger == db.Loop {
		k.Tick(k.Reload(a).NextRunAt)
	} else {
		_, err := k.Runs().RunNow(k.T.Context(), k.Jonas, a.ID, nil)
		check(k.T, err)
	}
	s := k.EndRuns(success)[0]
	_, err := k.DB.NewRaw("UPDATE sessions SET branch = ?, files_changed = 1 WHERE id = ?", "carillon/"+s.ID.String(),
		s.ID).Exec(k.T.Context())
	check(k.T, err)
	return *k.SessionAgain(s.ID)
}

func gated(change func(*automation.Input)) func(*automation.Input) {
	return func(in *automation.Input) {
		in.AutoComplete = false
		if change != nil {
			change(in)
		}
	}
}

// pull is a pull request of acme/app as GitHub tells of it.
func (k *kit) pull(number int64, state forge.State, branch string) forge.PullRequest {
	return forge.PullRequest{
		Forge: forge.GitHub, Repository: "Acme/App", Number: number, URL: acme + "/pull/" + string(rune('0'+number)),
		Title: "Mend it", State: state, Branch: branch, Base: "main",
		Created: k.Now(), Updated: k.Now(),
	}
}

func (k *kit) pullRequests(session uuid.UUID) []db.PullRequest {
	k.T.Helper()
	list, err := db.PullRequestsOf(k.T.Context(), k.DB, []uuid.UUID{session})
	check(k.T, err)
	return list
}

func (k *kit) told(p forge.PullRequest, want int) {
	k.T.Helper()
	n, err := k.PullRequests().TakeEvent(k.T.Context(), &k.Scratch, p)
	check(k.T, err)
	if n != want {
		k.T.Errorf("it concerned %d sessions; want %d", n, want)
	}
}

func TestAMergedPullRequestMakesItsSessionDoneAndAClosedOneCanceled(t *testing.T) {
	k := setup(t)
	k.hub()
	for _, tt := range []struct {
		state forge.State
		want  db.SessionStatus
	}{{forge.Open, db.SessionWaiting}, {forge.Merged, db.SessionDone}, {forge.Closed, db.SessionCanceled}} {
		s := k.open(k.Make(gated(nil)))
		k.told(k.pull(7, forge.Open, s.Branch), 1)
		p := k.pull(7, tt.state, s.Branch)
		n, err := k.PullRequests().TakeEvent(t.Context(), &k.Scratch, p)
		check(t, err)
		if got := k.SessionAgain(s.ID); n == 0 || got.Status != tt.want || got.ClosedBy != uuid.Nil {
			t.Errorf("%s: the session is %s; want %s", tt.state, got.Status, tt.want)
		}
		_, err = k.DB.NewRaw("DELETE FROM pull_requests").Exec(t.Context())
		check(t, err)
	}
	k.ExpectInbox(k.Jonas)
}

func TestASessionForWhichAPullRequestCannotBeTakenOverKeepsNoOtherFromIt(t *testing.T) {
	k := setup(t)
	k.hub()
	bad, good := k.open(k.Make(gated(nil))), k.open(k.Make(gated(nil)))
	for _, s := range []db.Session{bad, good} {
		check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, acme+"/pull/7"))
	}
	k.refuse("pull_requests", "poison", fmt.Sprintf("session_id <> '%s' OR state <> 'merged'", bad.ID))
	n, err := k.PullRequests().TakeEvent(t.Context(), &k.Scratch, k.pull(7, forge.Merged, "theirs"))
	if n != 1 || err == nil {
		t.Errorf("it was taken over for %d, %v; want 1 and the error of the other", n, err)
	}
	if got := k.SessionAgain(good.ID).Status; got != db.SessionDone {
		t.Errorf("the other session is %s; want done", got)
	}
}

func TestALoopGoesOnWhenItsPullRequestIsMergedOrClosed(t *testing.T) {
	for _, state := range []forge.State{forge.Merged, forge.Closed} {
		t.Run(string(state), func(t *testing.T) {
			k := setup(t)
			k.hub()
			a := k.Make(gated(loop))
			s := k.open(a)
			if !k.Reload(a).NextRunAt.IsZero() {
				t.Fatal("the open session does not hold the loop")
			}
			k.Clock.Add(time.Hour)
			k.told(k.pull(7, state, s.Branch), 1)
			if got, want := k.Reload(a).NextRunAt, k.Now().Add(5*time.Second); !got.Equal(want) {
				t.Errorf("the next iteration is due at %v; want %v", got, want)
			}
		})
	}
}

func TestAClosedPullRequestOfALoopIsToldOncePerIterationToCreatorAndOwner(t *testing.T) {
	k := setup(t)
	k.hub()
	a := k.Make(gated(loop))
	s := k.open(a)
	_, err := k.DB.NewRaw("UPDATE sessions SET owner_id = ? WHERE id = ?", k.Mira.ID, s.ID).Exec(t.Context())
	check(t, err)
	for range 2 { // told twice, and then a second pull request of the same iteration
		k.told(k.pull(7, forge.Closed, s.Branch), 1)
	}
	k.told(k.pull(8, forge.Closed, s.Branch), 1)
	k.ExpectInbox(k.Jonas, inbox.PRClosed)
	k.ExpectInbox(k.Mira, inbox.PRClosed)
	list, err := k.Inbox.List(t.Context(), k.Jonas, db.NotificationFilter{Limit: 10})
	check(t, err)
	n := list[0]
	if n.Link != acme+"/pull/7" || !strings.Contains(n.Body, acme+"/pull/7") || n.SessionID != s.ID ||
		n.ExecutionID == uuid.Nil {
		t.Errorf("the notice is %+v; want it to lead to the session and to name the pull request", n)
	}

	k.Clock.Add(time.Minute) // the next iteration is told of again, however many runs failed
	_, err = k.DB.NewRaw("UPDATE automations SET failure_streak = 2 WHERE id = ?", a.ID).Exec(t.Context())
	check(t, err)
	s = k.open(a)
	k.told(k.pull(9, forge.Closed, s.Branch), 1)
	k.ExpectInbox(k.Jonas, inbox.PRClosed, inbox.PRClosed)
}

func TestOnlyLoopsTellOfClosedPullRequests(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(recurring("0 * * * *"))))
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.ExpectInbox(k.Jonas)
	a := k.Make(gated(loop))
	s = k.open(a)
	k.told(k.pull(8, forge.Merged, s.Branch), 1)
	k.ExpectInbox(k.Jonas)
}

func TestTheNoticeOfAClosedPullRequestFollowsACreatorWhoLeft(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(loop)))
	_, err := k.DB.NewRaw("UPDATE users SET deactivated_at = now() WHERE id = ?", k.Jonas.ID).Exec(t.Context())
	check(t, err)
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.ExpectInbox(k.Jonas)
	k.ExpectInbox(k.Mira, inbox.PRClosed)
}

func TestARunningSessionMovesWhenItsWorkEnds(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	check(t, k.Sessions().Reply(t.Context(), k.Jonas, s.ID, "One more thing."))
	running := k.Claim()[0]
	k.told(k.pull(7, forge.Merged, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionInProgress {
		t.Fatalf("the session is %s; want its agent to be left at work", got.Status)
	}
	_, err := k.DB.NewRaw("UPDATE turns SET status = 'succeeded' WHERE session_id = ?", s.ID).Exec(t.Context())
	check(t, err)
	check(t, k.Runs().Finish(t.Context(), lease(running), success))
	if got := k.SessionAgain(s.ID); got.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done", got.Status)
	}
}

func TestAReopenedSessionIsNotClosedAgainByTheSamePullRequest(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	k.told(k.pull(7, forge.Merged, s.Branch), 1)
	check(t, k.Sessions().Reopen(t.Context(), k.Jonas, s.ID))
	k.told(k.pull(7, forge.Merged, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it to stay open", got.Status)
	}
}

func TestASessionStaysOpenWhileOneOfItsPullRequestsIs(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	k.told(k.pull(7, forge.Open, s.Branch), 1)
	k.told(k.pull(8, forge.Open, s.Branch), 1)
	k.told(k.pull(7, forge.Merged, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Fatalf("the session is %s; want it open for the other", got.Status)
	}
	k.told(k.pull(8, forge.Closed, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done, since one was merged", got.Status)
	}
}

func TestAWebhookThatComesLateChangesNothing(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	reopened := k.pull(7, forge.Open, s.Branch)
	reopened.Updated = k.Now().Add(time.Minute)
	k.told(reopened, 1)
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting ||
		k.pullRequests(s.ID)[0].State != db.PullRequestOpen {
		t.Errorf("the session is %s; want what is older than what is known passed over", got.Status)
	}
}

func TestABranchOfTheSameNameElsewhereIsAnother(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	fork := k.pull(7, forge.Closed, s.Branch)
	fork.Fork = true
	k.told(fork, 0)
	other := k.pull(7, forge.Closed, s.Branch)
	other.Repository = "acme/other"
	k.told(other, 0)
	w := k.Scratch
	w.ID = db.NewID()
	if n, err := k.PullRequests().TakeEvent(t.Context(), &w, k.pull(7, forge.Closed, s.Branch)); n != 0 || err != nil {
		t.Errorf("another workspace's webhook concerned %d sessions (%v)", n, err)
	}
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it left alone", got.Status)
	}
}

func TestAnAgentsPullRequestsAreThoseOfItsOwnRepositoryAndOfItsOwnTime(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	found := forge.FindURLs("Opened " + acme +
		"/pull/7, like https://github.com/other/app/pull/9 and https://git.example.com/acme/app/pull/7. Before, " +
		acme + "/pull/3.")
	check(t, k.PullRequests().TakeMentions(t.Context(), &k.Scratch, s.ID, "named-by-the-agent", found))
	if list := k.pullRequests(s.ID); len(list) != 2 || list[0].Number != 7 || list[0].State != db.PullRequestOpen ||
		list[0].FoundBy != db.FoundInOutput {
		t.Fatalf("the session has %+v; want 7 and 3 of its own repository", list)
	}
	old := k.pull(3, forge.Merged, "older")
	old.Created = s.CreatedAt.Add(-24 * time.Hour)
	for _, p := range k.pullRequests(s.ID) {
		answer := k.pull(7, forge.Open, "named-by-the-agent")
		if p.Number == 3 {
			answer = old
		}
		check(t, k.PullRequests().TakeAnswer(t.Context(), &p, answer))
	}
	if list := k.pullRequests(s.ID); len(list) != 1 || list[0].Number != 7 || list[0].Branch != "named-by-the-agent" ||
		list[0].CheckedAt.IsZero() {
		t.Errorf("the session has %+v; want only the one that is younger than it", list)
	}
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it open", got.Status)
	}
}

func TestAPullRequestThatAnAgentOnlyWroteOfMovesNothing(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(func(in *automation.Input) { gated(nil)(in); in.Trigger = "loop" }))
	name := func(number string) {
		check(t, k.PullRequests().TakeMentions(t.Context(), &k.Scratch, s.ID, s.Branch,
			forge.FindURLs("See "+acme+"/pull/"+number+".")))
	}
	name("7")
	k.told(k.pull(7, forge.Closed, "a-colleagues-branch"), 1)
	name("8")
	k.told(k.pull(8, forge.Merged, "a-colleagues-branch"), 1)
	name("9")
	fork := k.pull(9, forge.Closed, s.Branch)
	fork.Fork = true
	k.told(fork, 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it left alone by others' pull requests", got.Status)
	}
	if list := k.pullRequests(s.ID); len(list) != 0 {
		t.Errorf("the session has %+v; want none of others'", list)
	}
	k.ExpectInbox(k.Jonas)
	name("4")
	k.told(k.pull(4, forge.Closed, s.Branch), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionCanceled {
		t.Errorf("the session is %s; want it canceled with its own pull request", got.Status)
	}
}

func TestAPullRequestOfAnotherBranchThatAPersonVouchesForIsFollowed(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	check(t, k.PullRequests().TakeMentions(t.Context(), &k.Scratch, s.ID, "", forge.FindURLs(acme+"/pull/7")))
	check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, acme+"/pull/7"))
	k.told(k.pull(7, forge.Merged, "release"), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done", got.Status)
	}
}

func TestAPullRequestIsLinkedByHandByWhoMayManageTheSession(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	for _, bad := range []string{"", "7", "github.com/acme/app/pull/7", "javascript:alert(1)", acme + "/issues/7",
		acme + "/pull/7 " + acme + "/pull/8", "https://gitlab.com/acme/app/-/merge_requests/7"} {
		wantInvalid(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, bad), "url")
	}
	anna := k.Person("Anna", account.RoleMember)
	wantErr(t, k.PullRequests().Link(t.Context(), anna, s.ID, acme+"/pull/7"), fault.ErrNotFound)
	check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, " "+acme+"/pull/7/files?w=1 "))
	check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, acme+"/pull/7"))
	if list := k.pullRequests(s.ID); len(list) != 1 || list[0].URL != acme+"/pull/7" ||
		list[0].FoundBy != db.FoundByHand {
		t.Errorf("the session has %+v; want the one", list)
	}
	k.told(k.pull(7, forge.Merged, "any-branch"), 1)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionDone {
		t.Errorf("the session is %s; want Done", got.Status)
	}
}

func TestAPullRequestIsUnlinkedByWhoMayManageTheSession(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, acme+"/pull/7"))
	pull := k.pullRequests(s.ID)[0].ID
	anna := k.Person("Anna", account.RoleMember)
	wantErr(t, k.PullRequests().Unlink(t.Context(), anna, s.ID, pull), fault.ErrNotFound)
	other := k.open(k.Make(gated(nil)))
	wantErr(t, k.PullRequests().Unlink(t.Context(), k.Jonas, other.ID, pull), fault.ErrNotFound)
	check(t, k.PullRequests().Unlink(t.Context(), k.Jonas, s.ID, pull))
	if list := k.pullRequests(s.ID); len(list) != 0 {
		t.Errorf("the session still has %+v", list)
	}
	k.told(k.pull(7, forge.Merged, "any-branch"), 0)
	if got := k.SessionAgain(s.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it open, since the pull request is not its own", got.Status)
	}
}

func TestAPullRequestIsRequestedOnlyWhereOneCanBeOpened(t *testing.T) {
	k := setup(t)
	a := k.Make(gated(nil))
	s := k.open(a)
	ask := func() error { return k.PullRequests().Request(t.Context(), k.Jonas, s.ID) }
	if got := wantInvalid(t, ask(), "pull_request"); !strings.Contains(got, "on which forge") {
		t.Errorf("got %q", got)
	}
	k.hub()
	k.Exec("UPDATE workspaces SET token_sealed = NULL")
	if got := wantInvalid(t, ask(), "pull_request"); !strings.Contains(got, "access token") {
		t.Errorf("got %q", got)
	}
	k.hub()
	k.Exec("UPDATE sessions SET files_changed = 0")
	wantInvalid(t, ask(), "pull_request")
	k.Exec("UPDATE sessions SET files_changed = 2")
	check(t, ask())
	check(t, ask())
	got := k.SessionAgain(s.ID)
	if got.PRRequestedAt.IsZero() || got.PRRequestedBy != k.Jonas.ID {
		t.Fatalf("the request is %v by %v", got.PRRequestedAt, got.PRRequestedBy)
	}
	check(t, k.PullRequests().EndRequest(t.Context(), got, "The forge said no."))
	if got = k.SessionAgain(s.ID); !got.PRRequestedAt.IsZero() || got.PRError != "The forge said no." {
		t.Errorf("it ended with %q at %v", got.PRError, got.PRRequestedAt)
	}
	check(t, k.PullRequests().Link(t.Context(), k.Jonas, s.ID, acme+"/pull/7"))
	if got := wantInvalid(t, ask(), "pull_request"); !strings.Contains(got, "#7") {
		t.Errorf("got %q", got)
	}
}

func TestARequestThatNoWorkerTakesUpEndsAfterAQuarterOfAnHour(t *testing.T) {
	k := setup(t)
	k.hub()
	s := k.open(k.Make(gated(nil)))
	check(t, k.PullRequests().Request(t.Context(), k.Jonas, s.ID))
	k.Clock.Add(14 * time.Minute)
	check(t, k.PullRequests().ExpireRequests(t.Context()))
	if k.SessionAgain(s.ID).PRRequestedAt.IsZero() {
		t.Fatal("it ended early")
	}
	k.Clock.Add(2 * time.Minute)
	check(t, k.PullRequests().ExpireRequests(t.Context()))
	if got := k.SessionAgain(s.ID); !got.PRRequestedAt.IsZero() || !strings.Contains(got.PRError, "worker") {
		t.Errorf("got %v, %q; want it ended", got.PRRequestedAt, got.PRError)
	}
}

func TestAnAutomationCanOpenAPullRequestAfterASuccessWithChanges(t *testing.T) {
	k := setup(t)
	in := k.Input()
	in.CreatePR = true
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "create_pr")
	k.hub()
	for _, tt := range []struct {
		name    string
		outcome automation.Outcome
		want    bool
	}{
		{"changes", automation.Outcome{Status: db.Succeeded, FilesChanged: true}, true},
		{"no changes", automation.Outcome{Status: db.Succeeded}, false},
		{"a failure", automation.Outcome{Status: db.Failed, Reason: "x", FilesChanged: true}, false},
	} {
		a := k.Make(func(in *automation.Input) { in.CreatePR, in.AutoComplete = true, true })
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
		check(t, err)
		s := k.SessionAgain(k.EndRuns(tt.outcome)[0].ID)
		if s.PRRequestedAt.IsZero() == tt.want {
			t.Errorf("%s: requested at %v; want %t", tt.name, s.PRRequestedAt, tt.want)
		}
	}
}
