package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// programDir makes the test binary an application that runs the server of a folder until it is killed.
const programDir = "CARILLON_TEST_SERVER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(programDir); dir != "" {
		s, err := Start(context.Background(), Config{Dir: dir, Bin: bin()})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println(s.PID())
		select {}
	}
	code := m.Run()
	if model.dir != "" {
		os.RemoveAll(model.dir)
	}
	os.Exit(code)
}

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
	for setting, want := range map[string]string{"fsync": "on", "data_checksums": "on", "listen_addresses": "", "jit": "off", "TimeZone": "UTC"} {
		if got := query(t, s, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %q; want %q", setting, got, want)
		}
	}
	if got := query(t, s, "SELECT lower('ÄÖ') || (ARRAY(SELECT unnest(ARRAY['b','a','B']) ORDER BY 1))[1]"); got != "äöB" {
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
	case <-time.After(time.Minute):
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
	for name, pid := range map[string]int{"postmaster.pid": os.Getppid(), socketName + ".lock": zombie.Process.Pid} {
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
	if err == nil || !strings.Contains(err.Error(), "was made by PostgreSQL 99") || !strings.Contains(err.Error(), programs+" is PostgreSQL ") {
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
	if config.Host != s.socket || config.Port != port || config.User != Name || config.Database != Name || config.TLSConfig != nil {
		t.Errorf("got %s:%d %s %s %v", config.Host, config.Port, config.User, config.Database, config.TLSConfig)
	}
}

// bin is the folder of the programs to test with, "" for what Find finds.
func bin() string { return os.Getenv("CARILLON_PG_BIN") }

func cluster(dir string) string { return filepath.Join(dir, "cluster") }

// start starts a server that is stopped at the end of the test.
func start(t *testing.T, config Config) *Server {
	t.Helper()
	config.Bin = bin()
	s, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

// model is a stopped server's folder that others are copies of: copying is faster than initdb.
var model struct {
	once sync.Once
	dir  string
	err  error
}

// folder returns the folder of a server that was started and stopped before.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	copyModel(t, dir)
	return dir
}

func copyModel(t *testing.T, dir string) {
	t.Helper()
	model.once.Do(func() {
		if model.dir, model.err = os.MkdirTemp("", "carillon-model-"); model.err != nil {
			return
		}
		var s *Server
		if s, model.err = Start(t.Context(), Config{Dir: model.dir, Bin: bin(), Throwaway: true}); model.err == nil {
			model.err = s.Stop()
		}
	})
	if model.err != nil {
		t.Fatal(model.err)
	}
	if err := os.CopyFS(cluster(dir), os.DirFS(cluster(model.dir))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(cluster(dir), 0o700); err != nil {
		t.Fatal(err)
	}
}

// application runs this test binary as an application with a server, and returns the server's process too.
func application(t *testing.T, dir string) (*exec.Cmd, int) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), programDir+"="+dir)
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
		Remove(context.Background(), dir)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, numberErr := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || numberErr != nil {
		t.Fatalf("application wrote %q: %v", line, err)
	}
	return cmd, pid
}

// startOrphan runs the stopped server's program as a process that nobody looks after.
func startOrphan(t *testing.T, s *Server) int {
	t.Helper()
	args := []string{"-D", s.cluster()}
	for _, setting := range s.settings() {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.SysProcAttr = s.runner.attributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	eventually(t, "the orphan answers", func() bool { return isReady(s.cluster(), cmd.Process.Pid) })
	return cmd.Process.Pid
}

// processes lists the servers of a folder.
func processes(dir string) []int {
	var list []int
	if pid := processOf(filepath.Join(cluster(dir), "postmaster.pid")); pid != 0 && serves(pid, cluster(dir)) {
		list = append(list, pid)
	}
	return list
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, s *Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL(Name))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func exec1(t *testing.T, s *Server, sql string) {
	t.Helper()
	conn := connect(t, s)
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, s *Server, sql string, args ...any) string {
	t.Helper()
	conn := connect(t, s)
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 seconds: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// records keeps what a server logs.
type records struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *records) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *records) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(slices.Clone(r.text.Bytes()))
}
