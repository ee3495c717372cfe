package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Worker is a process that runs agents, with what it found on its machine.
type Worker struct {
	ID        string                    // the name under which it holds sessions
	Name      string                    // of its machine
	SeenAt    time.Time                 // when it last said that it lives
	Providers map[string]WorkerProvider // those that it has looked for, by id
}

// WorkerProvider is what a worker found of a provider. An empty Problem: its program can run.
type WorkerProvider struct {
	Path        string   `json:"path,omitempty"`
	Version     string   `json:"version,omitempty"`
	Problem     string   `json:"problem,omitempty"`
	Models      []string `json:"models,omitempty"`       // listed by the agent itself
	ListProblem string   `json:"list_problem,omitempty"` // why it could not list them
	Keys        []string `json:"keys,omitempty"`         // names of the variables that are set by which it may sign in
}

// SaveWorker writes what a worker found, and that it lives.
func SaveWorker(ctx context.Context, q bun.IDB, w *Worker) error {
	providers, err := json.Marshal(w.Providers)
	if err == nil {
		_, err = q.NewRaw(`INSERT INTO workers (id, name, seen_at, providers) VALUES (?, ?, ?, ?::jsonb)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, providers = excluded.providers`,
			w.ID, w.Name, w.SeenAt, string(providers)).Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("save worker %s: %w", w.ID, err)
	}
	return nil
}

// Workers lists the workers that were seen since a time, by their names.
func Workers(ctx context.Context, q bun.IDB, since time.Time) ([]Worker, error) {
	var rows []struct {
		ID        string    `bun:"id"`
		Name      string    `bun:"name"`
		SeenAt    time.Time `bun:"seen_at"`
		Providers string    `bun:"providers"`
	}
	err := q.NewRaw("SELECT id, name, seen_at, providers::text AS providers FROM workers WHERE seen_at > ? ORDER BY name, id", since).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	list := make([]Worker, len(rows))
	for i, r := range rows {
		list[i] = Worker{ID: r.ID, Name: r.Name, SeenAt: r.SeenAt}
		if err := json.Unmarshal([]byte(r.Providers), &list[i].Providers); err != nil {
			return nil, fmt.Errorf("read worker %s: %w", r.ID, err)
		}
	}
	return list, nil
}

// ForgetWorkers removes the workers that were last seen before a time.
func ForgetWorkers(ctx context.Context, q bun.IDB, before time.Time) error {
	if _, err := q.NewRaw("DELETE FROM workers WHERE seen_at < ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("forget workers: %w", err)
	}
	return nil
}
