// Package crash names the points at which tests kill the process, as a power cut or the kernel would: between two steps
// whose order matters. A program that is built without the tag crashpoints, as every released one is, has none of them.
//
// A process that was built with the tag and started with the variable CARILLON_CRASH reads the file of this name at
// each point. If the file contains "POINT N", the process counts how often it reaches the point. At the N-th time it
// appends Hit to the file's name, writes its process id into the file, and kills itself with SIGKILL.
package crash

// Point is a place in the code. Its comment says what has happened before it and what has not.
type Point string

// Tag is the build tag with which crash points are compiled.
const Tag = "crashpoints"

// Variable is the environment variable that names the file, and Hit what its name ends with when the point was reached.
const (
	Variable = "CARILLON_CRASH"
	Hit      = ".hit"
)

// The points of a schedule: a scheduler, and the one statement of a person or a caller that starts a run.
const (
	// DueClaimed: due automations are locked for this scheduler. Nothing is decided about them.
	DueClaimed Point = "due-claimed"
	// DueWritten: their runs are written and their next due times are set, in a transaction that is open.
	DueWritten Point = "due-written"
	// DueCommitted: the transaction is committed. No worker and no open page was notified.
	DueCommitted Point = "due-committed"
	// StartWritten: a run that a person or an agent asked for is written, in a transaction that is open.
	StartWritten Point = "start-written"
	// StartCommitted: the transaction is committed. Nobody was notified, and the caller has no answer.
	StartCommitted Point = "start-committed"
)

// The points of a run at a worker, in their order.
const (
	// SessionsClaiming: waiting sessions are marked as this worker's, in a transaction that is open.
	SessionsClaiming Point = "sessions-claiming"
	// SessionsClaimed: the transaction is committed. The worker has begun none of the sessions.
	SessionsClaimed Point = "sessions-claimed"
	// RunOpened: the worker has read the session and begun its transcript. There is no worktree.
	RunOpened Point = "run-opened"
	// MirrorMade: the mirror of a repository is complete under a temporary name. It is not renamed yet.
	MirrorMade Point = "mirror-made"
	// MirrorFetched: the new commits of the remote are in the mirror.
	MirrorFetched Point = "mirror-fetched"
	// TreeBranched: a session's branch is made. Its folder is not.
	TreeBranched Point = "tree-branched"
	// SpareTaken: the index of a spare is the worktree's. The files are not.
	SpareTaken Point = "spare-taken"
	// TreeLinked: a session's branch and folder are made. The files are not.
	TreeLinked Point = "tree-linked"
	// TreeFilled: the files are written. The repository does not record the worktree as complete.
	TreeFilled Point = "tree-filled"
	// TreeMade: a worktree is complete. The database does not record it.
	TreeMade Point = "tree-made"
	// TreeNoted: the database records the worktree. Nothing was begun in it.
	TreeNoted Point = "tree-noted"
	// GateAsked: a gate has its worktree and its command is to be run.
	GateAsked Point = "gate-asked"
	// GateJudged: a gate has let a run through. Its worktree is still there.
	GateJudged Point = "gate-judged"
	// GateLeft: the worktree of a gate that let a run through is gone. The run is not in the queue.
	GateLeft Point = "gate-left"
	// GatePassing: the run is put into the queue, in a transaction that is open.
	GatePassing Point = "gate-passing"
	// GatePassed: the transaction is committed.
	GatePassed Point = "gate-passed"
	// RunFolderMade: the run has a folder of its own, for what its processes need. No message was begun.
	RunFolderMade Point = "run-folder-made"
	// TurnAdded: the message of a workflow's next step is queued. It was not begun.
	TurnAdded Point = "turn-added"
	// TurnBegun: a message is marked as running. Its agent was not started.
	TurnBegun Point = "turn-begun"
	// AgentStarted: the process of an agent runs under its shim.
	AgentStarted Point = "agent-started"
	// ConversationHeard: an agent has named its conversation. It is not stored.
	ConversationHeard Point = "conversation-heard"
	// ConversationStored: the conversation is stored. The agent is at work.
	ConversationStored Point = "conversation-stored"
	// WordsWritten: a part of the transcript is stored while an agent is at work.
	WordsWritten Point = "words-written"
	// AgentEnded: an agent has ended. Its result is not stored.
	AgentEnded Point = "agent-ended"
	// UsageNoted: the usage of a message is stored. Its end is not.
	UsageNoted Point = "usage-noted"
	// TurnEnded: the end of a message is stored. Its changes are not.
	TurnEnded Point = "turn-ended"
	// ChangesNoted: the changes of a session are in the database. Its state is not saved as a commit.
	ChangesNoted Point = "changes-noted"
	// StateCommitted: the state of a session is a commit without a reference.
	StateCommitted Point = "state-committed"
	// StateKept: the commit has a reference here. It is not at the remote.
	StateKept Point = "state-kept"
	// StatePushed: the commit is at the remote. This is not recorded.
	StatePushed Point = "state-pushed"
	// WorkClosed: the transcript is written and the run's own folder is gone. The run is in flight.
	WorkClosed Point = "work-closed"
	// EndWritten: the end of a run is written, in a transaction that is open. The automation may be disabled by it.
	EndWritten Point = "end-written"
	// EndCommitted: the transaction is committed.
	EndCommitted Point = "end-committed"
	// TreeDropping: a run that did not begin has ended. Its worktree is marked as removed, and is there.
	TreeDropping Point = "tree-dropping"
	// RetryWritten: a run with a transient failure is queued again, in a transaction that is open.
	RetryWritten Point = "retry-written"
	// RetryCommitted: the transaction is committed.
	RetryCommitted Point = "retry-committed"
	// SpareFilled: the files of a spare worktree are written. It is not complete.
	SpareFilled Point = "spare-filled"
)

// The points of an edit, and of other requests of people.
const (
	// AutomationCreated: a new automation is written, in a transaction that is open.
	AutomationCreated Point = "automation-created"
	// CreationCommitted: the transaction is committed. The person has no answer.
	CreationCommitted Point = "creation-committed"
	// AutomationSaved: a changed automation is written, in a transaction that is open.
	AutomationSaved Point = "automation-saved"
	// EditCommitted: the transaction is committed. The person has no answer.
	EditCommitted Point = "edit-committed"
	// SwitchWritten: an automation is switched on or off, in a transaction that is open.
	SwitchWritten Point = "switch-written"
	// DeletionWritten: an automation is deleted, in a transaction that is open.
	DeletionWritten Point = "deletion-written"
	// BulkOneDone: one of several automations was processed. The next was not.
	BulkOneDone Point = "bulk-one-done"
	// TokenIssued: the token of an HTTP Trigger is replaced, in a transaction that is open.
	TokenIssued Point = "token-issued"
	// SessionChanged: a person's request to a session (stop, reply, close, open) is written, in a transaction that is
	// open.
	SessionChanged Point = "session-changed"
	// SessionChangeCommitted: the transaction is committed. The person has no answer.
	SessionChangeCommitted Point = "session-change-committed"
)

// The points of a delivery.
const (
	// CallReceived: a call is read and accepted. Nothing of it is written.
	CallReceived Point = "call-received"
	// CallStarted: its run is written, in a transaction that is open. The call itself is not.
	CallStarted Point = "call-started"
	// CallCommitted: both are committed. The caller has no answer.
	CallCommitted Point = "call-committed"
	// EventVerified: a webhook of a forge is verified. Nothing of it is written.
	EventVerified Point = "event-verified"
	// PullRequestTaken: a pull request is written, in a transaction that is open.
	PullRequestTaken Point = "pull-request-taken"
	// PullRequestChecked: a forge's answer about a pull request is written, in a transaction that is open.
	PullRequestChecked Point = "pull-request-checked"
)

// The points of a notice and its copies.
const (
	// NoticeWritten: notices are in inboxes and their copies are queued, in a transaction that is open.
	NoticeWritten Point = "notice-written"
	// CopyClaimed: a copy is claimed by this process. It is not sent.
	CopyClaimed Point = "copy-claimed"
	// CopySent: the copy is sent. This is not recorded.
	CopySent Point = "copy-sent"
	// CopyEnded: the result of the copy is recorded.
	CopyEnded Point = "copy-ended"
)

// The points of a takeover: the work of a process that died, and of a worker that is gone.
const (
	// LostLocked: a session without a worker is locked. Nothing is decided about it.
	LostLocked Point = "lost-locked"
	// LostEnded: its run has ended as interrupted, in a transaction that is open.
	LostEnded Point = "lost-ended"
	// LostResumed: its run is in the queue again, in a transaction that is open.
	LostResumed Point = "lost-resumed"
	// LostCommitted: one of these transactions is committed.
	LostCommitted Point = "lost-committed"
	// MoveWritten: a session is taken away from a worker that is gone, in a transaction that is open.
	MoveWritten Point = "move-written"
	// StateFetched: the state of a session from another worker is here as a commit. There is no worktree.
	StateFetched Point = "state-fetched"
	// StateRestored: the worktree is made from this commit. The lost changes are not recorded.
	StateRestored Point = "state-restored"
	// LeftKept: the local state of a session that moved to another worker has a reference. Its worktree still exists.
	LeftKept Point = "left-kept"
	// LeftRemoved: the worktree is removed. The record of the move still exists.
	LeftRemoved Point = "left-removed"
)

// The points of a pull request that a worker opens.
const (
	// RequestTaken: a worker has begun to open a pull request.
	RequestTaken Point = "request-taken"
	// WorkCommitted: uncommitted changes are committed to the session's branch.
	WorkCommitted Point = "work-committed"
	// BranchPushed: the branch is at the remote. There is no pull request.
	BranchPushed Point = "branch-pushed"
	// PullRequestOpened: the forge has a pull request. The database does not have it.
	PullRequestOpened Point = "pull-request-opened"
	// PullRequestNoted: the pull request is recorded. The request for it is not ended.
	PullRequestNoted Point = "pull-request-noted"
)

// The points of housekeeping.
const (
	// RemovalNoted: a worktree is marked as removed. It still exists.
	RemovalNoted Point = "removal-noted"
	// FolderRemoved: the folder is removed. The branch and the references of its commits still exist.
	FolderRemoved Point = "folder-removed"
	// RemovalDone: the removal is complete.
	RemovalDone Point = "removal-done"
	// HistoryPruned: a batch of old executions is removed.
	HistoryPruned Point = "history-pruned"
)

// The points of a migration, at the start of any process.
const (
	// MigrationWritten: the statements of a migration are executed, in a transaction that is open. Those before it are
	// committed.
	MigrationWritten Point = "migration-written"
	// ScratchMade: the workspace Scratch is created, in a transaction that is open.
	ScratchMade Point = "scratch-made"
	// AdministratorMade: the first administrator is created, in a transaction that is open.
	AdministratorMade Point = "administrator-made"
)

// Points are all points.
var Points = []Point{
	DueClaimed, DueWritten, DueCommitted, StartWritten, StartCommitted, SessionsClaiming, SessionsClaimed,
	RunOpened, MirrorMade, MirrorFetched, TreeBranched, SpareTaken, TreeLinked, TreeFilled, TreeMade, TreeNoted,
	GateAsked, GateJudged, GateLeft, GatePassing, GatePassed, RunFolderMade, TurnAdded, TurnBegun, AgentStarted,
	ConversationHeard, ConversationStored, WordsWritten, AgentEnded, UsageNoted, TurnEnded, ChangesNoted,
	StateCommitted, StateKept, StatePushed, WorkClosed, EndWritten, EndCommitted, TreeDropping, RetryWritten,
	RetryCommitted, SpareFilled, AutomationCreated, CreationCommitted, AutomationSaved, EditCommitted,
	SwitchWritten, DeletionWritten, BulkOneDone, TokenIssued, SessionChanged, SessionChangeCommitted,
	CallReceived, CallStarted, CallCommitted, EventVerified, PullRequestTaken, PullRequestChecked, NoticeWritten,
	CopyClaimed, CopySent, CopyEnded, LostLocked, LostEnded, LostResumed, LostCommitted, MoveWritten,
	StateFetched, StateRestored, LeftKept, LeftRemoved, RequestTaken, WorkCommitted, BranchPushed,
	PullRequestOpened, PullRequestNoted, RemovalNoted, FolderRemoved, RemovalDone, HistoryPruned,
	MigrationWritten, ScratchMade, AdministratorMade,
}
