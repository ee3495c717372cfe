package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Machine is what a process found of the machine that it runs on, as far as it keeps agents and scripts from the rest.
type Machine struct {
	Roles []string `json:"roles,omitempty"` // of the process: web, scheduler, worker
	Root  bool     `json:"root,omitempty"`  // it runs as root

	AgentUser string `json:"agent_user,omitempty"` // as whom agents and scripts run; empty: the process's own user
	Apart     bool   `json:"apart,omitempty"`      // programs of that user, of different runs, are kept apart
	// Unreached are those of Shows that AgentUser cannot look at.
	Unreached []string `json:"unreached,omitempty"`

	Bubblewrap   string `json:"bubblewrap,omitempty"`    // its version; empty: it is not there, or did not tell
	NoSandbox    string `json:"no_sandbox,omitempty"`    // why no sandbox can be had; empty: it can
	Namespace    string `json:"namespace,omitempty"`     // of users, in a sandbox: closed, open or none
	NoOffline    string `json:"no_offline,omitempty"`    // why a sandbox cannot be without a network; empty: it can
	ConfinesNew  bool   `json:"confines_new,omitempty"`  // the settings want a sandbox for new workspaces
	Shell        bool   `json:"shell,omitempty"`         // the Shell provider can be used
	CountsLimits bool   `json:"counts_limits,omitempty"` // the system can tell what a run uses
	Processes    int    `json:"processes,omitempty"`     // that a message's agent may have at once; 0: no limit
	Memory       int64  `json:"memory,omitempty"`        // in bytes, that it may use; 0: no limit

	Disk   int64 `json:"disk,omitempty"`    // in bytes of files, that it may write; 0: no limit
	Room   int64 `json:"room,omitempty"`    // in bytes, that is to be free where runs write; 0: no limit
	NoRoom bool  `json:"no_room,omitempty"` // less is free

	Hides []string `json:"hides,omitempty"` // paths that the settings hide beside what always is
	Shows []string `json:"shows,omitempty"` // paths of homes that the settings show

	OwnDatabase bool     `json:"own_database,omitempty"` // the embedded PostgreSQL, else one of others
	Logs        []string `json:"logs,omitempty"`         // settings by which the database logs values of statements
	LogsUnknown bool     `json:"logs_unknown,omitempty"` // they could not be read
}

// The values of Machine.Namespace.
const (
	NamespaceClosed = "closed" // its own, in which no further ones can be made
	NamespaceOpen   = "open"   // its own, in which further ones can be made
	NamespaceNone   = "none"   // that of the process
)

// Server is a process that runs no agents, with what holds on its machine.
type Server struct {
	ID      string
	Name    string // of its machine
	SeenAt  time.Time
	Machine Machine
}

// SaveServer writes what a process that runs no agents found, and that it lives.
func SaveServer(ctx context.Context, q bun.IDB, s *Server) error {
	machine, err := json.Marshal(s.Machine)
	if err == nil {
		_, err = q.NewRaw(`INSERT INTO servers (id, name, seen_at, machine) VALUES (?, ?, ?, ?::jsonb)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, machine = excluded.machine`,
			s.ID, s.Name, s.SeenAt, string(machine)).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("save server %s: %w", s.ID, err)
	}
	return nil
}

// Servers lists the processes that run no agents and were seen since a time, by their names.
func Servers(ctx context.Context, q bun.IDB, since time.Time) ([]Server, error) {
	var rows []struct {
		ID      string    `bun:"id"`
		Name    string    `bun:"name"`
		SeenAt  time.Time `bun:"seen_at"`
		Machine string    `bun:"machine"`
	}
	err := q.NewRaw("SELECT id, name, seen_at, machine::text AS machine FROM servers WHERE seen_at > ? ORDER BY "+
		"name, id", since).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list servers: %w", err)
	}
	list := make([]Server, len(rows))
	for i, r := range rows {
		list[i] = Server{ID: r.ID, Name: r.Name, SeenAt: r.SeenAt}
		if err := json.Unmarshal([]byte(r.Machine), &list[i].Machine); err != nil {
			return nil, fmt.Errorf("read server %s: %w", r.ID, err)
		}
	}
	return list, nil
}

// ForgetServers removes the processes that run no agents and were last seen before a time.
func ForgetServers(ctx context.Context, q bun.IDB, before time.Time) error {
	if _, err := q.NewRaw("DELETE FROM servers WHERE seen_at < ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("forget servers: %w", err)
	}
	return nil
}

// UnconfinedFilter narrows the list of workspaces without a sandbox. Zero fields do not narrow.
type UnconfinedFilter struct {
	Member uuid.UUID // of whom they are
	After  uuid.UUID // workspaces after this one, by name
	Before uuid.UUID // workspaces before this one
	Limit  int
}

// Unconfined lists the workspaces in use whose agents and scripts run without a sandbox, by name. With Before they are
// those
// nearest to it, in the same order.
func Unconfined(ctx context.Context, q bun.IDB, f UnconfinedFilter) ([]Workspace, error) {
	var list []Workspace
	sel := q.NewSelect().Model(&list).Where("NOT w.sandbox").Where("w.removed_at IS NULL").Limit(int64(f.Limit))
	if f.Member != uuid.Nil {
		sel = sel.Where("w.id IN (SELECT workspace_id FROM workspace_members WHERE user_id = ?)", f.Member)
	}
	if f.After != uuid.Nil {
		sel = sel.Where("(lower(w.name), w.id) > (SELECT lower(name), id FROM workspaces WHERE id = ?)", f.After)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("(lower(w.name), w.id) < (SELECT lower(name), id FROM workspaces WHERE id = ?)", f.Before).
			OrderExpr("lower(w.name) DESC, w.id DESC")
	} else {
		sel = sel.OrderExpr("lower(w.name), w.id")
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list workspaces without a sandbox: %w", err)
	}
	if f.Before != uuid.Nil {
		slices.Reverse(list)
	}
	return list, nil
}

// CountUnconfined counts the workspaces in use without a sandbox, up to most.
func CountUnconfined(ctx context.Context, q bun.IDB, most int) (int, error) {
	var n int
	err := q.NewRaw("SELECT count(*) FROM (SELECT 1 FROM workspaces WHERE NOT sandbox AND removed_at IS NULL LIMIT "+
		"?) AS counted", most).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count workspaces without a sandbox: %w", err)
	}
	return n, nil
}
