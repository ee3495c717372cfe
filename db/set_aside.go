package db

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// SetAside is a row that a task could not process. It rests for a time, and the task continues with the other rows.
type SetAside struct {
	bun.BaseModel `bun:"table:set_aside,alias:sa"`

	Task  Task      `bun:"task,pk"`
	Key   string    `bun:"key,pk"`
	About string    `bun:"about"` // what the row is, as a text
	Since time.Time `bun:"since"` // first failure in a row
	Times int       `bun:"times"` // failures in a row
	Until time.Time `bun:"until"` // end of its rest
	Error string    `bun:"error"` // the last failure, as a text

	// Oldest is since when rows of the same task have been set aside without a break. A row that was not tried again
	// long after its rest does not count, because it does not exist any more.
	Oldest time.Time `bun:"oldest,scanonly"`
}

// Task is a job that processes many people's rows.
type Task string

// The tasks that set rows aside.
const (
	TaskStart Task = "start" // due automations; keys are their ids
	TaskGates Task = "gates" // loops that a review holds; keys are ids of automations
	// the search for lost schedules and for gaps; keys are ids of automations, and steps
	TaskWatch        Task = "watch"
	TaskReap         Task = "reap"          // sessions whose worker is gone; keys are their ids
	TaskPullRequests Task = "pull_requests" // keys are ids of pull requests, of sessions without one, and steps
	TaskForges       Task = "forges"        // keys are ids of workspaces
	TaskSweep        Task = "sweep"         // keys are steps, and ids of automations with old history
	TaskWorktrees    Task = "worktrees"     // keys are ids of sessions, and steps of a worker
	TaskIdle         Task = "idle"          // open sessions to close; keys are their ids
	TaskPack         Task = "pack"          // keys are a worker with ids of workspaces
	TaskEmails       Task = "emails"        // keys are ids of copies
	TaskWebhooks     Task = "webhooks"      // keys are ids of copies
)

// The first rest of a row, which doubles with each failure, and the longest one.
const (
	FirstRest   = 15 * time.Second
	LongestRest = time.Hour
)

// AddSetAside sets a row aside, or doubles the rest of a row that is set aside already. It fills in Since, Times, Until
// and Oldest.
func AddSetAside(ctx context.Context, q bun.IDB, a *SetAside, now time.Time) error {
	err := q.NewRaw(`INSERT INTO set_aside AS sa (task, key, about, since, times, until, error)
		VALUES (?0, ?1, ?2, ?3, 1, ?3::timestamptz + make_interval(secs => ?4), ?5)
		ON CONFLICT (task, key) DO UPDATE SET about = excluded.about, times = sa.times + 1, error = excluded.error,
			until = ?3::timestamptz + make_interval(secs => least(?6::float8,
				?4::float8 * power(2, least(sa.times, 30))))
		RETURNING *, (SELECT least(sa.since, min(o.since)) FROM set_aside o
			WHERE o.task = ?0 AND o.until > ?3::timestamptz - 2 * make_interval(secs => ?6)) AS oldest`,
		a.Task, a.Key, a.About, now, FirstRest.Seconds(), a.Error, LongestRest.Seconds()).Scan(ctx, a)
	if err != nil {
		return fmt.Errorf("set %s aside: %w", a.About, err)
	}
	return nil
}

// EndSetAside deletes the records of rows of a task that were processed.
func EndSetAside(ctx context.Context, q bun.IDB, task Task, keys ...string) error {
	if _, err := q.NewDelete().Model((*SetAside)(nil)).Where("task = ?", task).Where("key = ANY(?)", textArray(keys)).
		Exec(ctx); err != nil {
		return fmt.Errorf("end what is set aside: %w", err)
	}
	return nil
}

// EndRest ends the rest of a row: it is tried again now.
func EndRest(ctx context.Context, q bun.IDB, task Task, key string, now time.Time) error {
	_, err := q.NewUpdate().Model((*SetAside)(nil)).Set("until = ?", now).
		Where("task = ? AND key = ? AND until > ?", task, key, now).Exec(ctx)
	return wrap(err, "end a rest")
}

// SetAsideOf finds the rows that a task has set aside, with the ends of their rests by key. A rest may have ended.
func SetAsideOf(ctx context.Context, q bun.IDB, task Task) (map[string]time.Time, error) {
	var list []SetAside
	if err := q.NewSelect().Model(&list).Column("key", "until").Where("task = ?", task).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list what %s has set aside: %w", task, err)
	}
	until := make(map[string]time.Time, len(list))
	for _, a := range list {
		until[a.Key] = a.Until
	}
	return until, nil
}

// AllSetAside lists the rows that are set aside, the longest first.
func AllSetAside(ctx context.Context, q bun.IDB, limit int) ([]SetAside, error) {
	var list []SetAside
	if err := q.NewSelect().Model(&list).Order("since", "task", "key").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list what is set aside: %w", err)
	}
	return list, nil
}

// PruneSetAside deletes records of rows that were not tried again since a time, because these rows do not exist any
// more.
func PruneSetAside(ctx context.Context, q bun.IDB, before time.Time) error {
	if _, err := q.NewDelete().Model((*SetAside)(nil)).Where("until < ?", before).Exec(ctx); err != nil {
		return fmt.Errorf("prune what is set aside: %w", err)
	}
	return nil
}

// notSetAside is the SQL condition that a row of a task does not rest at a time. key is the SQL expression of the row's
// key; the one argument is the time.
func notSetAside(task Task, key string) string { return notSetAsideAt(task, key, "?") }

// notSetAsideAt is notSetAside with a given placeholder for the time.
func notSetAsideAt(task Task, key, now string) string {
	return "NOT EXISTS (SELECT 1 FROM set_aside sa WHERE sa.task = '" + string(task) + "' AND sa.key = (" + key +
		")::text AND sa.until > " + now + ")"
}
