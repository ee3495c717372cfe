package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"carillon/db/dbtest"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

// runTests runs go test, prints as tests end, and returns its exit status. All test binaries share one PostgreSQL
// server.
func runTests(args []string) (int, error) {
	began := time.Now()
	server, stop, err := dbtest.Serve(context.Background())
	if err != nil {
		return 0, err
	}
	cmd := goTest(args)
	cmd.Env = append(append(os.Environ(), server), inMemory()...)
	totals, err := reported(cmd)
	if err := errors.Join(err, stop()); err != nil {
		return 0, err
	}
	var used syscall.Rusage // of all processes that were started and waited for
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used); err != nil {
		return 0, err
	}
	fmt.Printf("\nIt took %s, and of CPU %s in programs and %s in the system.\n", time.Since(began).Round(time.Second),
		time.Duration(used.Utime.Nano()).Round(time.Second), time.Duration(used.Stime.Nano()).Round(time.Second))
	fmt.Printf("\n%s\n", totals)
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return max(1, code), nil // a signal is -1
	}
	return min(1, totals.failed), nil
}

const (
	memory = "/dev/shm"
	// room is several times what the temporary files of all tests take, in bytes.
	room = 8 << 30
	// noPrograms is the flag of a file system on which no program can be started.
	noPrograms = 8
)

// inMemory are the variables that keep the temporary files of tests, though not those of go build, in memory where
// there is room. Databases and repositories are many small files, which take a disk three times the CPU in the system.
// TMPDIR in the environment decides otherwise.
func inMemory() []string {
	var there syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &there) != nil || uint64(there.Flags)&noPrograms != 0 ||
		there.Bavail*uint64(there.Bsize) < room {
		return nil
	}
	return []string{"TMPDIR=" + memory, "GOTMPDIR=" + os.TempDir()}
}

// reported runs go test. A status other than 0 is no error.
func reported(cmd *exec.Cmd) (totals, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return totals{}, err
	}
	if err := cmd.Start(); err != nil {
		return totals{}, err
	}
	t, readErr := summarize(out, os.Stdout)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return t, err
	}
	return t, readErr
}

// totals count tests, subtests among them. A package that fails without a test that does, because it does not compile,
// panics or leaves something running, counts as one more failure.
type totals struct{ passed, failed, skipped int }

func (t totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// summarize reads what go test -json says and writes the output of what failed and one line a package.
func summarize(in io.Reader, w io.Writer) (totals, error) {
	var t totals
	type name struct{ pkg, test string }
	outputs := map[name][]string{}
	failures := map[string]int{} // of tests, by package
	builds := map[string][]string{}
	var skipped strings.Builder // a test that is left out is never left out in silence
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			fmt.Fprintln(w, scanner.Text()) // go test itself has something to say
			continue
		}
		of := name{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			builds[e.ImportPath] = append(builds[e.ImportPath], e.Output)
		case "output":
			if !framing(e.Output) {
				outputs[of] = append(outputs[of], e.Output)
			}
		case "pass", "skip", "fail":
			said := strings.Join(outputs[of], "")
			delete(outputs, of)
			if e.Test != "" {
				t.count(e.Action)
				if e.Action == "skip" {
					fmt.Fprintf(&skipped, "skip  %s %s\n%s", e.Package, e.Test, said)
				}
				if e.Action == "fail" {
					failures[e.Package]++
					fmt.Fprintf(w, "\n--- FAIL: %s (%.2fs)\n    %s\n%s", e.Test, e.Elapsed, e.Package, said)
				}
				break
			}
			// A panic or a time limit ends the process with tests under way: what they said tells which.
			var under []name
			for of := range outputs {
				if of.pkg == e.Package {
					under = append(under, of)
				}
			}
			slices.SortFunc(under, func(a, b name) int { return strings.Compare(a.test, b.test) })
			if e.Action == "fail" && (failures[e.Package] == 0 || len(under) > 0) {
				t.failed++
				fmt.Fprintf(w, "\n--- FAIL: %s\n%s%s", e.Package, strings.Join(builds[e.FailedBuild], ""), hung(said))
				delete(builds, e.FailedBuild) // once, however many packages it keeps from compiling
				for _, of := range under {
					fmt.Fprintf(w, "    %s had not ended:\n%s", of.test, hung(strings.Join(outputs[of], "")))
				}
			}
			if e.Action != "skip" { // a package without tests
				fmt.Fprintf(w, "%-4s  %s  %.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action],
					e.Package, e.Elapsed)
			}
		}
	}
	fmt.Fprint(w, "\n", skipped.String())
	return t, scanner.Err()
}

func (t *totals) count(action string) {
	switch action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
	case "fail":
		t.failed++
	}
}

// framing reports whether a line is one with which go test marks where tests begin and end.
func framing(line string) bool {
	line = strings.TrimSpace(line)
	for _, p := range []string{"=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "--- PASS", "--- FAIL", "--- SKIP"} {
		if strings.HasPrefix(line, p) {
			return true
		}
	}
	return line == "PASS" || line == "FAIL"
}
