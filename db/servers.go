package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Server is a process that runs no agents, with the state of its machine.
type Server struct {
	ID      string
	Name    string // of its machine
	SeenAt  time.Time
	Machine Machine
}

// SaveServer writes the state of a process that runs no agents, and that it is alive.
func SaveServer(ctx context.Context, q bun.IDB, s *Server) error {
	machine, err := json.Marshal(s.Machine)
	if err == nil {
		_, err = q.NewRaw(`INSERT INTO servers (id, name, seen_at, machine) VALUES (?, ?, ?, ?::jsonb)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at,
				machine = excluded.machine`,
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

// DeleteServers removes the processes that run no agents and were last seen before a time.
func DeleteServers(ctx context.Context, q bun.IDB, before time.Time) error {
	if _, err := q.NewRaw("DELETE FROM servers WHERE seen_at < ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("forget servers: %w", err)
	}
	return nil
}
