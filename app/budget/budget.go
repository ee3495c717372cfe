// Package budget has the limits of what automations may use: what is a mistake in one, how much of each is used, and
// when a period is over. It knows no runs.
package budget

import (
	"math"
	"strconv"
	"strings"
	"time"

	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/db"
)

// Periods are what limits can be of, as keys and as words on screen.
var Periods = []struct{ Key, Name string }{{"run", "A run"}, {"day", "A day"}, {"month", "A month"}}

// WarnAt is the part of a limit at which people are told.
const WarnAt = 0.8

// raiseBy is what one click multiplies a limit by.
const raiseBy = 1.5

// Read reads limits, or says what is wrong with them by names like "budget_day_money".
func Read(in spec.Budget, p provider.Provider, bad fault.Invalid) db.Budget {
	b := db.Budget{Run: limits(in.Run), Day: limits(in.Day), Month: limits(in.Month)}
	for _, period := range Periods {
		l, field := limitsOf(&b, period.Key), "budget_"+period.Key+"_"
		money := l.Money
		if l.Money = Dollars(Micros(money)); l.Money == 0 && money > 0 && bad[field+"money"] == "" {
			bad[field+"money"] = "Write at least 0.000001, or nothing for no limit."
		}
		if l.Money > 0 && (p.Script || p.Unpriced) {
			bad[field+"money"] = p.Name + " does not tell what it costs, so money cannot be limited. Limit " +
				instead(p) + " instead."
		}
		if l.Tokens > 0 && p.Script {
			bad[field+"tokens"] = p.Name + " uses no tokens. Limit minutes instead."
		}
	}
	return b
}

func limits(l spec.Limits) db.Limits {
	return db.Limits{Money: l.Money, Tokens: l.Tokens, Turns: l.Turns, Minutes: l.Minutes}
}

func instead(p provider.Provider) string {
	if p.Script {
		return "minutes"
	}
	return "tokens or minutes"
}

func limitsOf(b *db.Budget, period string) *db.Limits {
	switch period {
	case "day":
		return &b.Day
	case "month":
		return &b.Month
	default:
		return &b.Run
	}
}

// Money is counted in whole millionths of a dollar: parts of them are nobody's, and sums of them are exact.
const microsPerDollar = 1_000_000

// Micros is an amount of dollars in millionths.
func Micros(usd float64) int64 { return int64(math.Round(usd * microsPerDollar)) }

// Dollars is an amount of millionths in dollars.
func Dollars(micros int64) float64 { return float64(micros) / microsPerDollar }

// raisedMoney is a limit of money made half as large again, rounded up to what a person reads of it. It is above what
// it was.
func raisedMoney(usd float64) float64 {
	m, step := Micros(usd), int64(1)
	switch { // as Amount shows it
	case m >= microsPerDollar/10:
		step = microsPerDollar / 100
	case m >= microsPerDollar/1000:
		step = microsPerDollar / 10_000
	}
	return Dollars((m + (m+1)/2 + step - 1) / step * step)
}

// Gauge is one limit with what is used of it.
type Gauge struct {
	Period, Measure string // "day", "money"
	Limit, Used     float64
	Unknown         int // turns of which it is not known how much they used
}

// Part is how much of the limit is used: 1 is all of it.
func (g Gauge) Part() float64 { return g.Used / g.Limit }

// Key names the limit within its automation.
func (g Gauge) Key() string { return g.Period + "." + g.Measure }

// String says the limit: "$5 a day".
func (g Gauge) String() string {
	text := Amount(g.Measure, g.Limit)
	if g.Period == "run" {
		return text + " a run"
	}
	return text + " a " + g.Period
}

// Amount is a number of a measure with its unit.
func Amount(measure string, n float64) string {
	switch measure {
	case "money":
		switch { // a small limit, or what is used of one, must not read as nothing
		case n != 0 && math.Abs(n) < 0.001:
			text := strings.TrimSuffix(strings.TrimSuffix(strconv.FormatFloat(n, 'f', 6, 64), "0"), "0")
			return "$" + text
		case n != 0 && math.Abs(n) < 0.1:
			return "$" + strconv.FormatFloat(n, 'f', 4, 64)
		}
		return "$" + strconv.FormatFloat(n, 'f', 2, 64)
	case "tokens":
		return form.Thousands(int64(n)) + " tokens"
	case "turns":
		return form.Count(int64(n), "message")
	default:
		if n < 1 {
			return strconv.FormatFloat(math.Round(n*10_000)/10_000, 'f', -1, 64) + " minutes"
		}
		return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64) + " minutes"
	}
}

// Gauges are the limits of a period with what is used of each.
func Gauges(period string, l db.Limits, used db.Spent) []Gauge {
	var list []Gauge
	add := func(measure string, limit, used float64, unknown int) {
		if limit > 0 {
			list = append(list, Gauge{Period: period, Measure: measure, Limit: limit, Used: used, Unknown: unknown})
		}
	}
	add("money", Dollars(Micros(l.Money)), Dollars(Micros(used.CostUSD)), used.Turns-used.Priced)
	add("tokens", float64(l.Tokens), float64(used.Tokens()), used.Turns-used.Counted)
	add("turns", float64(l.Turns), float64(used.Turns), 0)
	add("minutes", l.Minutes, used.Minutes, 0)
	return list
}

// PeriodOf is the day and the month of an automation at an instant: in its own time zone, else in UTC. A run counts for
// the day on which it was asked for.
func PeriodOf(a *db.Automation, now time.Time) db.Period {
	zone := time.UTC
	if z, err := cron.Zone(a.TimeZone); err == nil && a.TimeZone != "" {
		zone = z
	}
	t := now.In(zone)
	return db.Period{
		Automation: a.ID, Day: cron.Midnight(t.Year(), t.Month(), t.Day(), zone),
		Month: cron.Midnight(t.Year(), t.Month(), 1, zone),
	}
}

// Resets is when a period is over.
func Resets(p db.Period, of string) time.Time {
	if of == "month" {
		return cron.Midnight(p.Month.Year(), p.Month.Month()+1, 1, p.Month.Location())
	}
	return cron.Midnight(p.Day.Year(), p.Day.Month(), p.Day.Day()+1, p.Day.Location())
}

// Exhausted says which limit keeps an automation from starting, and until when. ok is false when none does.
func Exhausted(a *db.Startable, now time.Time) (g Gauge, until time.Time, ok bool) {
	if a.Spending == nil {
		return Gauge{}, time.Time{}, false
	}
	p := PeriodOf(&a.Automation, now)
	for _, g := range append(Gauges("month", a.Budget.Month, a.Spending.Month),
		Gauges("day", a.Budget.Day, a.Spending.Day)...) {
		if g.Part() >= 1 {
			return g, Resets(p, g.Period), true
		}
	}
	return Gauge{}, time.Time{}, false
}

// UsedUp says that all of the limit is used, as a sentence's end.
func (g Gauge) UsedUp() string { return "its budget of " + g.String() + " is used up" }

// Raise makes a limit half as large again: "day.money". It returns the new one in words; ok is false where there is no
// such limit.
func Raise(b *db.Budget, limit string) (raised string, ok bool) {
	before := *b
	period, measure, _ := strings.Cut(limit, ".")
	l := limitsOf(b, period)
	switch measure {
	case "money":
		l.Money = raisedMoney(l.Money)
	case "tokens":
		l.Tokens = int64(math.Ceil(float64(l.Tokens) * raiseBy))
	case "turns":
		l.Turns = int(math.Ceil(float64(l.Turns) * raiseBy))
	case "minutes":
		l.Minutes *= raiseBy
	}
	if *b == before {
		return "", false
	}
	for _, g := range Gauges(period, *l, db.Spent{}) {
		if g.Measure == measure {
			raised = g.String()
		}
	}
	return raised, true
}
