package mcp

import (
	"context"
	"strconv"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/automation"
)

type claimArgs struct {
	Label string `json:"label,omitempty" jsonschema:"only tickets with this label"`
}

type claimResult struct {
	Found  bool          `json:"found"` // false: the queue is empty
	Ticket *ticketResult `json:"ticket,omitempty"`
}

type reportArgs struct {
	Outcome string `json:"outcome" jsonschema:"done, nothing_to_do, blocked or failed"`
	Summary string `json:"summary" jsonschema:"what was found and done, for a person; Markdown"`
	Ticket  int64  `json:"ticket,omitempty" jsonschema:"number of the ticket that it is about; left out: the one that this session has claimed, if any"`
}

type messageArgs struct {
	Title string `json:"title"`
	Body  string `json:"body" jsonschema:"plain text"`
	To    string `json:"to,omitempty" jsonschema:"e-mail address of a member of the workspace; left out: the owner of this session and the creator of its automation"`
}

type doneResult struct {
	Message string `json:"message"`
}

// sessionTools are those that only a session has.
func (c *caller) sessionTools(server *sdk.Server) {
	add(c, server, "claim_next_ticket",
		"Take the next ticket of the queue: the most urgent, and of those the oldest. It is this session's from then "+
			"on, and no other session gets it. "+
			"While the ticket is in progress, calling this again answers with the same one.", false, c.claimTicket)
	add(c, server, "report_result",
		"Report what came of the work, for people to read beside the session and the ticket.", false, c.report)
	add(c, server, "send_inbox_message",
		"Write to people's inboxes. Use it for what they should know or decide, not for progress.", false,
		c.sendMessage)
}

func (c *caller) claimTicket(ctx context.Context, in claimArgs) (claimResult, error) {
	t, err := c.server.Tickets.Claim(ctx, c.actor, in.Label)
	if err != nil || t == nil {
		return claimResult{}, err
	}
	r := c.ticketResult(t)
	return claimResult{Found: true, Ticket: &r}, nil
}

func (c *caller) report(ctx context.Context, in reportArgs) (doneResult, error) {
	_, err := c.server.Rules.Agents().Report(ctx, c.actor, automation.ReportInput{
		Outcome: in.Outcome, Summary: in.Summary, Ticket: in.Ticket,
	})
	return doneResult{"Reported."}, err
}

func (c *caller) sendMessage(ctx context.Context, in messageArgs) (doneResult, error) {
	n, err := c.server.Rules.Agents().Message(ctx, c.actor,
		automation.MessageInput{Title: in.Title, Body: in.Body, To: in.To})
	return doneResult{"Sent to " + strconv.Itoa(n) + "."}, err
}
