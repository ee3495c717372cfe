package db_test

import (
	"testing"
	"time"

	"carillon/db"
	"carillon/db/dbtest"
)

func TestTheClockHasTheTimeOfTheDatabaseWhateverTheMachinesClockSays(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	near := func(name string, got, want time.Time) {
		t.Helper()
		if off := got.Sub(want).Abs(); off > 30*time.Minute {
			t.Errorf("%s is %s off the database's time", name, off)
		}
	}
	for name, ahead := range map[string]time.Duration{"a machine a day ahead": 24 * time.Hour,
		"one a day behind": -24 * time.Hour} {
		shift := ahead
		c := &db.Clock{Machine: func() time.Time { return time.Now().Add(shift) }} // with its monotonic reading
		if err := c.Sync(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		want, err := db.Now(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		near(name, c.Now(), want)
		shift = -ahead // as after a sleep: more time has passed than the monotonic clock tells
		if err := c.Sync(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		near(name+", asked again", c.Now(), want)
		before := c.Now()
		if err := c.Sync(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		near(name+", asked a third time", c.Now(), before)
	}
}

func TestPullBackChangesNothingWhereTheClockIsRight(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	if err := db.CorrectFutureTimes(t.Context(), d, time.Now()); err != nil {
		t.Fatal(err)
	}
}
