package mcp

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestWhileTheDatabaseIsAwayAToolSaysToTryAgain(t *testing.T) {
	t.Parallel()
	c := &caller{server: &Server{Log: slog.New(slog.DiscardHandler)}, request: "r1"}
	if err := c.problem(t.Context(), "list_tickets", fmt.Errorf("list tickets: %w", io.ErrUnexpectedEOF)); err == nil ||
		!strings.Contains(err.Error(), "try again in 5 seconds") {
		t.Errorf("the tool says %v; want to try again", err)
	}
	if err := c.problem(t.Context(), "list_tickets", fmt.Errorf("list tickets: %w", io.ErrShortBuffer)); err == nil ||
		!strings.Contains(err.Error(), "noted as r1") {
		t.Errorf("the tool says %v of a fault of ours; want its number", err)
	}
}
