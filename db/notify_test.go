package db_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"

	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestWhatIsAnnouncedSoonIsHeardBeforeTheDatabaseIsClosed(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	open := func() *db.DB {
		d, err := db.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	hearer, teller := open(), open()
	defer hearer.Close() //nolint:errcheck // the test is over
	ctx, stop := context.WithCancel(t.Context())
	connected, enough := make(chan struct{}), make(chan struct{})
	ids := []uuid.UUID{db.NewID(), db.NewID(), db.NewID()}
	heard := map[string]int{}
	var listening sync.WaitGroup
	listening.Go(func() {
		_ = hearer.Listen(ctx, slog.New(slog.DiscardHandler), func() { close(connected) },
			func(topic string, id uuid.UUID) {
				heard[topic+" "+id.String()]++
				if topic == "last" {
					close(enough)
				}
			})
	})
	<-connected
	for range 1000 { // in quick succession: each is told far fewer times
		teller.NotifyLater("queue")
		teller.NotifyLater("automation", ids...)
	}
	if err := teller.Close(); err != nil {
		t.Error(err)
	}
	teller.NotifyLater("too late")
	hearer.NotifyLater("last")
	<-enough
	stop()
	listening.Wait()
	if heard["too late "+uuid.Nil.String()] > 0 {
		t.Error("something was told after the end")
	}
	for _, want := range []string{"queue " + uuid.Nil.String(), "automation " + ids[0].String(), "automation " +
		ids[1].String(), "automation " + ids[2].String()} {
		if n := heard[want]; n == 0 || n > 100 {
			t.Errorf("%s was heard %d times; want a few", want, n)
		}
	}
}
