package siege

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/app/e2e/internal/stage"
)

// The faults happen one after the other to one siege: their order is that of this function, and the replica takes its
// primary's place at the end.
func TestNothingIsLostAndNothingHappensTwiceWhateverTheSurroundingsDo(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	for end := time.Now().Add(long); ; {
		for _, f := range faults {
			if why := s.lacks(f.needs); why != "" {
				t.Run(f.name, func(t *testing.T) { t.Skip(why) })
				continue
			}
			s.suffer(t, f.name, f.interrupts, f.happen)
			if t.Failed() {
				return // what comes next would meet what this one left
			}
		}
		if time.Now().After(end) {
			break
		}
	}
	s.suffer(t, "the database is promoted to its replica", false, promoted)
}

var faults = []struct {
	name       string
	needs      string // a disk to fill, or a clock to set; empty: nothing
	interrupts bool   // what is at work may end as interrupted
	happen     func(f *fault)
}{
	{name: "the database stops fast", happen: func(f *fault) { f.stopped(syscall.SIGINT) }},
	{name: "the database stops immediately", happen: func(f *fault) { f.stopped(syscall.SIGQUIT) }},
	{name: "the database cannot be reached", happen: unreachable},
	{name: "connections to the database are reset", happen: func(f *fault) {
		f.all(func(l *line) { l.reset() })
		f.during(lasting(time.Second, 5*time.Second))
		f.all(func(l *line) { l.reset() })
	}},
	{name: "the database has no connections left", happen: exhausted},
	{name: "the database only reads", happen: readOnly},
	{name: "the database's disk is full", needs: "database", happen: databaseFull},
	{name: "each answer of the database takes 100 ms", happen: func(f *fault) {
		f.all(func(l *line) { l.change(func() { l.delay = 50 * time.Millisecond }) })
		f.during(lasting(6*time.Second, time.Minute))
		f.all(func(l *line) { l.change(func() { l.delay = 0 }) })
	}},
	{name: "a scheduler and the process for pages stand still", happen: func(f *fault) {
		f.still(f.Schedulers[0], f.Web)
	}},
	{name: "the database stands still", happen: databaseStill},
	{name: "a worker stands still until others have its sessions", interrupts: true, happen: workerStill},
	{name: "the clock is set forward and back", needs: "clock", interrupts: true, happen: clockSet},
	{name: "the disk of the worktrees is full", needs: "worker", happen: worktreesFull},
	{name: "Git is killed", happen: gitKilled},
	{name: "the forge is away", happen: forgeAway},
	{name: "a worker is cut off from the database in a transaction", interrupts: true, happen: cutOff},
}

// lacks is why a fault cannot happen here; empty: it can.
func (s *siege) lacks(what string) string {
	switch {
	case what == "clock" && s.database.clock == nil:
		return "there is no C compiler to make a clock with that can be set"
	case what != "clock" && what != "" && s.disks[what] == "":
		return "this user may make no file system of its own"
	}
	return ""
}

// all changes the lines of all processes to the database.
func (f *fault) all(how func(l *line)) {
	for _, l := range f.lines {
		how(l)
	}
}

func (f *fault) stopped(signal syscall.Signal) {
	f.database.end(signal)
	f.during(lasting(3*time.Second, 20*time.Second))
	f.database.start()
}

func unreachable(f *fault) {
	f.all(func(l *line) { l.change(func() { l.silent = true }) })
	f.during(lasting(8*time.Second, time.Minute))
	f.all(func(l *line) { l.change(func() { l.silent = false }) })
}

func exhausted(f *fault) {
	f.database.exec("ALTER ROLE " + program + " CONNECTION LIMIT 1")
	f.database.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + program + "'")
	f.during(lasting(4*time.Second, 30*time.Second))
	f.database.exec("ALTER ROLE " + program + " CONNECTION LIMIT -1")
}

func readOnly(f *fault) {
	set := func(to string) {
		f.database.exec("ALTER SYSTEM " + to)
		f.database.exec("SELECT pg_reload_conf()")
	}
	set("SET default_transaction_read_only = on")
	f.during(lasting(4*time.Second, 30*time.Second))
	set("RESET default_transaction_read_only")
}

// fill takes all room of a disk, and returns what gives it back.
func (f *fault) fill(dir string) (empty func()) {
	f.t.Helper()
	filler, err := os.Create(filepath.Join(dir, "filler"))
	must(f.t, err)
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		if _, err := filler.Write(piece); err != nil {
			piece = piece[:len(piece)/2]
		}
	}
	must(f.t, filler.Close())
	return func() { must(f.t, os.Remove(filler.Name())) }
}

func databaseFull(f *fault) {
	empty := f.fill(f.disks["database"])
	f.during(lasting(5*time.Second, 30*time.Second))
	empty()
	if f.database.answers() { // else it has ended, as it does where it cannot write its log
		return
	}
	f.database.end(syscall.SIGQUIT)
	f.database.start()
}

// still stops processes for a while.
func (f *fault) still(processes ...*stage.Server) {
	f.t.Helper()
	for _, p := range processes {
		must(f.t, p.Signal(syscall.SIGSTOP))
	}
	f.during(lasting(4*time.Second, 90*time.Second))
	for _, p := range processes {
		must(f.t, p.Signal(syscall.SIGCONT))
	}
}

// family are a process and its children.
func family(pid int) []int {
	list := []int{pid}
	found, _ := filepath.Glob("/proc/[0-9]*/stat") // none where there is no /proc
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		rest := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(strings.Split(path, "/")[2])
			list = append(list, child)
		}
	}
	return list
}

func databaseStill(f *fault) {
	list := family(f.database.process.Pid)
	for _, pid := range list {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	f.during(lasting(8*time.Second, 50*time.Second))
	for _, pid := range list {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

// worker is the number of the worker that has a session, and its name.
func (f *fault) worker(session string) (n int, name string) {
	f.t.Helper()
	name = f.text("SELECT worker FROM sessions WHERE id = $1", session)
	for n := range f.Workers {
		if _, err := os.Stat(filepath.Join(f.data(n), "worktrees", session)); err == nil {
			return n, name
		}
	}
	f.t.Fatalf("no worker has the session %s", session)
	return 0, ""
}

// takenFrom waits until a worker has none of the sessions that it had by a fence.
func (f *fault) takenFrom(worker string) {
	f.t.Helper()
	eventually(f.t, "others to take the sessions", func() bool {
		return f.Count(f.t,
			"SELECT count(*) FROM sessions WHERE status = 'in_progress' AND worker = $1 AND lease_until < "+
				"clock_timestamp()", worker) == 0
	})
}

func workerStill(f *fault) {
	n, name := f.worker(f.agent.SessionID)
	must(f.t, f.Workers[n].Signal(syscall.SIGSTOP))
	// Its leases end. The test does not wait for that.
	f.Exec(f.t, "UPDATE sessions SET lease_until = clock_timestamp() - interval '1 second' WHERE status = "+
		"'in_progress' AND worker = $1", name)
	f.takenFrom(name)
	must(f.t, f.Workers[n].Signal(syscall.SIGCONT))
	f.during(time.Second)
}

// cutOff lets a worker lose its database in the midst of a transaction that has locked the row of a session. No end of
// the connection learns that the other is gone. The worker must stop its agents before others take their sessions.
func cutOff(f *fault) {
	n, name := f.worker(f.agent.SessionID)
	l := f.lines[stage.Worker+strconv.Itoa(n)]
	l.change(func() { l.mark = []byte(`INSERT INTO "session_events"`) })
	for deadline := time.Now().Add(patience); !l.isSilent(); time.Sleep(2 * time.Second) {
		// until that worker has one of these
		f.begin(1, fields{"prompt": fmt.Sprintf("until [ -e '%s' ]; do echo noise; sleep 0.2; done", f.gate())})
		if time.Now().After(deadline) {
			f.t.Fatal("the worker wrote no event")
		}
	}
	old := f.agents()
	alive := func() bool {
		return slices.ContainsFunc(old, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	}
	eventually(f.t, "the agent to be stopped or another one to begin", func() bool {
		return !alive() || len(f.agents()) > len(old)
	})
	if alive() {
		f.t.Errorf("a second agent works in the session %s while the first one does", f.agent.SessionID)
	}
	f.takenFrom(name)
	l.change(func() { l.silent = false })
}

// begin begins runs of new automations.
func (f *fault) begin(n int, more fields) (list []run) {
	f.t.Helper()
	for range n {
		more["name"] = "One of several"
		list = append(list, f.run(f.automation(more, nil)))
	}
	return list
}

// hasten lets runs that are to be tried again do so now: a test waits for no pause.
func (f *fault) hasten() {
	f.t.Helper()
	f.Exec(f.t, "UPDATE sessions SET queued_at = clock_timestamp() WHERE status = 'queued' AND queued_at > "+
		"clock_timestamp() + interval '1 second'")
}

// end waits until runs are over that surroundings were in the way of: as successes, or as what counts for nothing.
func (f *fault) end(list []run) {
	f.t.Helper()
	for _, r := range list {
		eventually(f.t, "a run to end", func() bool {
			f.hasten()
			return f.Count(f.t, "SELECT count(*) FROM executions WHERE id = $1 AND finished_at IS NOT NULL",
				r.ExecutionID) == 1
		})
		if status := f.ended(r); status != "succeeded" && !strings.HasPrefix(status, "failed neutral") {
			f.t.Errorf("a run %s", status)
		}
	}
}

// clockSet sets the clock of the machine with the database by five minutes in each direction. Those of the other
// machines are then five minutes apart from it.
func clockSet(f *fault) {
	for _, ahead := range []time.Duration{5 * time.Minute, 0, -5 * time.Minute, 0} {
		f.database.clock.set(f.t, ahead)
		f.during(lasting(2*time.Second, time.Minute))
	}
}

func worktreesFull(f *fault) {
	empty := f.fill(f.disks["worker"])
	begun := f.begin(4, fields{"prompt": "echo new > file.txt"})
	f.during(lasting(4*time.Second, 30*time.Second))
	empty()
	f.end(begun)
}

func gitKilled(f *fault) {
	for _, command := range []string{"worktree add", "update-ref", "symbolic-ref", "commit-tree", "push", "fetch"} {
		for _, moment := range []string{"before", "write", "after"} {
			f.kill(command, moment)
		}
	}
	begun := f.begin(3, f.committing())
	f.open()
	f.end(begun)
	// A run whose commit was killed has nothing to push, so another one meets what is left.
	for len(begun) < 12 && f.hasOrders() {
		more := f.begin(1, f.committing())
		f.end(more)
		begun = append(begun, more...)
	}
	for _, r := range begun {
		f.proveWork(r.SessionID)
	}
	for _, left := range f.unkilled() {
		f.t.Errorf("Git was not killed in %s", left)
	}
}

func forgeAway(f *fault) {
	f.forge.change(func() { f.forge.cut = true })
	f.forge.reset()
	r := f.begin(1, f.committing())[0]
	f.during(lasting(3*time.Second, time.Minute))
	f.forge.change(func() { f.forge.cut = false })
	f.open()
	eventually(f.t, "the run to end", func() bool {
		f.hasten()
		return f.Count(f.t, "SELECT count(*) FROM executions WHERE id = $1 AND status = 'succeeded'",
			r.ExecutionID) == 1
	})
	f.proveWork(r.SessionID)
	eventually(f.t, "its pull request", func() bool {
		return f.Count(f.t, "SELECT count(*) FROM pull_requests WHERE session_id = $1", r.SessionID) == 1
	})
}

// promoted lets the replica take the place of its primary, which is lost. Every answer that the primary gave had
// reached the replica.
func promoted(f *fault) {
	f.database.exec("ALTER SYSTEM SET synchronous_standby_names = 'replica'")
	f.database.exec("SELECT pg_reload_conf()")
	eventually(f.t, "the replica to be waited for", func() bool {
		return f.database.ask("SELECT coalesce(max(sync_state), '') FROM pg_stat_replication") == "sync"
	})
	f.during(2 * time.Second)
	f.database.end(syscall.SIGQUIT)
	f.during(time.Second)
	f.replica.promote()
	f.database, f.replica = f.replica, nil
	for _, l := range f.lines {
		l.change(func() { l.to = f.database.socket() })
	}
	f.direct.change(func() { f.direct.to = f.database.socket() })
}
