package jobs

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/transcript"
)

// The variables by which a script reaches the MCP server. A script has no tools, but may send requests itself.
const (
	envMCP      = "CARILLON_MCP_URL"
	envMCPToken = "CARILLON_MCP_TOKEN"
)

// grantTools makes the session's token valid for a turn, and gives the MCP server or the environment by which the agent
// reaches Carillon's tools.
func (w *work) grantTools(ctx context.Context, p agent.Provider, turn uuid.UUID) ([]agent.MCPServer, []string, error) {
	if w.MCP == "" {
		return nil, nil, nil
	}
	err := w.retry(ctx, "admit the session's agent", func(ctx context.Context) error {
		return w.Rules.Agents().IssueToken(ctx, w.lease, turn, w.token)
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

// revokeTools makes the token invalid at the end of the turn, and records refused calls in the transcript. If this
// fails, the end of the turn in the database makes the token invalid.
func (w *work) revokeTools(ctx context.Context) {
	if w.MCP == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	if err := w.Rules.Agents().EndTokens(ctx, w.lease); err != nil {
		w.Log.Warn("end the session's token", "session", w.session.ID, "err", err)
	}
	w.recordRefusedCalls(ctx)
}

// recordRefusedCalls adds refused calls of tools to the transcript. The transaction that writes the event also removes
// the call from the table of unrecorded calls. Earlier events of this kind must be written first, or their calls would
// be recorded twice.
func (w *work) recordRefusedCalls(ctx context.Context) {
	refused, err := []automation.RefusedCall(nil), w.transcript.waitForLinked(ctx)
	if err == nil {
		refused, err = w.Rules.Agents().RefusedCalls(ctx, w.session.ID)
	}
	if err != nil { // the calls stay in the table and are recorded later
		w.Log.Warn("read the session's refused calls", "session", w.session.ID, "err", err)
		return
	}
	for _, c := range refused {
		w.transcript.addWith(transcript.KindPermission, transcript.Event{
			Kind: transcript.KindPermission, Text: c.Text(),
		}, func(ctx context.Context, tx bun.Tx) error {
			return w.Rules.Agents().DropRefusedCall(ctx, tx, c)
		})
	}
}
