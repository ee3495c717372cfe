package automation_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/cron/crontest"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/db"
)

// TestNightsOfSchedulesWithEdits lives through nights in which people edit, switch, run, stop and delete automations of
// every type while they are due, while workers die, budgets are used up, and Carillon is away. After each step it holds
// what is stored against rules that must always be true, and at the end the ledger against a brute-force oracle. NIGHTS
// is how many nights; NIGHT is the first of them.
func TestNightsOfSchedulesWithEdits(t *testing.T) {
	nights, first := 3, 1
	if n, err := strconv.Atoi(os.Getenv("NIGHTS")); err == nil {
		nights = n
	}
	if n, err := strconv.Atoi(os.Getenv("NIGHT")); err == nil {
		first = n
	}
	for i := range nights {
		t.Run(fmt.Sprint(first+i), func(t *testing.T) { liveThrough(t, uint64(first+i)) })
	}
}

// span is a time in which a Recurring schedule was in force.
type span struct {
	cron, zone  string
	since       time.Time
	must, might time.Time // due times before the first are answered, up to the second they may be
}

// gap is a time in which no scheduler looked.
type gap struct{ from, to time.Time }

// night is one night of the test with what it has seen.
type night struct {
	*kit
	rand    *rand.Rand
	second  *automation.Service
	all     []uuid.UUID
	last    map[uuid.UUID]db.Automation
	told    map[uuid.UUID]int
	spans   map[uuid.UUID][]span
	before  map[uuid.UUID]map[uuid.UUID]bool // runs that had ended when the count of failures began anew
	work    []db.Session
	away    []gap
	owner   account.Actor
	story   []string
	budgets map[uuid.UUID]bool // had one
	back    time.Duration      // by how much the clock was set back; negative: it never is
}

func (n *night) note(format string, args ...any) {
	n.story = append(n.story, n.Clock.Now().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

func (n *night) fail(a uuid.UUID, format string, args ...any) {
	n.T.Helper()
	var lines []string
	for _, line := range n.story {
		if strings.Contains(line, n.name(a)) || !strings.Contains(line, "A") || strings.Contains(line, "all") {
			lines = append(lines, line)
		}
	}
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	n.T.Errorf("%s at %s: %s\n%s\n%s", n.name(a), moment(n.Clock.Now()), fmt.Sprintf(format, args...),
		strings.Join(lines, "\n"), n.rows(a))
	n.T.FailNow()
}

func moment(t time.Time) string { return t.UTC().Format("02 15:04:05") }

func (n *night) name(a uuid.UUID) string { return fmt.Sprint("A", slices.Index(n.all, a), ":") }

func (n *night) rows(a uuid.UUID) string {
	var text []string
	for _, e := range n.History(&db.Automation{ID: a}) {
		text = append(text, fmt.Sprintf("  %s %s/%s %s for %s to %s ×%d: %s [%s] made %s ended %s",
			e.ID.String()[24:], e.Snapshot.Trigger, e.Source, e.Status, moment(e.ScheduledFor),
			moment(e.LastSkippedFor),
			e.SkipCount, e.Reason, e.ErrorClass, moment(e.CreatedAt), moment(e.FinishedAt)))
	}
	if len(text) > 40 {
		text = text[len(text)-40:]
	}
	return strings.Join(text, "\n")
}

func pick[T any](n *night, list ...T) T { return list[n.rand.IntN(len(list))] }

// evenings are before nights on which clocks change, in zones with rules of their own, and one on which none does.
var evenings = []struct {
	begin time.Time
	zones []string
}{
	{time.Date(2026, 3, 28, 20, 0, 20, 0, time.UTC), []string{"Europe/Berlin", "UTC"}},
	{time.Date(2026, 10, 24, 20, 0, 20, 0, time.UTC), []string{"Europe/Berlin", "Europe/London"}},
	{time.Date(2026, 4, 23, 17, 0, 20, 0, time.UTC), []string{"Africa/Cairo", "Asia/Kathmandu"}},
	{time.Date(2026, 10, 29, 16, 0, 20, 0, time.UTC), []string{"Africa/Cairo", "UTC"}},
	{time.Date(2026, 4, 4, 10, 0, 20, 0, time.UTC), []string{"Australia/Lord_Howe", "Pacific/Chatham"}},
	{time.Date(2026, 10, 3, 10, 0, 20, 0, time.UTC), []string{"Australia/Lord_Howe", "UTC"}},
	{time.Date(2026, 9, 26, 9, 0, 20, 0, time.UTC), []string{"Pacific/Chatham", "America/New_York"}},
	{time.Date(2026, 11, 1, 1, 0, 20, 0, time.UTC), []string{"America/New_York", "America/Santiago"}},
	{time.Date(2026, 6, 30, 20, 0, 20, 0, time.UTC), []string{"UTC", "Asia/Tokyo"}},
}

func liveThrough(t *testing.T, seed uint64) {
	n := &night{
		kit: setup(t), rand: rand.New(rand.NewPCG(seed, 7)), last: map[uuid.UUID]db.Automation{},
		told:  map[uuid.UUID]int{},
		spans: map[uuid.UUID][]span{}, before: map[uuid.UUID]map[uuid.UUID]bool{}, budgets: map[uuid.UUID]bool{},
		back: -1,
	}
	if seed%3 == 0 {
		n.back = 0
	}
	n.second = &automation.Service{
		DB: n.DB, Now: n.Now, Keys: n.Keys, Log: slog.New(slog.DiscardHandler), Providers: n.Providers,
		Workspaces: n.Workspaces,
	}
	evening := evenings[seed%uint64(len(evenings))]
	n.Clock.Set(evening.begin)
	n.owner = n.Person("Owner", account.RoleMember)
	for range 5 {
		in := n.some(evening.zones)
		a, _, err := n.Definitions().Create(t.Context(), n.owner, in)
		if err != nil {
			var bad fault.Invalid
			if errors.As(err, &bad) {
				continue
			}
			t.Fatal(err)
		}
		n.all = append(n.all, a.ID)
		n.note("%s created %s", n.name(a.ID), said(in))
		n.look()
	}
	end := evening.begin.Add(11 * time.Hour)
	for n.Clock.Now().Before(end) {
		n.step(evening.zones)
		n.look()
		n.advance(time.Duration(1+n.rand.IntN(pick(n, 5, 90, 1200, 1200))) * time.Second)
	}
	n.note("all: the end")
	n.owned(true)
	for range 5 {
		n.claimAll()
		for len(n.work) > 0 {
			n.end(0, success)
		}
		n.closeOpen()
		n.advance(16 * time.Minute)
	}
	for _, a := range n.all {
		n.ledgerOf(a)
	}
}

func said(in automation.Input) string {
	return fmt.Sprintf("%s %s %s in %s, catch up %t, complete %t, budget %v",
		in.Trigger, in.Cron, in.RunAt, in.TimeZone, in.CatchUp, in.AutoComplete, in.Budget)
}

// some is an automation of any type.
func (n *night) some(zones []string) automation.Input {
	in := n.Input()
	in.Trigger = pick(n, "recurring", "recurring", "recurring", "loop", "loop", "one_time", "one_time", "manual",
		"http")
	switch in.Trigger {
	case "recurring":
		in.Cron = pick(n, "* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "*/30 0-3 * * *", "15 1,2,3 * * *",
			"0 0 * * *", "0,20,59 * * * *")
		in.CatchUp = pick(n, true, false)
	case "one_time":
		in.RunAt = n.Clock.Now().Add(time.Duration(n.rand.IntN(7200)-200) * time.Second).UTC().Format(time.RFC3339)
	}
	in.TimeZone = pick(n, zones...)
	in.AutoComplete = pick(n, true, true, false)
	in.OnlyUnchanged = pick(n, true, false)
	if n.rand.IntN(4) == 0 {
		limited(pick(n, "day", "month"), spec.Limits{Turns: 1 + n.rand.IntN(6)})(&in)
	}
	return in
}

// scheduler is one of two.
func (n *night) scheduler() *automation.Service { return pick(n, n.Service, n.second) }

// advance lets time pass while both schedulers look each second.
func (n *night) advance(d time.Duration) {
	n.T.Helper()
	to := n.Clock.Now().Add(d)
	for {
		now := n.Clock.Now()
		var next time.Time
		check(n.T, n.DB.NewRaw(
			"SELECT coalesce(min(next_run_at), ?) FROM automations WHERE enabled AND next_run_at > ?", to, now).
			Scan(n.T.Context(), &next))
		if next.After(to) {
			next = to
		}
		next = next.Truncate(time.Second)
		if next.Before(now) || next.Equal(now) && next.Before(to) {
			next = now.Add(time.Second)
		}
		n.Clock.Set(next)
		n.LookedAt(next.Add(-time.Second))
		n.second.LookedAt(next.Add(-time.Second))
		n.tickNow()
		if n.rand.IntN(3) > 0 {
			n.someWork()
		}
		if !next.Before(to) {
			return
		}
	}
}

// tickNow lets a scheduler look at all that is due.
func (n *night) tickNow() {
	n.T.Helper()
	for i := 0; ; i++ {
		one := n.scheduler()
		one.LookedInTime()
		k, err := one.Schedules().StartDue(n.T.Context())
		check(n.T, err)
		n.look()
		if k == 0 {
			return
		}
		if i > 50 {
			n.T.Fatalf("at %s the scheduler does not come to an end", n.Clock.Now())
		}
	}
}

func (n *night) claimAll() { n.work = append(n.work, n.Claim()...) }

// someWork lets workers begin and end some runs.
func (n *night) someWork() {
	n.T.Helper()
	n.claimAll()
	if len(n.work) > 0 && n.rand.IntN(2) == 0 {
		n.end(n.rand.IntN(len(n.work)), n.outcome())
	}
}

func (n *night) outcome() automation.Outcome {
	switch n.rand.IntN(9) {
	case 0, 1:
		return failure
	case 2:
		return automation.Outcome{Status: db.TimedOut, Reason: "it took too long", Class: "timeout"}
	case 3:
		return automation.Outcome{Status: db.Failed, Reason: "the network was away", Class: "transient", Neutral: true,
			Tell: true}
	case 4:
		return automation.Outcome{Status: db.Succeeded, FilesChanged: true}
	case 5:
		return automation.Outcome{Status: db.Skipped, Reason: "its gate did not let it begin", Neutral: true}
	default:
		return success
	}
}

// end ends a run at work.
func (n *night) end(i int, o automation.Outcome) {
	n.T.Helper()
	s := n.work[i]
	n.work = slices.Delete(n.work, i, i+1)
	if n.rand.IntN(4) > 0 && o.Status != db.Skipped {
		n.Exec(`UPDATE executions SET turns = 1, started_at = coalesce(started_at, ?)
			WHERE session_id = ? AND status IN ('queued', 'running')`, n.Clock.Now(), s.ID)
	}
	err := n.Runs().Finish(n.T.Context(), lease(s), o)
	if errors.Is(err, db.ErrLeaseLost) || db.IsNotFound(err) {
		return
	}
	check(n.T, err)
	n.note("%s a run ended %s %s neutral=%t", n.name(s.AutomationID), o.Status, o.Reason, o.Neutral)
	n.look()
}

func (n *night) owned(active bool) {
	if active {
		n.Exec("UPDATE users SET deactivated_at = NULL WHERE id = ?", n.owner.ID)
	} else {
		check(n.T, db.SetDeactivated(n.T.Context(), n.DB, n.owner.ID, n.Clock.Now(), n.Clock.Now()))
	}
}

// step is one thing that somebody does, or that happens.
func (n *night) step(zones []string) {
	n.T.Helper()
	ctx := n.T.Context()
	if len(n.all) == 0 {
		return
	}
	a := n.all[n.rand.IntN(len(n.all))]
	stored, err := db.AutomationByID(ctx, n.DB, a)
	if db.IsNotFound(err) {
		return
	}
	check(n.T, err)
	var bad fault.Invalid
	switch n.rand.IntN(17) {
	case 0, 1, 2: // another of its kind, or of another
		in := n.some(zones)
		in.Version = stored.Version
		_, _, err := n.Definitions().Update(ctx, n.Mira, a, in)
		if err != nil && !errors.As(err, &bad) {
			n.T.Fatal(err)
		}
		n.note("%s becomes %s (%v)", n.name(a), said(in), err)
	case 3, 4, 5:
		err := n.Definitions().SetEnabled(ctx, n.Mira, a, !stored.Enabled)
		if err != nil && !errors.As(err, &bad) {
			n.T.Fatal(err)
		}
		n.note("%s enabled %t (%v)", n.name(a), !stored.Enabled, err)
	case 6:
		if stored.Enabled && stored.Trigger != db.HTTP { // in the same second
			check(n.T, n.Definitions().SetEnabled(ctx, n.Mira, a, false))
			n.look()
			n.Clock.Add(time.Second)
			err := n.Definitions().SetEnabled(ctx, n.Mira, a, true)
			if err != nil && !errors.As(err, &bad) {
				n.T.Fatal(err)
			}
			n.note("%s switched off and on (%v)", n.name(a), err)
		}
	case 7, 8:
		_, err := n.Runs().RunNow(ctx, n.Mira, a, nil)
		var busy *automation.Busy
		var unable *automation.Unable
		if err != nil && !errors.As(err, &busy) && !errors.As(err, &unable) {
			n.T.Fatal(err)
		}
		n.note("%s Run Now (%v)", n.name(a), err)
	case 9: // down: nobody looks, workers are gone
		d := time.Duration(1+n.rand.IntN(pick(n, 400, 9000))) * time.Second
		from := n.Clock.Now()
		n.note("all: down for %s", d)
		n.Clock.Add(d)
		n.away = append(n.away, gap{from: from, to: n.Clock.Now()})
		n.Restart()
		n.second.Restart()
		schedulers := []*automation.Service{n.Service, n.second}
		n.rand.Shuffle(2, func(i, j int) { schedulers[i], schedulers[j] = schedulers[j], schedulers[i] })
		for _, one := range schedulers {
			if n.rand.IntN(2) == 0 {
				n.workersDie()
			}
			_, err := one.Schedules().StartDue(ctx)
			check(n.T, err)
			n.look()
		}
		n.tickNow()
	case 10:
		n.note("all: workers die")
		n.workersDie()
	case 11: // somebody closes what is open
		n.note("all: open sessions are closed")
		n.closeOpen()
	case 12:
		n.owned(false)
		n.note("all: the owner is gone")
		n.advance(time.Duration(n.rand.IntN(3600)) * time.Second)
		n.owned(true)
		n.note("all: the owner is back")
	case 13:
		var id uuid.UUID
		err := n.DB.NewRaw(
			"SELECT id FROM executions WHERE automation_id = ? AND status IN ('queued', 'running') LIMIT 1",
			a).Scan(ctx, &id)
		if err == nil {
			check(n.T, n.Runs().Cancel(ctx, n.Mira, id))
			n.note("%s canceled", n.name(a))
			for i := range n.work {
				if n.work[i].AutomationID == a {
					n.end(i, automation.Outcome{Status: db.Canceled, Reason: "canceled"})
					break
				}
			}
		}
	case 14:
		n.note("all: the watch")
		before := n.Clock.Now()
		repaired, err := n.Schedules().Repair(ctx)
		check(n.T, err)
		check(n.T, n.Schedules().CorrectFutureTimes(ctx))
		gaps, _, err := n.Schedules().FindGaps(ctx, uuid.Nil)
		check(n.T, err)
		check(n.T, n.Schedules().WatchGates(ctx))
		if repaired+gaps > 0 {
			n.fail(a, "the watch repaired %d schedules and found %d gaps at %s", repaired, gaps, before)
		}
	case 16:
		if n.back < 0 {
			break
		}
		d := time.Duration(1+n.rand.IntN(2400)) * time.Second
		n.note("all: the clock is set back by %s", d)
		n.back += d
		n.Clock.Add(-d)
		check(n.T, n.Schedules().CorrectFutureTimes(ctx))
		gaps, _, err := n.Schedules().FindGaps(ctx, uuid.Nil)
		check(n.T, err)
		if gaps > 0 {
			n.fail(a, "the watch found %d gaps", gaps)
		}
	case 15:
		if n.rand.IntN(6) == 0 {
			check(n.T, n.Definitions().Delete(ctx, n.Mira, a))
			n.note("%s deleted", n.name(a))
		} else if budgeted := stored.Budget.Day.Set(); budgeted {
			_, err := n.Budgets().Raise(ctx, n.Mira, a, "day.turns")
			check(n.T, err)
			n.note("%s budget raised", n.name(a))
		}
	}
}

// closeOpen marks all open sessions Done.
func (n *night) closeOpen() {
	n.T.Helper()
	var open []uuid.UUID
	check(n.T, n.DB.NewRaw("SELECT id FROM sessions WHERE status = 'waiting'").Scan(n.T.Context(), &open))
	for _, id := range open {
		check(n.T, n.Sessions().MarkDone(n.T.Context(), n.Mira, id))
	}
}

// workersDie ends the leases of all that is at work; half of it can be resumed.
func (n *night) workersDie() {
	n.T.Helper()
	n.Exec("UPDATE sessions SET lease_until = ? WHERE status = 'in_progress'", n.Clock.Now().Add(-time.Hour))
	resumes := n.rand.IntN(2) == 0
	if resumes {
		n.Exec("UPDATE sessions SET conversation = 'known' WHERE status = 'in_progress'")
	}
	_, err := n.Runs().Interrupt(n.T.Context(), func(string) bool { return resumes })
	check(n.T, err)
	n.work = nil
	n.look()
}

// fact is what look finds out of an automation beside its row.
type fact struct {
	ID       uuid.UUID `bun:"id,type:uuid"`
	InFlight int       `bun:"in_flight"`
	Parallel bool      `bun:"parallel"`
	Open     bool      `bun:"open"`
	Told     int       `bun:"told"`
	Budget   bool      `bun:"budget"`
}

// look compares what is stored with what it was, and with the rules.
func (n *night) look() {
	n.T.Helper()
	ctx, now := n.T.Context(), n.Clock.Now()
	var list []db.Automation
	check(n.T, n.DB.NewSelect().Model(&list).Scan(ctx))
	var facts []fact
	check(n.T, n.DB.NewRaw(`SELECT a.id, count(e.id) AS in_flight, coalesce(bool_or(e.parallel), false) AS parallel,
		EXISTS (SELECT 1 FROM sessions s WHERE s.status IN ('queued', 'in_progress', 'waiting') AND s.id =
			(SELECT x.session_id FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule'
				AND x.session_id IS NOT NULL ORDER BY x.id DESC LIMIT 1)) AS open,
		(SELECT count(*) FROM notifications n WHERE n.automation_id = a.id) AS told,
		coalesce((SELECT x.status = 'skipped' AND x.error_class = 'budget' FROM executions x WHERE x.automation_id = a.id
			AND (x.source = 'schedule' OR x.session_id IS NOT NULL) ORDER BY x.id DESC LIMIT 1), false) AS budget
		FROM automations a LEFT JOIN executions e ON e.automation_id = a.id AND e.status IN ('queued', 'running') GROUP BY a.id`).Scan(ctx, &facts))
	there := map[uuid.UUID]bool{}
	for i := range list {
		a := &list[i]
		there[a.ID] = true
		before, known := n.last[a.ID]
		f := facts[slices.IndexFunc(facts, func(f fact) bool { return f.ID == a.ID })]
		n.budgets[a.ID] = n.budgets[a.ID] || a.Budget.Set()
		if !known || before.Trigger != a.Trigger || before.Enabled != a.Enabled ||
			!before.ScheduledSince.Equal(a.ScheduledSince) {
			n.close(a.ID, before, now)
			if a.Trigger == db.Recurring && a.Enabled {
				n.spans[a.ID] = append(n.spans[a.ID], span{cron: a.Cron, zone: a.TimeZone, since: a.ScheduledSince})
			}
			if !known || before.Trigger != a.Trigger || a.Enabled && !before.Enabled {
				n.before[a.ID] = map[uuid.UUID]bool{}
				for _, e := range n.History(a) {
					n.before[a.ID][e.ID] = !e.FinishedAt.IsZero()
				}
			}
		}
		switch {
		case f.InFlight > 1 && !f.Parallel:
			n.fail(a.ID, "%d runs are in flight", f.InFlight)
		case a.Trigger == db.Recurring && a.Enabled && a.NextRunAt.IsZero():
			n.fail(a.ID, "it is enabled without a next run")
		case a.Trigger == db.Loop && a.Enabled && a.NextRunAt.IsZero() && !f.Open:
			n.fail(a.ID, "the loop sleeps")
		case a.Trigger == db.Loop && a.Enabled && a.NextRunAt.After(now.Add(2*time.Minute)) && !f.Budget:
			n.fail(a.ID, "the loop sleeps until %s", a.NextRunAt)
		case a.Trigger == db.OneTime && a.Enabled && a.NextRunAt.IsZero() && f.InFlight == 0:
			n.fail(a.ID, "the One-Time is enabled and will not run")
		case a.Trigger == db.OneTime && a.NextRunAt.After(now.Add(15*time.Second)) && a.NextRunAt.After(a.RunAt):
			n.fail(a.ID, "the One-Time for %s is due at %s", a.RunAt, a.NextRunAt)
		case !a.Enabled && (!a.NextRunAt.IsZero() || a.DisabledReason == "" || a.DisabledKind == ""):
			n.fail(a.ID, "it is disabled, due at %s, because %q %q", a.NextRunAt, a.DisabledKind, a.DisabledReason)
		case a.Enabled && a.DisabledKind != "":
			n.fail(a.ID, "it is enabled and was disabled because %s", a.DisabledReason)
		case a.Enabled && (a.Trigger == db.Recurring || a.Trigger == db.Loop) &&
			a.FailureStreak >= automation.MaxFailures:
			n.fail(a.ID, "it is enabled after %d failures", a.FailureStreak)
		case known && before.Enabled && !a.Enabled && a.DisabledKind != db.ByPerson &&
			a.DisabledReason != "it has run" &&
			f.Told == n.told[a.ID] && !strings.Contains(a.DisabledReason, "canceled by"):
			n.fail(a.ID, "it was disabled because %s, and nobody was told", a.DisabledReason)
		}
		n.last[a.ID], n.told[a.ID] = *a, f.Told
		n.streak(a)
	}
	for id, before := range n.last {
		if !there[id] {
			n.close(id, before, now)
			delete(n.last, id)
			delete(n.spans, id) // its rows are gone
		}
	}
}

// close ends the span that is in force.
func (n *night) close(id uuid.UUID, before db.Automation, now time.Time) {
	spans := n.spans[id]
	if len(spans) > 0 && spans[len(spans)-1].must.IsZero() {
		spans[len(spans)-1].must, spans[len(spans)-1].might = before.NextRunAt, now
	}
}

// streak compares the count of failures with the history.
func (n *night) streak(a *db.Automation) {
	n.T.Helper()
	var list []db.Execution
	check(n.T, n.DB.NewSelect().Model(&list).
		Where("e.automation_id = ? AND e.finished_at IS NOT NULL AND NOT e.neutral", a.ID).
		OrderExpr("e.finished_at, e.id").Scan(n.T.Context()))
	want := 0
	for _, e := range list {
		switch {
		case n.before[a.ID][e.ID]:
		case e.Status == db.Succeeded:
			want = 0
		case e.Snapshot.Trigger != a.Trigger || a.Scheduled() && e.Source != db.BySchedule:
		default:
			want++
		}
	}
	if want != a.FailureStreak && n.back <= 0 { // else the order of the ends is not known
		n.fail(a.ID, "it has %d failures in a row; want %d", a.FailureStreak, want)
	}
}

// ledgerOf holds the rows of an automation's schedule against the due times of its spans.
func (n *night) ledgerOf(id uuid.UUID) {
	n.T.Helper()
	a, there := n.last[id]
	if !there {
		return
	}
	n.close(id, a, n.Clock.Now())
	must, might := map[int64]int{}, map[int64]int{}
	for _, s := range n.spans[id] {
		zone, err := cron.Zone(s.zone)
		check(n.T, err)
		for _, w := range crontest.Times(s.cron, zone, s.since, s.might.Add(time.Hour)) {
			switch {
			case w.Before(s.must):
				must[w.Unix()] = 0
			case !w.After(s.might):
				might[w.Unix()] = 0
			}
		}
	}
	all := n.History(&db.Automation{ID: id})
	skips, notices := 0, 0
	blockers := map[uuid.UUID]bool{}
	for _, e := range all {
		if e.Source != db.BySchedule {
			continue
		}
		if e.Status == db.Skipped && e.ErrorClass != db.ErrorBudget && e.ErrorClass != db.ErrorGate {
			skips++
			blockers[e.BlockedBy] = true
		}
		if e.Snapshot.Trigger != db.Recurring {
			continue
		}
		from, to := e.ScheduledFor, e.ScheduledFor
		if e.LastSkippedFor.After(to) {
			to = e.LastSkippedFor
		}
		k := 0
		for _, set := range []map[int64]int{must, might} {
			for w := range set {
				if w >= from.Unix() && w <= to.Unix() {
					set[w]++
					k++
					n.reason(id, &e, time.Unix(w, 0).UTC(), all)
				}
			}
		}
		if n.back > 0 { // what was then was not in this order, and a time may come twice
			continue
		}
		if k == 0 {
			n.fail(id, "a row %s is for %s, when it was not due", e.Status, e.ScheduledFor.UTC())
		}
		if e.SkipCount > 0 && e.SkipCount != k {
			n.fail(id, "a row %s from %s to %s counts %d, and %d were due", e.Status, from.UTC(), to.UTC(), e.SkipCount,
				k)
		}
	}
	for w, k := range must {
		if k != 1 && (k == 0 || n.back <= 0) {
			n.fail(id, "%s is answered by %d rows", time.Unix(w, 0).UTC(), k)
		}
	}
	for w, k := range might {
		if k > 1 && n.back <= 0 {
			n.fail(id, "%s is answered by %d rows", time.Unix(w, 0).UTC(), k)
		}
	}
	check(n.T, n.DB.NewRaw(
		"SELECT count(*) FROM notifications WHERE automation_id = ? AND kind = ? AND title NOT LIKE '%gate'", id,
		inbox.Skipped).Scan(n.T.Context(), &notices))
	if notices > skips || notices < len(blockers) {
		n.fail(id, "%d streaks of skips by %d runs have %d notices", skips, len(blockers), notices)
	}
}

// reason checks what a row says of a due time.
func (n *night) reason(id uuid.UUID, e *db.Execution, w time.Time, all []db.Execution) {
	n.T.Helper()
	if n.back > 0 {
		return
	}
	down := slices.ContainsFunc(n.away, func(g gap) bool { return w.After(g.from) && w.Before(g.to) })
	downFor := slices.ContainsFunc(n.away, func(g gap) bool {
		return w.After(g.from) && w.Before(g.to.Add(-automation.AnswerWithin))
	})
	switch {
	case e.Status == db.Missed && !down:
		n.fail(id, "%s is missed because %s, and Carillon was there", w, e.Reason)
	case e.Status == db.Skipped && e.ErrorClass == "" && downFor:
		n.fail(id, "%s is skipped, and passed during a downtime", w)
	case e.Status == db.Skipped && e.ErrorClass == "" && !slices.ContainsFunc(all, func(o db.Execution) bool {
		return o.SessionID != uuid.Nil && !o.CreatedAt.After(w.Add(automation.AnswerWithin)) &&
			(o.FinishedAt.IsZero() || !o.FinishedAt.Before(w))
	}):
		n.fail(id, "%s is skipped because %s, and none was", w, e.Reason)
	case e.Status == db.Skipped && e.ErrorClass == db.ErrorBudget && !n.budgets[id]:
		n.fail(id, "%s is skipped because %s, and it has no budget", w, e.Reason)
	}
}
