package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

// runTests runs go test, prints as tests end, and returns its exit status.
func runTests(args []string) (int, error) {
	cmd := goTest(args)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	totals, readErr := summarize(out, os.Stdout)
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(1, exit.ExitCode()), nil // a signal is -1
	case err != nil:
		return 0, err
	case readErr != nil:
		return 0, readErr
	case totals.failed > 0:
		return 1, nil
	}
	return 0, nil
}

// totals count tests, subtests among them. A package that fails without a test that does, because it does not compile,
// panics or leaves something running, counts as one more failure.
type totals struct{ passed, failed, skipped int }

// summarize reads what go test -json says and writes the output of what failed, one line a package, and the totals.
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
			if e.Action == "fail" && failures[e.Package] == 0 {
				t.failed++
				fmt.Fprintf(w, "\n--- FAIL: %s\n%s%s", e.Package, strings.Join(builds[e.FailedBuild], ""), said)
				delete(builds, e.FailedBuild) // once, however many packages it keeps from compiling
				// A panic or a time limit ends the process with tests under way: what they said tells which.
				for of, lines := range outputs {
					if of.pkg == e.Package {
						fmt.Fprintf(w, "    %s had not ended:\n%s", of.test, strings.Join(lines, ""))
					}
				}
			}
			if e.Action != "skip" { // a package without tests
				fmt.Fprintf(w, "%-4s  %s  %.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
			}
		}
	}
	fmt.Fprint(w, "\n", skipped.String())
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
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
