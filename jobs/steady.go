package jobs

import (
	"context"
	"errors"
	"time"

	"carillon/app/automation"
	"carillon/db"
)

// The pauses between the tries of a database step while the database is away, and how long one try may take: a database
// that does not answer is away too.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
	tryWithin  = 30 * time.Second
)

// steady does a database step that leads on in a run, again and again while the database is away. It ends with the run:
// it returns the cause of ctx then. A lease that is no longer good ends the run and is db.ErrLeaseLost. Any other error
// is what the database refuses for good.
func (w *work) steady(ctx context.Context, what string, step func(ctx context.Context) error) error {
	return w.persist(ctx, ctx, what, step)
}

// surely does a database step that writes down what a run did. It differs from steady in that it outlasts what ends the
// run alone, as a timeout or a person's word; once the server is stopping or another worker has the session, it is
// tried only once, and for a few seconds.
func (w *work) surely(ctx context.Context, what string, step func(ctx context.Context) error) error {
	return w.persist(context.WithoutCancel(ctx), w.life, what, step)
}

func (w *work) persist(ctx, while context.Context, what string, step func(ctx context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		try, cancel := context.WithTimeout(ctx, tryWithin)
		hurry := context.AfterFunc(while, func() { time.AfterFunc(stopPatience, cancel) })
		err := step(try)
		silent := try.Err() != nil && ctx.Err() == nil
		hurry()
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, db.ErrLeaseLost):
			w.lose()
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !silent && !db.IsAway(err) && !db.IsRetriable(err):
			return err
		}
		w.Log.Warn(what, "session", w.session.ID, "err", err)
		select {
		case <-while.Done():
			return context.Cause(while)
		case <-time.After(pause):
		}
	}
}

// steadily is steady for a step that gives a value.
func steadily[T any](ctx context.Context, w *work, what string,
	step func(ctx context.Context) (T, error)) (value T, err error) {
	err = w.steady(ctx, what, func(ctx context.Context) (err error) {
		value, err = step(ctx)
		return err
	})
	return value, err
}

// surelyOf is surely for a step that gives a value.
func surelyOf[T any](ctx context.Context, w *work, what string,
	step func(ctx context.Context) (T, error)) (value T, err error) {
	err = w.surely(ctx, what, func(ctx context.Context) (err error) {
		value, err = step(ctx)
		return err
	})
	return value, err
}

// stuck is the outcome of work that ended in a database step: with the run, or broken.
func (w *work) stuck(ctx context.Context, what string, err error) automation.Outcome {
	if ctx.Err() != nil {
		return w.ended(ctx, "internal", "it ended before it could "+what)
	}
	return w.broken(what, err)
}
