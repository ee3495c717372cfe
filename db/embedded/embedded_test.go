package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestFirstStartMakesTheDatabaseAndLaterStartsKeepIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "too")
	s := start(t, Config{Dir: dir}) // not a throw-away one: this is what a newcomer gets
	exec1(t, s, "CREATE TABLE kept AS SELECT 42 AS a")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if s.PID() != 0 || len(processes(dir)) > 0 {
		t.Errorf("after Stop: process %d, %v; want none", s.PID(), processes(dir))
	}
	s = start(t, Config{Dir: dir})
	if got := query(t, s, "SELECT a::text FROM kept"); got != "42" {
		t.Errorf("got %s; want 42", got)
	}
	for setting, want := range map[string]string{"fsync": "on", "data_checksums": "on", "listen_addresses": "",
		"jit": "off", "TimeZone": "UTC"} {
		if got := query(t, s, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %q; want %q", setting, got, want)
		}
	}
	if got := query(t, s,
		`SELECT lower('ÄÖ') || (ARRAY(SELECT unnest(ARRAY['b','a','B']) ORDER BY 1))[1]`); got != "äöB" {
		t.Errorf("lower and sort order give %q; want äöB", got)
	}
}

func TestFolderIsUsedByOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	start(t, Config{Dir: dir, Throwaway: true})
	began := time.Now()
	_, err := Start(t.Context(), Config{Dir: dir, Bin: bin(), Throwaway: true})
	if !errors.Is(err, ErrInUse) || time.Since(began) < lockPatience {
		t.Errorf("second Start: %v after %v; want ErrInUse after %v", err, time.Since(began), lockPatience)
	}
	if err := Remove(t.Context(), dir); !errors.Is(err, ErrInUse) {
		t.Errorf("Remove: %v; want ErrInUse", err)
	}
}

func TestStartWaitsForAProcessThatLetsGo(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, Config{Dir: dir, Throwaway: true})
	second := make(chan error, 1)
	go func() {
		next, err := Start(t.Context(), Config{Dir: dir, Bin: bin(), Throwaway: true})
		if err == nil {
			err = next.Stop()
		}
		second <- err
	}()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Errorf("second Start: %v; want none", err)
	}
}

func TestServerEndsWithItsApplication(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere than on Linux the next start ends the server")
	}
	t.Parallel()
	dir := folder(t)
	app, pid := application(t, dir)
	kill(t, app.Process.Pid)
	eventually(t, "the server has ended", func() bool { return !serves(pid, cluster(dir)) })
	start(t, Config{Dir: dir, Throwaway: true})
}

func TestCommittedRowsOutliveTheDeathOfBoth(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	app, pid := application(t, dir)
	other := &Server{socket: cluster(dir)}
	exec1(t, other, "CREATE TABLE kept AS SELECT 42 AS a")
	busy := connect(t, other) // a connection whose process outlives its server for a moment
	defer busy.Close(t.Context())
	kill(t, pid)
	kill(t, app.Process.Pid)
	s := start(t, Config{Dir: dir})
	if got := query(t, s, "SELECT a::text FROM kept"); got != "42" {
		t.Errorf("got %s; want 42", got)
	}
}

func TestServerLeftRunningIsEndedByTheNextStart(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, Config{Dir: dir, Throwaway: true})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	orphan := startOrphan(t, s)
	next := start(t, Config{Dir: dir, Throwaway: true})
	if serves(orphan, cluster(dir)) {
		t.Error("the orphan still runs")
	}
	if got := query(t, next, "SELECT 'yes'"); got != "yes" {
		t.Errorf("got %s; want yes", got)
	}
}

func TestRemoveEndsTheServerThatWasLeftRunning(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := start(t, Config{Dir: dir, Throwaway: true})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	startOrphan(t, s)
	if err := Remove(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || len(processes(dir)) > 0 {
		t.Errorf("folder: %v, processes: %v; want neither", err, processes(dir))
	}
}

func TestKilledServerComesBack(t *testing.T) {
	t.Parallel()
	var log records
	s := start(t, Config{Dir: folder(t), Log: log.logger()})
	exec1(t, s, "CREATE TABLE kept AS SELECT 42 AS a")
	before, url := s.PID(), s.URL(Name)
	kill(t, before)
	eventually(t, "the server answers again", func() bool {
		return s.PID() != 0 && s.PID() != before && isReady(s.cluster(), s.PID())
	})
	if got := query(t, s, "SELECT a::text FROM kept"); got != "42" {
		t.Errorf("got %s; want 42", got)
	}
	if s.URL(Name) != url {
		t.Errorf("URL is %s; want %s as before", s.URL(Name), url)
	}
	if !strings.Contains(log.String(), "database died and is started again") {
		t.Errorf("log: %s; want a warning", log.String())
	}
	select {
	case err := <-s.Gone():
		t.Errorf("Gone yields %v; want nothing", err)
	default:
	}
}

func TestServerThatDiesAgainAndAgainIsGone(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Dir: folder(t), Throwaway: true})
	if err := os.Remove(filepath.Join(s.cluster(), "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	kill(t, s.PID())
	select {
	case err := <-s.Gone():
		if !strings.Contains(err.Error(), "5 times") || !strings.Contains(err.Error(), "pg_control") {
			t.Errorf("Gone yields %v; want the number of deaths and what the server wrote", err)
		}
	case <-time.After(patience):
		t.Fatal("Gone yields nothing")
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop: %v; want none", err)
	}
}

func TestLockFilesOfStrangersAndZombiesAreNotBelieved(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	stranger := exec.CommandContext(t.Context(), "sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stranger.Process.Kill()
		stranger.Wait()
	}()
	for name, pid := range map[string]int{"postmaster.pid": stranger.Process.Pid, socketName +
		".lock": zombie.Process.Pid} {
		text := fmt.Sprintf("%d\n%s\n1\n5432\n%s\n\n", pid, cluster(dir), cluster(dir))
		if err := os.WriteFile(filepath.Join(cluster(dir), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, Config{Dir: dir, Throwaway: true})
}

func TestInterruptedFirstStartIsRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Config{Dir: dir, Bin: bin(), Throwaway: true})
		failed <- err
	}()
	eventually(t, "initdb has begun", func() bool {
		_, err := os.Stat(filepath.Join(dir, "cluster.new", "PG_VERSION"))
		return err == nil
	})
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatalf("Start: %v; want context.Canceled", err)
	}
	if _, err := os.Stat(cluster(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a half-made cluster is there: %v", err)
	}
	start(t, Config{Dir: dir, Throwaway: true})
}

func TestClusterOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(cluster(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cluster(dir), "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	programs, err := Find(bin(), 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Config{Dir: dir, Bin: programs})
	if err == nil || !strings.Contains(err.Error(), "was made by PostgreSQL 99") ||
		!strings.Contains(err.Error(), programs+" is PostgreSQL ") {
		t.Errorf("Start: %v; want both versions", err)
	}
}

func TestSocketMovesWhereItsPathDoesNotServe(t *testing.T) {
	t.Parallel()
	for name, sub := range map[string]string{
		"a path too long for a socket": strings.Repeat("long/", 20),
		"a path with a comma":          "one, two",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), sub)
			copyModel(t, dir)
			app, _ := application(t, dir)
			note, err := os.ReadFile(socketNote(dir))
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(string(note)); err != nil || info.Mode().Perm() != 0o700 {
				t.Fatalf("folder of the socket: %v, %v; want mode 0700", info, err)
			}
			kill(t, app.Process.Pid) // so that nobody removes it but the next start
			s := start(t, Config{Dir: dir, Throwaway: true})
			if s.socket == string(note) || s.socket == s.cluster() {
				t.Errorf("socket in %s; want a new folder", s.socket)
			}
			if got := query(t, s, "SELECT 'yes'"); got != "yes" {
				t.Errorf("got %s; want yes", got)
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			for _, left := range []string{string(note), s.socket, socketNote(dir)} {
				if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there: %v", left, err)
				}
			}
		})
	}
}

func TestServerIsShieldedFromItsSurroundings(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Dir: folder(t), Throwaway: true})
	group, err := syscall.Getpgid(s.PID())
	if err != nil || group != s.PID() {
		t.Errorf("process group %d, %v; want its own, or Ctrl-C ends it before the application", group, err)
	}
	if runtime.GOOS == "linux" {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID()))
		if err != nil || strings.Contains(string(text), "HOME=") {
			t.Errorf("environment %q, %v; want nothing of ours", text, err)
		}
	}
	info, err := os.Stat(filepath.Join(s.cluster(), socketName))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket: %v, %v; want mode 0700", info, err)
	}
}

func TestValuesOfFailedStatementsAreNotLogged(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Dir: folder(t), Throwaway: true})
	conn := connect(t, s)
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "SELECT 'hush' FROM missing_table"); err == nil {
		t.Fatal("the statement works; want it to fail")
	}
	text, err := os.ReadFile(filepath.Join(s.config.Dir, "postgres.log"))
	if err != nil || !strings.Contains(string(text), "missing_table") || strings.Contains(string(text), "hush") {
		t.Errorf("log: %s, %v; want the failure without the value", text, err)
	}
}

func TestLargeLogIsPutAside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postgres.log")
	for _, size := range []int64{largestLog, largestLog + 1} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		file, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if kept := info.Size() > 0; kept != (size <= largestLog) {
			t.Errorf("a log of %d bytes: kept %v", size, kept)
		}
	}
}

func TestURLLeavesNothingToTheEnvironment(t *testing.T) {
	t.Setenv("PGPORT", "1")
	t.Setenv("PGSSLMODE", "require")
	t.Setenv("PGUSER", "somebody")
	t.Setenv("PGDATABASE", "something")
	s := &Server{socket: "/a folder/with & and ?"}
	config, err := pgx.ParseConfig(s.URL(Name))
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != s.socket || config.Port != port || config.User != Name || config.Database != Name ||
		config.TLSConfig != nil {
		t.Errorf("got %s:%d %s %s %v", config.Host, config.Port, config.User, config.Database, config.TLSConfig)
	}
}
