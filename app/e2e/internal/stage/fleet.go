package stage

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"carillon/app/check"
	"carillon/app/crash"
	"carillon/db"
	"carillon/db/dbtest"
)

// Plan says which processes a Fleet has. Its zero value is one for pages, two schedulers and two workers on a database
// of the test's own.
type Plan struct {
	// Database is the address of the database; empty: a new one.
	Database string
	// Through is the address at which processes reach the database; nil: Database. A test may put a proxy there, one
	// for each process.
	Through func(role string, n int) string
	// Webs, Schedulers and Workers are how many there are; 0: one for pages, and two of the others.
	Webs, Schedulers, Workers int
	// Program builds what is started; nil: Watched.
	Program func() (string, error)
	// Settings are NAME=value for every process, and Of more for one. n counts from 0 within a role.
	Settings []string
	Of       func(role string, n int) []string
	// Later leaves it to the test to start them.
	Later bool
}

// The roles of a process.
const (
	Web       = "web"
	Scheduler = "scheduler"
	Worker    = "worker"
)

// Fleet is the program as several processes on one database.
type Fleet struct {
	Web        *Server // the first of Webs
	Webs       []*Server
	Schedulers []*Server
	Workers    []*Server
	Database   string        // its address, without what Through puts between
	DB         *pgxpool.Pool // on it
	rows       *db.DB        // the same
	crashes    string        // folder of the files by which processes are told to die, by role
}

// Start starts the processes of a plan, the one for pages first, and stops them at the end of the test, which expects
// them to end well.
func Start(t testing.TB, p Plan) *Fleet {
	t.Helper()
	f := &Fleet{Database: p.Database, crashes: Folder(t)}
	if f.Database == "" {
		f.Database = dbtest.URL(t)
	}
	f.connect(t)
	var err error
	if f.rows, err = db.Open(t.Context(), f.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.rows.Close() })
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	address := free(t)
	common := append([]string{
		"CARILLON_SECRET=" + base64.StdEncoding.EncodeToString(key), "CARILLON_URL=http://" + address,
		"CARILLON_TRIGGER_RATE=0",
	}, p.Settings...)
	member := func(role string, n int) *Server {
		through := f.Database
		if p.Through != nil {
			through = p.Through(role, n)
		}
		settings := append(slices.Clone(common), "DATABASE_URL="+through, "CARILLON_ROLES="+role,
			"CARILLON_ADDR="+address)
		if crash.Compiled {
			settings = append(settings, crash.Variable+"="+filepath.Join(f.crashes, role))
		}
		if role == Web {
			settings = append(settings, AsAdministrator...)
			if n > 0 {
				settings = append(settings, "CARILLON_ADDR="+free(t))
			}
		}
		if p.Of != nil {
			settings = append(settings, p.Of(role, n)...)
		}
		program := p.Program
		if program == nil {
			program = Watched
		}
		return prepare(t, program, settings)
	}
	for n := range cmp.Or(p.Webs, 1) {
		f.Webs = append(f.Webs, member(Web, n))
	}
	f.Web = f.Webs[0]
	for n := range cmp.Or(p.Schedulers, 2) {
		f.Schedulers = append(f.Schedulers, member(Scheduler, n))
	}
	for n := range cmp.Or(p.Workers, 2) {
		f.Workers = append(f.Workers, member(Worker, n))
	}
	for _, s := range f.All() {
		if !p.Later {
			s.Start(t)
		}
		t.Cleanup(func() {
			if s.Ended != nil && s.State() == nil {
				s.Stop(t)
			}
		})
	}
	return f
}

func (f *Fleet) connect(t testing.TB) {
	t.Helper()
	config, err := pgxpool.ParseConfig(f.Database)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 4
	if f.DB, err = pgxpool.NewWithConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.DB.Close)
}

// free is an address at which nobody listens. Its port is none that the system gives to connections by itself, so that
// it is free again when the server starts anew.
func free(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+mrand.IntN(15000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// All are the processes.
func (f *Fleet) All() []*Server { return slices.Concat(f.Webs, f.Schedulers, f.Workers) }

// With are the processes of a role.
func (f *Fleet) With(role string) []*Server {
	switch role {
	case Scheduler:
		return f.Schedulers
	case Worker:
		return f.Workers
	}
	return f.Webs
}

// Count is the number that a query gives.
func (f *Fleet) Count(t testing.TB, query string, args ...any) int {
	t.Helper()
	var n int
	if err := f.DB.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// Exec changes rows, as when time passes: a test never waits for a minute to be over.
func (f *Fleet) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := f.DB.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Arm tells the processes of a role that the first of them which reaches a point for the n-th time is to die there.
func (f *Fleet) Arm(t testing.TB, role string, p crash.Point, n int) {
	t.Helper()
	path := filepath.Join(f.crashes, role)
	if err := os.Remove(path + crash.Hit); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", fmt.Appendf(nil, "%s %d", p, n), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Disarm takes that back, and reports whether nobody has died of it.
func (f *Fleet) Disarm(t testing.TB, role string) bool {
	t.Helper()
	return os.Remove(filepath.Join(f.crashes, role)) == nil
}

// Hit reports whether a process of a role that was armed has come to its point.
func (f *Fleet) Hit(role string) bool {
	_, err := os.Stat(filepath.Join(f.crashes, role) + crash.Hit)
	return err == nil
}

// Dead waits until a process of a role that was armed has died by SIGKILL, and returns it.
func (f *Fleet) Dead(t testing.TB, role string) *Server {
	t.Helper()
	path := filepath.Join(f.crashes, role)
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !f.Hit(role) {
			continue
		}
		who, _ := os.ReadFile(path + crash.Hit)
		for _, s := range f.With(role) {
			if state := s.State(); state != nil && strconv.Itoa(state.Pid()) == string(who) {
				if !s.Died() {
					t.Fatalf("a %s ended by itself: %v\n%s", role, state, s.Log)
				}
				return s
			}
		}
	}
	point, _ := os.ReadFile(path)
	t.Fatalf("no %s has come to the crash point %q within %s.\n%s", role, point, Patience, f.Complaints())
	return nil
}

// Complaints are the lines of the logs that say more than that something happened.
func (f *Fleet) Complaints() string {
	var b strings.Builder
	for _, role := range []string{Web, Scheduler, Worker} {
		for n, s := range f.With(role) {
			if text := s.Complaints(); text != "" {
				fmt.Fprintf(&b, "-- %s %d\n%s", role, n+1, text)
			}
		}
	}
	return b.String()
}

// underWay are the things that are to come to an end by themselves, each with a query that counts those that have not.
var underWay = []struct{ what, query string }{
	{"runs in flight", "SELECT count(*) FROM executions WHERE status IN ('queued', 'running')"},
	{"sessions at work", "SELECT count(*) FROM sessions WHERE status IN ('queued', 'in_progress')"},
	{"messages in flight", "SELECT count(*) FROM turns WHERE status IN ('queued', 'running')"},
	{"copies to send", "SELECT count(*) FROM notice_deliveries WHERE status = 'queued'"},
	{"pull requests to open", "SELECT count(*) FROM sessions WHERE pr_requested_at IS NOT NULL"},
	{"due automations", "SELECT count(*) FROM automations WHERE enabled AND next_run_at <= now()"},
}

// Left is what has not come to an end yet, in words; empty: nothing is under way. It looks at all of it at one moment:
// what is due may be in flight a moment later.
func (f *Fleet) Left(t testing.TB) string {
	t.Helper()
	var queries []string
	for _, u := range underWay {
		queries = append(queries, "("+u.query+")")
	}
	var counts []int
	if err := f.DB.QueryRow(t.Context(), "SELECT ARRAY["+strings.Join(queries, ", ")+"]").Scan(&counts); err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, n := range counts {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, underWay[i].what))
		}
	}
	return strings.Join(list, ", ")
}

// Settle waits until nothing is under way.
func (f *Fleet) Settle(t testing.TB) {
	t.Helper()
	var left string
	for end := time.Now().Add(Patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = f.Left(t); left == "" {
			return
		}
	}
	t.Fatalf("after %s there are %s.\n%s", Patience, left, f.Complaints())
}

// Check expects that everything holds that is promised: of the database, and of the files of each worker. Nothing may
// be under way. What a worker removes by itself is waited for.
func (f *Fleet) Check(t testing.TB) {
	t.Helper()
	now := time.Now()
	c := check.Check{DB: f.rows, Now: time.Now, Since: now.AddDate(0, 0, -30), For: Patience}
	err := c.Run(t.Context(), func(r check.Result) { tell(t, r) })
	if err != nil {
		t.Errorf("look at the promises: %v", err)
	}
	for _, s := range f.Workers {
		var last check.Result
		for ; ; time.Sleep(100 * time.Millisecond) {
			folder, err := check.WorkerOf(s.Data)
			if err != nil || folder == nil {
				t.Errorf("there is no folder of a worker in %s: %v", s.Data, err)
				break
			}
			folder.Settled = time.Now()
			last, err = folder.Look(t.Context(), f.rows)
			if err != nil {
				t.Errorf("look at a worker's folder: %v", err)
				break
			}
			if len(last.Breaches) == 0 || s.State() != nil || time.Now().After(now.Add(Patience)) {
				// who is dead removes nothing
				break
			}
		}
		if s.State() == nil {
			tell(t, last)
		}
	}
}

// tell fails the test for each breach of a promise.
func tell(t testing.TB, r check.Result) {
	t.Helper()
	for _, b := range r.Breaches {
		t.Errorf("broken is %s: %s %s %s", r.Promise, b.Kind, b.ID, b.What)
	}
	if r.Unseen != "" {
		t.Errorf("%s was not looked at: %s", r.Promise, r.Unseen)
	}
}
