// Package soak lets the whole program work for long under load, while one of its processes is killed each minute.
package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/app/e2e/internal/stage"
	"carillon/db/embedded"
)

func TestMain(m *testing.M) { os.Exit(stage.Run(m)) }

const (
	automations = 10_000
	hooks       = 50 // automations that are called
	loops       = 10
	places      = 10 // of each of the two workers
	callers     = 16
	measuring   = 20 * time.Second // how long the most calls a second are measured
)

// TestNothingIsLostUnderLoadWithAKillAMinute starts the program as six processes on a database that keeps what it says.
// It has 10,000 automations, and its webhooks are called half as often as it can answer. Twenty sessions are at work at
// once, and each minute a process is killed. SOAK says for how long. At the end every promise must hold, every accepted
// call has one execution, no script ran twice, and the processes that were never killed need no more memory than at
// first.
func TestNothingIsLostUnderLoadWithAKillAMinute(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("make soak runs this")
	}
	long, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatalf("SOAK is a time, such as 30m: %v", err)
	}
	s := begin(t)
	limit := s.measure(t)
	rate := limit / 2
	t.Logf("%d calls a second are the most that are answered; the load is %d a second for %s", int(limit), int(rate),
		long)

	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { s.call(ctx, rate) })
	t.Log(heading)
	begun := time.Now()
	memory := map[string][]int64{}
	for next := begun.Add(time.Minute); time.Since(begun) < long; next = next.Add(time.Minute) {
		victim := s.mortal[rand.IntN(len(s.mortal))]
		victim.server.Kill(t)
		victim.server.Start(t)
		time.Sleep(time.Until(next))
		t.Log(s.minute(t, time.Since(begun), victim.name, memory))
	}
	stop()
	load.Wait()
	s.fleet.Exec(t, "UPDATE automations SET enabled = false, next_run_at = NULL WHERE trigger <> 'http'")
	s.fleet.Settle(t)
	s.fleet.Check(t)
	s.checkCalls(t)
	s.checkScripts(t)
	for name, sizes := range memory {
		first, last := sizes[len(sizes)/4], sizes[len(sizes)-1]
		t.Logf("%s: %d MiB after a quarter of the time, %d MiB at the end", name, first>>20, last>>20)
		if last > first+first/2 {
			t.Errorf("%s grew from %d to %d MiB", name, first>>20, last>>20)
		}
	}
}

// process is one of the program's with a name for people.
type process struct {
	name   string
	server *stage.Server
}

// soak is the program under load.
type soak struct {
	fleet            *stage.Fleet
	mortal, immortal []process
	tokens           []string // of webhooks
	ran              string   // file to which each script adds the name of its session

	mu         sync.Mutex
	accepted   []string        // ids of executions that calls were told of
	latencies  []time.Duration // of the calls since the last look
	blocked    atomic.Int64    // calls that met a run in flight
	unanswered atomic.Int64    // calls that a kill left without an answer
	wrong      atomic.Pointer[string]
}

func begin(t *testing.T) *soak {
	t.Helper()
	dir := stage.Folder(t)
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL may run as another user
		t.Fatal(err)
	}
	server, err := embedded.Start(t.Context(), embedded.Config{
		Dir: filepath.Join(dir, "postgres"), Bin: os.Getenv("CARILLON_PG_BIN"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &soak{ran: filepath.Join(dir, "ran")}
	s.fleet = stage.Start(t, stage.Plan{
		Database: server.URL(embedded.Name), Webs: 2, Program: stage.Plain,
		Settings: []string{"CARILLON_MAX_SESSIONS=" + strconv.Itoa(places)},
	})
	for role, list := range map[string][]*stage.Server{
		"web": s.fleet.Webs, "scheduler": s.fleet.Schedulers, "worker": s.fleet.Workers,
	} {
		s.immortal = append(s.immortal, process{role + " 1", list[0]})
		s.mortal = append(s.mortal, process{role + " 2", list[1]})
	}
	byName := func(a, b process) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(s.immortal, byName)
	slices.SortFunc(s.mortal, byName)

	v := stage.Visit(t, s.fleet.Web)
	// A worktree has the name of its session.
	script := fmt.Sprintf("basename \"$PWD\" >> '%s'\necho \"$RANDOM\" > file\nsleep $((RANDOM %% 8))\n", s.ran)
	save := func(name string, change func(url.Values)) string {
		form := v.Form(t, name, script)
		change(form)
		a := v.Post(t, "/automations", form)
		if a.Status != http.StatusSeeOther {
			t.Fatalf("saving answered %d %s; want 303", a.Status, a.Said())
		}
		return a.To
	}
	for i := range hooks {
		page := v.Get(t, save(fmt.Sprint("Called ", i), func(f url.Values) { f.Set("trigger", "http") }))
		address := page.First(stage.With("id", "webhook_url")).Attr("value")
		s.tokens = append(s.tokens, address[strings.LastIndexByte(address, '/')+1:])
	}
	for i := range loops {
		save(fmt.Sprint("Loop ", i), func(f url.Values) { f.Set("trigger", "loop") })
	}
	save("Hourly", func(f url.Values) {
		f.Set("trigger", "recurring")
		f.Set("cron", "0 * * * *")
		f.Set("time_zone", "UTC")
		f.Set("catch_up", "true")
	})
	s.copy(t, automations-hooks-loops-1)
	return s
}

// copy adds copies of the Recurring automation: half of them are due each hour, half each day, at any minute.
func (s *soak) copy(t *testing.T, n int) {
	t.Helper()
	var columns string
	if err := s.fleet.DB.QueryRow(t.Context(),
		`SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name = 'automations' AND is_generated = 'NEVER'
			AND column_name NOT IN ('id', 'name', 'cron', 'next_run_at', 'catch_up')`).Scan(&columns); err != nil {
		t.Fatal(err)
	}
	s.fleet.Exec(t, `INSERT INTO automations (id, name, cron, next_run_at, catch_up, `+columns+`)
		SELECT gen_random_uuid(), 'Copy ' || i, CASE WHEN i % 2 = 0 THEN m || ' * * * *' ELSE m || ' ' || i % 24 || ' * * *' END,
			-- The watchdog computes the first due time of what is due at no whole minute.
			CASE WHEN i % 2 = 0 THEN date_trunc('hour', now()) + make_interval(hours => (m <= extract(minute FROM now()))::int, mins => m)
				ELSE (date_trunc('day', now() AT TIME ZONE 'UTC') + make_interval(days => 1, hours => i % 24, mins => m)) AT TIME ZONE 'UTC' END,
			i % 3 = 0, `+columns+`
		FROM automations, generate_series(1, $1) AS i, LATERAL (SELECT i * 7 % 60 AS m) minutes WHERE name = 'Hourly'`,
		n)
	s.fleet.Exec(t, "ANALYZE")
}

// measure finds how many calls a second are answered when callers wait for nothing else.
func (s *soak) measure(t *testing.T) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), measuring)
	defer cancel()
	begun := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for ctx.Err() == nil {
				s.one(t.Context())
			}
		})
	}
	all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := float64(len(s.latencies)) / time.Since(begun).Seconds()
	s.latencies = nil
	return rate
}

// call calls webhooks at a rate a second until ctx is over.
func (s *soak) call(ctx context.Context, rate float64) {
	var all sync.WaitGroup
	defer all.Wait()
	due := make(chan struct{}, callers)
	for range callers {
		all.Go(func() {
			for range due {
				s.one(context.WithoutCancel(ctx))
			}
		})
	}
	defer close(due)
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			select {
			case due <- struct{}{}:
			default: // all callers wait for answers
			}
		}
	}
}

// one calls a webhook once.
func (s *soak) one(ctx context.Context) {
	web := s.fleet.Webs[rand.IntN(len(s.fleet.Webs))]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, web.Base+"/api/automations/http-trigger",
		strings.NewReader(`{"a": 1}`))
	if err != nil {
		s.fail(err.Error())
		return
	}
	req.Header.Set("Api-Authentication", s.tokens[rand.IntN(len(s.tokens))])
	begun := time.Now()
	res, err := client.Do(req)
	if err != nil {
		s.unanswered.Add(1)
		return
	}
	defer res.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(res.Body)
	var answer struct {
		Success     bool
		ExecutionID string
	}
	if err != nil || json.Unmarshal(text, &answer) != nil {
		s.unanswered.Add(1)
		return
	}
	switch {
	case res.StatusCode == http.StatusOK && answer.Success && answer.ExecutionID != "":
		s.mu.Lock()
		s.accepted = append(s.accepted, answer.ExecutionID)
		s.mu.Unlock()
	case res.StatusCode == http.StatusConflict && answer.ExecutionID != "":
		s.blocked.Add(1)
	case res.StatusCode == http.StatusServiceUnavailable:
		s.unanswered.Add(1)
		return
	default:
		s.fail(fmt.Sprintf("a call was answered %d %s", res.StatusCode, text))
	}
	s.mu.Lock()
	s.latencies = append(s.latencies, time.Since(begun))
	s.mu.Unlock()
}

var client = &http.Client{Timeout: stage.Patience, Transport: &http.Transport{MaxIdleConnsPerHost: callers}}

// fail keeps the first thing that is wrong.
func (s *soak) fail(what string) { s.wrong.CompareAndSwap(nil, &what) }

const heading = "   time  killed        calls/s   p50     p99      200    409  none   at work  queued   ended  " +
	"failed  database  memory"

// minute is a line of figures since the last one, and adds to memory what the processes that are never killed hold.
func (s *soak) minute(t *testing.T, since time.Duration, killed string, memory map[string][]int64) string {
	t.Helper()
	if wrong := s.wrong.Load(); wrong != nil {
		t.Error(*wrong)
	}
	s.mu.Lock()
	latencies, accepted := s.latencies, len(s.accepted)
	s.latencies = nil
	s.mu.Unlock()
	slices.Sort(latencies)
	at := func(percent int) time.Duration {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[(len(latencies)-1)*percent/100].Round(100 * time.Microsecond)
	}
	var sizes []string
	for _, p := range s.immortal {
		n := resident(t, p.server.Pid())
		memory[p.name] = append(memory[p.name], n)
		sizes = append(sizes, fmt.Sprintf("%s %d", p.name, n>>20))
	}
	return fmt.Sprintf("%7s  %-12s %8.0f %6s %8s %7d %7d %5d %7d %7d %8d %6d %6d MiB  %s", since.Round(time.Second),
		killed,
		float64(len(latencies))/60, at(50), at(99), accepted, s.blocked.Load(), s.unanswered.Load(),
		s.fleet.Count(t, "SELECT count(*) FROM sessions WHERE status = 'in_progress'"),
		s.fleet.Count(t, "SELECT count(*) FROM sessions WHERE status = 'queued'"),
		s.fleet.Count(t, "SELECT count(*) FROM executions WHERE finished_at IS NOT NULL"),
		s.fleet.Count(t, "SELECT count(*) FROM executions WHERE status IN ('failed', 'timed_out')"),
		s.fleet.Count(t, "SELECT pg_database_size(current_database()) >> 20"), strings.Join(sizes, ", "))
}

// resident is the memory that a process holds, in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip("there is no /proc to read a process's memory from")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// checkCalls expects one execution of each call that was accepted, and of others only where a caller got no answer.
func (s *soak) checkCalls(t *testing.T) {
	t.Helper()
	if n := s.fleet.Count(t, "SELECT count(DISTINCT id) FROM executions WHERE id = ANY($1) AND source = 'webhook'",
		s.accepted); n != len(s.accepted) {
		t.Errorf("%d calls were accepted, and %d of them have an execution of their own", len(s.accepted), n)
	}
	others := s.fleet.Count(t, "SELECT count(*) FROM executions WHERE source = 'webhook' AND NOT id = ANY($1)",
		s.accepted)
	if unanswered := int(s.unanswered.Load()); others > unanswered {
		t.Errorf("%d executions are of no call that was answered, and only %d calls were not", others, unanswered)
	}
}

// checkScripts expects that no script ran twice, and that all that succeeded did run.
func (s *soak) checkScripts(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(s.ran)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(text)) {
		times[strings.TrimSpace(line)]++
	}
	twice := 0
	for session, n := range times {
		if n > 1 {
			if twice++; twice < 20 {
				t.Errorf("the script of session %s ran %d times", session, n)
			}
		}
	}
	if n := s.fleet.Count(t, "SELECT count(*) FROM executions WHERE status = 'succeeded'"); n > len(times) {
		t.Errorf("%d runs succeeded, and %d scripts ran", n, len(times))
	}
}
