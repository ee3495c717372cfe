// Package siege lets faults of the surroundings happen to the whole program at work, as several processes on one
// PostgreSQL with a streaming replica: the database is stopped, silent, read-only, full or replaced, a process is cut
// off from it or stands still, disks are full, Git is killed, the forge is away. After each of them it proves what is
// promised about runs.
package siege

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carillon/app/agent/agenttest"
	"carillon/app/e2e/internal/stage"
	"carillon/app/git"
)

// agentRole is the first argument with which this test binary is a coding agent.
const agentRole = "--acp"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == agentRole {
		syscall.Exit(agenttest.Serve(os.Args[2:], heldAgent)) // without the race detector's second of waiting
	}
	os.Exit(stage.Run(m))
}

// heldAgent is what the agent does with a message that names a file: it says where it works, and waits for the file.
func heldAgent(m *agenttest.Message) {
	found := regexp.MustCompile(`wait for (\S+)`).FindStringSubmatch(m.Text)
	if found == nil {
		m.Say("Nothing to wait for.")
		return
	}
	dir, _ := os.Getwd() // its worktree, which has the name of the session
	_ = os.WriteFile(filepath.Join(filepath.Dir(found[1]), fmt.Sprintf("agent-%s-%d", filepath.Base(dir), os.Getpid())),
		nil, 0o600)
	m.Say("I wait.")
	for {
		if _, err := os.Stat(found[1]); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.Say("The answer.")
}

// long is set for the long suite, in which each fault lasts as long as it may in life, and all come again and again
// until it is over.
var long, _ = time.ParseDuration(os.Getenv("CARILLON_SIEGE"))

// lasting is how long a fault lasts: in the long suite as long as in life.
func lasting(short, inLife time.Duration) time.Duration {
	if long > 0 {
		return inLife
	}
	return short
}

// siege is the program at work, with all that surrounds it.
type siege struct {
	*stage.Fleet
	t *testing.T

	database *cluster // which serves
	replica  *cluster // follows it; nil after it has taken its place
	direct   *line    // to the database, of the tests
	lines    map[string]*line
	hub      *stage.Hub
	forge    *line // to the hub
	disks    map[string]string
	gates    string // folder of the files for which what is held waits
	token    string

	scratch, repository string // workspaces
	called              *hook
	minutes             []string // automations that are due each minute
	held, heldAgent     string   // automations that work until the gate opens
	work                string   // the script of the former
}

// disk is a folder on a file system of its own, of so many bytes; empty where this user may make none.
func disk(t testing.TB, size int) string {
	t.Helper()
	dir := stage.Folder(t)
	if err := mount(dir, size); err != nil {
		t.Logf("no file system of its own: %v", err)
		return ""
	}
	t.Cleanup(func() { must(t, unmount(dir)) })
	return dir
}

func besiege(t *testing.T) *siege {
	t.Helper()
	s := &siege{t: t, lines: map[string]*line{}, disks: map[string]string{}, gates: stage.Folder(t)}
	for name, size := range map[string]int{"database": 400 << 20, "worker": 96 << 20} {
		s.disks[name] = disk(t, size)
	}
	on := func(name string) string {
		if s.disks[name] != "" {
			return s.disks[name]
		}
		return stage.Folder(t)
	}
	s.database = primary(t, short(t, on("database")))
	s.replica = s.database.replica(short(t, stage.Folder(t)))
	s.direct = newLine(t, s.database.socket())
	s.hub = stage.ServeHub(t)
	s.forge = newLine(t, strings.TrimPrefix(s.hub.URL, "http://"))
	s.hub.URL = "http://" + s.forge.listener.Addr().String()
	git := gitThatDies(t)
	var program func() (string, error) // that of all tests
	if long > 0 {
		program = sync.OnceValues(apart)
	}
	s.Fleet = stage.Start(t, stage.Plan{
		Database: s.direct.url(), Program: program,
		Through: func(role string, n int) string {
			l := newLine(t, s.database.socket())
			s.lines[role+strconv.Itoa(n)] = l
			return l.url()
		},
		Settings: []string{"CARILLON_OUTBOUND_PRIVATE=on", "CARILLON_MAX_SESSIONS=6"},
		Of: func(role string, n int) []string {
			var list []string
			if n == 1 { // their machines' clocks are five minutes apart, where the program can tell
				list = append(list, map[string]string{
					stage.Scheduler: "CLOCK_AHEAD_SECONDS=150", stage.Worker: "CLOCK_AHEAD_SECONDS=-150",
				}[role])
			}
			if role == stage.Worker {
				list = append(list, "PATH="+git+string(os.PathListSeparator)+os.Getenv("PATH"))
			}
			if role == stage.Worker && n == 0 && s.disks["worker"] != "" {
				list = append(list, "CARILLON_DATA="+s.disks["worker"])
			}
			return list
		},
	})
	s.open()
	s.load()
	return s
}

// short is a folder whose path a socket can have, which leads to another one.
func short(t testing.TB, dir string) string {
	t.Helper()
	if len(dir) < 80 {
		return dir
	}
	parent, err := os.MkdirTemp("/tmp", "siege-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	link := filepath.Join(parent, "d")
	must(t, os.Symlink(dir, link))
	return link
}

// data is the data folder of a worker.
func (s *siege) data(n int) string {
	if n == 0 && s.disks["worker"] != "" {
		return s.disks["worker"]
	}
	return s.Workers[n].Data
}

func (s *siege) gate() string { return filepath.Join(s.gates, "open") }
func (s *siege) open()        { must(s.t, os.WriteFile(s.gate(), nil, 0o600)) }

// call asks the API as the administrator.
func (s *siege) call(method, path string, status int, body, into any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	must(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.Web.Base+"/api/v1"+path, bytes.NewReader(text))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer res.Body.Close() //nolint:errcheck // read below
	answer, err := io.ReadAll(res.Body)
	must(s.t, err)
	if res.StatusCode != status {
		s.t.Fatalf("%s %s answered %d %s; want %d", method, path, res.StatusCode, answer, status)
	}
	if into != nil {
		must(s.t, json.Unmarshal(answer, into))
	}
}

var apiToken = regexp.MustCompile(`carillon_api_[A-Za-z0-9_-]{43}`)

type fields = map[string]any

// load makes the automations and the calls that go on all the time.
func (s *siege) load() {
	t := s.t
	t.Helper()
	v := stage.Visit(t, s.Web)
	made := v.Post(t, "/settings/tokens", url.Values{"name": {"Siege"}, "days": {"90"}, "scope": {"all"}})
	s.token = apiToken.FindString(made.First(stage.With("id", "token")).Attr("value"))
	self, err := os.Executable()
	must(t, err)
	for path, form := range map[string]url.Values{
		"/settings/providers": {
			"name": {"Held"}, "driver": {"acp"}, "command": {self + " " + agentRole + " state=" + stage.Folder(t)},
		},
		"/workspaces": {
			"name": {"Forge"}, "url": {s.hub.URL + "/acme/app.git"}, "branch": {"main"}, "token": {stage.HubToken},
			"forge": {"github"}, "forge_base": {s.hub.URL},
		},
	} {
		if a := v.Post(t, path, form); a.Status != http.StatusSeeOther {
			t.Fatalf("%s answered %d %s", path, a.Status, a.Said())
		}
	}
	var workspaces struct{ Items []struct{ ID, Name string } }
	s.call("GET", "/workspaces", 200, nil, &workspaces)
	for _, w := range workspaces.Items {
		if w.Name == "Forge" {
			s.repository = w.ID
		} else {
			s.scratch = w.ID
		}
	}
	wait := fmt.Sprintf("until [ -e '%s' ]; do sleep 0.1; done", s.gate())
	s.work = fmt.Sprintf(`echo first > work.txt && git add work.txt && git -c user.name=a -c user.email=a@example.com commit -qm Work && echo second >> work.txt
touch '%s/begun-'"$(basename "$PWD")"
%s`, s.gates, wait)
	for i, more := range []fields{
		{"prompt": "true", "time_zone": "Asia/Kathmandu"}, {"prompt": "true", "catch_up": true}, {"prompt": "exit 3"},
		{"prompt": wait},
	} {
		more["name"] = fmt.Sprintf("Minute %d", i)
		more["trigger"] = "recurring"
		more["cron"] = "* * * * *"
		more["auto_complete"] = true
		s.minutes = append(s.minutes, s.automation(more, nil))
	}
	s.automation(fields{"name": "Loop", "trigger": "loop", "prompt": "sleep 3", "auto_complete": true}, nil)
	s.held = s.automation(fields{"name": "Held", "prompt": s.work}, nil)
	s.heldAgent = s.automation(fields{"name": "Held agent", "prompt": "wait for " + s.gate(), "provider": "held"}, nil)
	s.called = &hook{s: s, ran: filepath.Join(s.gates, "ran"), accepted: map[string]bool{}}
	s.automation(fields{
		"name": "Called", "trigger": "http", "allow_parallel": true, "prompt": fmt.Sprintf(`basename "$PWD" >> '%s'`,
			s.called.ran),
	}, &s.called.url)
	s.called.begin()
}

// automation makes an automation of the Shell provider, unless it has another, and returns its id.
func (s *siege) automation(more fields, webhook *string) string {
	s.t.Helper()
	in := fields{"workspace_id": s.scratch, "provider": "shell"}
	for name, value := range more {
		in[name] = value
	}
	if zone := in["time_zone"]; in["trigger"] == "recurring" && zone == nil {
		in["time_zone"] = "UTC"
	}
	var made struct {
		ID         string
		WebhookURL string `json:"webhook_url"`
	}
	s.call("POST", "/automations", 201, in, &made)
	if webhook != nil {
		*webhook = made.WebhookURL
	}
	return made.ID
}

// committing is an automation on the forge's repository, with a pull request at its end.
func (s *siege) committing() fields {
	return fields{"workspace_id": s.repository, "prompt": s.work, "create_pr": true}
}

// run is a run that was begun by hand.
type run struct {
	ExecutionID string `json:"execution_id"`
	SessionID   string `json:"session_id"`
}

func (s *siege) run(automation string) (r run) {
	s.t.Helper()
	s.call("POST", "/automations/"+automation+"/runs", 201, fields{}, &r)
	return r
}

// hook is an HTTP Trigger that is called at a steady rate. Its script notes each session that it runs in.
type hook struct {
	s    *siege
	url  string
	ran  string // the file of those notes
	mu   sync.Mutex
	made int // calls that were begun
	// accepted are the executions of the calls that were answered with 200; of the unknown ones there was no answer, or
	// one of 5xx.
	accepted map[string]bool
	unknown  int
}

// callEvery is how often the hook is called: each call is a run.
const callEvery = 1500 * time.Millisecond

func (h *hook) begin() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	client := &http.Client{Timeout: patience}
	go func() {
		defer close(stopped)
		var calls sync.WaitGroup
		defer calls.Wait()
		tick := time.NewTicker(callEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				calls.Go(func() { h.once(client) })
			}
		}
	}()
	h.s.t.Cleanup(func() { close(stop); <-stopped })
}

func (h *hook) once(client *http.Client) {
	h.mu.Lock()
	h.made++
	h.mu.Unlock()
	var answer struct{ ExecutionID string }
	res, err := client.Post(h.url, "application/json", strings.NewReader(`{"a":1}`))
	status := 0
	if err == nil {
		status = res.StatusCode
		err = json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil && status == http.StatusOK:
		h.accepted[answer.ExecutionID] = true
	case status == 0 || status >= 500:
		h.unknown++
	default:
		h.s.t.Errorf("a call was answered %d", status)
	}
}

// counts are the calls that were begun and accepted so far.
func (h *hook) counts() (made, accepted int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.made, len(h.accepted)
}

// during lets a time pass in which calls are made too.
func (s *siege) during(lasts time.Duration) {
	made, _ := s.called.counts()
	time.Sleep(lasts)
	eventually(s.t, "calls during the fault", func() bool { now, _ := s.called.counts(); return now >= made+2 })
}

// fault is a time of trouble, with runs at work as it begins.
type fault struct {
	*siege
	script, agent run
	orders        []order
	once          string // a One-Time that is due meanwhile
	interrupted   bool   // its end may be an interruption; else what is at work ends as if nothing had been
}

// suffer lets a fault happen while runs are at work, and proves afterwards that all is as it should be.
func (s *siege) suffer(t *testing.T, name string, interrupted bool, happen func(f *fault)) {
	t.Run(name, func(t *testing.T) {
		of := *s
		of.t = t
		f := &fault{siege: &of, interrupted: interrupted || long > 0} // in life a fault outlasts leases
		began := time.Now()
		must(t, os.Remove(f.gate()))
		f.script, f.agent = f.run(f.held), f.run(f.heldAgent)
		f.once = f.automation(fields{
			"name": "Once", "trigger": "one_time", "time_zone": "UTC", "run_at": time.Now().Add(4 * time.Second).UTC().
				Format(time.RFC3339), "prompt": "true",
		}, nil)
		f.atWork()
		happen(f)
		s.database, s.replica = f.database, f.replica
		f.open()
		f.recover()
		f.prove()
		made, accepted := s.called.counts()
		t.Logf("%s, of %d calls so far %d were answered with a run", time.Since(began).Round(time.Second), made,
			accepted)
	})
}

// atWork waits until the held runs are at work.
func (f *fault) atWork() {
	f.t.Helper()
	eventually(f.t, "the held script", func() bool {
		_, err := os.Stat(filepath.Join(f.gates, "begun-"+f.script.SessionID))
		return err == nil
	})
	eventually(f.t, "the held agent", func() bool { return len(f.agents()) > 0 })
}

// agents are the processes of the held agent that have ever begun.
func (f *fault) agents() (list []int) {
	found, err := filepath.Glob(filepath.Join(f.gates, "agent-"+f.agent.SessionID+"-*"))
	must(f.t, err)
	for _, path := range found {
		pid, err := strconv.Atoi(path[strings.LastIndex(path, "-")+1:])
		must(f.t, err)
		list = append(list, pid)
	}
	return list
}

// recover waits until calls are answered again, and everything that was begun before is over.
func (f *fault) recover() {
	f.t.Helper()
	_, before := f.called.counts()
	eventually(f.t, "calls to be answered again", func() bool { _, now := f.called.counts(); return now > before })
	var until time.Time
	must(f.t, f.DB.QueryRow(f.t.Context(), "SELECT clock_timestamp()").Scan(&until))
	end := time.Now().Add(patience)
	for f.Count(f.t, "SELECT count(*) FROM executions WHERE finished_at IS NULL AND created_at <= $1", until) > 0 {
		if time.Now().After(end) {
			f.t.Fatalf("runs of before are still in flight after %s:\n%s\n%s", patience, f.text(`
				SELECT string_agg(concat_ws(' ', e.id, e.status, e.reason, s.status, s.worker, s.lease_until, s.queued_at), E'\n')
				FROM executions e LEFT JOIN sessions s ON s.id = e.session_id WHERE e.finished_at IS NULL`),
				f.Complaints())
		}
		f.hasten()
		time.Sleep(100 * time.Millisecond)
	}
	eventually(f.t, "the One-Time to be answered", func() bool {
		return f.Count(f.t, "SELECT count(*) FROM executions WHERE automation_id = $1", f.once) == 1
	})
}

// text is the text that a query gives.
func (s *siege) text(query string, args ...any) string {
	s.t.Helper()
	var answer *string
	if err := s.DB.QueryRow(s.t.Context(), query, args...).Scan(&answer); err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	if answer == nil {
		return ""
	}
	return *answer
}

// badWords are in what a process writes that has met a fault of its own.
var badWords = regexp.MustCompile(`DATA RACE|"msg":"panic|^panic:|^fatal error:|^goroutine `)

// prove proves what is promised: by the program's own check, by the answers that callers got, by what scripts noted, by
// files and by processes.
func (f *fault) prove() {
	f.t.Helper()
	for _, worker := range f.Workers { // with its folder; everything goes on meanwhile
		worker.Check(f.t)
	}
	f.proveCalls()
	f.proveMinutes()
	f.proveHeld()
	f.proveFiles()
	f.proveProcesses()
	for _, server := range f.All() {
		if server.State() != nil {
			f.t.Errorf("a process has ended: %v\n%s", server.State(), server.Log)
		}
		for line := range strings.Lines(server.Log.String()) {
			if badWords.MatchString(line) {
				f.t.Errorf("a process noted: %s", line)
			}
		}
	}
	if f.t.Failed() {
		f.t.Logf("What the processes noted:\n%s", f.Complaints())
	}
}

// proveCalls expects an execution for each call that was answered with one, none that nobody called for, and each to
// have run once at most.
func (f *fault) proveCalls() {
	f.t.Helper()
	h := f.called
	h.mu.Lock()
	accepted, most := make([]string, 0, len(h.accepted)), h.made
	for id := range h.accepted {
		accepted = append(accepted, id)
	}
	h.mu.Unlock()
	if n := f.Count(f.t, "SELECT count(*) FROM executions WHERE id = ANY($1::uuid[]) AND session_id IS NOT NULL",
		accepted); n != len(accepted) {
		f.t.Errorf("%d calls were answered with a run, and there are %d of those", len(accepted), n)
	}
	if n := f.Count(f.t, "SELECT count(*) FROM executions WHERE source = 'webhook' AND id <> ALL($1::uuid[])",
		accepted); n > most-len(accepted) {
		f.t.Errorf("%d executions are of calls without an answer, and there were %d", n, most-len(accepted))
	}
	text, err := os.ReadFile(h.ran)
	must(f.t, err)
	times := map[string]int{}
	for line := range strings.Lines(string(text)) {
		times[strings.TrimSpace(line)]++
	}
	for session, n := range times {
		if n > 1 {
			f.t.Errorf("the session %s ran %d times", session, n)
		}
	}
	rows, err := f.DB.Query(f.t.Context(),
		"SELECT session_id::text FROM executions WHERE source = 'webhook' AND status = 'succeeded'")
	must(f.t, err)
	defer rows.Close()
	for rows.Next() {
		var session string
		must(f.t, rows.Scan(&session))
		if times[session] != 1 {
			f.t.Errorf("the session %s succeeded and ran %d times", session, times[session])
		}
	}
	must(f.t, rows.Err())
	if failed := f.text(`SELECT string_agg(DISTINCT concat_ws(' ', status, error_class, reason), E'\n') FROM executions
		WHERE source = 'webhook' AND status NOT IN ('queued', 'running', 'succeeded') AND NOT neutral`); failed != "" {
		f.t.Errorf("runs of calls failed for what was no trouble of theirs: %s", failed)
	}
}

// proveMinutes expects that each minute since an automation was made is answered once, and that who was in the way is
// named.
func (f *fault) proveMinutes() {
	f.t.Helper()
	for _, id := range f.minutes {
		rows, err := f.DB.Query(f.t.Context(),
			`SELECT scheduled_for, greatest(scheduled_for, last_skipped_for), status, reason, skip_count
			FROM executions WHERE automation_id = $1 AND source = 'schedule' ORDER BY scheduled_for`, id)
		must(f.t, err)
		enabled := f.Count(f.t, "SELECT count(*) FROM automations WHERE id = $1 AND enabled", id) == 1
		var last time.Time
		for rows.Next() {
			var first, until time.Time
			var status, reason string
			var count int
			must(f.t, rows.Scan(&first, &until, &status, &reason, &count))
			// A clock that was ahead has answered minutes before those that are yet to come, and failures may have
			// ended it before those.
			next := last.Add(time.Minute)
			if !last.IsZero() && !first.Equal(next) && (first.Before(next) || enabled && next.Add(time.Minute).
				Before(time.Now())) {
				f.t.Errorf("of %s the minute after %s is answered for %s as %s: %s", id, last, first, status, reason)
			}
			if count > 0 && int(until.Sub(first)/time.Minute)+1 != count {
				f.t.Errorf("of %s a row counts %d minutes from %s to %s", id, count, first, until)
			}
			last = until
		}
		rows.Close()
		must(f.t, rows.Err())
	}
	if n := f.Count(f.t,
		`SELECT count(*) FROM executions e WHERE e.status = 'skipped' AND e.error_class = '' AND NOT EXISTS (
		SELECT 1 FROM executions b WHERE b.id = e.blocked_by AND b.automation_id = e.automation_id AND b.id < e.id)`); n > 0 { // ids go by the machine's clock, which nobody sets
		f.t.Errorf("%d runs were skipped for another that was not there", n)
	}
}

// ended is how a run ended: its status, whether it counts for nothing, and the reason.
func (f *fault) ended(r run) string {
	f.t.Helper()
	return f.text(
		`SELECT concat_ws(' ', status, CASE WHEN neutral THEN 'neutral' END, nullif(reason, '')) FROM executions WHERE id = $1`, r.ExecutionID)
}

// proveHeld expects that what was at work ended as it should, and that its work is there.
func (f *fault) proveHeld() {
	f.t.Helper()
	for what, r := range map[string]run{"script": f.script, "agent": f.agent} {
		status := f.ended(r)
		if status != "succeeded" && !(f.interrupted && strings.HasPrefix(status, "failed neutral")) {
			f.t.Errorf("the held %s %s", what, status)
		}
	}
	const used = "succeeded/100/40/20"
	noted := f.text(
		`SELECT string_agg(concat_ws('/', status, tokens_in, tokens_cached, tokens_out), ' ') FROM turns WHERE session_id = $1`, f.agent.SessionID)
	if noted != used && !f.interrupted {
		f.t.Errorf("of the held agent is noted %s; want %s", noted, used)
	}
	if f.script.SessionID != "" {
		f.proveWork(f.script.SessionID)
	}
}

// proveWork expects a session's commit and its file that is not committed where a worker has them.
func (f *fault) proveWork(session string) {
	f.t.Helper()
	var wrong []string
	for n := range f.Workers {
		dir := filepath.Join(f.data(n), "worktrees", session)
		text, err := os.ReadFile(filepath.Join(dir, "work.txt"))
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		log, err := exec.Command("git", "-C", dir, "log", "--format=%s", "-3").CombinedOutput()
		if string(text) == "first\nsecond\n" && err == nil && slices.Contains(strings.Fields(string(log)), "Work") {
			return
		}
		wrong = append(wrong, fmt.Sprintf("%s has %q after %q, %v", dir, text, log, err))
	}
	f.t.Errorf("the work of session %s is lost: %s", session, strings.Join(wrong, "; "))
}

// proveFiles expects no lock of Git that stays, and no worktree and no branch of a session that nobody knows.
func (f *fault) proveFiles() {
	f.t.Helper()
	var known []string
	rows, err := f.DB.Query(f.t.Context(), "SELECT id::text FROM sessions")
	must(f.t, err)
	for rows.Next() {
		var id string
		must(f.t, rows.Scan(&id))
		known = append(known, id)
	}
	rows.Close()
	must(f.t, rows.Err())
	var locks []string
	for n := range f.Workers {
		for _, top := range []string{"repos", "git"} {
			_ = filepath.WalkDir(filepath.Join(f.data(n), top), func(path string, _ os.DirEntry, _ error) error {
				// files go meanwhile
				if strings.HasSuffix(path, ".lock") {
					locks = append(locks, path)
				}
				return nil
			})
		}
		trees, err := filepath.Glob(filepath.Join(f.data(n), "worktrees", "*"))
		must(f.t, err)
		for _, dir := range trees {
			if id := filepath.Base(dir); len(id) == 36 && !slices.Contains(known, id) &&
				f.Count(f.t, "SELECT count(*) FROM sessions WHERE id = $1", id) == 0 {
				f.t.Errorf("the worktree %s is of no session", dir)
			}
		}
	}
	// Those that no Git meets again go when the worker packs the repository, which this does in its place.
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	eventually(f.t, "locks to go: "+strings.Join(locks, ", "), func() bool {
		locks = slices.DeleteFunc(locks, func(path string) bool { return !there(path) })
		for _, path := range locks {
			if there(path) && !f.gitAtWork() {
				f.pack(path)
			}
		}
		return len(locks) == 0
	})
}

// gitAtWork reports whether a Git of a worker's is at work, whose lock this may be.
func (f *fault) gitAtWork() bool {
	found, _ := filepath.Glob("/proc/[0-9]*/comm") // none where there is no /proc
	return slices.ContainsFunc(found, func(path string) bool {
		dir := filepath.Dir(path)
		name, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(name)) != "git" {
			return false
		}
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may be gone
		at, _ := os.Readlink(filepath.Join(dir, "cwd"))
		for n := range f.Workers {
			if strings.HasPrefix(at, f.data(n)) || strings.Contains(string(arguments), f.data(n)) {
				return true
			}
		}
		return false
	})
}

// pack packs the repository in which a lock is, as if that were old.
func (f *fault) pack(lock string) {
	old := time.Now().Add(-time.Hour)
	_ = os.Chtimes(lock, old, old) // it may go meanwhile
	for n := range f.Workers {
		for _, top := range []string{"repos", filepath.Join("git", "views")} {
			if rest, ok := strings.CutPrefix(lock, filepath.Join(f.data(n), top)+"/"); ok {
				id, _, _ := strings.Cut(rest, "/")
				store := &git.Store{Root: f.data(n), Log: slog.New(slog.DiscardHandler)}
				if err := store.Tidy(f.t.Context(), strings.TrimSuffix(id, ".git")); err != nil {
					f.t.Errorf("pack the repository with %s: %v", lock, err)
				}
			}
		}
	}
}

// proveProcesses expects that processes are at work in those sessions alone that a worker has.
func (f *fault) proveProcesses() {
	f.t.Helper()
	eventually(f.t, "processes of sessions that are over to end", func() bool {
		for session := range f.processes() {
			if f.Count(f.t, "SELECT count(*) FROM sessions WHERE id = $1 AND status = 'in_progress'", session) == 0 {
				return false
			}
		}
		return true
	})
}

// processes are those that work in a session's worktree, by session.
func (f *fault) processes() map[string][]int {
	list := map[string][]int{}
	found, _ := filepath.Glob("/proc/[0-9]*/cwd") // none where there is no /proc
	for _, link := range found {
		dir, err := os.Readlink(link)
		if err != nil {
			continue
		}
		for n := range f.Workers {
			if rest, ok := strings.CutPrefix(dir, filepath.Join(f.data(n), "worktrees")+"/"); ok {
				session, _, _ := strings.Cut(rest, "/")
				pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
				list[session] = append(list[session], pid)
			}
		}
	}
	return list
}
