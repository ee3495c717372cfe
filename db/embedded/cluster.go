package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// port names the socket; no TCP port is opened.
const port = 5432

// longestSocket is the longest path of a Unix socket on the systems we know (macOS: 104 with the final NUL).
const longestSocket = 103

// environment is all that the programs see of it: no PG variable of the caller reaches them, messages
// are in English, and initdb need not search for the time zone.
var environment = []string{"LC_ALL=C", "TZ=UTC"}

func (s *Server) cluster() string { return filepath.Join(s.config.Dir, "cluster") }

// clusterVersion returns the major version that made a cluster, 0 when there is none.
func clusterVersion(cluster string) (int, error) {
	text, err := os.ReadFile(filepath.Join(cluster, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(cluster); err == nil {
			return 0, fmt.Errorf("%s is not a PostgreSQL cluster: move it away", cluster)
		}
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s/PG_VERSION: %w", cluster, err)
	}
	return major, nil
}

// initialise makes the cluster under another name first, so that an interruption leaves nothing half-made.
func (s *Server) initialise(ctx context.Context) error {
	fresh := s.cluster() + ".new"
	// The sort order of the builtin provider cannot change with an update of the system. Before version 17
	// the nearest is C.UTF-8 of the system, and C where the system does not have it.
	locales := [][]string{{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"}}
	if s.major < 17 {
		locales = [][]string{{"--locale=C.UTF-8"}, {"--locale=C"}}
	}
	var failure error
	for _, locale := range locales {
		if err := os.RemoveAll(fresh); err != nil {
			return err
		}
		if err := os.Mkdir(fresh, 0o700); err != nil {
			return err
		}
		if err := s.runner.own(fresh); err != nil {
			return err
		}
		args := append([]string{"-D", fresh, "--username=" + Name, "--encoding=UTF8",
			"--auth-local=peer", "--auth-host=reject", "--no-instructions"}, locale...)
		if s.config.Throwaway {
			args = append(args, "--no-sync")
		} else {
			args = append(args, "--data-checksums")
		}
		cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), args...)
		cmd.Dir = s.config.Dir
		cmd.Env = environment
		cmd.SysProcAttr = s.runner.attributes()
		// initdb has children: they share its group, and end with it.
		cmd.SysProcAttr.Setpgid = true
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failure = fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(out.String()))
			continue
		}
		return os.Rename(fresh, s.cluster())
	}
	return failure
}

// writeAccess writes who may log in: the role of the product, by the socket, as the user who runs this
// program. Both files are written at each start, because that user may have changed.
func (s *Server) writeAccess() error {
	if err := s.write("pg_hba.conf", fmt.Sprintf("local all %s peer map=owner\n", Name)); err != nil {
		return err
	}
	return s.write("pg_ident.conf", fmt.Sprintf("owner \"%s\" %s\n", strings.ReplaceAll(s.runner.login, `"`, `""`),
		Name))
}

func (s *Server) write(name, text string) error {
	path := filepath.Join(s.cluster(), name)
	if err := os.WriteFile(path, []byte("# Written at each start; changes are lost.\n"+text), 0o600); err != nil {
		return err
	}
	return s.runner.own(path)
}

// settings are those that do not depend on the machine. They are given at the start and not in a file, so
// that a cluster made by an older version of this program has them too.
func (s *Server) settings() []string {
	list := []string{
		"listen_addresses=",
		"port=" + strconv.Itoa(port),
		`unix_socket_directories="` + strings.ReplaceAll(s.socket, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"hba_file=" + filepath.Join(s.cluster(), "pg_hba.conf"),
		"ident_file=" + filepath.Join(s.cluster(), "pg_ident.conf"),
		"log_destination=stderr",
		"logging_collector=off",
		"log_line_prefix=%m [%p] ",
		"log_timezone=UTC",
		"timezone=UTC",
		// A statement carries its values in its text, and these hold prompts and secrets.
		"log_min_error_statement=panic",
		// Compiling a statement takes longer than the short ones of this product.
		"jit=off",
	}
	if s.config.Throwaway {
		list = append(list,
			"fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"max_connections=1000", "shared_buffers=32MB",
			// Its workers would hold a database that a test copies or drops.
			"autovacuum=off",
			"wal_level=minimal", "max_wal_senders=0", "max_wal_size=256MB",
		)
	}
	return list
}

// socketFolder returns the folder of the socket: the cluster, or, where that path is too long for a socket
// or is one that pgx takes for a list, a new folder in the temporary one.
func (s *Server) socketFolder() (string, error) {
	if fits(s.cluster()) {
		return s.cluster(), nil
	}
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		dir, err := os.MkdirTemp(parent, socketPrefix)
		if err != nil {
			return "", err
		}
		if !fits(dir) {
			if err := os.Remove(dir); err != nil {
				return "", err
			}
			continue
		}
		// Noted, so that the next start can remove it when this process ends without doing so.
		if err := os.WriteFile(socketNote(s.config.Dir), []byte(dir), 0o600); err != nil {
			return "", err
		}
		return dir, s.runner.own(dir)
	}
	return "", fmt.Errorf("no folder for the socket: the path of %s is too long", os.TempDir())
}

const socketPrefix = "carillon-pg-"

func fits(dir string) bool {
	return len(filepath.Join(dir, socketName)) <= longestSocket && !strings.Contains(dir, ",")
}

var socketName = ".s.PGSQL." + strconv.Itoa(port)

func socketNote(dir string) string { return filepath.Join(dir, "socket") }

// removeSocketFolder removes the folder that socketFolder made for a server, if it made one. It deletes
// nothing but the two files that PostgreSQL puts there.
func removeSocketFolder(dir string) {
	text, err := os.ReadFile(socketNote(dir))
	if err != nil {
		return
	}
	if folder := string(text); strings.HasPrefix(filepath.Base(folder), socketPrefix) {
		os.Remove(filepath.Join(folder, socketName))
		os.Remove(filepath.Join(folder, socketName+".lock"))
		os.Remove(folder)
	}
	os.Remove(socketNote(dir))
}

// clearLeftovers ends the server that an earlier process left behind, and removes what would keep a new one
// from starting. The caller holds the lock of dir, so a server of this folder belongs to nobody.
func clearLeftovers(ctx context.Context, dir string) error {
	cluster := filepath.Join(dir, "cluster")
	marks := []string{filepath.Join(cluster, "postmaster.pid"), filepath.Join(cluster, socketName+".lock")}
	if note, err := os.ReadFile(socketNote(dir)); err == nil {
		marks = append(marks, filepath.Join(string(note), socketName+".lock"))
	}
	for _, mark := range marks {
		pid := processOf(mark)
		if pid == 0 {
			continue
		}
		if serves(pid, cluster) {
			if err := endOrphan(ctx, pid, cluster); err != nil {
				return err
			}
		}
		// PostgreSQL ignores a dead process of this number by itself, but believes any living one: a zombie,
		// or a stranger, since a container gives the same numbers again after a restart.
		if processOf(mark) == pid && syscall.Kill(pid, 0) == nil {
			if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	removeSocketFolder(dir)
	return nil
}

// processOf reads the number in the first line of a lock file of PostgreSQL, 0 when there is none.
func processOf(mark string) int {
	text, err := os.ReadFile(mark)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// endOrphan stops a server that is not our child, ever less politely.
func endOrphan(ctx context.Context, pid int, cluster string) error {
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, stopPatience}, {syscall.SIGQUIT, quitPatience}, {syscall.SIGKILL, quitPatience}} {
		if err := syscall.Kill(pid, step.signal); err != nil {
			if errors.Is(err, syscall.ESRCH) {
				return nil
			}
			return fmt.Errorf("stop the server that was left running (process %d): %w", pid, err)
		}
		deadline := time.Now().Add(step.patience)
		for time.Now().Before(deadline) {
			if !serves(pid, cluster) {
				return nil
			}
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return fmt.Errorf("the server that was left running (process %d) does not end", pid)
}

// serves reports whether a process is a server of this cluster.
func serves(pid int, cluster string) bool {
	args := arguments(pid)
	for i, arg := range args {
		if arg == "-D" && i+1 < len(args) && args[i+1] == cluster {
			return true
		}
	}
	return false
}
