package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"carillon/db/dbtest"
)

func TestWrongDatabaseIsOneLine(t *testing.T) {
	t.Parallel()
	good := dbtest.Empty(t)
	guard(t, good)
	with := func(change func(*url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		return u.String()
	}
	for _, tt := range []struct {
		name, address string
		parts         []string
	}{
		{"a wrong password", with(func(u *url.URL) {
			u.User = url.UserPassword("stranger", "hunter2")
		}), []string{"DATABASE_URL", "password authentication failed"}},
		{"a missing database", with(func(u *url.URL) {
			u.Path = "/nowhere"
		}), []string{"DATABASE_URL", `database "nowhere" does not exist`}},
		{"a user that does not exist", with(func(u *url.URL) {
			u.User = url.User("nobody_here")
		}), []string{"DATABASE_URL", "nobody_here"}},
		{"parameters that are none", with(func(u *url.URL) {
			u.RawQuery = "host=localhost&sslmode=maybe"
		}), []string{"DATABASE_URL", "sslmode"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := local(t, environment{"DATABASE_URL": tt.address})
			for _, args := range [][]string{{"serve"}, {"migrate"}} {
				o := call(t, e, "", args...)
				oneLine(t, o, tt.parts...)
				if strings.Contains(o.stderr, "hunter2") {
					t.Errorf("%s shows the password: %s", args, o.stderr)
				}
				if strings.Contains(o.stderr, "waiting for it") {
					t.Errorf("%s waits for what does not come by waiting: %s", args, o.stderr)
				}
			}
		})
	}
}

// guard makes a user of a test database who needs a password.
func guard(t *testing.T, address string) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is pending
	var file string
	if err := conn.QueryRow(ctx, "SHOW hba_file").Scan(&file); err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("local all stranger scram-sha-256\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "CREATE ROLE stranger LOGIN PASSWORD 'correct horse'"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background()) //nolint:errcheck // nothing is pending
		if _, err := conn.Exec(context.Background(), "DROP ROLE stranger"); err != nil {
			t.Error(err)
		}
	})
	// The rule holds as soon as the server has read the file.
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("stranger", "wrong")
	for end := time.Now().Add(longest); ; time.Sleep(10 * time.Millisecond) {
		c, err := pgx.Connect(ctx, u.String())
		if err != nil && strings.Contains(err.Error(), "password authentication failed") {
			return
		}
		if err == nil {
			_ = c.Close(ctx)
		}
		if time.Now().After(end) {
			t.Fatalf("a wrong password is taken: %v", err)
		}
	}
}

func TestDatabaseThatIsNotUpYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := &watched{}
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"serve"},
			local(t, environment{"DATABASE_URL": "postgres://u@" + address + "/db?sslmode=disable"}).get,
			strings.NewReader(""), io.Discard, stderr)
	}()
	stderr.until(t, "waiting for it")
	cancel()
	select {
	case <-done:
	case <-time.After(longest):
		t.Error("it waits on after it was asked to stop")
	}
}

func TestDatabaseThatGoesAwayLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	address := dbtest.URL(t)
	s := start(t, local(t, environment{"DATABASE_URL": address}))
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is pending
	quoted := pgx.Identifier{name}.Sanitize()
	statements := func(list ...string) {
		for _, text := range list {
			if _, err := conn.Exec(t.Context(), text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	answers := func(path string, want int) {
		for end := time.Now().Add(longest); ; time.Sleep(20 * time.Millisecond) {
			got := s.get(t, nil, path)
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s answers %d; want %d:\n%s", path, got, want, s.stderr)
			}
		}
	}
	cut := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "'"
	for range 2 { // what worked once is to work again
		statements("ALTER DATABASE "+quoted+" ALLOW_CONNECTIONS false", cut)
		answers("/readyz", http.StatusServiceUnavailable)
		answers("/healthz", http.StatusOK) // it is away, and we are well
		statements("ALTER DATABASE " + quoted + " ALLOW_CONNECTIONS true")
		answers("/readyz", http.StatusOK)
	}
	s.cancel()
	if status := <-s.done; status != exitOK {
		t.Errorf("serve ended with status %d; want 0:\n%s", status, s.stderr)
	}
}
