package dbtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"carillon/db"
	"carillon/db/embedded"
)

// untilKilled makes the test binary one that asks for a database and is then killed.
const untilKilled = "CARILLON_TEST_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if os.Getenv(untilKilled) != "" {
		if err := shared.start(); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println(shared.dir)
		select {}
	}
	code := Run(m)
	if _, err := os.Stat(shared.dir); shared.dir != "" && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "%s is still there after the tests: %v\n", shared.dir, err)
		code = 1
	}
	os.Exit(code)
}

func TestEachTestHasAMigratedDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := New(t), New(t)
	for _, d := range []*db.DB{one, two} {
		if done, err := db.Migrated(t.Context(), d); err != nil || !done {
			t.Fatalf("migrated %v, %v; want true", done, err)
		}
	}
	if _, err := one.ExecContext(t.Context(), "CREATE TABLE mine (a int)"); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := two.NewRaw("SELECT to_regclass('mine') IS NOT NULL").Scan(t.Context(), &there); err != nil || there {
		t.Errorf("the other test's table is there: %v, %v", there, err)
	}
}

func TestEmptyDatabaseHasNoTables(t *testing.T) {
	t.Parallel()
	conn := connect(t, Empty(t))
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").
		Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables, %v; want 0", tables, err)
	}
}

func TestDatabaseIsDroppedAtTheEndWhoeverIsConnected(t *testing.T) {
	t.Parallel()
	var name string
	var left *pgx.Conn
	t.Run("test", func(t *testing.T) {
		url := URL(t)
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		name = config.Database
		// Left open on purpose.
		if left, err = pgx.ConnectConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	})
	defer left.Close(context.Background())
	var there bool
	if err := shared.admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).
		Scan(&there); err != nil || there {
		t.Errorf("database %s is there: %v, %v; want it dropped", name, there, err)
	}
}

func TestTestBinariesShareTheServerThatTheyAreGiven(t *testing.T) {
	t.Parallel()
	here := connect(t, Empty(t)) // so that there is a server
	var other process
	if err := other.open(t.Context(), shared.url("postgres")); err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if other.server != nil {
		t.Fatal("the other binary started a server")
	}
	var started [2]time.Time
	for i, conn := range []*pgx.Conn{here, connect(t, other.url("postgres"))} {
		if err := conn.QueryRow(t.Context(), "SELECT pg_postmaster_start_time()").Scan(&started[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !started[0].Equal(started[1]) {
		t.Errorf("the servers started at %v; want one server", started)
	}
}

func TestManyTestsAtOnceGetDatabases(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if _, err := New(t).ExecContext(t.Context(), "CREATE TABLE mine (a int)"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFoldersOfDeadTestBinariesAreRemoved(t *testing.T) {
	t.Parallel()
	// A parent with a short name, so that the sockets stay in the folders.
	parent, err := os.MkdirTemp("", "carillon-leftovers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o711); err != nil { // where root runs the server as another user
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func() (*exec.Cmd, string) {
		cmd := exec.Command(program)
		// Each binary starts a server of its own.
		cmd.Env = append(os.Environ(), untilKilled+"=1", "TMPDIR="+parent, address+"=")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		line, err := bufio.NewReader(out).ReadString('\n')
		dir := strings.TrimSpace(line)
		if err != nil || filepath.Dir(dir) != parent {
			t.Fatalf("the other binary wrote %q: %v", line, err)
		}
		return cmd, dir
	}
	killed, dead := run()
	_, alive := run()
	if err := killed.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed.Wait()
	young, stranger := filepath.Join(parent, prefix+"young"), filepath.Join(parent, "stranger")
	old := time.Now().Add(-2 * settled)
	for _, dir := range []string{young, stranger} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dead, alive, stranger} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	removeLeftovers(t.Context(), parent)
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the killed binary: %v; want it removed", err)
	}
	for _, dir := range []string{alive, young, stranger} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("%v; want it kept", err)
		}
	}
	if err := embedded.Remove(t.Context(), alive); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("the living binary's folder: %v; want ErrInUse", err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
