// Package embedded runs a PostgreSQL server of its own inside a folder: it finds the programs, makes the
// cluster, starts, watches and stops the server. It knows nothing of the tables in it. The server listens
// on a Unix socket that only the user who runs this program can reach: no TCP port, no password.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Name is the role that owns everything in the server and the database that is made at the first start.
const Name = "carillon"

// ErrInUse says that another process runs the server of this folder.
var ErrInUse = errors.New("the database folder is in use by another process")

// Config says where a server lives and how careful it is.
type Config struct {
	// Dir holds the lock, the log of the server and the cluster. It is made when missing.
	Dir string
	// Bin is the folder of the programs initdb and postgres. Empty means that Find looks for one.
	Bin string
	// Throwaway is for tests: nothing is synced to disk, so a power failure, and only that, ruins the data,
	// and the server stops without tidying up.
	Throwaway bool
	// Log is told when the server starts, dies and comes back. Nil means that nobody is.
	Log *slog.Logger

	// separate makes root run the server as another user even where user namespaces are allowed.
	separate bool
}

// Server is a running PostgreSQL server.
type Server struct {
	config  Config
	bin     string
	major   int
	runner  runner
	lock    *os.File
	socket  string
	logFile *os.File
	log     *slog.Logger

	pid     atomic.Int64
	stop    chan struct{} // closed by Stop
	once    sync.Once
	done    chan struct{} // closed when no process is left
	gone    chan error
	stopErr error // set before done is closed
}

// Start starts the server of a folder and returns when it answers. At the first start it makes the cluster and
// the database. ctx bounds the start alone; the server runs until Stop, and ends with this process whatever
// way that ends (on systems other than Linux, the next Start ends it). A caller can tell ErrInUse and
// ErrNoBinaries apart.
func Start(ctx context.Context, config Config) (*Server, error) {
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	config.Dir = dir
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		config: config,
		log:    config.Log,
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
		gone:   make(chan error, 1),
	}
	if err := s.start(ctx); err != nil {
		s.release()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	began := time.Now()
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return err
	}
	var err error
	// One folder, one name: what is left of an earlier server is known by it.
	if s.config.Dir, err = filepath.EvalSymlinks(s.config.Dir); err != nil {
		return err
	}
	if s.lock, err = lockFolder(ctx, s.config.Dir, lockPatience); err != nil {
		return err
	}
	made, err := clusterVersion(s.cluster())
	if err != nil {
		return err
	}
	if s.bin, err = Find(s.config.Bin, made); err != nil {
		if made != 0 {
			return fmt.Errorf("the database in %s was made by PostgreSQL %d: %w", s.cluster(), made, err)
		}
		return err
	}
	if s.major, err = version(ctx, s.bin); err != nil {
		return err
	}
	if s.runner, err = chooseRunner(ctx, s.config, s.bin, s.cluster()); err != nil {
		return err
	}
	if s.runner.warning != "" {
		s.log.Warn(s.runner.warning)
	}
	if err := clearLeftovers(ctx, s.config.Dir); err != nil {
		return err
	}
	if made == 0 {
		if err := s.initialise(ctx); err != nil {
			return err
		}
	}
	if err := s.writeAccess(); err != nil {
		return err
	}
	if s.socket, err = s.socketFolder(); err != nil {
		return err
	}
	if s.logFile, err = openLog(filepath.Join(s.config.Dir, "postgres.log")); err != nil {
		return err
	}
	first := make(chan error, 1)
	go s.supervise(first)
	select {
	case err = <-first:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = s.ensureDatabase(ctx)
	}
	if err != nil {
		s.once.Do(func() { close(s.stop) })
		<-s.done
		return err
	}
	s.log.Info("database started", "version", s.major, "folder", s.config.Dir, "programs", s.bin,
		"pid", s.PID(), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// URL is where pgx reaches a database of the server. It stays the same when the server dies and comes back.
func (s *Server) URL(database string) string { return address(s.socket, database) }

// Running is where pgx reaches Carillon's database on the server that another process runs in a folder, if there seems
// to be one.
func Running(dir string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", false
	}
	socket := (&Server{config: Config{Dir: dir}}).cluster()
	if note, err := os.ReadFile(socketNote(dir)); err == nil {
		socket = strings.TrimSpace(string(note))
	}
	if _, err := os.Stat(filepath.Join(socket, socketName)); err != nil {
		return "", false
	}
	return address(socket, Name), true
}

func address(socket, database string) string {
	// Each value is given: what is left out, pgx takes from the environment (PGPORT, PGSSLMODE).
	query := url.Values{"host": {socket}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	// pgx reads a plus sign as itself.
	encoded := strings.ReplaceAll(query.Encode(), "+", "%20")
	u := url.URL{Scheme: "postgres", User: url.User(Name), Path: "/" + database, RawQuery: encoded}
	return u.String()
}

// PID is the number of the server's process, 0 while there is none.
func (s *Server) PID() int { return int(s.pid.Load()) }

// Gone yields an error when the server died again and again and is not started any more. It yields nothing
// when the server was stopped.
func (s *Server) Gone() <-chan error { return s.gone }

// Stop ends the server and lets go of its folder. Connections that are still open are cut. The error says
// that the server had to be killed; no committed row is lost even then. More calls return the same.
func (s *Server) Stop() error {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.release()
		s.log.Info("database stopped")
	})
	return s.stopErr
}

// release gives back what start took, in the reverse order.
func (s *Server) release() {
	if s.logFile != nil {
		s.logFile.Close()
	}
	if s.socket != "" && s.socket != s.cluster() {
		removeSocketFolder(s.config.Dir)
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

// ensureDatabase makes the database when it is not there: at the first start, or when that was interrupted.
func (s *Server) ensureDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", Name).
		Scan(&there); err != nil {
		return err
	}
	if there {
		return nil
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{Name}.Sanitize()+" STRATEGY wal_log")
	return err
}

// Remove deletes the folder of a server whose process has died, after ending what may be left of the server.
// It returns ErrInUse when a living process holds the folder.
func Remove(ctx context.Context, dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	lock, err := lockFolder(ctx, dir, 0)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := clearLeftovers(ctx, dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

// lockPatience is how long Start waits for another process to let go: a program that is being restarted
// starts anew while the old one still stops.
const lockPatience = 3 * time.Second

// lockFolder takes the lock of a folder. The lock goes with the process, however that ends.
func lockFolder(ctx context.Context, dir string, patience time.Duration) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		if time.Now().After(deadline) {
			file.Close()
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		}
	}
}
