// Package inbox holds the rules of notices: their kinds, how they come into people's inboxes, who may be told of what
// happens in a workspace, and what people do with what they have. It knows rows. It does not know what happens: whoever
// tells of something says what, and to whom.
package inbox

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/db"
)

// The kinds of notices.
const (
	Disabled     = "disabled"      // an automation was switched off by Carillon
	RunFailed    = "failed"        // a run of a Manual or HTTP Trigger automation failed
	Skipped      = "skipped"       // a due run was skipped, since another is in flight
	Missed       = "missed"        // a One-Time was missed
	LoopFinished = "loop_finished" // a loop reached its condition
	PRClosed     = "pr_closed"     // a pull request of a loop was closed without merging
	Review       = "review"        // a Code Review has a blocking finding
	Budget       = "budget"        // a budget is used up, or will be soon
	Message      = "message"       // an agent wrote to people
	Transferred  = "transferred"   // an automation has another owner
	Rights       = "rights"        // sessions of an automation lost the right to manage automations

	ProviderPaused = "provider" // the starts of a provider wait, since it refuses
	// Carillon itself is in trouble: something was set aside, or the scheduler stands still
	Server = "server"
)

// Kinds lists the kinds with their names on screen.
var Kinds = []struct{ Kind, Name string }{
	{Disabled, "Auto-disabled"}, {RunFailed, "Failed runs"}, {Skipped, "Skipped runs"},
	{Missed, "Missed runs"}, {LoopFinished, "Finished loops"}, {PRClosed, "Closed pull requests"},
	{Review, "Blocking review findings"}, {Budget, "Budgets"},
	{Message, "Messages of sessions"},
	{Transferred, "Automations that changed hands"},
	{Rights, "Sessions that lost a right"},
	{ProviderPaused, "Paused providers"},
	{Server, "Trouble of the server"},
	{account.NoticeKind, "Changes of your account"},
}

// Notice is what one event tells its people.
type Notice struct {
	To                      []uuid.UUID // people
	Kind, Title, Body, Link string
	Key                     string // names the event: a person has one notice with a key, however often it is posted
	// What it is about. Whoever has the notice may see it. Zero: nothing.
	Workspace, Automation, Execution, Session uuid.UUID
}

// Post puts notices into the inboxes of their people. It takes one statement, however many they are.
func Post(ctx context.Context, tx bun.Tx, now time.Time, notices ...Notice) error {
	var rows []db.Notification
	for _, n := range notices {
		for _, person := range n.To {
			rows = append(rows, db.Notification{
				ID: db.NewID(), UserID: person, Kind: n.Kind, Title: n.Title, Body: n.Body, Link: n.Link,
				WorkspaceID: n.Workspace, AutomationID: n.Automation, ExecutionID: n.Execution, SessionID: n.Session,
				DedupKey: n.Key, CreatedAt: now,
			})
		}
	}
	_, err := db.InsertNotifications(ctx, tx, rows)
	if err == nil && len(rows) > 0 {
		crash.Here(crash.NoticeWritten)
	}
	return err
}
