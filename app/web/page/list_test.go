package page

import (
	"testing"
	"time"

	"carillon/app/cron"
)

func TestADateOfAFilterBeginsWithTheDayItself(t *testing.T) {
	cairo := cron.ZoneOrUTC("Africa/Cairo")
	start, end := DayStart("2026-04-24", cairo), DayEnd("2026-04-24", cairo)
	if got := start.UTC().Format(time.RFC3339) + " " + end.UTC().
		Format(time.RFC3339); got != "2026-04-23T22:00:00Z 2026-04-24T21:00:00Z" {
		t.Errorf("the day on which midnight does not exist is %s", got)
	}
	if !DayStart("", cairo).IsZero() || !DayEnd("x", cairo).IsZero() {
		t.Error("nonsense is a day")
	}
}
