// Package transcript has the kinds and bodies of the events of a session. A worker writes them as rows, and pages, the
// API and exports read them.
package transcript

import "encoding/json"

// The kinds of Event, which an agent's program makes.
const (
	KindText       = "text"       // the answer, in pieces
	KindThought    = "thought"    // the agent thinking aloud, in pieces
	KindTool       = "tool"       // a tool call began (Done false) or ended
	KindPlan       = "plan"       // the agent's list of steps, whole each time
	KindPermission = "permission" // the agent asked whether it may; OK is our answer
	KindWarning    = "warning"    // something a reader should know
	KindLog        = "log"        // what the agent says about itself
	KindOutput     = "output"     // a piece of Stream; the pieces of a stream joined are the whole

	// KindConversation names the conversation (ID) that the turn is in, once, as soon as the agent does. It is not
	// written of a turn that goes on with the conversation that it was given.
	KindConversation = "conversation"
)

// Event is something that happened during a turn. Text is valid UTF-8 without NUL.
type Event struct {
	Kind   string          `json:"kind"`
	ID     string          `json:"id,omitempty"` // of a tool call or a message; the same again is its continuation
	Text   string          `json:"text,omitempty"`
	Stream string          `json:"stream,omitempty"` // of an output: stdout or stderr
	Tool   *Tool           `json:"tool,omitempty"`
	Plan   []Step          `json:"plan,omitempty"`
	Done   bool            `json:"done,omitempty"`
	OK     bool            `json:"ok,omitempty"`
	Raw    json.RawMessage `json:"raw,omitempty"` // what the agent sent, if it is at most 64 KiB
}

// Tool is a call of one of the agent's tools. A later event of the same ID has what is new, which
// takes the place of what was; an empty field means nothing new.
type Tool struct {
	Name   string          `json:"name,omitempty"`  // the agent's name: Bash, Write, apply_patch
	Kind   string          `json:"kind,omitempty"`  // read edit delete move search execute think fetch other
	Title  string          `json:"title,omitempty"` // one line for a person
	Input  json.RawMessage `json:"input,omitempty"`
	Result string          `json:"result,omitempty"`
	Edits  []Edit          `json:"edits,omitempty"`
}

// Edit is a file that a tool call changed. Old and New are whole texts or the changed parts, as far
// as the agent tells them.
type Edit struct {
	Path   string `json:"path"`
	Action string `json:"action"` // add update delete
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

// Step is a line of a plan.
type Step struct {
	Text  string `json:"text"`
	State string `json:"state"` // pending in_progress completed
}

// Usage is what a turn used. Known false means that the agent did not tell: unknown, not zero.
// Input counts tokens that came from no cache.
type Usage struct {
	Known      bool    `json:"known"`
	Input      int64   `json:"input"`
	CacheRead  int64   `json:"cacheRead"`
	CacheWrite int64   `json:"cacheWrite"`
	Output     int64   `json:"output"`
	CostKnown  bool    `json:"costKnown"`
	CostUSD    float64 `json:"costUSD"` // the program's own estimate
}

// Add returns the sum of two usages, known where either is.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Known: u.Known || v.Known, Input: u.Input + v.Input, CacheRead: u.CacheRead + v.CacheRead,
		CacheWrite: u.CacheWrite + v.CacheWrite, Output: u.Output + v.Output,
		CostKnown: u.CostKnown || v.CostKnown, CostUSD: u.CostUSD + v.CostUSD,
	}
}

// AtLeast returns of each number the greater one, for two counts of the same turn of which either may be less than the
// truth. What is known is what is known of u.
func (u Usage) AtLeast(v Usage) Usage {
	u.Input, u.CacheRead = max(u.Input, v.Input), max(u.CacheRead, v.CacheRead)
	u.CacheWrite, u.Output = max(u.CacheWrite, v.CacheWrite), max(u.Output, v.Output)
	u.CostUSD = max(u.CostUSD, v.CostUSD)
	return u
}

// Tokens is how many there are in all.
func (u Usage) Tokens() int64 { return u.Input + u.CacheRead + u.CacheWrite + u.Output }
