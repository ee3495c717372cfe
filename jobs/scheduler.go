package jobs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/reugn/go-quartz/logger"
	"github.com/reugn/go-quartz/quartz"
	"golang.org/x/sync/errgroup"

	"carillon/app/aside"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/db"
)

// Scheduler starts due automations and runs periodic jobs. The times of automations are in the database, so that any
// number of processes may run a scheduler; go-quartz runs the periodic jobs alone. The fields of a Scheduler are set
// once, in main.
type Scheduler struct {
	DB        *db.DB
	Rules     *automation.Service
	Resumable func(provider string) bool // whether a provider continues a conversation after a restart
	Now       func() time.Time
	Log       *slog.Logger
	Copies    *Deliverer // sends copies of notices; nil: this process sends none
	// for forges; it must refuse addresses that people may not reach through this server; nil: forges are not asked
	Forge *http.Client

	// Gaps counts due times without a row. It stays 0 unless the program has a bug.
	Gaps atomic.Int64

	claim, emails, webhooks *single
	standstill              *single
	passClock               passClock
	gapCursor               uuid.UUID // the automation at which the search for gaps continues
	mu                      sync.Mutex
	rateLimited             map[uuid.UUID]time.Time // until when forges limit requests, by workspace
	// when dead workers were last searched, and since when this happened without an interruption
	lastReap, awakeSince time.Time
}

// Init prepares a Scheduler. It must be called before Wake and Run.
func (s *Scheduler) Init() {
	s.notePass()
	s.claim = s.single("claim due automations", s.claimDue)
	s.standstill = s.single("notify administrators of a standstill", s.notifyStandstill)
	if s.Copies != nil {
		s.emails = s.single("send copies by e-mail", s.Copies.Emails)
		s.webhooks = s.single("send copies to webhooks", s.Copies.Webhooks)
	}
}

// Wake starts due automations now, in the background. It is called when an automation was scheduled for the present.
func (s *Scheduler) Wake(ctx context.Context) {
	go func() { _ = s.claim.Execute(ctx) }()
}

// WakeCopies sends copies of notices now, in the background. It is called when copies were queued. The two channels do
// not wait for each other.
func (s *Scheduler) WakeCopies(ctx context.Context) {
	if s.Copies == nil {
		return
	}
	go func() { _ = s.emails.Execute(ctx) }()
	go func() { _ = s.webhooks.Execute(ctx) }()
}

// Run runs the jobs until ctx ends, and returns when none is under way.
func (s *Scheduler) Run(ctx context.Context) error {
	scheduler, err := quartz.NewStdScheduler(
		// quartz drops a firing that is later than this. The rows decide what is late, so none may be dropped.
		quartz.WithOutdatedThreshold(24*time.Hour),
		quartz.WithLogger(logger.NewSlogLogger(ctx, quietLogger(s.Log))),
	)
	if err != nil {
		return err
	}
	scheduler.Start(ctx)
	jobs := []scheduledJob{
		{"claim-due", time.Second, s.claim},
		{"reap-lost", 5 * time.Second, s.single("reap lost sessions", s.reap)},
		{"review-gate", time.Minute, s.single("watch review gates", s.Rules.Schedules().WatchGates)},
		{"watchdog", time.Minute, s.single("check schedules", s.checkSchedules)},
		{"follow-pull-requests", crash.Every(forgeEvery), s.single("follow pull requests", s.followPullRequests)},
		{"sweep", crash.Every(10 * time.Minute), s.single("sweep", s.sweep)},
	}
	if s.Copies != nil {
		jobs = append(jobs, scheduledJob{"send-emails", 5 * time.Second, s.emails},
			scheduledJob{"send-webhooks", 5 * time.Second, s.webhooks},
			scheduledJob{"expire-copies", time.Minute, s.single("give up old copies", s.Copies.Expire)})
	}
	for _, j := range jobs {
		if err := scheduler.ScheduleJob(j.detail(), aligned{j.every}); err != nil {
			return err
		}
	}
	s.checkClock(ctx, scheduler, jobs)
	scheduler.Stop()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	scheduler.Wait(wait)
	return nil
}

// checkClockEvery is how often the scheduler checks the times of its jobs.
const checkClockEvery = time.Second

// checkClock checks the times of the jobs until ctx ends, by a ticker on the monotonic clock. quartz has absolute
// times: when the machine's clock is set back, they are too far ahead and must be set again. checkClock also notifies
// administrators when no pass is completed.
func (s *Scheduler) checkClock(ctx context.Context, scheduler quartz.Scheduler, jobs []scheduledJob) {
	tick := time.NewTicker(checkClockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, j := range jobs {
			if err := reschedule(scheduler, j); err != nil {
				s.Log.Error("reschedule a job", "job", j.name, "err", err)
			}
		}
		if since := s.SincePass(); since > StandstillAfter {
			go func() { _ = s.standstill.Execute(ctx) }()
		}
	}
}

// reschedule sets a job's time again if it is further ahead than its next firing.
func reschedule(scheduler quartz.Scheduler, j scheduledJob) error {
	scheduled, err := scheduler.GetScheduledJob(quartz.NewJobKey(j.name))
	if errors.Is(err, quartz.ErrJobNotFound) {
		return nil // it fires now
	}
	if err == nil && scheduled.NextRunTime() > quartz.NowNano()+j.every.Nanoseconds()+checkClockEvery.Nanoseconds() {
		return scheduler.ScheduleJob(j.detail(), aligned{j.every})
	}
	return err
}

// StandstillAfter is how long the scheduler may be without a completed pass before administrators are notified and
// /readyz fails.
const StandstillAfter = time.Minute

// passClock records when passes were completed, by the monotonic clock.
type passClock struct {
	mu       sync.Mutex
	last     time.Time // end of the last pass, or start of this process
	notified bool      // administrators were notified since the last pass
}

// notePass records that due automations were searched and processed.
func (s *Scheduler) notePass() {
	s.passClock.mu.Lock()
	defer s.passClock.mu.Unlock()
	s.passClock.last, s.passClock.notified = time.Now(), false
}

// SincePass is how long ago this process last completed a pass over due automations, or a part of a large one, by the
// monotonic clock. Before the first pass it counts from Init.
func (s *Scheduler) SincePass() time.Duration {
	s.passClock.mu.Lock()
	defer s.passClock.mu.Unlock()
	return time.Since(s.passClock.last)
}

// notifyStandstill notifies administrators, once, that no pass has been completed for StandstillAfter.
func (s *Scheduler) notifyStandstill(ctx context.Context) error {
	since := s.SincePass()
	s.passClock.mu.Lock()
	notified := s.passClock.notified
	s.passClock.mu.Unlock()
	if notified || since <= StandstillAfter {
		return nil
	}
	if err := aside.NotifyOfStandstill(ctx, s.DB, s.Now(), s.Now().Add(-since)); err != nil {
		return err
	}
	s.passClock.mu.Lock()
	defer s.passClock.mu.Unlock()
	s.passClock.notified = true
	return nil
}

// scheduledJob is a job and its interval.
type scheduledJob struct {
	name  string
	every time.Duration
	job   *single
}

// detail is the job in the form of quartz. It replaces a scheduled job of the same name.
func (r scheduledJob) detail() *quartz.JobDetail {
	options := quartz.NewDefaultJobDetailOptions()
	options.Replace = true
	return quartz.NewJobDetailWithOptions(r.job, quartz.NewJobKey(r.name), options)
}

// aligned fires on whole multiples of a duration, because the minutes of cron begin on one.
type aligned struct{ every time.Duration }

func (a aligned) NextFireTime(prev int64) (int64, error) {
	every := a.every.Nanoseconds()
	if now := quartz.NowNano(); prev < now-every { // after the machine's sleep: once, not once for each missed time
		prev = now
	}
	return (prev/every + 1) * every, nil
}

func (a aligned) Description() string { return "every " + a.every.String() }

// single is a quartz job that never runs twice at the same time: quartz itself would start it again while it runs.
type single struct {
	name string
	run  func(context.Context) error
	log  *slog.Logger
	mu   sync.Mutex
}

func (s *Scheduler) single(name string, run func(context.Context) error) *single {
	return &single{name: name, run: run, log: s.Log}
}

// jobTimeout bounds one run of a job.
const jobTimeout = 30 * time.Minute

// Execute runs the job unless it is running. It logs errors and panics and returns nil.
func (j *single) Execute(ctx context.Context) error {
	if !j.mu.TryLock() {
		return nil
	}
	defer j.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			j.log.Error("panic", "job", j.name, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	inner, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	if err := j.run(inner); err != nil && ctx.Err() == nil {
		j.log.Error(j.name, "err", err)
	}
	return nil
}

func (j *single) Description() string { return j.name }

// claimWorkers is how many batches of due automations one process starts at once: while one waits for the disk, another
// is written. More of them would slow down the database for pages.
const claimWorkers = 2

// claimDue starts all due automations in batches: one batch at first, and then claimWorkers at a time if the first one
// was full.
func (s *Scheduler) claimDue(ctx context.Context) error {
	n, err := s.startDue(ctx)
	if err != nil || n == 0 {
		return err
	}
	var others errgroup.Group
	for range claimWorkers {
		others.Go(func() error {
			for {
				n, err := s.startDue(ctx)
				if err != nil || n == 0 {
					return err
				}
			}
		})
		if n < automation.DueBatch {
			break
		}
	}
	return others.Wait()
}

// startTimeout bounds one batch. A batch that takes longer is tried again.
const startTimeout = 2 * time.Minute

func (s *Scheduler) startDue(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	n, err := s.Rules.Schedules().StartDue(ctx)
	if err == nil {
		s.notePass()
	}
	return n, err
}

// reapDelay is how long this process must have been awake, with a reachable database, before it ends the sessions of
// dead workers: after a laptop's sleep or a restart of the database, living workers renew their leases first.
const reapDelay = 2 * renewEvery

// reap ends or resumes the sessions of dead workers.
func (s *Scheduler) reap(ctx context.Context) error {
	now := s.Now()
	if now.Sub(s.lastReap) > 3*reapDelay || now.Before(s.lastReap) {
		s.awakeSince = now
	}
	s.lastReap = now
	if now.Sub(s.awakeSince) < reapDelay {
		return nil
	}
	n, err := s.Rules.Runs().Interrupt(ctx, s.Resumable)
	if err != nil {
		s.awakeSince = now // the delay begins again when the database can be reached
	}
	if n > 0 {
		s.Log.Warn("ended sessions of a worker that is gone", "count", n)
	}
	return err
}

// checkSchedules repairs schedules and counts due times without a row, of which there must be none.
func (s *Scheduler) checkSchedules(ctx context.Context) error {
	return s.runSteps(ctx, db.TaskWatch, []step{
		{"lost schedules", func(ctx context.Context) error {
			n, err := s.Rules.Schedules().Repair(ctx)
			if n > 0 {
				s.Log.Error("automations without a next run were scheduled again", "count", n)
			}
			s.Gaps.Add(int64(n))
			return err
		}},
		{"times ahead of the clock", s.Rules.Schedules().CorrectFutureTimes},
		{"gaps", func(ctx context.Context) error {
			gaps, next, err := s.Rules.Schedules().FindGaps(ctx, s.gapCursor)
			s.gapCursor = next
			s.Gaps.Add(int64(gaps))
			return err
		}},
	})
}

// How many executions are kept, and for how long records are kept. Source: behaviour, "Retention".
const (
	keepExecutions    = 200
	keepExecutionsFor = 90 * 24 * time.Hour
	keepNoticesFor    = 90 * 24 * time.Hour
	keepWorktreesFor  = 7 * 24 * time.Hour
	keepDeliveriesFor = 30 * 24 * time.Hour
)

// keepSetAsideFor is how long a row that was set aside is remembered if it is not tried again.
const keepSetAsideFor = 7 * 24 * time.Hour

// sweep removes old records. A step that fails does not stop the others.
func (s *Scheduler) sweep(ctx context.Context) error {
	now := s.Now()
	return s.runSteps(ctx, db.TaskSweep, []step{
		{"history", func(ctx context.Context) error { return s.sweepHistory(ctx, now) }},
		{"read notices", func(ctx context.Context) error {
			return db.PruneNotifications(ctx, s.DB, now.Add(-keepNoticesFor))
		}},
		{"sign-ins", func(ctx context.Context) error { return db.PruneSignIns(ctx, s.DB, now) }},
		{"deliveries", func(ctx context.Context) error {
			return db.PruneDeliveries(ctx, s.DB, now.Add(-keepDeliveriesFor), now.Add(-24*time.Hour))
		}},
		{"idle sessions", s.Rules.Sessions().CloseIdle},
		{"rows set aside", func(ctx context.Context) error {
			return db.PruneSetAside(ctx, s.DB, now.Add(-keepSetAsideFor))
		}},
	})
}

// step is a part of a job. A step that fails is set aside by itself.
type step struct {
	name string
	run  func(ctx context.Context) error
}

// runSteps runs the steps of a task, without those that rest.
func (s *Scheduler) runSteps(ctx context.Context, task db.Task, list []step) error {
	round := s.Rules.Round(task)
	for _, one := range list {
		rests, err := round.Rests(ctx, one.name)
		if err != nil {
			return err
		}
		if rests {
			continue
		}
		if err := round.Deal(ctx, aside.Row{
			Key: one.name, About: "the step " + one.name + " of " + taskNames[task],
		}, one.run); err != nil {
			return err
		}
	}
	return nil
}

// taskNames are the names of the tasks that have steps, for notices.
var taskNames = map[db.Task]string{
	db.TaskSweep: "the sweep", db.TaskWatch: "the check of schedules",
	db.TaskPullRequests: "following pull requests",
}

// sweepHistory removes old executions of all automations at once. If some cannot be removed, it removes those of one
// automation after the other.
func (s *Scheduler) sweepHistory(ctx context.Context, now time.Time) error {
	before := now.Add(-keepExecutionsFor)
	for {
		n, err := db.PruneExecutions(ctx, s.DB, before, keepExecutions)
		if n > 0 {
			crash.Here(crash.HistoryPruned)
		}
		switch {
		case err != nil && ctx.Err() == nil && !db.IsUnavailable(err):
			return s.sweepHistories(ctx, before)
		case err != nil || n == 0:
			return err
		}
	}
}

func (s *Scheduler) sweepHistories(ctx context.Context, before time.Time) error {
	list, err := db.AutomationsToPrune(ctx, s.DB, s.Now(), before)
	if err != nil {
		return err
	}
	round := s.Rules.Round(db.TaskSweep)
	for i := range list {
		row := aside.Row{
			Key: list[i].ID.String(), About: "the history of " + list[i].Name, Workspace: list[i].WorkspaceID,
		}
		if err := round.Deal(ctx, row, func(ctx context.Context) error {
			_, err := db.PruneExecutionsOf(ctx, s.DB, list[i].ID, before, keepExecutions)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// quietLogger drops quartz's log lines below the level of warnings, of which there is one for each firing.
func quietLogger(log *slog.Logger) *slog.Logger {
	return slog.New(atLeast{log.Handler(), slog.LevelWarn})
}

type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}
