package budget

import (
	"testing"
	"time"

	"carillon/db"
)

func TestSmallAmountsOfMoneyAreNotSaidToBeNothing(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{
		0: "$0.00", 0.0005: "$0.0005", 0.05: "$0.0500", 0.1: "$0.10", 12.5: "$12.50", 1000: "$1000.00",
	} {
		if got := Amount("money", n); got != want {
			t.Errorf("%g is %s; want %s", n, got, want)
		}
	}
}

func TestABudgetsDayBeginsWithTheDayItself(t *testing.T) {
	t.Parallel()
	p := PeriodOf(&db.Automation{TimeZone: "Africa/Cairo"}, time.Date(2026, 4, 24, 12, 0, 0, 0, time.UTC))
	if got := p.Day.UTC().Format(time.RFC3339); got != "2026-04-23T22:00:00Z" {
		t.Errorf("the day on which midnight does not exist begins at %s", got)
	}
	if got := Resets(p, "day").UTC().Format(time.RFC3339); got != "2026-04-24T21:00:00Z" {
		t.Errorf("it is over at %s", got)
	}
}

func TestEachRaiseOfALimitIsAboveWhatItWas(t *testing.T) {
	t.Parallel()
	for limit, want := range map[float64]string{
		0.003: "$0.0045 a day", 0.01: "$0.0150 a day", 0.000001: "$0.000002 a day", 5: "$7.50 a day",
		0.15: "$0.23 a day",
	} {
		b := db.Budget{Day: db.Limits{Money: limit}}
		if got, ok := Raise(&b, "day.money"); !ok || got != want || b.Day.Money <= limit {
			t.Errorf("$%g becomes “%s”, %g; want %s", limit, got, b.Day.Money, want)
		}
	}
}
