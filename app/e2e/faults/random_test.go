package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

// comesTo are the points that processes come to while people, callers and schedules start runs.
var comesTo = map[string][]crash.Point{
	stage.Web: {
		crash.StartWritten, crash.StartCommitted, crash.CallReceived, crash.CallStarted, crash.CallCommitted,
		crash.SwitchWritten,
		crash.SessionChanged, crash.SessionChangeCommitted,
	},
	stage.Scheduler: {
		crash.DueClaimed, crash.DueWritten, crash.DueCommitted,
	},
	stage.Worker: {
		crash.SessionsClaiming, crash.SessionsClaimed, crash.RunOpened, crash.TreeBranched, crash.SpareTaken,
		crash.TreeLinked, crash.TreeFilled,
		crash.TreeMade, crash.TreeNoted, crash.GateAsked, crash.GateJudged, crash.GateLeft, crash.GatePassing,
		crash.GatePassed, crash.RunFolderMade,
		crash.TurnBegun, crash.AgentStarted, crash.WordsWritten, crash.AgentEnded, crash.UsageNoted, crash.TurnEnded,
		crash.ChangesNoted,
		crash.StateCommitted, crash.StateKept, crash.WorkClosed, crash.EndWritten, crash.EndCommitted,
		crash.NoticeWritten, crash.SpareFilled,
		crash.RemovalNoted, crash.FolderRemoved, crash.RemovalDone,
	},
}

// begun are the points that a worker comes to when it begins anew, where it died in the middle of work.
var begun = []crash.Point{crash.LostLocked, crash.LostEnded, crash.LostResumed, crash.LostCommitted}

// settleEvery is after how many deaths all comes to rest and is looked at.
const settleEvery = 25

// TestNothingIsLostWhereverProcessesDieOverAndOver lets processes die at random points while people and callers go on,
// for the time in SOAK, and looks now and then whether everything holds.
func TestNothingIsLostWhereverProcessesDieOverAndOver(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("make soak runs this")
	}
	needsPoints(t)
	long, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK is a time, such as 30m: %v", err)
	}
	seed := uint64(time.Now().UnixNano())
	chance := rand.New(rand.NewPCG(seed, 0))
	t.Logf("the seed of the points is %d", seed)
	s := newScene(t, stage.Plan{})
	w := s.work(t)
	deaths := map[string]int{}
	for end, n := time.Now().Add(long), 0; time.Now().Before(end); {
		stop := w.begin(t)
		for range settleEvery {
			if time.Now().After(end) {
				break
			}
			role := []string{stage.Web, stage.Scheduler, stage.Worker, stage.Worker}[chance.IntN(4)]
			point := comesTo[role][chance.IntN(len(comesTo[role]))]
			s.Arm(t, role, point, 1+chance.IntN(4))
			dead := s.dies(t, role, 10*time.Second)
			for dead != nil {
				n++
				deaths[role+" "+string(point)]++
				again := role == stage.Worker && chance.IntN(3) == 0
				if again {
					point = begun[chance.IntN(len(begun))]
					s.Arm(t, role, point, 1)
				}
				dead.Start(t)
				if dead = nil; again {
					dead = s.dies(t, role, 3*time.Second)
				}
			}
		}
		stop()
		s.hurry(t)
		s.settled(t)
		w.check(t)
		t.Logf("after %d deaths everything holds; %d runs have ended", n,
			s.Count(t, "SELECT count(*) FROM executions WHERE finished_at IS NOT NULL"))
		if t.Failed() {
			t.Fatal(s.Complaints())
		}
	}
	names := make([]string, 0, len(deaths))
	for name := range deaths {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%5d  %s", deaths[name], name)
	}
}

// dies is the process of a role that dies at the point for which it is armed; nil where none comes there within a time.
func (s *scene) dies(t *testing.T, role string, within time.Duration) *stage.Server {
	t.Helper()
	for over := time.Now().Add(within); !s.Hit(role) && time.Now().Before(over); {
		time.Sleep(20 * time.Millisecond)
	}
	if s.Disarm(t, role) {
		return nil
	}
	return s.Dead(t, role)
}

// work is what people and callers do.
type work struct {
	s                    *scene
	plain, gated, failed string
	switched, talk, hook string
	mu                   sync.Mutex
	accepted             []string // keys of calls
}

func (s *scene) work(t *testing.T) *work {
	t.Helper()
	w := &work{
		s: s, plain: s.v.Automation(t, "Changes a file", s.script("date +%N > made.txt")),
		failed: s.v.Automation(t, "Fails", s.script("exit 1")),
	}
	form := s.v.Form(t, "Has a gate", s.script("true"))
	form.Set("gate_command", "true")
	w.gated = s.make(t, "/automations", form)
	form = s.v.Form(t, "Every minute", s.script("true"))
	form.Set("trigger", "recurring")
	form.Set("time_zone", "UTC")
	form.Set("cron", "* * * * *")
	w.switched = s.make(t, "/automations", form)
	form = s.v.Form(t, "Called", s.script("true"))
	form.Set("trigger", "http")
	form.Set("allow_parallel", "true")
	w.hook = hookOf(s.v.Get(t, s.make(t, "/automations", form)))
	form = s.v.Form(t, "Talks", s.script("true"))
	form.Del("auto_complete")
	w.talk = s.v.Run(t, s.make(t, "/automations", form))
	s.Settle(t)
	return w
}

// begin lets them begin, until the function that it returns is called.
func (w *work) begin(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	do := func(every time.Duration, what func(n int)) {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-time.After(every/2 + rand.N(every)):
					what(n)
				}
			}
		})
	}
	do(700*time.Millisecond, func(int) { w.s.send(w.plain+"/runs", nil) })
	do(900*time.Millisecond, func(int) { w.s.send(w.gated+"/runs", nil) })
	do(3*time.Second, func(int) { w.s.send(w.failed+"/runs", nil) })
	do(2*time.Second, func(int) { w.s.send(w.talk+"/messages", url.Values{"message": {"true"}}) })
	do(5*time.Second, func(n int) {
		w.s.send(w.switched+"/enabled", url.Values{"enabled": {fmt.Sprint(n%2 == 1)}})
	})
	do(400*time.Millisecond, func(int) {
		key := fmt.Sprint("call ", time.Now().UnixNano())
		if w.s.call(w.hook, key) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.accepted = append(w.accepted, key)
		}
	})
	return func() {
		cancel()
		all.Wait()
		w.s.send(w.switched+"/enabled", url.Values{"enabled": {"false"}})
	}
}

// check expects a run of each call that was accepted.
func (w *work) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := w.s.Count(t,
		"SELECT count(*) FROM executions e JOIN automations a ON a.id = e.automation_id WHERE a.trigger = 'http'")
	if kept := w.s.Count(t, "SELECT count(*) FROM webhook_keys"); kept < len(w.accepted) || kept != runs {
		t.Errorf("%d calls were accepted; there are answers to %d, and %d runs", len(w.accepted), kept, runs)
	}
}
