package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Worker is a process that runs agents, with the state of its machine.
type Worker struct {
	ID        string                    // the name in its leases
	Name      string                    // of its machine
	SeenAt    time.Time                 // when it last reported
	Slots     int                       // sessions that it runs at once; 0: unknown
	Providers map[string]WorkerProvider // detected providers, by id
	Machine   Machine                   // state of its machine; without roles it is unknown
}

// Has reports whether a worker has detected a provider whose program can run.
func (w *Worker) Has(provider string) bool {
	found, looked := w.Providers[provider]
	return looked && found.Problem == ""
}

// WorkerProvider is the result of a worker's detection of a provider. With an empty Problem its program can run.
type WorkerProvider struct {
	Path        string   `json:"path,omitempty"`
	Version     string   `json:"version,omitempty"`
	Problem     string   `json:"problem,omitempty"`
	Models      []string `json:"models,omitempty"`       // listed by the agent
	ListProblem string   `json:"list_problem,omitempty"` // why it could not list its models
	SignedIn    string   `json:"signed_in,omitempty"`    // variable or file with its credentials; empty: none was found
	Keys        []string `json:"keys,omitempty"`         // names of set variables with credentials
}

// WorkerSilence is how long a worker may be silent and still count as alive.
const WorkerSilence = 2 * time.Minute

// providersOfOthers is SQL that selects the providers that this worker has not detected and that another worker has,
// which was seen since a time. worker and since are placeholders.
func providersOfOthers(worker, since string) string {
	return `SELECT found.key FROM workers w, jsonb_each(w.providers) AS found
		WHERE (w.seen_at > ` + since + ` OR w.id = ` + worker + `) AND found.value->>'problem' IS NULL
		GROUP BY found.key HAVING NOT bool_or(w.id = ` + worker + `)`
}

// SaveWorker writes the state of a worker, and that it is alive.
func SaveWorker(ctx context.Context, q bun.IDB, w *Worker) error {
	found := w.Providers
	if found == nil {
		found = map[string]WorkerProvider{} // an object and not null, as readers expect
	}
	providers, err := json.Marshal(found)
	machine, machineErr := json.Marshal(w.Machine)
	if err = errors.Join(err, machineErr); err == nil {
		_, err = q.NewRaw(`INSERT INTO workers (id, name, seen_at, places, providers, machine)
			VALUES (?, ?, ?, ?, ?::jsonb, ?::jsonb)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at, places = excluded.places,
				providers = excluded.providers, machine = excluded.machine`,
			w.ID, w.Name, w.SeenAt, w.Slots, string(providers), string(machine)).Exec(ctx)
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
		Places    int       `bun:"places"`
		Providers string    `bun:"providers"`
		Machine   string    `bun:"machine"`
	}
	err := q.NewRaw(`SELECT id, name, seen_at, places, providers::text AS providers, machine::text AS machine
		FROM workers
		WHERE seen_at > ? ORDER BY name, id`, since).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	list := make([]Worker, len(rows))
	for i, r := range rows {
		list[i] = Worker{ID: r.ID, Name: r.Name, SeenAt: r.SeenAt, Slots: r.Places}
		err := errors.Join(json.Unmarshal([]byte(r.Providers), &list[i].Providers),
			json.Unmarshal([]byte(r.Machine), &list[i].Machine))
		if err != nil {
			return nil, fmt.Errorf("read worker %s: %w", r.ID, err)
		}
	}
	return list, nil
}

// WorkerByID finds a worker, also a silent one. It returns nil when there is none.
func WorkerByID(ctx context.Context, q bun.IDB, id string) (*Worker, error) {
	list, err := WorkersByID(ctx, q, []string{id})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	w := list[id]
	return &w, nil
}

// WorkersByID finds workers by their ids, also silent ones, without their providers and machines.
func WorkersByID(ctx context.Context, q bun.IDB, ids []string) (map[string]Worker, error) {
	var rows []struct {
		ID     string    `bun:"id"`
		Name   string    `bun:"name"`
		SeenAt time.Time `bun:"seen_at"`
		Places int       `bun:"places"`
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err := q.NewRaw("SELECT id, name, seen_at, places FROM workers WHERE id IN (?)", bun.List(ids)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("find workers: %w", err)
	}
	found := make(map[string]Worker, len(rows))
	for _, r := range rows {
		found[r.ID] = Worker{ID: r.ID, Name: r.Name, SeenAt: r.SeenAt, Slots: r.Places}
	}
	return found, nil
}

// WorkerFound reads the providers that a worker has detected, at any time.
func WorkerFound(ctx context.Context, q bun.IDB, id string) (map[string]WorkerProvider, error) {
	var raw string
	err := q.NewRaw("SELECT providers::text FROM workers WHERE id = ?", id).Scan(ctx, &raw)
	if IsNotFound(err) {
		return nil, nil
	}
	var found map[string]WorkerProvider
	if err == nil {
		err = json.Unmarshal([]byte(raw), &found)
	}
	if err != nil {
		return nil, fmt.Errorf("read worker %s: %w", id, err)
	}
	return found, nil
}

// DeleteWorkers removes the workers that were last seen before a time.
func DeleteWorkers(ctx context.Context, q bun.IDB, before time.Time) error {
	if _, err := q.NewRaw("DELETE FROM workers WHERE seen_at < ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("forget workers: %w", err)
	}
	return nil
}
