package embedded

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
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

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what)
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
	return r.text.String()
}
