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

	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/db"
)

// Scheduler rings. go-quartz is its clock; the rows are its calendar: automations are no quartz jobs, and any number of
// processes may run a scheduler on one database. Its fields are set once, in main.
type Scheduler struct {
	DB        *db.DB
	Rules     *automation.Service
	Resumable func(provider string) bool // whether a provider goes on with a conversation after a restart
	Now       func() time.Time
	Log       *slog.Logger
	Copies    *Deliverer // of notices; nil: this process sends none
	// asks forges: it must refuse what people may not reach through this server; nil: none is asked
	Forge *http.Client

	// Gaps counts due times that had no row. It stays 0 unless something is broken.
	Gaps atomic.Int64

	claim, emails, webhooks *single
	standstill              *single
	passes                  passes
	checked                 uuid.UUID // how far the look for gaps has come
	mu                      sync.Mutex
	limited                 map[uuid.UUID]time.Time // workspaces whose forge wants to be asked again only later
	// when the look for dead workers was last tried, and since when it has been without a gap
	reaped, awake time.Time
}

// Init prepares a Scheduler. It must be called before Wake and Run.
func (s *Scheduler) Init() {
	s.passed()
	s.claim = s.single("claim due automations", s.claimDue)
	s.standstill = s.single("tell that the scheduler stands still", s.tellOfStandstill)
	if s.Copies != nil {
		s.emails = s.single("send copies by e-mail", s.Copies.Emails)
		s.webhooks = s.single("send copies to webhooks", s.Copies.Webhooks)
	}
}

// Wake looks for due automations now, beside the tick of every second: something was scheduled for this instant.
func (s *Scheduler) Wake(ctx context.Context) {
	go func() { _ = s.claim.Execute(ctx) }()
}

// WakeCopies sends copies of notices now, beside the tick of every few seconds: some were queued. The two channels do
// not wait for each other.
func (s *Scheduler) WakeCopies(ctx context.Context) {
	if s.Copies == nil {
		return
	}
	go func() { _ = s.emails.Execute(ctx) }()
	go func() { _ = s.webhooks.Execute(ctx) }()
}

// Run rings until ctx is over, and returns when no job is under way.
func (s *Scheduler) Run(ctx context.Context) error {
	scheduler, err := quartz.NewStdScheduler(
		// Later than this quartz drops a firing. The rows decide what is late, so nothing is.
		quartz.WithOutdatedThreshold(24*time.Hour),
		quartz.WithLogger(logger.NewSlogLogger(ctx, quietLogger(s.Log))),
	)
	if err != nil {
		return err
	}
	scheduler.Start(ctx)
	jobs := []ringing{
		{"claim-due", time.Second, s.claim},
		{"reap-lost", 5 * time.Second, s.single("reap lost sessions", s.reap)},
		{"review-gate", time.Minute, s.single("watch review gates", s.Rules.WatchGates)},
		{"watchdog", time.Minute, s.single("watch for gaps in the ledger", s.watch)},
		{"follow-pull-requests", crash.Every(forgeEvery), s.single("follow pull requests", s.followPullRequests)},
		{"sweep", crash.Every(10 * time.Minute), s.single("sweep", s.sweep)},
	}
	if s.Copies != nil {
		jobs = append(jobs, ringing{"send-emails", 5 * time.Second, s.emails},
			ringing{"send-webhooks", 5 * time.Second, s.webhooks},
			ringing{"expire-copies", time.Minute, s.single("give up old copies", s.Copies.Expire)})
	}
	for _, j := range jobs {
		if err := scheduler.ScheduleJob(j.detail(), aligned{j.every}); err != nil {
			return err
		}
	}
	s.beat(ctx, scheduler, jobs)
	scheduler.Stop()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	scheduler.Wait(wait)
	return nil
}

// beatEvery is how often the scheduler looks after its own clock.
const beatEvery = time.Second

// beat looks after the clock until ctx is over, by a ticker on the monotonic clock. quartz keeps absolute times and
// waits for the next one: when the machine's clock is set back, all of them are too far ahead, and are set anew. It
// also tells people when no pass is completed.
func (s *Scheduler) beat(ctx context.Context, scheduler quartz.Scheduler, jobs []ringing) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, j := range jobs {
			if err := rearm(scheduler, j); err != nil {
				s.Log.Error("set the time of a job anew", "job", j.name, "err", err)
			}
		}
		if since := s.SincePass(); since > PassPatience {
			go func() { _ = s.standstill.Execute(ctx) }()
		}
	}
}

// rearm sets a job's time anew that is further ahead than its next firing.
func rearm(scheduler quartz.Scheduler, j ringing) error {
	scheduled, err := scheduler.GetScheduledJob(quartz.NewJobKey(j.name))
	if errors.Is(err, quartz.ErrJobNotFound) {
		return nil // it is firing just now
	}
	if err == nil && scheduled.NextRunTime() > quartz.NowNano()+j.every.Nanoseconds()+beatEvery.Nanoseconds() {
		return scheduler.ScheduleJob(j.detail(), aligned{j.every})
	}
	return err
}

// PassPatience is how long the scheduler may be without a completed pass before that is trouble.
const PassPatience = time.Minute

// passes is when passes were completed, by the monotonic clock.
type passes struct {
	mu   sync.Mutex
	last time.Time // completed, or when this process began
	told bool      // that none was for long
}

// passed notes that due automations were looked for and dealt with.
func (s *Scheduler) passed() {
	s.passes.mu.Lock()
	defer s.passes.mu.Unlock()
	s.passes.last, s.passes.told = time.Now(), false
}

// SincePass is how long ago this process last completed a pass over what is due, or part of a large one, by the
// monotonic clock; before the first, how long ago it was made.
func (s *Scheduler) SincePass() time.Duration {
	s.passes.mu.Lock()
	defer s.passes.mu.Unlock()
	return time.Since(s.passes.last)
}

// tellOfStandstill tells administrators, once, that no pass has been completed for a while.
func (s *Scheduler) tellOfStandstill(ctx context.Context) error {
	since := s.SincePass()
	s.passes.mu.Lock()
	told := s.passes.told
	s.passes.mu.Unlock()
	if told || since <= PassPatience {
		return nil
	}
	if err := s.Rules.TellOfStandstill(ctx, s.Now().Add(-since)); err != nil {
		return err
	}
	s.passes.mu.Lock()
	defer s.passes.mu.Unlock()
	s.passes.told = true
	return nil
}

// ringing is a job and how often it rings.
type ringing struct {
	name  string
	every time.Duration
	job   *single
}

// detail is the job as quartz has it. It may take the place of itself, with another time.
func (r ringing) detail() *quartz.JobDetail {
	options := quartz.NewDefaultJobDetailOptions()
	options.Replace = true
	return quartz.NewJobDetailWithOptions(r.job, quartz.NewJobKey(r.name), options)
}

// aligned fires on whole multiples of a duration, because cron's minutes begin on one.
type aligned struct{ every time.Duration }

func (a aligned) NextFireTime(prev int64) (int64, error) {
	every := a.every.Nanoseconds()
	if now := quartz.NowNano(); prev < now-every { // after a sleep: once, not once for each that passed
		prev = now
	}
	return (prev/every + 1) * every, nil
}

func (a aligned) Description() string { return "every " + a.every.String() }

// single is a quartz job of which one runs at a time: quartz itself would let a slow one overlap with its next.
type single struct {
	name string
	run  func(context.Context) error
	log  *slog.Logger
	mu   sync.Mutex
}

func (s *Scheduler) single(name string, run func(context.Context) error) *single {
	return &single{name: name, run: run, log: s.Log}
}

// jobPatience bounds one run of a job, whatever it waits for.
const jobPatience = 30 * time.Minute

// Execute runs the job unless it is running. Its errors and panics are logged, not returned: quartz does nothing else
// with them, and a notification that wakes it has nobody to tell.
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
	inner, cancel := context.WithTimeout(ctx, jobPatience)
	defer cancel()
	if err := j.run(inner); err != nil && ctx.Err() == nil {
		j.log.Error(j.name, "err", err)
	}
	return nil
}

func (j *single) Description() string { return j.name }

// claimers is how many batches of due automations one process starts at once: while one waits for the disk, another is
// written. More than a few would take the database from those who look at pages.
const claimers = 2

// claimDue starts everything that is due, batch by batch: alone, and with others once the first batch shows that there
// is much to do.
func (s *Scheduler) claimDue(ctx context.Context) error {
	n, err := s.startDue(ctx)
	if err != nil || n == 0 {
		return err
	}
	var others errgroup.Group
	for range claimers {
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

// startPatience bounds one batch: what waits longer for the database is tried anew.
const startPatience = 2 * time.Minute

func (s *Scheduler) startDue(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	n, err := s.Rules.StartDue(ctx)
	if err == nil {
		s.passed()
	}
	return n, err
}

// reapRest is how long this process must have been awake, and its database with it, before it takes others for dead:
// after a laptop's sleep or a restart of the database, workers that live renew their leases first.
const reapRest = 2 * renewEvery

// reap ends what dead workers left.
func (s *Scheduler) reap(ctx context.Context) error {
	now := s.Now()
	if now.Sub(s.reaped) > 3*reapRest || now.Before(s.reaped) {
		s.awake = now
	}
	s.reaped = now
	if now.Sub(s.awake) < reapRest {
		return nil
	}
	n, err := s.Rules.Interrupt(ctx, s.Resumable)
	if err != nil {
		s.awake = now // the database is away: its return begins a rest
	}
	if n > 0 {
		s.Log.Warn("ended sessions of a worker that is gone", "count", n)
	}
	return err
}

// watch looks for automations that should have fired and were not answered: there must never be one.
func (s *Scheduler) watch(ctx context.Context) error {
	return s.steps(ctx, db.TaskWatch, []step{
		{"lost schedules", func(ctx context.Context) error {
			n, err := s.Rules.RepairSchedules(ctx)
			if n > 0 {
				s.Log.Error("automations without a next run were scheduled again", "count", n)
			}
			s.Gaps.Add(int64(n))
			return err
		}},
		{"what is ahead of the clock", s.Rules.PullBack},
		{"gaps", func(ctx context.Context) error {
			gaps, next, err := s.Rules.FindGaps(ctx, s.checked)
			s.checked = next
			s.Gaps.Add(int64(gaps))
			return err
		}},
	})
}

// What is kept, and how long. Behaviour, "Retention".
const (
	keepExecutions    = 200
	keepExecutionsFor = 90 * 24 * time.Hour
	keepNoticesFor    = 90 * 24 * time.Hour
	keepWorktreesFor  = 7 * 24 * time.Hour
	keepDeliveriesFor = 30 * 24 * time.Hour
)

// keepAsideFor is how long what is set aside is remembered that nobody tries again: it is gone.
const keepAsideFor = 7 * 24 * time.Hour

// sweep removes what is over. A step that fails keeps no other from its work.
func (s *Scheduler) sweep(ctx context.Context) error {
	now := s.Now()
	return s.steps(ctx, db.TaskSweep, []step{
		{"history", func(ctx context.Context) error { return s.sweepHistory(ctx, now) }},
		{"read notices", func(ctx context.Context) error {
			return db.PruneNotifications(ctx, s.DB, now.Add(-keepNoticesFor))
		}},
		{"sign-ins", func(ctx context.Context) error { return db.PruneSignIns(ctx, s.DB, now) }},
		{"deliveries", func(ctx context.Context) error {
			return db.PruneDeliveries(ctx, s.DB, now.Add(-keepDeliveriesFor), now.Add(-24*time.Hour))
		}},
		{"idle sessions", s.Rules.CloseIdle},
		{"what was set aside", func(ctx context.Context) error {
			return db.PruneSetAside(ctx, s.DB, now.Add(-keepAsideFor))
		}},
	})
}

// step is a part of a job that is set aside by itself.
type step struct {
	name string
	run  func(ctx context.Context) error
}

// steps takes the steps of a task, other than those that rest.
func (s *Scheduler) steps(ctx context.Context, task db.Task, list []step) error {
	round := s.Rules.Round(task)
	for _, one := range list {
		rests, err := round.Rests(ctx, one.name)
		if err != nil {
			return err
		}
		if rests {
			continue
		}
		if err := round.Deal(ctx, automation.Row{
			Key: one.name, About: "the step " + one.name + " of " + taskNames[task],
		}, one.run); err != nil {
			return err
		}
	}
	return nil
}

// taskNames are the tasks that have steps, in words.
var taskNames = map[db.Task]string{
	db.TaskSweep: "the sweep", db.TaskWatch: "the watch over the ledger",
	db.TaskPullRequests: "following pull requests",
}

// sweepHistory removes old executions of all automations at once, and of one after the other where some cannot be
// removed.
func (s *Scheduler) sweepHistory(ctx context.Context, now time.Time) error {
	before := now.Add(-keepExecutionsFor)
	for {
		n, err := db.PruneExecutions(ctx, s.DB, before, keepExecutions)
		if n > 0 {
			crash.Here(crash.HistoryPruned)
		}
		switch {
		case err != nil && ctx.Err() == nil && !db.IsAway(err):
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
		row := automation.Row{
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

// quietLogger keeps quartz from writing a line for each firing: only what it warns of.
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
