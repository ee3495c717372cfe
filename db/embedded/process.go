package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// stopPatience is how long a server may take to stop in order, quitPatience at once.
	stopPatience = 20 * time.Second
	quitPatience = 5 * time.Second
	// throwawayPatience is how long one of tests may take, also on a slow and busy machine.
	throwawayPatience = 10 * time.Minute
	// A server that dies before it answers, or within quickDeath of its start, died quickly; quickDeaths in a row are
	// the end.
	quickDeath  = 10 * time.Second
	quickDeaths = 5
	firstPause  = 100 * time.Millisecond
	// memoryPatience is how long the last processes of a killed server may keep its shared memory.
	memoryPatience = 30 * time.Second
	// largestLog is the size in bytes above which the log of the server is put aside at a start.
	largestLog = 10 << 20
)

// errStopped says that the server ended because Stop asked for it.
var errStopped = errors.New("stopped")

// supervise keeps the server running until Stop. first is told once: nil when the server is ready, else why not.
func (s *Server) supervise(first chan<- error) {
	// Linux sends a child its parent-death signal when the *thread* that started it ends. Locked and never
	// unlocked, the thread lives as long as this loop.
	runtime.LockOSThread()
	defer close(s.done)

	ready := func() { first <- nil }
	pause, deaths := firstPause, 0
	var memorySince time.Time
	for {
		began, answered := time.Now(), false
		err := s.run(func() {
			answered = true
			memorySince = time.Time{}
			if ready != nil {
				ready()
				ready = nil
			} else {
				s.log.Info("database is back", "pid", s.PID(), "took", time.Since(began).Round(time.Millisecond))
			}
		})
		if errors.Is(err, errStopped) {
			if ready != nil {
				first <- err
			}
			return
		}
		// The last processes of a killed server notice its death only after a moment.
		memory := strings.Contains(err.Error(), "shared memory block")
		if memory && memorySince.IsZero() {
			memorySince = began
		}
		switch {
		case memory && time.Since(memorySince) < memoryPatience:
			// Not counted: it is not this server that fails.
		case ready != nil:
			first <- err
			return
		case !answered, time.Since(began) < quickDeath:
			deaths++
		default:
			pause, deaths = firstPause, 1
		}
		if deaths >= quickDeaths {
			s.log.Error("database is gone", "deaths", deaths, "err", err)
			s.gone <- fmt.Errorf("PostgreSQL died %d times in a row: %w", deaths, err)
			return
		}
		if ready == nil {
			s.log.Warn("database died and is started again", "pause", pause, "err", err)
		}
		select {
		case <-time.After(pause):
		case <-s.stop:
			if ready != nil {
				first <- errStopped
			}
			return
		}
		if !memory {
			pause *= 2
		}
	}
}

// run starts the server once, calls ready when it answers, and returns when it has ended: errStopped after
// Stop, else with the end of what it wrote to its log.
func (s *Server) run(ready func()) error {
	offset, err := s.logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	args := []string{"-D", s.cluster()}
	for _, setting := range s.settings() {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir = s.config.Dir
	cmd.Env = environment
	// A file and not a pipe: a pipe without a reader would end the server before it has stopped in order.
	cmd.Stdout, cmd.Stderr = s.logFile, s.logFile
	cmd.SysProcAttr = s.runner.attributes()
	// A group of its own: otherwise Ctrl-C ends the database before the application has finished with it.
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.pid.Store(int64(cmd.Process.Pid))
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		s.pid.Store(0)
		ended <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if isReady(s.cluster(), cmd.Process.Pid) {
				tick.Stop()
				ready()
			}
		case err := <-ended:
			return fmt.Errorf("postgres ended (%w): %s", orClean(err), logTail(s.logFile.Name(), offset))
		case <-s.stop:
			s.stopErr = s.end(cmd.Process, ended)
			return errStopped
		}
	}
}

// end stops the server, ever less politely, and waits until it has ended.
func (s *Server) end(process *os.Process, ended <-chan error) error {
	type step struct {
		signal   syscall.Signal
		patience time.Duration
	}
	steps := []step{{syscall.SIGINT, stopPatience}, {syscall.SIGQUIT, quitPatience}}
	if s.config.Throwaway {
		steps = []step{{syscall.SIGQUIT, throwawayPatience}}
	}
	for _, step := range steps {
		// An error says that the process has ended, and ended says the same.
		_ = process.Signal(step.signal)
		select {
		case <-ended:
			return nil
		case <-time.After(step.patience):
			s.log.Warn("database does not stop", "signal", step.signal, "patience", step.patience)
		}
	}
	_ = process.Kill()
	<-ended
	return errors.New("stop PostgreSQL: it did not stop and was killed; it recovers at the next start")
}

// isReady reports whether the server says in its pid file that it answers.
func isReady(cluster string, pid int) bool {
	path := filepath.Join(cluster, "postmaster.pid")
	if processOf(path) != pid {
		return false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready"
}

// openLog opens the log of the server for appending; a large one is first put aside.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > largestLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
}

// logTail returns what the server wrote since offset, at most the last 2,000 bytes.
func logTail(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size()-offset > 2000 {
		offset = info.Size() - 2000
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// orClean gives an end without an error a name.
func orClean(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
