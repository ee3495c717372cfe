// Package check proves on a database, which may be in use, what Carillon promises about runs: that none is lost, none
// happens twice, and that every due time is answered. It changes nothing.
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

// Check looks for rows that break a promise.
type Check struct {
	DB    *db.DB
	Now   func() time.Time
	Since time.Time     // what is over since before is not looked at
	For   time.Duration // how long each promise is looked at at most

	Folder *Folder // of a worker on this machine; nil: none is looked at
}

// Result is what was found about one promise.
type Result struct {
	Promise  string // its name, which stays
	Sentence string
	Breaches []db.Breach // the first of them
	More     bool        // there are more
	Unseen   string      // what was not looked at and why; empty: all was
}

const (
	// most is how many breaches of a promise are told.
	most = 100
	// late is how long after its time something may still be on its way: a scheduler looks several times a minute, and
	// the watchdog within five.
	late = 10 * time.Minute
)

// promise is something that is so at every moment. A promise that holds at a later moment alone is judged by what is
// older.
type promise struct {
	name, sentence string
	find           func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error)
}

var promises = []promise{
	{"lost-run", "Every run in flight has a session that waits for a worker or has one.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.RunsWithoutWork(ctx, q, most+1)
		}},
	{"endless-run", "A session whose worker is silent is taken from it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.ExpiredLeases(ctx, q, c.Now().Add(-late), most+1)
		}},
	{"endless-turn", "No message waits or is worked on where no worker takes it: in a session or a run that is over.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.TurnsWithoutWork(ctx, q, most+1)
		}},
	{"guard", "Of an automation one run at most is in flight, or as many as it allows.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.RunsPastTheirGuard(ctx, q, most+1)
		}},
	{"twice", "No due time has two executions.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.DueTimesAnsweredTwice(ctx, q, c.Since, most+1)
		}},
	{"at-rest", "Every enabled schedule has a next run, and no run is due for long with nothing in its way.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.StalledSchedules(ctx, q, c.Now(), c.Now().Add(-late), most+1)
		}},
	{"usage", "What a run used is the sum of what its messages used.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.WrongSums(ctx, q, c.Since, most+1)
		}},
	{"told-usage", "What a message used is what its agent told.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.UsageUnlikeReported(ctx, q, c.Since, most+1)
		}},
	{"late-words", "Nothing is written of a message after its end.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.LateEvents(ctx, q, c.Since, c.Now(), most+1)
		}},
	{"notice-twice", "Nobody is told the same thing twice.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.NoticesTwice(ctx, q, c.Since, most+1)
		}},
	{"disabled-untold",
		"Who created an automation, or manages it in their place, is told when its failures disable it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.DisabledWithoutNotice(ctx, q, c.Since, most+1)
		}},
	{"one-time", "A One-Time that has had its time has an execution for it.",
		func(ctx context.Context, q bun.IDB, c *Check) ([]db.Breach, error) {
			return db.OneTimesUnanswered(ctx, q, c.Since, most+1)
		}},
	{"index", "Every index, and so every rule that the database holds, is in force.",
		func(ctx context.Context, q bun.IDB, _ *Check) ([]db.Breach, error) {
			return db.UnusableIndexes(ctx, q, most+1)
		}},
}

// Promises is how many there are without that of a worker's folder.
var Promises = len(promises) + 1

// duePromise is the one that is looked at for one automation after the other.
const duePromise, dueSentence = "due",
	"Every due time of a Recurring automation is answered, by one execution and with a true count."

// List is what is promised, by name and sentence, in the order in which Run looks at it.
func List() []Result {
	list := make([]Result, 0, Promises)
	for _, p := range promises {
		list = append(list, Result{Promise: p.name, Sentence: p.sentence})
	}
	return append(list, Result{Promise: duePromise, Sentence: dueSentence},
		Result{Promise: leftPromise, Sentence: leftSentence})
}

// Run looks at every promise, each on a snapshot of its own, and calls done with each result. A promise that cannot be
// looked at keeps no other from it. It returns the errors of those that could not be looked at at all.
func (c *Check) Run(ctx context.Context, done func(Result)) error {
	var wrong []error
	for _, p := range promises {
		r := Result{Promise: p.name, Sentence: p.sentence}
		err := db.OnSnapshot(ctx, c.DB, c.For, func(ctx context.Context, q bun.IDB) (err error) {
			r.Breaches, err = p.find(ctx, q, c)
			return err
		})
		wrong = append(wrong, c.conclude(&r, err, done))
	}
	r := Result{Promise: duePromise, Sentence: dueSentence}
	err := c.due(ctx, &r)
	wrong = append(wrong, c.conclude(&r, err, done))
	if c.Folder != nil {
		limited, cancel := context.WithTimeout(ctx, c.For)
		defer cancel()
		r, err := c.Folder.Look(limited, c.DB)
		if limited.Err() != nil && ctx.Err() == nil {
			r.Unseen, err = fmt.Sprintf("it took longer than %s", c.For), nil
		}
		wrong = append(wrong, c.conclude(&r, err, done))
	}
	return errors.Join(wrong...)
}

// conclude ends the look at one promise.
func (c *Check) conclude(r *Result, err error, done func(Result)) error {
	if db.IsTimeout(err) {
		r.Unseen, err = fmt.Sprintf("it took longer than %s", c.For), nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.Promise, err)
	}
	if len(r.Breaches) > most {
		r.Breaches, r.More = r.Breaches[:most], true
	}
	done(*r)
	return nil
}

const (
	// schedulesAtOnce is how many automations are read at once, and answersAtOnce the newest of their answers.
	schedulesAtOnce, answersAtOnce = 100, 2000
	// counted is how many due times a row counts at most.
	counted = 10_000
)

// due compares the answers to due times with the schedule that they say they had. Between two answers that a person's
// edit or switch parts, nothing is claimed.
func (c *Check) due(ctx context.Context, r *Result) error {
	over := c.Now().Add(c.For)
	looked, cut := 0, 0
	for after := uuid.Nil; len(r.Breaches) <= most; {
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
			if what := judge(before, a, c.Now().Add(-settled)); what != "" {
				r.Breaches = append(r.Breaches, db.Breach{Kind: "execution", ID: a.ID, What: what})
			}
		}
	}
	return nil
}

// settled is after what time a due time has its answer, unless something is wrong.
const settled = 6 * time.Minute

// judge says what is wrong with an answer that follows another of the same automation; before is nil for the first one.
// Of the due times between the two, those up to due have an answer: an answer of a clock that was ahead stands there
// before its time.
func judge(before *db.Answer, a db.Answer, due time.Time) string {
	expression, err := cron.Parse(a.Cron)
	if err != nil { // of a time when the automation was no Recurring
		return ""
	}
	zone, err := cron.Zone(a.TimeZone)
	if err != nil {
		return ""
	}
	if next := expression.Next(a.For.Add(-time.Second), zone); !next.Equal(a.For) {
		return fmt.Sprintf("of %q is for %s, when %q in %s was not due", a.Name, stamp(a.For), a.Cron, a.TimeZone)
	}
	if !a.Mixed { // else it stands for due times of several schedules: a streak goes on across a change
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

// judgeCount says what is wrong with how many due times an answer stands for.
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
