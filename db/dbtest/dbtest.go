// Package dbtest gives tests a real database. Each test gets a database of its own, a copy of one that was migrated
// once, on a throw-away PostgreSQL server. One server serves all test binaries of a run when Serve started it;
// otherwise the first test of a test binary that asks for a database starts one. The programs of the server come from
// the folder that CARILLON_PG_BIN names, else from where package embedded finds them.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"carillon/db"
	"carillon/db/embedded"
)

// patience bounds each step that is not the test's own work. A busy machine may take its time.
const patience = 10 * time.Minute

// address is the environment variable with the URL of the server that all test binaries of a run share.
const address = "CARILLON_TEST_POSTGRES"

// Serve starts a server for all test binaries that are started with the variable that it returns, NAME=value, in their
// environment. stop stops the server. The server also ends with this process. ctx bounds the start alone.
func Serve(ctx context.Context) (variable string, stop func() error, err error) {
	p := &process{}
	if err := p.open(ctx, ""); err != nil {
		return "", nil, errors.Join(err, p.close())
	}
	return address + "=" + p.url("postgres"), p.close, nil
}

// Main runs the tests of a package and ends the process: func TestMain(m *testing.M) { dbtest.Main(m) }.
// It stops the server that New, URL or Empty started, which nothing else does while the process lives.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main without the end of the process, for a TestMain that has more to do. It returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "dbtest:", err)
		return max(code, 1)
	}
	return code
}

// New opens a migrated database of the test's own. It is closed and dropped at the end of the test.
func New(t testing.TB) *db.DB {
	t.Helper()
	url := URL(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := db.OpenTraced(ctx, url, &Work{})
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("dbtest: close: %v", err)
		}
	})
	return d
}

// URL makes a migrated database of the test's own and returns where it is. It is dropped at the end of the
// test, whoever is still connected.
func URL(t testing.TB) string {
	t.Helper()
	return create(t, embedded.Name)
}

// Empty makes a database of the test's own without any table and returns where it is. It is dropped at the
// end of the test, whoever is still connected.
func Empty(t testing.TB) string {
	t.Helper()
	return create(t, "template1")
}

// create copies a database.
func create(t testing.TB, template string) string {
	t.Helper()
	if err := shared.start(); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), shared.databases.Add(1))
	// The other strategy writes every page to the log too, which costs eight times the CPU. Copying files needs a
	// checkpoint of the whole server, which is cheap where nothing is synced to disk.
	if _, err := shared.admin.Exec(ctx,
		"CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY file_copy"); err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := shared.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dbtest: %v", err)
		}
	})
	return shared.url(name)
}

// shared is the one server of a test binary. Tests have no common owner but their process, so it is global.
var shared process

type process struct {
	once      sync.Once
	err       error
	dir       string
	server    *embedded.Server // nil when Serve started it in another process
	url       func(database string) string
	admin     *pgxpool.Pool
	databases atomic.Int64
}

// start finds or starts the server, once.
func (p *process) start() error {
	p.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// Go keeps the outcome of tests while what they read with package os stays the same. This address differs each
		// time and changes no outcome.
		at, _ := syscall.Getenv(address)
		if p.err = p.open(ctx, at); p.err != nil {
			p.err = errors.Join(p.err, p.close())
		}
	})
	return p.err
}

// open connects to the server at a URL. An empty one starts a server and migrates the database that the others are
// copies of.
func (p *process) open(ctx context.Context, at string) error {
	if at == "" {
		if err := p.serve(ctx); err != nil {
			return err
		}
		at = p.server.URL("postgres")
	}
	there, err := url.Parse(at)
	if err != nil {
		return err
	}
	p.url = func(database string) string {
		u := *there
		u.Path = "/" + database
		return u.String()
	}
	config, err := pgxpool.ParseConfig(at)
	if err != nil {
		return err
	}
	config.MaxConns = 8
	if p.admin, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if p.server == nil {
		return nil
	}
	return p.settle(ctx)
}

func (p *process) serve(ctx context.Context) error {
	parent := temporary()
	removeLeftovers(ctx, parent)
	var err error
	// Directly below the temporary folder: where root must run the server as another user, that user
	// cannot enter the folder of a test.
	if p.dir, err = os.MkdirTemp(parent, prefix); err != nil {
		return err
	}
	p.server, err = embedded.Start(ctx, embedded.Config{Dir: p.dir, Bin: os.Getenv("CARILLON_PG_BIN"), Throwaway: true})
	if err != nil {
		return err
	}
	return migrate(ctx, p.server.URL(embedded.Name))
}

const (
	memory = "/dev/shm"
	// room is what a run needs at most, in bytes: twice what the databases of 64 tests at once take.
	room = 2 << 30
)

// temporary is the folder for temporary files, which TMPDIR chooses. Without it, that is a file system in memory where
// there is one with room, as on Linux: a database is hundreds of files, and a disk takes several times the CPU to make
// them.
func temporary() string {
	var there syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &there) != nil || there.Bavail*uint64(there.Bsize) < room {
		return os.TempDir()
	}
	return memory
}

// migrate makes the tables.
func migrate(ctx context.Context, url string) error {
	d, err := db.Open(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx, d), d.Close())
}

// settle waits until nobody is connected to the database that is copied. CREATE DATABASE would wait too, but
// looks only ten times a second.
func (p *process) settle(ctx context.Context) error {
	for {
		var connected bool
		err := p.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1)", embedded.Name).
			Scan(&connected)
		if err != nil || !connected {
			return err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close stops the server, if it was started, and removes its folder.
func (p *process) close() error {
	if p.admin != nil {
		p.admin.Close()
	}
	var err error
	if p.server != nil {
		err = p.server.Stop()
	}
	if p.dir != "" {
		err = errors.Join(err, os.RemoveAll(p.dir))
	}
	return err
}

const (
	prefix = "carillon-test-"
	// settled is the age from which a folder without a living process is a leftover. A younger one may
	// be made by another test binary that has not locked it yet.
	settled = time.Minute
)

// removeLeftovers removes the folders of test binaries that died before they could. What cannot be removed
// is in use or another user's, and stays.
func removeLeftovers(ctx context.Context, parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.IsDir() || !strings.HasPrefix(entry.Name(), prefix) ||
			time.Since(info.ModTime()) < settled {
			continue
		}
		_ = embedded.Remove(ctx, filepath.Join(parent, entry.Name()))
	}
}
