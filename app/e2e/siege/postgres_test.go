package siege

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"carillon/db/embedded"
)

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// cluster is a PostgreSQL server of the test's own, which it stops in every way. Nothing is synced to the disk, which
// matters only when the machine loses its power.
type cluster struct {
	t        testing.TB
	programs *embedded.Programs
	dir      string // of the data, the socket and the log
	clock    *clock // by which it tells the time; nil: the machine's
	process  *os.Process
	ended    chan struct{}
}

// program is the role that Carillon signs in as. It is no superuser: those have connections of their own.
const program = "app"

// primary makes a cluster in a folder, and starts it.
func primary(t testing.TB, dir string) *cluster {
	t.Helper()
	c := newCluster(t, dir)
	c.clock = newClock(t)
	locale := "--locale=C.UTF-8"
	if runtime.GOOS != "linux" {
		locale = "--locale=C"
	}
	out, err := c.programs.Command("initdb", "-D", c.data(), "--username="+embedded.Name, "--encoding=UTF8",
		"--auth=trust", "--no-sync", "--no-instructions", locale).CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	c.write("pg_hba.conf", "local all all trust\nlocal replication all trust\n")
	c.start()
	c.exec("CREATE ROLE " + program + " LOGIN")
	c.exec("CREATE DATABASE " + embedded.Name + " OWNER " + program)
	return c
}

func newCluster(t testing.TB, dir string) *cluster {
	t.Helper()
	programs, err := embedded.FindPrograms(t.Context(), os.Getenv("CARILLON_PG_BIN"), dir)
	if errors.Is(err, embedded.ErrNoBinaries) {
		t.Skip(err)
	}
	must(t, err)
	c := &cluster{t: t, programs: programs, dir: dir}
	must(t, programs.Own(dir))
	must(t, os.Mkdir(c.data(), 0o700))
	must(t, programs.Own(c.data()))
	t.Cleanup(func() { c.end(syscall.SIGQUIT) })
	return c
}

func (c *cluster) data() string   { return filepath.Join(c.dir, "data") }
func (c *cluster) socket() string { return filepath.Join(c.dir, ".s.PGSQL.5432") }
func (c *cluster) log() string {
	text, _ := os.ReadFile(filepath.Join(c.dir, "log")) // for messages alone
	return string(text)
}

// write writes a file of the cluster.
func (c *cluster) write(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.data(), name)
	must(c.t, os.WriteFile(path, []byte(text), 0o600))
	must(c.t, c.programs.Own(path))
}

// start starts the server and waits until it answers.
func (c *cluster) start() {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.t, err)
	defer log.Close()
	cmd := c.programs.Command("postgres", "-D", c.data(), "-c", "listen_addresses=", "-c", "port=5432", "-c",
		"unix_socket_directories="+c.dir,
		"-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_connections=250", "-c", "wal_level=replica", "-c",
		"max_wal_senders=5", "-c", "wal_keep_size=64MB",
		"-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB", "-c", "hot_standby=on", "-c",
		"wal_receiver_status_interval=1s", "-c", "wal_retrieve_retry_interval=200ms",
		"-c", "timezone=UTC", "-c", "log_timezone=UTC", "-c", "jit=off", "-c", "log_line_prefix=%m [%p] ")
	cmd.Stdout, cmd.Stderr = log, log
	if c.clock != nil {
		cmd.Env = append(slices.Clone(cmd.Env), c.clock.variables()...)
	}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the server ends with the thread that started it, so this one stays until then
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // why it ended is in its log
		}
		close(ended)
	}()
	must(c.t, <-started)
	c.process, c.ended = cmd.Process, ended
	eventually(c.t, "PostgreSQL to answer", func() bool {
		select {
		case <-ended:
			c.t.Fatalf("PostgreSQL ended at its start:\n%s", c.log())
		default:
		}
		return c.answers()
	})
}

func (c *cluster) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(embedded.Name, "postgres"))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// end stops the server by a signal: SIGINT is fast, SIGQUIT immediate. It returns when no process of it is left.
func (c *cluster) end(signal syscall.Signal) {
	c.t.Helper()
	if c.process == nil {
		return
	}
	_ = c.process.Signal(signal)
	select {
	case <-c.ended:
	case <-time.After(patience):
		_ = c.process.Kill()
		c.t.Errorf("PostgreSQL does not stop by %v:\n%s", signal, c.log())
		<-c.ended
	}
	c.process = nil
}

// url is where a role reaches a database by the server's socket.
func (c *cluster) url(role, database string) string {
	query := url.Values{"host": {c.dir}, "port": {"5432"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User(role), Path: "/" + database, RawQuery: query.Encode()}).String()
}

// exec executes a statement as the superuser.
func (c *cluster) exec(statement string) {
	c.t.Helper()
	must(c.t, c.try(statement))
}

func (c *cluster) try(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(embedded.Name, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is pending
	_, err = conn.Exec(ctx, statement)
	return err
}

// ask reads one value as the superuser.
func (c *cluster) ask(query string) (answer string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(embedded.Name, "postgres"))
	must(c.t, err)
	defer conn.Close(ctx) //nolint:errcheck // nothing is pending
	must(c.t, conn.QueryRow(ctx, query).Scan(&answer))
	return answer
}

// replica makes a cluster in a folder that follows this one by streaming, and starts it. There is no pg_basebackup
// among the programs of the npm package, so it does what that does.
func (c *cluster) replica(dir string) *cluster {
	c.t.Helper()
	r := newCluster(c.t, dir)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url(embedded.Name, "postgres"))
	must(c.t, err)
	defer conn.Close(ctx) //nolint:errcheck // nothing is pending
	_, err = conn.Exec(ctx, "SELECT pg_backup_start('replica', true)")
	must(c.t, err)
	must(c.t, r.copyFrom(c.data()))
	var label string
	must(c.t, conn.QueryRow(ctx, "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label))
	r.write("backup_label", label)
	r.write("standby.signal", "")
	r.write("postgresql.auto.conf",
		fmt.Sprintf("primary_conninfo = 'host=%s port=5432 user=%s application_name=replica'\n", c.dir, embedded.Name))
	r.start()
	eventually(c.t, "the replica to stream", func() bool {
		return c.ask("SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming'") == "1"
	})
	return r
}

// copyFrom copies the data of a server that is at work, as a backup does.
func (c *cluster) copyFrom(data string) error {
	return filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server removes files meanwhile
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		to := filepath.Join(c.data(), name)
		switch {
		case name == ".":
			return nil
		case entry.IsDir():
			if err := os.Mkdir(to, 0o700); err != nil {
				return err
			}
			return c.programs.Own(to)
		case strings.HasPrefix(name, "postmaster."), strings.HasPrefix(name, "pg_wal/"), !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return err
		}
		return c.programs.Own(to)
	})
}

// promote lets a replica take the place of the server that it follows.
func (c *cluster) promote() {
	c.t.Helper()
	if got := c.ask("SELECT pg_promote(true, 600)::text"); got != "true" {
		c.t.Fatalf("promoting the replica answered %s:\n%s", got, c.log())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds, looking often.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", patience, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
