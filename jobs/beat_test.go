package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reugn/go-quartz/quartz"

	"carillon/db"
)

// ahead is a trigger as it is when the machine's clock was set back by an hour after it was asked.
type ahead struct{}

func (ahead) NextFireTime(prev int64) (int64, error) { return prev + time.Hour.Nanoseconds(), nil }
func (ahead) Description() string                    { return "an hour ahead" }

func TestAClockThatIsSetBackKeepsNoJobFromRinging(t *testing.T) {
	t.Parallel()
	scheduler, err := quartz.NewStdScheduler(quartz.WithOutdatedThreshold(24 * time.Hour))
	check(t, err)
	var rang atomic.Int64
	log := slog.New(slog.DiscardHandler)
	s := &Scheduler{Log: log}
	s.notePass()
	job := scheduledJob{"ring", time.Second, s.single("ring", func(context.Context) error { rang.Add(1); return nil })}
	slow := scheduledJob{"slow", 10 * time.Minute, s.single("slow", func(context.Context) error { return nil })}
	check(t, scheduler.ScheduleJob(job.detail(), ahead{}))
	check(t, scheduler.ScheduleJob(slow.detail(), aligned{slow.every}))
	planned, err := scheduler.GetScheduledJob(quartz.NewJobKey("slow"))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	scheduler.Start(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.checkClock(ctx, scheduler, []scheduledJob{job, slow}) }()
	for begun := time.Now(); rang.Load() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 10*time.Minute {
			t.Fatal("the job does not ring")
		}
	}
	if again, err := scheduler.GetScheduledJob(quartz.NewJobKey("slow")); err != nil ||
		again.NextRunTime() != planned.NextRunTime() {
		t.Errorf("a job whose time was right has another one, %v", err)
	}
	cancel()
	<-done
}

func TestAfterASleepAJobRingsOnceAndNotOnceForEachTimeThatPassed(t *testing.T) {
	t.Parallel()
	now := quartz.NowNano()
	next, err := aligned{time.Second}.NextFireTime(now - (10 * time.Hour).Nanoseconds())
	check(t, err)
	if next < now {
		t.Errorf("the next time is %s ago", time.Duration(now-next))
	}
}

func TestAdministratorsAreToldOnceThatNoPassIsCompleted(t *testing.T) {
	p := setupPost(t)
	s := &Scheduler{DB: p.DB, Rules: p.rules, Now: p.clock, Log: slog.New(slog.DiscardHandler)}
	s.Init()
	notices := func() int {
		t.Helper()
		list, err := db.Notifications(t.Context(), p.DB, db.NotificationFilter{User: p.mira.ID, Limit: 10})
		check(t, err)
		return len(list)
	}
	check(t, s.notifyStandstill(t.Context()))
	if n := notices(); n != 0 {
		t.Fatalf("there are %d notices at once; want none", n)
	}
	s.passClock.last = time.Now().Add(-2 * StandstillAfter)
	for range 2 {
		check(t, s.notifyStandstill(t.Context()))
	}
	if n := notices(); n != 1 {
		t.Errorf("there are %d notices; want 1", n)
	}
	if s.SincePass() < StandstillAfter {
		t.Error("it says that a pass was completed")
	}
	check(t, s.claimDue(t.Context()))
	if s.SincePass() > StandstillAfter {
		t.Error("after a pass it says that none was completed")
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	s.passClock.last = time.Now().Add(-2 * StandstillAfter)
	if err := s.claimDue(stopped); err == nil || errors.Is(err, nil) || s.SincePass() < StandstillAfter {
		t.Errorf("a pass that failed counts, %v", err)
	}
}

func TestAPanicInAJobThatANotificationWokeEndsThatRoundAlone(t *testing.T) {
	t.Parallel()
	rounds := 0
	job := (&Scheduler{Log: slog.New(slog.DiscardHandler)}).single("test", func(context.Context) error {
		if rounds++; rounds == 1 {
			panic("of the first round")
		}
		return nil
	})
	for range 2 {
		if err := job.Execute(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if rounds != 2 {
		t.Errorf("%d rounds ran; want two", rounds)
	}
}
