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
	// DueCommitted: that is committed. No worker and no open page was told.
	DueCommitted Point = "due-committed"
	// StartWritten: a run that a person or an agent asked for is written, in a transaction that is open.
	StartWritten Point = "start-written"
	// StartCommitted: that is committed. Nobody was told, and whoever asked has no answer.
	StartCommitted Point = "start-committed"
)

// The points of a run at a worker, in their order.
const (
	// SessionsClaiming: waiting sessions are marked as this worker's, in a transaction that is open.
	SessionsClaiming Point = "sessions-claiming"
	// SessionsClaimed: that is committed. The worker has not begun with any of them.
	SessionsClaimed Point = "sessions-claimed"
	// RunOpened: the worker has read what a session is to do and begun its transcript. There is no worktree.
	RunOpened Point = "run-opened"
	// MirrorMade: the mirror of a repository is complete under a temporary name. It has not got its own.
	MirrorMade Point = "mirror-made"
	// MirrorFetched: what is new at the remote is in the mirror.
	MirrorFetched Point = "mirror-fetched"
	// TreeBranched: a session's branch is made. Its folder is not.
	TreeBranched Point = "tree-branched"
	// SpareTaken: the index of a spare is the worktree's. The files are not.
	SpareTaken Point = "spare-taken"
	// TreeLinked: a session's branch and folder are made. The files are not.
	TreeLinked Point = "tree-linked"
	// TreeFilled: the files are there. That the worktree is whole is not noted in the repository.
	TreeFilled Point = "tree-filled"
	// TreeMade: a worktree is whole. That the session has it is not in the database.
	TreeMade Point = "tree-made"
	// TreeNoted: the session has its worktree. Nothing was begun in it.
	TreeNoted Point = "tree-noted"
	// GateAsked: a gate has its worktree and its command is to be run.
	GateAsked Point = "gate-asked"
	// GateJudged: a gate has let a run through. Its worktree is still there.
	GateJudged Point = "gate-judged"
	// GateLeft: the worktree of a gate that let a run through is gone. The run is not in the queue.
	GateLeft Point = "gate-left"
	// GatePassing: the run is put into the queue, in a transaction that is open.
	GatePassing Point = "gate-passing"
	// GatePassed: that is committed.
	GatePassed Point = "gate-passed"
	// RunFolderMade: the run has a folder of its own, for what its processes need. No message was begun.
	RunFolderMade Point = "run-folder-made"
	// TurnAdded: the message of a workflow's next step is queued. It was not begun.
	TurnAdded Point = "turn-added"
	// TurnBegun: a message is marked as at work. Its agent was not started.
	TurnBegun Point = "turn-begun"
	// AgentStarted: the process of an agent is there, under what watches over it.
	AgentStarted Point = "agent-started"
	// ConversationHeard: an agent has named its conversation. It is not stored.
	ConversationHeard Point = "conversation-heard"
	// ConversationStored: the conversation is stored. The agent is at work.
	ConversationStored Point = "conversation-stored"
	// WordsWritten: a part of the transcript is stored while an agent is at work.
	WordsWritten Point = "words-written"
	// AgentEnded: an agent has ended. Nothing of how is stored.
	AgentEnded Point = "agent-ended"
	// UsageNoted: what a message used is stored. Its end is not.
	UsageNoted Point = "usage-noted"
	// TurnEnded: the end of a message is stored. What it changed is not.
	TurnEnded Point = "turn-ended"
	// ChangesNoted: what a session changed is in the database. Its state is not kept as a commit.
	ChangesNoted Point = "changes-noted"
	// StateCommitted: the state of a session is a commit, which has no name.
	StateCommitted Point = "state-committed"
	// StateKept: that commit has its name here. It is not at the remote.
	StateKept Point = "state-kept"
	// StatePushed: it is at the remote. That it is there is not noted.
	StatePushed Point = "state-pushed"
	// WorkClosed: the transcript is written and the run's own folder is gone. The run is in flight.
	WorkClosed Point = "work-closed"
	// EndWritten: the end of a run is written, in a transaction that is open. The automation may be disabled by it.
	EndWritten Point = "end-written"
	// EndCommitted: that is committed.
	EndCommitted Point = "end-committed"
	// TreeDropping: a run that did not begin has ended. Its worktree is marked as removed, and is there.
	TreeDropping Point = "tree-dropping"
	// RetryWritten: a run that failed for a moment's trouble is queued again, in a transaction that is open.
	RetryWritten Point = "retry-written"
	// RetryCommitted: that is committed.
	RetryCommitted Point = "retry-committed"
	// SpareFilled: the files of a spare are written. It is not whole.
	SpareFilled Point = "spare-filled"
)

// The points of an edit, and of other words of people.
const (
	// AutomationCreated: a new automation is written, in a transaction that is open.
	AutomationCreated Point = "automation-created"
	// CreationCommitted: that is committed. The person has no answer.
	CreationCommitted Point = "creation-committed"
	// AutomationSaved: a changed automation is written, in a transaction that is open.
	AutomationSaved Point = "automation-saved"
	// EditCommitted: that is committed. The person has no answer.
	EditCommitted Point = "edit-committed"
	// SwitchWritten: an automation is switched on or off, in a transaction that is open.
	SwitchWritten Point = "switch-written"
	// DeletionWritten: an automation is deleted, in a transaction that is open.
	DeletionWritten Point = "deletion-written"
	// BulkOneDone: one of several automations was dealt with. The next was not.
	BulkOneDone Point = "bulk-one-done"
	// TokenIssued: the token of an HTTP Trigger is replaced, in a transaction that is open.
	TokenIssued Point = "token-issued"
	// SessionChanged: what a person asked of a session (stop, reply, close, open) is written, in a transaction that is
	// open.
	SessionChanged Point = "session-changed"
	// SessionChangeCommitted: that is committed. The person has no answer.
	SessionChangeCommitted Point = "session-change-committed"
)

// The points of a delivery.
const (
	// CallReceived: a call is read and let through. Nothing of it is written.
	CallReceived Point = "call-received"
	// CallStarted: its run is written, in a transaction that is open. The call itself is not.
	CallStarted Point = "call-started"
	// CallCommitted: both are committed. The caller has no answer.
	CallCommitted Point = "call-committed"
	// EventVerified: a webhook of a forge is verified. Nothing of it is written.
	EventVerified Point = "event-verified"
	// PullRequestTaken: what is known of a pull request is written, in a transaction that is open.
	PullRequestTaken Point = "pull-request-taken"
	// PullRequestChecked: what a forge answered about a pull request is written, in a transaction that is open.
	PullRequestChecked Point = "pull-request-checked"
)

// The points of a notice and its copies.
const (
	// NoticeWritten: notices are in inboxes and their copies are queued, in a transaction that is open.
	NoticeWritten Point = "notice-written"
	// CopyClaimed: a copy is this process's to send. It is not sent.
	CopyClaimed Point = "copy-claimed"
	// CopySent: it is sent. That is not noted.
	CopySent Point = "copy-sent"
	// CopyEnded: that is noted.
	CopyEnded Point = "copy-ended"
)

// The points of a hand-over: the work of a process that died, and of a worker that is gone.
const (
	// LostLocked: a session without a worker is locked. Nothing is decided about it.
	LostLocked Point = "lost-locked"
	// LostEnded: its run has ended as interrupted, in a transaction that is open.
	LostEnded Point = "lost-ended"
	// LostResumed: its run is in the queue again, in a transaction that is open.
	LostResumed Point = "lost-resumed"
	// LostCommitted: one or the other is committed.
	LostCommitted Point = "lost-committed"
	// MoveWritten: a session is taken away from a worker that is gone, in a transaction that is open.
	MoveWritten Point = "move-written"
	// StateFetched: the state of a session that was elsewhere is here as a commit. There is no worktree.
	StateFetched Point = "state-fetched"
	// StateRestored: the worktree is made from it. What was lost is not noted.
	StateRestored Point = "state-restored"
	// LeftKept: what is here of a session that went on elsewhere has a name. Its worktree is still there.
	LeftKept Point = "left-kept"
	// LeftRemoved: its worktree is gone. That the session was here is not forgotten.
	LeftRemoved Point = "left-removed"
)

// The points of a pull request that a worker opens.
const (
	// RequestTaken: a worker has begun to open a pull request.
	RequestTaken Point = "request-taken"
	// WorkCommitted: what was uncommitted is on the session's branch.
	WorkCommitted Point = "work-committed"
	// BranchPushed: the branch is at the remote. There is no pull request.
	BranchPushed Point = "branch-pushed"
	// PullRequestOpened: the forge has a pull request. The database knows nothing of it.
	PullRequestOpened Point = "pull-request-opened"
	// PullRequestNoted: the session has it. The request for it is not ended.
	PullRequestNoted Point = "pull-request-noted"
)

// The points of keeping house.
const (
	// RemovalNoted: a worktree is marked as removed. It is there.
	RemovalNoted Point = "removal-noted"
	// FolderRemoved: its folder is gone. Its branch and the names of its commits are there.
	FolderRemoved Point = "folder-removed"
	// RemovalDone: all of it is gone.
	RemovalDone Point = "removal-done"
	// HistoryPruned: a batch of old executions is removed.
	HistoryPruned Point = "history-pruned"
)

// The points of a migration, at the start of any process.
const (
	// MigrationWritten: the statements of a migration are executed, in a transaction that is open. Those before it are
	// committed.
	MigrationWritten Point = "migration-written"
	// ScratchMade: the workspace that every instance has is made, in a transaction that is open.
	ScratchMade Point = "scratch-made"
	// AdministratorMade: the first administrator is made, in a transaction that is open.
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
