package automation_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
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
	"carillon/app/payload"
	"carillon/db"
)

// TestAYearAnswersEveryDueTimeOnce lives through 2027 with 200 automations of all types in 12 zones. People edit their
// schedules and zones, switch them off and on and run them by hand; runs take minutes or days, and fail; the owner of
// some is gone for two weeks; Carillon is away for minutes, hours and days, also while clocks change. Then each due
// time must have one answer, and a true one. The due times are those of testdata/year/due.tsv.gz, which a script makes
// that shares no code with Carillon: testdata/year/due.py says how. Unless YEAR is "whole" a third of the automations
// live until April.
func TestAYearAnswersEveryDueTimeOnce(t *testing.T) {
	y := &annual{
		kit: setup(t), plan: readPlan(t), numbers: map[uuid.UUID]int{}, ends: map[uuid.UUID]db.ExecutionStatus{},
		byHand: map[uuid.UUID]bool{}, switched: map[int][]time.Time{}, set: map[int][]time.Time{},
		accepted: map[int]int{}, refused: map[int]int{},
	}
	y.ids, y.runs = make([]uuid.UUID, automations), make([]int, automations)
	end := day(time.April, 10, 0) // after a change of the clocks in each zone that has any but Cairo
	if y.whole = os.Getenv("YEAR") == "whole"; y.whole {
		end = yearEnds
	}
	y.Clock.Set(yearBegins)
	y.nora = y.Person("Nora", account.RoleMember)
	y.foresee()
	y.live(end)
	y.examine(end)
}

// TestDueTimesOfAYearAreThoseOfZoneinfo compares the due times themselves, without any run.
func TestDueTimesOfAYearAreThoseOfZoneinfo(t *testing.T) {
	t.Parallel()
	zones, n := map[string]bool{}, 0
	for _, versions := range readPlan(t) {
		for _, v := range versions {
			zone, err := cron.Zone(v.zone)
			check(t, err)
			var got []time.Time
			if v.oneTime() {
				at, err := cron.Read(v.schedule, zone, time.Time{})
				check(t, err)
				got = append(got, at.At)
			} else {
				expression, err := cron.Parse(v.schedule)
				check(t, err)
				for next := expression.Next(v.from, zone); next.Before(v.to); next = expression.Next(next, zone) {
					got = append(got, next)
				}
			}
			if !slices.EqualFunc(got, v.due, time.Time.Equal) {
				t.Errorf("%q in %s is due from %s to %s at\n%v, and the list has\n%v", v.schedule, v.zone, v.from, v.to,
					got, v.due)
			}
			zones[v.zone], n = true, n+len(got)
		}
	}
	if len(zones) < 12 || n < 5000 {
		t.Errorf("there are %d zones and %d due times; want a busy year in 12", len(zones), n)
	}
}

// The year, and the numbers of its automations by their types: Recurring first, and One-Times, of which the plan is a
// table.
const (
	firstOneTime, firstLoop, firstManual, firstHTTP, automations = 100, 140, 160, 180, 200
)

var yearBegins, yearEnds = time.Date(2027, 1, 1, 0, 0, 20, 0, time.UTC), time.Date(2028, 1, 1, 0, 0, 20, 0, time.UTC)

// away are the downtimes of the year.
var away = []struct {
	from string
	long time.Duration
}{
	{"2027-02-03T01:28:40Z", 4*time.Minute + 40*time.Second}, // shorter than what still fires
	{"2027-03-28T00:20:40Z", 3 * time.Hour},                  // Europe goes forward
	{"2027-04-03T14:20:40Z", 100 * time.Minute},              // Lord Howe goes back
	{"2027-05-03T00:00:40Z", 9 * 24 * time.Hour},
	{"2027-08-14T06:10:40Z", 26 * time.Hour},
	{"2027-10-30T20:00:40Z", 30 * time.Hour}, // Europe goes back
	{"2027-11-07T05:10:40Z", 2 * time.Hour},  // New York goes back
	{"2027-12-24T00:00:40Z", 3 * 24 * time.Hour},
}

// version is a line of the plan: a schedule of an automation between two edits.
type version struct {
	zone     string
	from, to time.Time
	catchUp  bool
	schedule string
	due      []time.Time // by the list
}

func (v version) oneTime() bool { return !strings.Contains(v.schedule, " ") }

// readPlan reads the versions of automations, by their numbers, with their due times.
func readPlan(t *testing.T) [][]version {
	t.Helper()
	table, err := os.ReadFile("testdata/year/schedules.tsv")
	check(t, err)
	packed, err := os.ReadFile("testdata/year/due.tsv.gz")
	check(t, err)
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	check(t, err)
	list, err := io.ReadAll(unpacked)
	check(t, err)
	instant := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		check(t, err)
		return at.UTC()
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		check(t, err)
		return n
	}
	due := map[int][]time.Time{}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		line, at, _ := strings.Cut(lines.Text(), "\t")
		due[number(line)] = append(due[number(line)], instant(at))
	}
	plan := make([][]version, automations)
	for i, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		n := number(f[0])
		plan[n] = append(plan[n], version{
			zone: f[1], from: instant(f[2]), to: instant(f[3]), catchUp: f[4] == "catches up", schedule: f[5],
			due: due[i+1],
		})
	}
	return plan
}

// annual is the year with what is known of it.
type annual struct {
	*kit
	whole    bool // all automations live
	nora     account.Actor
	plan     [][]version
	ids      []uuid.UUID // of automations, by number; Nil: not created yet
	numbers  map[uuid.UUID]int
	coming   []happening                      // by time
	absences []gap                            // those that are over
	runs     []int                            // how many runs have begun of an automation
	ends     map[uuid.UUID]db.ExecutionStatus // how the run of a session ends
	byHand   map[uuid.UUID]bool               // the sessions of Run Now
	switched map[int][]time.Time              // when somebody switched on what Carillon had switched off
	set      map[int][]time.Time              // the times to which a One-Time was set
	accepted map[int]int                      // the calls and Run Nows that started a run
	refused  map[int]int                      // those that a run in flight was in the way of
}

// happening is something that happens at a time.
type happening struct {
	at time.Time
	do func()
}

// plans lets something happen at a time. What is foreseen for a downtime happens at its end.
func (y *annual) plans(at time.Time, do func()) {
	i, _ := slices.BinarySearchFunc(y.coming, at, func(h happening, at time.Time) int {
		if h.at.After(at) {
			return 1
		}
		return -1
	})
	y.coming = slices.Insert(y.coming, i, happening{at, do})
}

// foresee plans what people and senders do.
func (y *annual) foresee() {
	y.plans(day(7, 1, 0), func() { y.Exec("UPDATE users SET deactivated_at = ? WHERE id = ?", y.Now(), y.nora.ID) })
	y.plans(day(7, 14, 0), func() { y.Exec("UPDATE users SET deactivated_at = NULL WHERE id = ?", y.nora.ID) })
	for n, versions := range y.plan {
		for i, v := range versions {
			if !y.lives(n) {
				break
			}
			for _, a := range away { // the list does not know of downtimes
				if from := instant(y.T, a.from); !v.oneTime() &&
					(during(v.from, from, a.long) || during(v.to, from, a.long)) {
					y.T.Fatalf("%03d is edited while Carillon is away: %+v", n, v)
				}
			}
			y.plans(v.from, func() { y.edit(n, i) })
			if last := i == len(versions)-1; !v.oneTime() &&
				(last && v.to.Before(yearEnds) || !last && v.to.Before(versions[i+1].from)) {
				y.plans(v.to, func() { check(y.T, y.Definitions().SetEnabled(y.T.Context(), y.Mira, y.ids[n], false)) })
			}
		}
	}
	for n := firstLoop; n < automations; n++ {
		if !y.lives(n) {
			continue
		}
		y.plans(yearBegins.Add(time.Duration(n)*time.Second), func() { y.edit(n, 0) })
	}
	for month := time.January; month <= time.December; month++ {
		y.plans(day(month, 1, 12), y.switchOn)
		for n := range automations {
			switch {
			case !y.lives(n):
			case n < firstOneTime && n%7 == 0, n >= firstLoop && n < firstManual && n%7 == 0:
				y.plans(day(month, 17, 15).Add(time.Duration(n)*time.Second), func() { y.runByHand(n) })
			case n >= firstManual && n < firstHTTP:
				y.plans(day(month, 3+n-firstManual, 10), func() { y.runByHand(n) })
				// the first is at work
				y.plans(day(month, 3+n-firstManual, 10).Add(time.Minute), func() { y.runByHand(n) })
			case n >= firstHTTP:
				y.plans(day(month, 2+n-firstHTTP, 9), func() { y.call(n) })
				y.plans(day(month, 2+n-firstHTTP, 9).Add(time.Minute), func() { y.call(n) })
			}
		}
	}
}

// lives reports whether an automation takes part.
func (y *annual) lives(n int) bool { return y.whole || n%3 == 0 }

func during(at, from time.Time, long time.Duration) bool {
	return at.After(from) && at.Before(from.Add(long))
}

func day(month time.Month, day, hour int) time.Time {
	return time.Date(2027, month, day, hour, 0, 20, 0, time.UTC)
}

// owner is who creates an automation.
func (y *annual) owner(n int) account.Actor {
	if n%20 == 7 {
		return y.nora
	}
	return y.Jonas
}

// edit brings a version of an automation into force. After a time in which it was off somebody switches it on.
func (y *annual) edit(n, i int) {
	in := y.Input()
	in.Name, in.Retries, in.AutoComplete = fmt.Sprintf("%03d", n), 0, n%4 != 1
	switch {
	case n < firstLoop:
		v := y.plan[n][i]
		in.TimeZone, in.CatchUp = v.zone, v.catchUp
		if in.Trigger, in.Cron = "recurring", v.schedule; v.oneTime() {
			if y.Now().Sub(v.due[0]) > stillFires { // Carillon was away, and nobody could set it
				return
			}
			in.Trigger, in.Cron, in.RunAt = "one_time", "", v.schedule
			y.set[n] = append(y.set[n], v.due[0])
		}
	case n < firstManual:
		in.Trigger = "loop"
		if n%4 == 2 {
			in.MaxIterations = 12
		}
	case n >= firstHTTP:
		in.Trigger, in.AutoComplete, in.AllowParallel = "http", false, n%2 == 1
	}
	if y.ids[n] == uuid.Nil {
		a, _, err := y.Definitions().Create(y.T.Context(), y.owner(n), in)
		check(y.T, err)
		y.ids[n], y.numbers[a.ID] = a.ID, n
		return
	}
	a, err := db.AutomationByID(y.T.Context(), y.DB, y.ids[n])
	check(y.T, err)
	in.Version = a.Version
	_, _, err = y.Definitions().Update(y.T.Context(), y.Mira, a.ID, in)
	check(y.T, err)
	if n < firstOneTime && y.plan[n][i-1].to.Before(y.plan[n][i].from) {
		check(y.T, y.Definitions().SetEnabled(y.T.Context(), y.Mira, a.ID, true))
	}
}

// switchOn switches on what Carillon has switched off of what ought to be on.
func (y *annual) switchOn() {
	var off []uuid.UUID
	check(y.T, y.DB.NewRaw("SELECT id FROM automations WHERE NOT enabled AND trigger <> 'one_time'").
		Scan(y.T.Context(), &off))
	for _, id := range off {
		n := y.numbers[id]
		now := y.Now()
		if n < firstOneTime && !slices.ContainsFunc(y.plan[n], func(v version) bool {
			return v.from.Before(now) && now.Before(v.to)
		}) {
			continue
		}
		check(y.T, y.Definitions().SetEnabled(y.T.Context(), y.Mira, id, true))
		y.switched[n] = append(y.switched[n], now)
	}
}

func (y *annual) runByHand(n int) {
	if y.ids[n] == uuid.Nil {
		return
	}
	run, err := y.Runs().RunNow(y.T.Context(), y.Mira, y.ids[n], nil)
	var busy *automation.Busy
	var unable *automation.Unable
	switch {
	case errors.As(err, &busy):
		y.refused[n]++
	case errors.As(err, &unable): // its owner is gone
	default:
		check(y.T, err)
		y.byHand[run.Session.ID] = true
		y.accepted[n]++
		y.work()
	}
}

func (y *annual) call(n int) {
	o := &db.TokenOwner{ID: y.ids[n], Name: fmt.Sprintf("%03d", n)}
	answer, err := y.Webhooks().Receive(y.T.Context(), o, "0a1b2c3d",
		payload.Call{Method: "POST", Headers: map[string]string{}})
	check(y.T, err)
	switch {
	case answer.Status == 200:
		y.accepted[n]++
		y.work()
	case answer.Status == 409 && answer.Execution != uuid.Nil && answer.Session != uuid.Nil:
		y.refused[n]++
	case n%20 != 7:
		y.T.Errorf("a call of %03d is answered %d %s", n, answer.Status, answer.Error)
	}
}

// live lets the time pass until the end of the year: from each instant at which something happens or is due to the
// next.
func (y *annual) live(end time.Time) {
	for away, idle := away, 0; ; idle++ {
		now := y.Now()
		next := y.nextDue(end)
		due := len(y.coming) == 0 || next.Before(y.coming[0].at)
		if !due {
			next = y.coming[0].at
		}
		if len(away) > 0 && next.After(instant(y.T, away[0].from)) {
			y.down(instant(y.T, away[0].from), away[0].long, len(away)%2 == 1)
			away = away[1:]
			continue
		}
		if !next.Before(end) {
			return
		}
		if next.After(now) {
			y.Clock.Set(next)
			idle = 0
		}
		if idle > 10_000 {
			y.T.Fatalf("at %s time does not go on", now)
		}
		y.LookedAt(y.Now().Add(-time.Second))
		if !due {
			do := y.coming[0].do
			y.coming = y.coming[1:]
			do()
			continue
		}
		y.start()
	}
}

func instant(t *testing.T, text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	check(t, err)
	return at
}

// nextDue is when a scheduler has something to do next. What catches up waits until its run in flight has ended.
func (y *annual) nextDue(end time.Time) time.Time {
	var next time.Time
	check(y.T, y.DB.NewRaw(`SELECT coalesce(min(next_run_at), ?) FROM automations a WHERE enabled AND next_run_at IS NOT NULL
		AND NOT (trigger = 'recurring' AND catch_up AND next_run_at < ?
			AND EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running')))`,
		end, y.WaitsSince()).Scan(y.T.Context(), &next))
	return next.UTC()
}

// start lets the scheduler look once, and workers take what it has started.
func (y *annual) start() {
	for {
		n, err := y.Schedules().StartDue(y.T.Context())
		check(y.T, err)
		if n < automation.DueBatch {
			break
		}
	}
	y.work()
}

// down lets Carillon be away with its workers. Most of the runs at work can be resumed by their agents. At its return
// the scheduler looks first, or what was at work is dealt with.
func (y *annual) down(from time.Time, long time.Duration, schedulerFirst bool) {
	y.Clock.Set(from)
	var list []db.Session
	check(y.T, y.DB.NewSelect().Model(&list).Where("s.status = 'in_progress'").Scan(y.T.Context()))
	for _, s := range list {
		e, err := db.ExecutionBySession(y.T.Context(), y.DB, s.ID)
		check(y.T, err)
		_, err = db.NextTurn(y.T.Context(), y.DB, lease(s), e.ID, from)
		check(y.T, err)
		if n := y.numbers[s.AutomationID]; n%5 != 2 && n%10 != 9 {
			y.Exec("UPDATE sessions SET conversation = 'known' WHERE id = ?", s.ID)
		}
	}
	y.Clock.Set(from.Add(long))
	y.absences = append(y.absences, gap{from: from, to: y.Now()})
	y.Restart()
	if schedulerFirst {
		y.start()
	}
	for n := 1; n > 0; {
		var err error
		n, err = y.Runs().Interrupt(y.T.Context(), func(string) bool { return true })
		check(y.T, err)
	}
	y.start()
}

// work lets workers take all that is queued.
func (y *annual) work() {
	for _, s := range y.Claim() {
		n := y.numbers[s.AutomationID]
		o, long := y.outcome(n, y.byHand[s.ID]), y.long(n, y.byHand[s.ID])
		if _, resumed := y.ends[s.ID]; resumed {
			o = success
		} else if !y.byHand[s.ID] {
			y.runs[n]++
		}
		y.ends[s.ID] = o.Status
		y.plans(y.Now().Add(long), func() {
			err := y.Runs().Finish(y.T.Context(), lease(s), o)
			if errors.Is(err, db.ErrLeaseLost) { // Carillon was away meanwhile
				return
			}
			check(y.T, err)
			if n >= firstLoop && n < firstManual && n%4 == 1 {
				y.plans(y.Now().Add(61*time.Minute), func() { check(y.T, y.Schedules().WatchGates(y.T.Context())) })
				review := []time.Duration{30 * time.Minute, 3 * time.Hour}[y.runs[n]%2]
				y.plans(y.Now().Add(review), func() { check(y.T, y.Sessions().MarkDone(y.T.Context(), y.Mira, s.ID)) })
			}
		})
	}
}

// long is how long a run takes. No two things happen in the same second.
func (y *annual) long(n int, byHand bool) time.Duration {
	switch {
	case n < firstOneTime && byHand:
		return 26*time.Hour + 11*time.Second
	case n >= 64 && n < firstOneTime && n%3 == 0:
		return 70*time.Minute + 7*time.Second
	case n < 64 && n%5 == 4 || n == 1: // of which two block later due times
		return 50*time.Hour + 7*time.Second
	case n >= firstLoop && n < firstManual && !byHand:
		return time.Duration(100+n%4*20)*time.Hour + 7*time.Second
	case n >= firstManual && n%3 == 0:
		return 30*time.Hour + 7*time.Second
	default:
		return 11*time.Minute + 7*time.Second
	}
}

// outcome is how a run ends: one in ten automations fails for weeks, and another fails twice and then does not, and by
// hand.
func (y *annual) outcome(n int, byHand bool) automation.Outcome {
	now := y.Now()
	switch bad := now.After(day(2, 10, 0)) && now.Before(day(3, 12, 0)) || now.After(day(9, 1, 0)) &&
		now.Before(day(9, 20, 0)); {
	case n%10 == 3 && bad, n%10 == 8 && (byHand || y.runs[n]%3 < 2):
		return failure
	default:
		return success
	}
}
