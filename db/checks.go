package db

// Gate is what must hold before a run begins. Checking it costs no tokens. The zero Gate lets every run through.
type Gate struct {
	Command     string `json:"command,omitempty"`      // a script in a fresh worktree; exit status 0 lets the run through
	BranchMoved bool   `json:"branch_moved,omitempty"` // the base branch moved since the last success
	NoOpenPR    bool   `json:"no_open_pr,omitempty"`   // no pull request of the automation's sessions is open
}

// Set reports whether there is anything to check.
func (g Gate) Set() bool { return g != Gate{} }

// SuccessCheck is what must hold at the end of a run for it to count as a success. The zero SuccessCheck asks for nothing.
type SuccessCheck struct {
	Command      string `json:"command,omitempty"` // a script in the worktree; exit status 0 is right
	Contains     string `json:"contains,omitempty"`
	FilesChanged bool   `json:"files_changed,omitempty"`
	PullRequest  bool   `json:"pull_request,omitempty"` // the session has one
}

// Set reports whether there is anything to check.
func (c SuccessCheck) Set() bool { return c != SuccessCheck{} }

// Limits are the most that may be used. Zero is without limit.
type Limits struct {
	Money   float64 `json:"money,omitempty"` // in US dollars
	Tokens  int64   `json:"tokens,omitempty"`
	Turns   int     `json:"turns,omitempty"`
	Minutes float64 `json:"minutes,omitempty"`
}

// Set reports whether anything is limited.
func (l Limits) Set() bool { return l != Limits{} }

// Budget limits what an automation uses: each run, and all runs that begin on a day or in a month.
type Budget struct {
	Run   Limits `json:"run,omitzero"`
	Day   Limits `json:"day,omitzero"`
	Month Limits `json:"month,omitzero"`
}

// Set reports whether anything is limited.
func (b Budget) Set() bool { return b != Budget{} }

// NothingToDo is the result of a run that succeeded by finding nothing to do.
const NothingToDo = "nothing_to_do"
