// Package aside keeps one row from stopping a loop over many people's rows: what fails is set aside, people are told of
// it once, and it is tried again after a rest that grows. It knows rows and loops. It does not know what is done with a
// row.
package aside

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/db"
)

// Row is one of the many rows that a loop deals with.
type Row struct {
	Key        string         // names it within its task
	About      string         // what it is, in words: "the session Nightly audit"
	Automation *db.Automation // whose creator is told as well; nil: administrators alone
	// to which it belongs: only its members are told; zero, without Automation: it names nothing of a workspace
	Workspace uuid.UUID
}

// Round is one round of a loop over many people's rows. It reads once what of its task is set aside, when it first
// needs that. So a row that was not set aside costs nothing beside what is done with it. Its methods may be called from
// several goroutines. Its fields are set where it is made.
type Round struct {
	DB   bun.IDB
	Now  func() time.Time // the instant of every rule
	Log  *slog.Logger
	Task db.Task // of the loop

	mu    sync.Mutex
	aside map[string]time.Time // until when what is set aside rests, by key; nil: not read yet
}

// read reads what is set aside, if that was not done yet.
func (r *Round) read(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.aside != nil {
		return nil
	}
	aside, err := db.SetAsideOf(ctx, r.DB, r.Task)
	if err == nil {
		r.aside = aside
	}
	return err
}

// Rests reports whether a row is set aside for now, for a loop whose query does not leave out what rests.
func (r *Round) Rests(ctx context.Context, key string) (bool, error) {
	if err := r.read(ctx); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aside[key].After(r.Now()), nil
}

// rowPatience bounds what a loop spends on one row.
const rowPatience = 10 * time.Minute

// Deal lets a loop deal with one of its rows, so that it never stops the others. What fails, panics or takes too long
// is set aside: it is logged, people are told once, and it rests, each time in a row twice as long. A success ends
// that. Deal returns an error only where the loop cannot go on with other rows either: ctx is over, or the database is
// away.
//
// The query that selects a loop's rows leaves out what rests, or the loop asks Rests.
func (r *Round) Deal(ctx context.Context, row Row, deal func(ctx context.Context) error) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	inner, cancel := context.WithTimeout(ctx, rowPatience)
	defer cancel()
	err := r.guarded(inner, row, deal)
	switch {
	case err == nil:
		return r.end(ctx, row.Key)
	case ctx.Err() != nil:
		return ctx.Err()
	case inner.Err() != nil:
		err = fmt.Errorf("it took longer than %s: %w", rowPatience, err)
	case db.IsUnavailable(err):
		return err
	}
	until, err := r.set(ctx, row, err)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.aside[row.Key] = until
	}
	return err
}

// end forgets that a row was set aside, if it was.
func (r *Round) end(ctx context.Context, key string) error {
	r.mu.Lock()
	_, was := r.aside[key]
	r.mu.Unlock()
	if !was {
		return nil
	}
	if err := db.EndSetAside(ctx, r.DB, r.Task, key); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.aside, key)
	return nil
}

// guarded calls deal and makes an error of a panic.
func (r *Round) guarded(ctx context.Context, row Row,
	deal func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("panic", "task", r.Task, "key", row.Key, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return deal(ctx)
}

// set sets a row aside because of an error, and tells of it with that the first time. It returns until when the
// row rests.
func (r *Round) set(ctx context.Context, row Row, reason error) (time.Time, error) {
	a := &db.SetAside{
		Task: r.Task, Key: db.Printable(row.Key, 300), About: db.Printable(row.About, 300),
		Error: db.Printable(plainly(reason), 500),
	}
	write := func(tell bool) error {
		return db.InTx(ctx, r.DB, func(ctx context.Context, tx bun.Tx) error {
			if err := db.AddSetAside(ctx, tx, a, r.Now()); err != nil || a.Times > 1 || !tell {
				// a second time it was told of
				return err
			}
			return r.notify(ctx, tx, row, a)
		})
	}
	err := write(true)
	if err != nil && ctx.Err() == nil && !db.IsUnavailable(err) { // who cannot be told keeps nothing from going on
		r.Log.Error("tell of what is set aside", "task", r.Task, "key", row.Key, "err", err)
		err = write(false)
	}
	if err == nil && a.Times == 1 {
		r.Log.Error("set aside", "task", r.Task, "key", row.Key, "about", row.About, "until", a.Until, "err", reason)
	}
	return a.Until, err
}

// notify tells administrators, once for as long as a loop has something set aside, and the creator of an
// automation that does not start.
func (r *Round) notify(ctx context.Context, tx bun.Tx, row Row, a *db.SetAside) error {
	about := db.Automation{WorkspaceID: row.Workspace}
	if row.Automation != nil {
		about = *row.Automation
	}
	people, err := inbox.Keepers(ctx, tx, about.WorkspaceID)
	if err != nil {
		return err
	}
	n := inbox.Notice{
		Kind: inbox.Server, Title: "Carillon cannot deal with " + a.About,
		Body: fmt.Sprintf(
			"%s. It was set aside and is tried again, each time after a longer rest; all else goes on. What follows "+
				"it in the same way is in the server's log.", form.Capitalize(strings.TrimSuffix(a.Error, "."))),
		Key: fmt.Sprintf("aside %s %d", a.Task, a.Oldest.UnixNano()),
	}
	if row.Automation != nil {
		n.Body = fmt.Sprintf(
			"%s. It was set aside and is tried again, each time after a longer rest; its runs wait meanwhile. This "+
				"counts for nothing.", form.Capitalize(strings.TrimSuffix(a.Error, ".")))
		n.Key = fmt.Sprintf("aside %s %s %d", a.Task, a.Key, a.Since.UnixNano())
		creator := db.Membership{WorkspaceID: about.WorkspaceID, UserID: about.CreatorID}
		audiences, err := inbox.Audiences(ctx, tx, []db.Membership{creator})
		if err != nil {
			return err
		}
		people = union(people, audiences[creator])
	}
	n.To, n.Workspace, n.Automation = people, about.WorkspaceID, about.ID
	return inbox.Post(ctx, tx, r.Now(), n)
}

// NotifyOfStandstill tells administrators that the scheduler has completed no pass since a time.
func NotifyOfStandstill(ctx context.Context, q bun.IDB, now, since time.Time) error {
	err := db.InTx(ctx, q, func(ctx context.Context, tx bun.Tx) error {
		people, err := inbox.Keepers(ctx, tx, uuid.Nil)
		if err != nil {
			return err
		}
		return inbox.Post(ctx, tx, now, inbox.Notice{
			To: people, Kind: inbox.Server, Title: "The scheduler stands still",
			Body: fmt.Sprintf(
				"It has not completed a pass since %s, so nothing that is due starts. The server’s log says why.",
				since.UTC().Format("2 January 15:04:05 MST")),
			Key: fmt.Sprintf("standstill %d", since.Unix()),
		})
	})
	return fault.Wrap(err, "tell that the scheduler stands still")
}

// plainly is an error in words for a person who runs the server.
func plainly(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return fmt.Sprintf("the database refuses it: %s (%s)", refused.Message, refused.Code)
	}
	return err.Error()
}

// union is a list with those of another that it lacks.
func union[T comparable](list, others []T) []T {
	has := make(map[T]bool, len(list))
	for _, one := range list {
		has[one] = true
	}
	for _, one := range others {
		if !has[one] {
			list = append(list, one)
		}
	}
	return list
}
