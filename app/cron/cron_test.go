package cron_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/app/cron"
	"carillon/app/cron/crontest"
)

// The vectors were made for this project, under its licence, and agreed with a brute-force search,
// two other parsers and the cronie daemon; the last column says which.
func TestFiresAsTheVectorsSay(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/cron_vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 117 {
		t.Fatalf("read %d rows; want 116 and a heading", len(rows))
	}
	for _, row := range rows[1:] {
		text := row[0]
		zone := zoneOf(t, row[1])
		from := instant(t, row[2])
		want := row[3]
		why := row[4]
		e, err := cron.Parse(text)
		switch want {
		case "INVALID":
			if err == nil || errors.Is(err, cron.ErrNever) {
				t.Errorf("%q: got %v; want a syntax error (%s)", text, err, why)
			}
			continue
		case "NEVER":
			if !errors.Is(err, cron.ErrNever) {
				t.Errorf("%q: got %v; want ErrNever (%s)", text, err, why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []string
		for range strings.Count(want, ";") + 1 {
			from = e.Next(from, zone)
			got = append(got, from.Format(time.RFC3339))
		}
		if got := strings.Join(got, ";"); got != want {
			t.Errorf("%q in %s:\n got %s\nwant %s (%s)", text, zone, got, want, why)
		}
	}
}

// zones have between them each kind of change: whole and half hours, midnight, quarter offsets, a
// day that is left out, and a summer time that is taken back for a month.
var zones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu",
	"Africa/Casablanca", "Africa/Cairo", "America/Santiago", "Pacific/Chatham", "Pacific/Apia",
}

var expressions = []string{
	"* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,30 2 * * *", "*/20 2 * * *", "0 0 * * *",
	"59 23 * * *", "0-59 0-3 * * *", "15 */2 * * *", "0 */6 * * *", "45 1,2,3 * * 0", "0 0 31 * 1",
	"0 12 */10 * mon", "0 0 1 * */2", "30 0 1 jan,apr,SEP,dec *", "5-50/15 1-3 25-31 3,10 *", "*,5 3 * * 6-7",
	"10 0 29 2 *", "0 3 1 1 *", "15 2 8-14 3 *",
}

func TestFiresAsBruteForceDoes(t *testing.T) {
	t.Parallel()
	const perZone = 8 // random ones, beside the list above
	for i, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := zoneOf(t, name)
			from := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
			if name == "Pacific/Apia" {
				from = time.Date(2011, time.January, 1, 0, 0, 0, 0, time.UTC) // 30 December 2011 was left out
			}
			random := rand.New(rand.NewPCG(1, uint64(i)))
			texts := expressions
			for range perZone {
				texts = append(texts, randomExpression(random))
			}
			for _, text := range texts {
				if e, err := cron.Parse(text); err == nil {
					compareYears(t, e, zone, from)
				} else if !errors.Is(err, cron.ErrNever) {
					t.Errorf("%q: %v", text, err)
				}
			}
		})
	}
}

// Before 1972 zones had offsets of seconds, and changes of days and of half minutes.
func TestFiresAsBruteForceDoesInThePast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone string
		from string
	}{
		{"Europe/Amsterdam", "1937-06-25T00:00:00Z"},
		{"America/Toronto", "1919-03-25T00:00:00Z"},
		{"Asia/Manila", "1844-12-25T00:00:00Z"},
		{"America/Juneau", "1867-10-12T00:00:00Z"},
		{"Pacific/Kwajalein", "1969-09-25T00:00:00Z"},
		{"Pacific/Kwajalein", "1993-08-15T00:00:00Z"},
		{"Africa/Monrovia", "1972-01-01T00:00:00Z"},
		{"Europe/Dublin", "1916-05-15T00:00:00Z"},
		{"Antarctica/Troll", "2026-03-20T00:00:00Z"},
		{"Antarctica/Casey", "2020-10-01T00:00:00Z"},
	} {
		from := instant(t, c.from)
		for _, text := range expressions {
			e := parse(t, text)
			compare(t, e, zoneOf(t, c.zone), from, from.AddDate(0, 0, 20))
		}
	}
}

// compare checks the runs after from and up to to against the brute force.
func compare(t *testing.T, e cron.Expression, zone *time.Location, from, to time.Time) {
	t.Helper()
	want := crontest.Times(e.String(), zone, from, to)
	after := from
	for i := 0; i <= len(want); i++ {
		got := e.Next(after, zone)
		switch {
		case i == len(want) && (got.IsZero() || got.After(to)):
		case i == len(want) || !got.Equal(want[i]):
			t.Errorf("%q in %s after %v: got %v; want %v", e, zone, after, got, want[i:min(i+1, len(want))])
			return
		}
		after = got
	}
}

// compareYears is compare over two years: all of them for an expression that runs a few times a
// day, else the days around the changes of the clocks.
func compareYears(t *testing.T, e cron.Expression, zone *time.Location, from time.Time) {
	t.Helper()
	const few, day = 12, 24 * time.Hour
	to := from.AddDate(2, 0, 0)
	if e.ShortestGap(from, zone) >= day/few {
		compare(t, e, zone, from, to)
		return
	}
	for at := from; at.Before(to); at = at.Add(day) {
		_, before := at.In(zone).Zone()
		_, after := at.Add(day).In(zone).Zone()
		if before != after {
			compare(t, e, zone, at.Add(-day), at.Add(3*day))
		}
	}
	compare(t, e, zone, from, from.Add(35*day))
}

// From any instant, and not only from a run, the next run is the same.
func TestNextFromAnyInstantIsTheNextRun(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2, 2))
	for _, name := range zones {
		zone := zoneOf(t, name)
		for _, c := range []string{"2026-03-28T12:00:00Z", "2026-10-31T12:00:00Z", "2011-12-29T00:00:00Z"} {
			from := instant(t, c)
			to := from.AddDate(0, 0, 2)
			for _, text := range expressions {
				e := parse(t, text)
				runs := crontest.Times(text, zone, from, to)
				for range 20 {
					after := from.Add(time.Duration(random.Int64N(int64(to.Sub(from)))))
					var want time.Time
					for _, run := range runs {
						if run.After(after) {
							want = run
							break
						}
					}
					if got := e.Next(after, zone); !want.IsZero() && !got.Equal(want) || want.IsZero() &&
						!got.IsZero() && !got.After(to) {
						t.Errorf("%q in %s after %v: got %v; want %v", text, name, after, got, want)
					}
				}
			}
		}
	}
}

func TestNeverFiringIsRefused(t *testing.T) {
	t.Parallel()
	for text, sentence := range map[string]string{
		"0 0 31 2 *":        "this schedule never runs: February has no day 31",
		"* * 30,31 feb *":   "this schedule never runs: February has no day 30 or 31",
		"0 0 31 4,6,9,11 *": "this schedule never runs: none of April, June, September and November has a day 31",
	} {
		_, err := cron.Parse(text)
		if !errors.Is(err, cron.ErrNever) || err.Error() != sentence {
			t.Errorf("%q: got %v; want %s", text, err, sentence)
		}
	}
	parse(t, "0 0 31 2 1") // or on Mondays
}

// A schedule that a zone's clocks always leave out ends the search after 40 years.
func TestNextIsZeroWhereTheClocksLeaveEveryRunOut(t *testing.T) {
	t.Parallel()
	e := parse(t, "*/30 2 8-14 3 */7") // the second Sunday of March, from 02:00 to 02:59
	from := instant(t, "2026-01-01T00:00:00Z")
	if got := e.Next(from, zoneOf(t, "America/New_York")); !got.IsZero() {
		t.Errorf("got %v; want no run", got)
	}
	if got := e.Next(from, zoneOf(t, "Europe/Berlin")); !got.Equal(instant(t, "2026-03-08T01:00:00Z")) {
		t.Errorf("in Berlin got %v", got)
	}
}

func TestNextOfRareAndStrangeInstants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, zone, after, want string }{
		{"0 0 29 2 *", "UTC", "1896-03-01T00:00:00Z", "1904-02-29T00:00:00Z"},
		{"0 0 29 2 *", "UTC", "1999-03-01T00:00:00Z", "2000-02-29T00:00:00Z"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"0 0 29 2 */7", "UTC", "2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"},
		{"0 0 1 1 *", "UTC", "9998-06-01T00:00:00Z", "9999-01-01T00:00:00Z"},
		{"0 0 1 1 *", "UTC", "9999-06-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"* * * * *", "America/New_York", "9999-12-31T23:58:30Z", "9999-12-31T23:59:00Z"},
		{"30 2 * * *", "Europe/Berlin", "9000-03-29T12:00:00Z", "9000-03-30T01:00:00Z"},
		{"0 12 * * *", "UTC", "0001-01-01T00:00:00Z", "0001-01-01T12:00:00Z"},
		{"0 0 * * *", "UTC", "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z"},
		{"30 1 31 12 *", "America/New_York", "2400-12-30T00:00:00Z", "2400-12-31T06:30:00Z"},
		{"*/30 1 31 12 *", "Australia/Sydney", "2400-12-30T20:00:00Z", "2401-12-30T14:00:00Z"},
	} {
		got := parse(t, c.text).Next(instant(t, c.after), zoneOf(t, c.zone))
		if !got.Equal(instant(t, c.want)) {
			t.Errorf("%q in %s after %s: got %v; want %s", c.text, c.zone, c.after, got, c.want)
		}
	}
	every := parse(t, "* * * * *")
	for _, after := range []time.Time{time.Unix(1<<62, 0), time.Unix(-1<<62, 0),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if got := every.Next(after, time.UTC); !got.IsZero() {
			t.Errorf("after %v: got %v; want none", after.Unix(), got)
		}
	}
	if got := every.Next(time.Unix(0, 999), nil); !got.Equal(time.Unix(60, 0)) || got.Location() != time.UTC {
		t.Errorf("without a zone: got %v; want UTC", got)
	}
	if got := (cron.Expression{}).Next(time.Unix(0, 0), time.UTC); !got.IsZero() {
		t.Errorf("zero Expression: got %v; want none", got)
	}
	strange := time.FixedZone("far", 1_000_000)
	for at, i := time.Unix(0, 0), 0; i < 10; i++ {
		next := parse(t, "0 2 * * *").Next(at, strange)
		if !next.After(at) {
			t.Fatalf("after %v: got %v; want later", at, next)
		}
		at = next
	}
}

func randomExpression(r *rand.Rand) string {
	part := func(low, high int, names []string) string {
		value := func(v int) string {
			if names != nil && r.IntN(4) == 0 && v-low < len(names) {
				return names[v-low]
			}
			return fmt.Sprint(v)
		}
		var items []string
		for range 1 + r.IntN(3) {
			a := low + r.IntN(high-low+1)
			b := a + r.IntN(high-a+1)
			switch r.IntN(6) {
			case 0:
				items = append(items, "*")
			case 1:
				items = append(items, fmt.Sprintf("*/%d", 1+r.IntN(high)))
			case 2:
				items = append(items, value(a)+"-"+value(b))
			case 3:
				items = append(items, fmt.Sprintf("%s-%s/%d", value(a), value(b), 1+r.IntN(7)))
			default:
				items = append(items, value(a))
			}
		}
		return strings.Join(items, ",")
	}
	some := func(low, high, stars int, names []string) string {
		if r.IntN(10) < stars {
			return "*"
		}
		return part(low, high, names)
	}
	months := []string{"jan", "FEB", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays := []string{"sun", "MON", "Tue", "wed", "thu", "fri", "sat"}
	return strings.Join([]string{some(0, 59, 1, nil), some(0, 23, 3, nil), some(1, 31, 6, nil), some(1, 12, 6, months),
		some(0, 7, 6, weekdays)}, " ")
}

func parse(t testing.TB, text string) cron.Expression {
	t.Helper()
	e, err := cron.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := cron.Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
