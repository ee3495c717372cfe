package automation_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"carillon/app/apptest"
	"carillon/app/automation"
	promises "carillon/app/check"
	"carillon/app/inbox"
	"carillon/db"
)

// What the specification and behaviour.md say, in their numbers: the test takes none of the product's.
const (
	stillFires = 5 * time.Minute // how late a due time may be and still be answered by a run
	// what passes so shortly before the return of Carillon may meet a run that begins then
	justPassed  = 30 * time.Second
	disablingAt = 3                // failures in a row
	triedAgain  = 15 * time.Second // when a blocked loop is
)

// examine holds the history of a year against the list of due times, and against what happened.
func (y *annual) examine(end time.Time) {
	rows := map[uuid.UUID][]db.Execution{}
	var all []db.Execution
	check(y.T, y.DB.NewSelect().Model(&all).OrderExpr("coalesce(e.scheduled_for, e.created_at), e.id").
		Scan(y.T.Context()))
	for _, e := range all {
		rows[e.AutomationID] = append(rows[e.AutomationID], e)
	}
	due := 0
	for n, id := range y.ids {
		if id == uuid.Nil { // its first schedule comes after the end
			continue
		}
		var problems []string
		switch {
		case n < firstOneTime:
			want := y.effective(n, rows[id], end)
			due += len(want)
			problems = y.recurringLedger(n, want, rows[id])
		case n < firstLoop:
			problems = y.oneTimeLedger(n, rows[id], end)
			due += len(y.set[n])
		case n < firstManual:
			problems = y.loopLedger(n, rows[id])
		default:
			problems = y.callLedger(n, rows[id])
		}
		for _, e := range rows[id] {
			planned := y.ends[e.SessionID]
			if e.SessionID != uuid.Nil && !e.Status.InFlight() && e.Status != planned && e.ErrorClass != db.ErrorLost {
				problems = append(problems, fmt.Sprintf("the run of %s is %s; want %s", e.CreatedAt.UTC(), e.Status,
					planned))
			}
		}
		for _, p := range problems {
			y.T.Errorf("%03d: %s", n, p)
		}
	}
	y.T.Logf("%d due times, %d rows, %d downtimes", due, len(all), len(y.absences))
	y.expectNoGaps()
	// their workers live
	y.Exec("UPDATE sessions SET lease_until = ? WHERE status = 'in_progress'", y.Now().Add(time.Minute))
	c := &promises.Check{DB: y.DB, Now: y.Now, Since: yearBegins, For: apptest.Longest}
	check(y.T, c.Run(y.T.Context(), func(r promises.Result) {
		if len(r.Breaches) > 0 || r.Unseen != "" {
			y.T.Errorf("%s: %v %s", r.Sentence, r.Breaches, r.Unseen)
		}
	}))
}

// strikes are when failures switch an automation off, by its history: the third in a row of its schedule. A success of
// any run and switching on begin anew.
func (y *annual) strikes(n int, rows []db.Execution) (off []time.Time) {
	ended := slices.DeleteFunc(slices.Clone(rows), func(e db.Execution) bool {
		return e.FinishedAt.IsZero() || e.Neutral
	})
	slices.SortFunc(ended, func(a, b db.Execution) int { return a.FinishedAt.Compare(b.FinishedAt) })
	on := y.switchedOn(n)
	failures := 0
	for i, e := range ended {
		if i > 0 && slices.ContainsFunc(on, func(at time.Time) bool {
			return at.After(ended[i-1].FinishedAt) && at.Before(e.FinishedAt)
		}) {
			failures = 0
		}
		switch {
		case e.Status == db.Succeeded:
			failures = 0
		case e.Source == db.BySchedule:
			if failures++; failures == disablingAt {
				off = append(off, e.FinishedAt)
			}
		}
	}
	return off
}

// switchedOn lists when people switched an automation on.
func (y *annual) switchedOn(n int) []time.Time {
	on := slices.Clone(y.switched[n])
	for i := 1; i < len(y.plan[n]); i++ {
		if y.plan[n][i-1].to.Before(y.plan[n][i].from) {
			on = append(on, y.plan[n][i].from)
		}
	}
	slices.SortFunc(on, time.Time.Compare)
	return on
}

// effective lists the due times of a Recurring at which it was on.
func (y *annual) effective(n int, rows []db.Execution, end time.Time) (want []time.Time) {
	off, on := y.strikes(n, rows), y.switchedOn(n)
	for _, v := range y.plan[n] {
	due:
		for _, w := range v.due {
			if !w.Before(end) {
				break
			}
			for _, from := range off {
				back := slices.IndexFunc(on, func(at time.Time) bool { return at.After(from) })
				if w.After(from) && (back < 0 || w.Before(on[back])) {
					continue due
				}
			}
			want = append(want, w)
		}
	}
	return want
}

// recurringLedger compares the due times of a Recurring with the rows that answer them, and those with what happened.
func (y *annual) recurringLedger(n int, want []time.Time, rows []db.Execution) (problems []string) {
	scheduled := slices.DeleteFunc(slices.Clone(rows), func(e db.Execution) bool { return e.Source != db.BySchedule })
	problems = gaps(want, scheduled)
	blockers := map[uuid.UUID]bool{}
	caughtUp := map[time.Time]int{} // by the end of the downtime
	for _, e := range scheduled {
		v := y.plan[n][0]
		for _, later := range y.plan[n] {
			if e.ScheduledFor.After(later.from) {
				v = later
			}
		}
		if e.Snapshot.Cron != v.schedule || e.Snapshot.TimeZone != v.zone {
			problems = append(problems, fmt.Sprintf("the row for %s has the schedule %s in %s; want %s in %s",
				e.ScheduledFor.UTC(), e.Snapshot.Cron, e.Snapshot.TimeZone, v.schedule, v.zone))
		}
		if e.Status == db.Skipped {
			blockers[e.BlockedBy] = true
		}
		if e.Mark == db.CatchUpMark {
			caughtUp[y.absence(e.ScheduledFor).to]++
		}
		for _, w := range want {
			if !w.Before(e.ScheduledFor) && !w.After(automation.Later(e.ScheduledFor, e.LastSkippedFor)) {
				if problem := y.untrue(e, w, v.catchUp, rows); problem != "" {
					problems = append(problems, fmt.Sprintf("%s is answered by a row %s (%s) of %s: %s", w.UTC(),
						e.Status, e.Reason, e.CreatedAt.UTC(), problem))
				}
			}
		}
	}
	for end, times := range caughtUp {
		if times > 1 {
			problems = append(problems, fmt.Sprintf("it caught up %d times after %s", times, end))
		}
	}
	return append(problems, y.notices(n, map[string]int{
		inbox.Skipped: len(blockers), inbox.Disabled: len(y.strikes(n, rows)), inbox.RunFailed: y.ownerless(n, rows),
	})...)
}

// untrue says what is wrong with a row as the answer to a due time of a Recurring; empty: nothing.
func (y *annual) untrue(e db.Execution, w time.Time, catchUp bool, rows []db.Execution) string {
	away := y.absence(w)
	inFlight := func(at time.Time) bool {
		return slices.ContainsFunc(rows, func(o db.Execution) bool {
			return o.ID != e.ID && o.SessionID != uuid.Nil && !o.CreatedAt.After(at) &&
				(o.FinishedAt.IsZero() || !o.FinishedAt.Before(at))
		})
	}
	late := away.to.Sub(w) > stillFires
	switch {
	case e.Status == db.Skipped && away.to.Sub(w) > justPassed:
		return "nobody was there to start it"
	case e.Status == db.Skipped && !inFlight(w) && !inFlight(away.to):
		return "no run was in flight"
	case e.Status == db.Skipped:
		return ""
	case e.Status == db.Missed && away.to.IsZero():
		return "Carillon was there"
	case e.Status == db.Missed && catchUp:
		return "it catches up"
	case e.Status == db.Missed && !late && !inFlight(away.to):
		return "it was late by less than five minutes"
	case e.Status == db.Missed && e.Reason != "Carillon was not running":
		return "that is not the reason"
	case e.Status == db.Missed:
		return ""
	case e.CreatedAt.Equal(w) && e.Mark == "":
		return ""
	}
	// A run that began later than it was due.
	away = y.absence(e.ScheduledFor)
	waited := catchUp && e.CreatedAt.After(away.to) && slices.ContainsFunc(rows, func(o db.Execution) bool {
		return o.SessionID != uuid.Nil && !o.CreatedAt.After(away.to) && o.FinishedAt.Equal(e.CreatedAt)
	})
	switch {
	case away.to.IsZero():
		return "it began late, and Carillon was there"
	case !e.CreatedAt.Equal(away.to) && !waited:
		return "it did not begin at the return of Carillon"
	case e.CreatedAt.Sub(e.ScheduledFor) > stillFires && (!catchUp || e.Mark != db.CatchUpMark):
		return "it is too late, and does not catch up"
	case e.CreatedAt.Sub(e.ScheduledFor) <= stillFires && e.Mark != "":
		return "it was late by less than five minutes, and catches up"
	}
	return ""
}

// absence is the downtime in which a time passed; the zero gap for none.
func (y *annual) absence(at time.Time) gap {
	for _, g := range y.absences {
		if at.After(g.from) && at.Before(g.to) {
			return g
		}
	}
	return gap{}
}

// ownerless counts how often it is told that the owner of an automation is gone: at the first failure of a streak.
func (y *annual) ownerless(n int, rows []db.Execution) int {
	if n%20 != 7 {
		return 0
	}
	if slices.ContainsFunc(rows, func(e db.Execution) bool {
		return e.ErrorClass == "start" && e.Source != db.ByHand
	}) {
		return 1
	}
	return 0
}

// notices compares how often people were told of an automation, by kinds, with how often they should be.
func (y *annual) notices(n int, want map[string]int) (problems []string) {
	var list []struct {
		Kind  string `bun:"kind"`
		Count int    `bun:"count"`
	}
	check(y.T, y.DB.NewRaw(
		"SELECT kind, count(DISTINCT dedup_key) AS count FROM notifications WHERE automation_id = ? GROUP BY kind",
		y.ids[n]).Scan(y.T.Context(), &list))
	for _, l := range list {
		if want[l.Kind] != l.Count {
			problems = append(problems, fmt.Sprintf("there are %d notices %s; want %d", l.Count, l.Kind, want[l.Kind]))
		}
		delete(want, l.Kind)
	}
	for kind, count := range want {
		if count > 0 {
			problems = append(problems, fmt.Sprintf("there is no notice %s; want %d", kind, count))
		}
	}
	return problems
}

// oneTimeLedger compares the times to which a One-Time was set with its rows.
func (y *annual) oneTimeLedger(n int, rows []db.Execution, end time.Time) (problems []string) {
	missed, told := 0, 0
	for _, w := range y.set[n] {
		i := slices.IndexFunc(rows, func(e db.Execution) bool { return e.ScheduledFor.Equal(w) })
		if i < 0 {
			if w.Before(end) {
				problems = append(problems, fmt.Sprintf("%s has no row", w))
			}
			continue
		}
		e := rows[i]
		rows = slices.Delete(slices.Clone(rows), i, i+1)
		away := y.absence(w)
		switch late := away.to.Sub(w) > stillFires; {
		case late != (e.Status == db.Missed):
			problems = append(problems, fmt.Sprintf("%s is answered by a row %s of %s", w, e.Status, e.CreatedAt.UTC()))
		case late:
			missed++
		case !e.CreatedAt.Equal(w) && !e.CreatedAt.Equal(away.to):
			problems = append(problems, fmt.Sprintf("the run for %s began at %s", w, e.CreatedAt.UTC()))
		}
		if e.Status == db.Failed {
			told++
		}
	}
	for _, e := range rows {
		problems = append(problems, fmt.Sprintf("a row %s is for %s, to which it was not set", e.Status,
			e.ScheduledFor.UTC()))
	}
	return append(problems, y.notices(n, map[string]int{
		inbox.Missed: missed, inbox.Disabled: told, inbox.RunFailed: y.ownerless(n, rows),
	})...)
}

// loopLedger follows a loop from iteration to iteration.
func (y *annual) loopLedger(n int, rows []db.Execution) (problems []string) {
	closed := map[uuid.UUID]db.Session{}
	var sessions []db.Session
	check(y.T, y.DB.NewSelect().Model(&sessions).Where("s.automation_id = ?", y.ids[n]).Scan(y.T.Context()))
	for _, s := range sessions {
		closed[s.ID] = s
	}
	held, gates, finished, skips, failures, iterations := 0, 0, 0, 0, 0, 0
	blocked := map[uuid.UUID]bool{}
	due := yearBegins.Add(time.Duration(n) * time.Second)
	on := y.switchedOn(n)
	for _, e := range rows {
		switch {
		case e.Source != db.BySchedule:
			continue
		case e.Status == db.Skipped && e.Reason == "a session is held open for review":
			gates++
			continue
		case e.Status == db.Skipped:
			skips, blocked[e.BlockedBy] = skips+e.SkipCount, true
			if !e.ScheduledFor.Equal(due) {
				problems = append(problems, fmt.Sprintf("it is skipped at %s; want %s", e.ScheduledFor.UTC(),
					due.UTC()))
			}
			continue
		}
		if due.IsZero() { // it is off
			if len(on) == 0 {
				problems = append(problems, fmt.Sprintf("it runs at %s, and is off", e.ScheduledFor.UTC()))
				break
			}
			due, on, failures, iterations = on[0], on[1:], 0, 0
		}
		due = due.Add(time.Duration(skips) * triedAgain)
		skips = 0
		if away := y.absence(due); !e.ScheduledFor.Equal(due) || !e.CreatedAt.Equal(due) &&
			!e.CreatedAt.Equal(away.to) {
			problems = append(problems, fmt.Sprintf("an iteration for %s began at %s; want %s", e.ScheduledFor.UTC(),
				e.CreatedAt.UTC(), due.UTC()))
		}
		if e.SessionID != uuid.Nil { // one that could not start is none
			iterations++
		}
		if e.SessionID != uuid.Nil && e.Iteration != iterations {
			problems = append(problems, fmt.Sprintf("the iteration of %s is number %d; want %d", e.ScheduledFor.UTC(),
				e.Iteration, iterations))
		}
		s := closed[e.SessionID]
		if e.Status.InFlight() || e.ErrorClass != "start" && s.ClosedAt.IsZero() {
			// the last one; what follows are rows of its review
			if n%4 == 1 && !s.EndedAt.IsZero() && y.Now().Sub(s.EndedAt) > 61*time.Minute {
				held++
			}
			continue
		}
		over := s.ClosedAt
		if e.SessionID == uuid.Nil {
			over = e.FinishedAt
		}
		if n%4 == 1 && s.ClosedAt.Sub(s.EndedAt) > 61*time.Minute {
			held++
		}
		switch {
		case e.Neutral:
		case e.Status == db.Succeeded:
			failures = 0
		default:
			failures++
		}
		due = over.Add([]time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 0}[failures])
		if n%4 == 2 && iterations == 12 && failures < disablingAt {
			finished++
		}
		if failures == disablingAt || n%4 == 2 && iterations == 12 {
			due = time.Time{}
		}
	}
	if gates > held || gates < held-len(y.absences) { // after a downtime a session may be closed before anybody looks
		problems = append(problems, fmt.Sprintf("%d of %d long reviews have a row", gates, held))
	}
	return append(problems, y.notices(n, map[string]int{
		inbox.Skipped: gates + len(blocked), inbox.Disabled: len(y.strikes(n, rows)), inbox.LoopFinished: finished,
		inbox.RunFailed: y.ownerless(n, rows),
	})...)
}

// callLedger compares the calls and Run Nows of a Manual or an HTTP Trigger with its rows. Failures never switch one
// off.
func (y *annual) callLedger(n int, rows []db.Execution) (problems []string) {
	told, failures, runs := 0, 0, 0
	for _, e := range rows {
		if e.SessionID != uuid.Nil {
			runs++
		}
		if byHand, byCall := e.Source == db.ByHand && e.UserID == y.Mira.ID, e.Source == db.ByWebhook &&
			e.TokenFingerprint == "0a1b2c3d"; byHand != (n < firstHTTP) || byCall != (n >= firstHTTP) {
			problems = append(problems, fmt.Sprintf("the run of %s was started by %s %s %s", e.CreatedAt.UTC(),
				e.Source, e.UserID, e.TokenFingerprint))
		}
		switch {
		case e.Neutral || e.Status.InFlight():
		case e.Status == db.Succeeded:
			failures = 0
		default:
			if failures++; failures == 1 {
				told++
			}
		}
	}
	if runs != y.accepted[n] {
		problems = append(problems, fmt.Sprintf("there are %d runs of %d that were asked for and accepted", runs,
			y.accepted[n]))
	}
	parallel := n >= firstHTTP && n%2 == 1
	if y.accepted[n] > 0 && parallel != (y.refused[n] == 0) {
		problems = append(problems, fmt.Sprintf("%d were refused because of a run in flight", y.refused[n]))
	}
	if a := y.Reload(&db.Automation{ID: y.ids[n]}); !a.Enabled {
		problems = append(problems, "it is off: "+a.DisabledReason)
	}
	return append(problems, y.notices(n, map[string]int{inbox.RunFailed: told})...)
}

// gaps compares due times with the rows that answer them. A row answers the time that it is for, and, when it stands
// for several, as a skip, a miss or a catch-up does, all due times up to its last. Every due time must be answered by
// one row.
func gaps(want []time.Time, rows []db.Execution) (problems []string) {
	answers := make(map[int64]int, len(want))
	due := make(map[int64]bool, len(want))
	for _, w := range want {
		due[w.Unix()] = true
	}
	for _, e := range rows {
		if !due[e.ScheduledFor.Unix()] {
			problems = append(problems, fmt.Sprintf("a row %s is for %s, when it was not due", e.Status,
				e.ScheduledFor.UTC()))
		}
		last := automation.Later(e.ScheduledFor, e.LastSkippedFor)
		n := 0
		for _, w := range want {
			if !w.Before(e.ScheduledFor) && !w.After(last) {
				answers[w.Unix()]++
				n++
			}
		}
		if e.SkipCount > 0 && e.SkipCount != n {
			problems = append(problems, fmt.Sprintf("a row %s from %s to %s counts %d, and %d were due", e.Status,
				e.ScheduledFor.UTC(), last.UTC(), e.SkipCount, n))
		}
	}
	for _, w := range want {
		if n := answers[w.Unix()]; n != 1 {
			problems = append(problems, fmt.Sprintf("%s is answered by %d rows", w.UTC(), n))
		}
	}
	return problems
}

// expectNoGaps asks the watchdog, which must agree.
func (k *kit) expectNoGaps() {
	k.T.Helper()
	for next := uuid.Nil; ; {
		n, after, err := k.Schedules().FindGaps(k.T.Context(), next)
		check(k.T, err)
		if n != 0 {
			k.T.Errorf("the watchdog finds %d gaps", n)
		}
		if after == uuid.Nil {
			return
		}
		next = after
	}
}
