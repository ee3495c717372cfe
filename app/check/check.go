// Package check verifies Carillon's promises about runs on a database that may be in use: no run is lost, no run
// happens twice, and every due time is answered. It changes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
	"carillon/db"
)

// Check finds rows that break a promise.
type Check struct {
	DB    *db.DB
	Now   func() time.Time
	Since time.Time     // runs that ended before are not checked
	For   time.Duration // timeout for each promise

	Folder *Folder // of a worker on this machine; nil: no folder is checked
}

// Result is the result for one promise.
type Result struct {
	Promise  string // its permanent name
	Sentence string
	Breaches []db.Breach // the first of them
	More     bool        // there are more
	Unseen   string      // what was not checked and why; empty: everything was checked
}

const (
	// maxBreaches bounds the breaches of a promise in a result.
	maxBreaches = 100
	// grace is how late something may be: a scheduler runs several times a minute, and its watchdog within five
	// minutes.
	grace = 10 * time.Minute
)

// promise is an invariant. An invariant that is true only after a while is checked for older rows.
type promise struct {
	name, sentence string
	find           func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error)
}

var promises = []promise{
	{"lost-run", "Every run in flight has a session that waits for a worker or has one.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.RunsWithoutWork(ctx, q, maxBreaches+1)
		}},
	{"endless-run", "A session whose worker is silent is taken from it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.ExpiredLeases(ctx, q, c.Now().Add(-grace), maxBreaches+1)
		}},
	{"endless-turn", "No message waits or is worked on where no worker takes it: in a session or a run that is over.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.TurnsWithoutWork(ctx, q, maxBreaches+1)
		}},
	{"guard", "Of an automation one run at most is in flight, or as many as it allows.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.RunsPastTheirGuard(ctx, q, maxBreaches+1)
		}},
	{"twice", "No due time has two executions.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.DueTimesAnsweredTwice(ctx, q, c.Since, maxBreaches+1)
		}},
	{"at-rest", "Every enabled schedule has a next run, and no run is due for long with nothing in its way.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.StalledSchedules(ctx, q, c.Now(), c.Now().Add(-grace), maxBreaches+1)
		}},
	{"usage", "What a run used is the sum of what its messages used.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.WrongSums(ctx, q, c.Since, maxBreaches+1)
		}},
	{"told-usage", "What a message used is what its agent told.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.UsageUnlikeReported(ctx, q, c.Since, maxBreaches+1)
		}},
	{"late-words", "Nothing is written of a message after its end.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.LateEvents(ctx, q, c.Since, c.Now(), maxBreaches+1)
		}},
	{"notice-twice", "Nobody is told the same thing twice.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.NoticesTwice(ctx, q, c.Since, maxBreaches+1)
		}},
	{"disabled-untold",
		"Who created an automation, or manages it in their place, is told when its failures disable it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.DisabledWithoutNotice(ctx, q, c.Since, maxBreaches+1)
		}},
	{"one-time", "A One-Time that has had its time has an execution for it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.OneTimesUnanswered(ctx, q, c.Since, maxBreaches+1)
		}},
	{"index", "Every index, and so every rule that the database holds, is in force.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.UnusableIndexes(ctx, q, maxBreaches+1)
		}},
}

// Promises is the number of promises, without the one about a worker's folder.
var Promises = len(promises) + 1

// duePromise is checked for one automation after the other.
const duePromise, dueSentence = "due",
	"Every due time of a Recurring automation is answered, by one execution and with a true count."

// List gives the promises with names and sentences, in the order of Run.
func List() []Result {
	list := make([]Result, 0, Promises)
	for _, p := range promises {
		list = append(list, Result{Promise: p.name, Sentence: p.sentence})
	}
	return append(list, Result{Promise: duePromise, Sentence: dueSentence},
		Result{Promise: leftPromise, Sentence: leftSentence})
}

// Run checks every promise, each on a snapshot of its own, and calls done with each result. A promise that cannot be
// checked does not stop the others. Run returns the errors of promises that could not be checked at all.
func (c *Check) Run(ctx context.Context, done func(Result)) error {
	var wrong []error
	for _, p := range promises {
		r := Result{Promise: p.name, Sentence: p.sentence}
		err := db.OnSnapshot(ctx, c.DB, c.For, func(ctx context.Context, q bun.IDB) (err error) {
			r.Breaches, err = p.find(ctx, q, c)
			return err
		})
		wrong = append(wrong, c.finishResult(&r, err, done))
	}
	r := Result{Promise: duePromise, Sentence: dueSentence}
	err := c.due(ctx, &r)
	wrong = append(wrong, c.finishResult(&r, err, done))
	if c.Folder != nil {
		limited, cancel := context.WithTimeout(ctx, c.For)
		defer cancel()
		r, err := c.Folder.Look(limited, c.DB)
		if limited.Err() != nil && ctx.Err() == nil {
			r.Unseen, err = fmt.Sprintf("it took longer than %s", c.For), nil
		}
		wrong = append(wrong, c.finishResult(&r, err, done))
	}
	return errors.Join(wrong...)
}

// finishResult completes the result of one promise and passes it to done.
func (c *Check) finishResult(r *Result, err error, done func(Result)) error {
	if db.IsTimeout(err) {
		r.Unseen, err = fmt.Sprintf("it took longer than %s", c.For), nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.Promise, err)
	}
	if len(r.Breaches) > maxBreaches {
		r.Breaches, r.More = r.Breaches[:maxBreaches], true
	}
	done(*r)
	return nil
}

const (
	// schedulesAtOnce bounds the automations that are read at once, and answersAtOnce the newest answers of each.
	schedulesAtOnce, answersAtOnce = 100, 2000
	// counted bounds the due times that are counted for a row.
	counted = 10_000
)

// due compares the answers to due times with the schedule in their snapshots. It checks nothing between two answers if
// a person edited, enabled or disabled the automation between them.
func (c *Check) due(ctx context.Context, r *Result) error {
	over := c.Now().Add(c.For)
	looked, cut := 0, 0
	for after := uuid.Nil; len(r.Breaches) <= maxBreaches; {
		if c.Now().After(over) {
			r.Unseen = fmt.Sprintf("only the first %d Recurring automations were looked at: it took longer than %s",
				looked, c.For)
			return nil
		}
		var ids []uuid.UUID
		var answers []db.Answer
		err := db.OnSnapshot(ctx, c.DB, c.For, func(ctx context.Context, q bun.IDB) (err error) {
			if ids, err = db.SchedulesAfter(ctx, q, after, schedulesAtOnce); err == nil && len(ids) > 0 {
				answers, err = db.Answers(ctx, q, ids, c.Since, answersAtOnce)
			}
			return err
		})
		if err != nil || len(ids) == 0 {
			if cut > 0 {
				r.Unseen = fmt.Sprintf("of %d automations only the newest %d answers were looked at", cut,
					answersAtOnce)
			}
			return err
		}
		looked, after = looked+len(ids), ids[len(ids)-1]
		of := 0
		for i, a := range answers {
			if of++; i == 0 || answers[i-1].AutomationID != a.AutomationID {
				of = 1
			}
			if of == answersAtOnce {
				cut++
			}
			var before *db.Answer
			if of > 1 {
				before = &answers[i-1]
			}
			if what := judge(before, a, c.Now().Add(-answerGrace)); what != "" {
				r.Breaches = append(r.Breaches, db.Breach{Kind: "execution", ID: a.ID, What: what})
			}
		}
	}
	return nil
}

// answerGrace is the time within which a due time must have an answer.
const answerGrace = 6 * time.Minute

// judge gives the problem with an answer that follows another answer of the same automation; before is nil for the
// first one. The due times between the two answers must have answers up to due: an answer from a clock that was ahead
// may come before its time.
func judge(before *db.Answer, a db.Answer, due time.Time) string {
	expression, err := cron.Parse(a.Cron)
	if err != nil { // the automation was not a Recurring then
		return ""
	}
	zone, err := cron.Zone(a.TimeZone)
	if err != nil {
		return ""
	}
	if next := expression.Next(a.For.Add(-time.Second), zone); !next.Equal(a.For) {
		return fmt.Sprintf("of %q is for %s, when %q in %s was not due", a.Name, stamp(a.For), a.Cron, a.TimeZone)
	}
	if !a.Mixed { // otherwise it counts due times of several schedules: a streak continues across a change
		if what := judgeCount(expression, zone, a); what != "" {
			return what
		}
	}
	if before == nil || before.Cron != a.Cron || before.TimeZone != a.TimeZone || a.Edited {
		return ""
	}
	if !a.For.After(before.Last) {
		return fmt.Sprintf("of %q is for %s, for which the execution %s stands already", a.Name, stamp(a.For),
			before.ID)
	}
	if missing := expression.Next(before.Last, zone); missing.Before(a.For) && !missing.After(due) {
		return fmt.Sprintf("of %q is for %s, and nothing answers %s before it", a.Name, stamp(a.For), stamp(missing))
	}
	return ""
}

// judgeCount gives the problem with the number of due times that an answer counts.
func judgeCount(expression cron.Expression, zone *time.Location, a db.Answer) string {
	n, last := 1, a.For
	for next := expression.Next(a.For, zone); !next.IsZero() && !next.After(a.Last) &&
		n < counted; next = expression.Next(next, zone) {
		n, last = n+1, next
	}
	if n < counted && !last.Equal(a.Last) {
		return fmt.Sprintf("of %q stands for due times up to %s, when %q in %s was not due", a.Name, stamp(a.Last),
			a.Cron, a.TimeZone)
	}
	if a.Count > 0 && a.Count != n {
		return fmt.Sprintf("of %q counts %d due times from %s to %s, and %d were due", a.Name, a.Count, stamp(a.For),
			stamp(a.Last), n)
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
