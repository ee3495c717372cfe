package jobs

import (
	"context"
	"errors"
	"time"

	"carillon/app/automation"
	"carillon/db"
)

// The pauses between the attempts of a database step while the database cannot be reached, and the timeout of one
// attempt. A database that does not answer counts as one that cannot be reached.
const (
	firstRetryPause = 100 * time.Millisecond
	maxRetryPause   = 2 * time.Second
	attemptTimeout  = 30 * time.Second
)

// retry runs a database step that a run needs to continue, and repeats it while the database cannot be reached. It ends
// with the run and then returns the cause of ctx. A lost lease ends the run and gives db.ErrLeaseLost. Any other error
// means that the database refuses the step.
func (w *work) retry(ctx context.Context, what string, step func(ctx context.Context) error) error {
	return w.retryWhile(ctx, ctx, what, step)
}

// retryPastEnd runs a database step that records what a run did. Unlike retry, it continues when only the run has
// ended, as by a timeout or a cancellation. When the server stops or another worker has the session, it makes one
// attempt of a few seconds.
func (w *work) retryPastEnd(ctx context.Context, what string, step func(ctx context.Context) error) error {
	return w.retryWhile(context.WithoutCancel(ctx), w.life, what, step)
}

func (w *work) retryWhile(ctx, while context.Context, what string, step func(ctx context.Context) error) error {
	for pause := firstRetryPause; ; pause = min(2*pause, maxRetryPause) {
		try, cancel := context.WithTimeout(ctx, attemptTimeout)
		hurry := context.AfterFunc(while, func() { time.AfterFunc(stopTimeout, cancel) })
		err := step(try)
		silent := try.Err() != nil && ctx.Err() == nil
		hurry()
		cancel()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, db.ErrLeaseLost):
			w.loseLease()
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !silent && !db.IsUnavailable(err) && !db.IsRetriable(err):
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

// retryValue is retry for a step that gives a value.
func retryValue[T any](ctx context.Context, w *work, what string,
	step func(ctx context.Context) (T, error)) (value T, err error) {
	err = w.retry(ctx, what, func(ctx context.Context) (err error) {
		value, err = step(ctx)
		return err
	})
	return value, err
}

// retryValuePastEnd is retryPastEnd for a step that gives a value.
func retryValuePastEnd[T any](ctx context.Context, w *work, what string,
	step func(ctx context.Context) (T, error)) (value T, err error) {
	err = w.retryPastEnd(ctx, what, func(ctx context.Context) (err error) {
		value, err = step(ctx)
		return err
	})
	return value, err
}

// databaseFailure is the outcome of work that ended in a database step: because the run ended, or by an internal
// failure.
func (w *work) databaseFailure(ctx context.Context, what string, err error) automation.Outcome {
	if ctx.Err() != nil {
		return w.endedOutcome(ctx, "internal", "it ended before it could "+what)
	}
	return w.internalFailure(what, err)
}
