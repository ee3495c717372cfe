package jobs

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/transcript"
)

// The environment by which a script reaches the MCP server: it has no tools, but may ask with a request of its own.
const (
	envMCP      = "CARILLON_MCP_URL"
	envMCPToken = "CARILLON_MCP_TOKEN"
)

// admit makes the session's token good for a turn, and says how its agent reaches Carillon's tools.
func (w *work) admit(ctx context.Context, p agent.Provider, turn uuid.UUID) ([]agent.MCPServer, []string, error) {
	if w.MCP == "" {
		return nil, nil, nil
	}
	err := w.steady(ctx, "admit the session's agent", func(ctx context.Context) error {
		return w.Rules.AdmitSession(ctx, w.lease, turn, w.token)
	})
	if err != nil {
		return nil, nil, err
	}
	if p.Driver == agent.DriverShell {
		return nil, []string{envMCP + "=" + w.MCP, envMCPToken + "=" + w.token}, nil
	}
	return []agent.MCPServer{{
		Name: "carillon", URL: w.MCP, Headers: map[string]string{"Authorization": "Bearer " + w.token},
	}}, nil, nil
}

// dismiss ends the token with the turn, and tells in the transcript which calls it was refused. Where the former fails,
// the end of the turn in the database ends it.
func (w *work) dismiss(ctx context.Context) {
	if w.MCP == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryWithin)
	defer cancel()
	if err := w.Rules.DismissSession(ctx, w.lease); err != nil {
		w.Log.Warn("end the session's token", "session", w.session.ID, "err", err)
	}
	w.tellRefused(ctx)
}

// tellRefused tells in the transcript which calls of tools were refused. They leave the table of those that it does not
// hold in the transaction that writes them into it. Those of before that still wait for it are waited for; else they
// would be told twice.
func (w *work) tellRefused(ctx context.Context) {
	refused, err := []automation.RefusedCall(nil), w.transcript.settled(ctx)
	if err == nil {
		refused, err = w.Rules.RefusedCalls(ctx, w.session.ID)
	}
	if err != nil { // they stay, and are told later
		w.Log.Warn("read the session's refused calls", "session", w.session.ID, "err", err)
		return
	}
	for _, c := range refused {
		w.transcript.addWith(transcript.KindPermission, transcript.Event{
			Kind: transcript.KindPermission, Text: c.Text(),
		}, func(ctx context.Context, tx bun.Tx) error {
			return w.Rules.ToldRefusedCall(ctx, tx, c)
		})
	}
}
