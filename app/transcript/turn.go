package transcript

import (
	"time"

	"github.com/google/uuid"
)

// The kinds of events that a worker adds to those of the agent. Each has a body of its own.
const (
	KindTurn    = "turn"     // a message was given to the agent: Turn
	KindTurnEnd = "turn_end" // its answer is complete: TurnEnd
	KindRetry   = "retry"    // the message is given again later: Retry
)

// Turn begins a turn.
type Turn struct {
	ID     uuid.UUID `json:"id"`
	Kind   string    `json:"kind"`
	Label  string    `json:"label,omitempty"`
	Prompt string    `json:"prompt"`
	Author uuid.UUID `json:"author,omitzero"`
}

// TurnEnd ends a turn.
type TurnEnd struct {
	ID       uuid.UUID `json:"id"`
	Status   string    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
	Seconds  float64   `json:"seconds"`
	ExitCode *int      `json:"exit_code,omitempty"`

	Class string `json:"class,omitempty"` // of a failure
	Usage *Usage `json:"usage,omitempty"` // nil: a script, which uses none
}

// Retry announces the next attempt at a turn.
type Retry struct {
	Failed  int       `json:"failed"`  // attempts that have failed so far
	Allowed int       `json:"allowed"` // attempts in all
	At      time.Time `json:"at"`
}
