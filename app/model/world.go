// Package model states the rules of automations a second time, in memory and in the words of the specification, so that
// what Carillon does with real rows can be compared with it after any sequence of acts. It is written from the
// specification alone: it imports nothing that it judges. Each rule quotes the sentence that it states; where the
// specification leaves something open, the comment says "Open:" and what Carillon chose.
//
// Its tests draw sequences of acts from seeds and let them happen to both: make prove STEPS=1000000 SEED=1. The first
// difference of a sequence is made as small as it can be and printed as a Go test, with the seed that leads to it
// again.
package model

import (
	"slices"
	"time"
)

// Trigger is an automation type. Specification: "Automation types".
type Trigger string

// The automation types.
const (
	Manual    Trigger = "manual"
	OneTime   Trigger = "one_time"
	Recurring Trigger = "recurring"
	Loop      Trigger = "loop"
	HTTP      Trigger = "http"
)

// Settings are what people set of an automation.
type Settings struct {
	Trigger       Trigger
	Prompt        string
	Cron, Zone    string    // of a Recurring; the zone of a One-Time too
	RunAt         time.Time // of a One-Time
	CatchUp       bool      // "Auto-Execute Missed Runs on Startup", of a Recurring
	MaxIterations int       // "Maximum iterations", of a Loop; 0: none
	StopText      string    // "Stop when the final answer contains", of a Loop
	Parallel      bool      // "Allow Parallel Sessions", of an HTTP Trigger
	MaxParallel   int       // a cap that a person typed; 0: none
	AutoComplete  bool      // "Auto-Complete Session"
	OnlyUnchanged bool      // "Complete only if no file changes"
	MostTurns     int       // a budget: messages to the agent a day; 0: none
	// Flow is the number of the workflow it runs, with the values stored for its two parameters; 0: none, its prompt;
	// -1: one that was removed. Branch is the parameter target, "main" by default, and Ticket is required.
	Flow           int
	Branch, Ticket string
}

// Person is somebody with an account.
type Person struct {
	Name                     string
	Admin, ManageAll, Manage bool
	ViewAll, ViewOwn         bool
	Inactive, Outside        bool // has no active account; is no member of the workspace
	told                     map[*Automation]bool
	toldSession              map[*Session]bool
}

// Automation is one automation with its history.
type Automation struct {
	Settings
	N          int // its number, from 0
	Owner      *Person
	Gone       bool // deleted
	Enabled    bool
	Over       bool      // it is off because it ran, came to nothing or failed, not because a person said so
	Due        time.Time // when the scheduler deals with it next; zero: not
	Since      time.Time // since when this schedule is in force
	Strikes    int       // failures in a row
	Iterations int       // of a Loop
	Rows       []*Row    // the execution history
	streak     *Row      // the skips that go on
	Token      int       // the number of the token that works; 0: none does
	Calls      int       // that were answered, whatever with
}

// Row is one entry of the execution history.
type Row struct {
	Of        *Automation
	Source    string // schedule, manual, webhook
	Mark      string // loop, catch_up
	Status    string
	By        *Person // of Run Now: who
	Token     int     // of a call: the number of the token that was used
	For, Last time.Time
	Count     int
	Created   time.Time
	Session   *Session
	As        Settings // the automation as it was when it fired
	Why       string   // of what did not run or failed: start, budget, agent, ...
	Turns     int
	Iteration int
	Text      string // of a call: the prompt with its values
	answer    string
	worked    time.Duration // in earlier attempts and before resumes
	attempts  map[string]int
	tired     bool      // it was lost too often to be resumed once more
	skipped   []*Person // who was told that it is in the way
}

// InFlight reports whether a run has yet to end. Behaviour, "In flight": "an execution that is queued or running".
func (r *Row) InFlight() bool { return r.Status == "queued" || r.Status == "running" }

// Session is one conversation with an agent.
type Session struct {
	N       int
	Owner   *Person
	Of      *Automation
	Row     *Row
	Status  string    // queued, in_progress, waiting, done, canceled
	From    time.Time // when a queued one may be taken
	EndedAt time.Time // when its agent stopped last
	Given   bool      // the agent has been given a message that has not ended
	Busy    bool      // by the worker that has it now
	Prompt  bool      // the run's own message waits or is at work
	Replies int       // messages of people that wait
	StopBy  *Person   // who has asked to stop what is at work
	Resumes int
	Pull    string    // its pull request: open, closed, merged; empty: none
	settled bool      // the end of the pull request was applied
	closing []*Person // who was told of its closing
	since   time.Time // since when a worker has it
	had     bool      // a worker has had it
	outages int
}

// Open reports whether a session is idle and wants a person.
func (s *Session) Open() bool { return s.Status == "waiting" }

func (s *Session) closed() bool { return s.Status == "done" || s.Status == "canceled" }

// Notice is something in an inbox.
type Notice struct {
	To   string
	Kind string
	Of   int // automation
}

// World is everything that an act can change.
type World struct {
	Now         time.Time
	People      []*Person
	Automations []*Automation
	Sessions    []*Session
	Notices     []Notice
	Tokens      []*Automation // whose each token is that was ever issued
	Flows       int           // how many workflows there were; the last one is there
	back        time.Time     // since when Carillon has been running
}

// inFlight lists the runs of an automation that have yet to end, the oldest first.
func (a *Automation) inFlight() []*Row {
	var list []*Row
	for _, r := range a.Rows {
		if r.InFlight() {
			list = append(list, r)
		}
	}
	return list
}

// last is the newest row that the schedule wrote or that has a session.
func (a *Automation) last() *Row {
	for _, r := range slices.Backward(a.Rows) {
		if r.Source == "schedule" || r.Session != nil {
			return r
		}
	}
	return nil
}

// iteration is the newest run that the schedule started.
func (a *Automation) iteration() *Row {
	for _, r := range slices.Backward(a.Rows) {
		if r.Source == "schedule" && r.Session != nil {
			return r
		}
	}
	return nil
}

// answered reports whether a row of the schedule is for a due time.
func (a *Automation) answered(due time.Time) bool {
	return slices.ContainsFunc(a.Rows, func(r *Row) bool { return r.Source == "schedule" && r.For.Equal(due) })
}

func (a *Automation) scheduled() bool {
	return a.Trigger == OneTime || a.Trigger == Recurring || a.Trigger == Loop
}

// Start says that Carillon starts again.
func (w *World) Start() { w.back = w.Now }

// Waits reports whether something is due.
func (w *World) Waits() bool {
	for _, a := range w.Automations {
		if !a.Gone && a.Enabled && !a.Due.IsZero() && !a.Due.After(w.Now) {
			return true
		}
	}
	return false
}
