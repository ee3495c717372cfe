package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a file of results holds.
type report struct {
	Time       time.Time   `json:"time"`
	Go         string      `json:"go"`
	System     string      `json:"system"`
	CPUs       int         `json:"cpus"`
	Benchmarks []benchmark `json:"benchmarks"`
}

// benchmark is one result. Values are by their units, as go test prints them: "ns/op", "B/op", "allocs/op" and
// what a benchmark reports itself.
type benchmark struct {
	Package string             `json:"package"`
	Name    string             `json:"name"`
	Runs    int64              `json:"runs"`
	Values  map[string]float64 `json:"values"`
}

// runBenchmarks runs every benchmark of the module, one package at a time so that none disturbs another.
func runBenchmarks(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	out := flags.String("out", "", "file to write the results to, as JSON")
	_ = flags.Parse(args) // ends the process on a mistake
	packages, err := withBenchmarks()
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("there are no benchmarks")
	}
	cmd := goTest(append([]string{"-run=^$", "-bench=.", "-benchmem", "-p=1"}, packages...))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	list, rest, readErr := results(stdout, os.Stderr)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, rest)
	}
	if readErr != nil {
		return readErr
	}
	if err := table(os.Stdout, list); err != nil || *out == "" {
		return err
	}
	text, err := json.MarshalIndent(report{time.Now().UTC(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH,
		runtime.NumCPU(), list}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(text, '\n'), 0o644)
}

var declared = regexp.MustCompile(`(?m)^func Benchmark`)

// withBenchmarks lists the packages that have benchmarks: the others need not be compiled.
func withBenchmarks() ([]string, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "./...")
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var list []string
	for decoder := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := decoder.Decode(&p); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			source, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				return nil, err
			}
			if declared.Match(source) {
				list = append(list, p.ImportPath)
				break
			}
		}
	}
}

var result = regexp.MustCompile(`^(Benchmark\S+)\s+(\d+)\s+(\d.*)$`)

// results reads what go test -json says of benchmarks, with a line of progress each. rest is what else was said, for
// when it fails.
func results(in io.Reader, progress io.Writer) (list []benchmark, rest string, err error) {
	var others strings.Builder
	lines := map[string]string{} // begun, by package and benchmark: name and numbers are printed apart
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil || (e.Action != "output" && e.Action != "build-output") {
			continue
		}
		key := e.Package + " " + e.Test
		line := lines[key] + e.Output
		if !strings.HasSuffix(line, "\n") {
			lines[key] = line
			continue
		}
		delete(lines, key)
		m := result.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			others.WriteString(line)
			continue
		}
		b := benchmark{Package: e.Package, Name: m[1], Values: map[string]float64{}}
		if b.Runs, err = strconv.ParseInt(m[2], 10, 64); err != nil {
			return nil, "", err
		}
		fields := strings.Fields(m[3])
		for i := 0; i+1 < len(fields); i += 2 {
			if b.Values[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, "", err
			}
		}
		list = append(list, b)
		fmt.Fprintln(progress, b.Package, b.Name)
	}
	return list, others.String(), scanner.Err()
}

// table prints results for people.
func table(w io.Writer, list []benchmark) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nPACKAGE\tBENCHMARK\tTIME\tBYTES\tALLOCATIONS\tOTHER")
	for _, b := range list {
		var other []string
		for unit, value := range b.Values {
			if unit != "ns/op" && unit != "B/op" && unit != "allocs/op" {
				other = append(other, strconv.FormatFloat(value, 'g', 4, 64)+" "+unit)
			}
		}
		slices.Sort(other)
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.0f\t%s\n", b.Package, b.Name, time.Duration(b.Values["ns/op"]),
			b.Values["B/op"], b.Values["allocs/op"], strings.Join(other, ", "))
	}
	return t.Flush()
}
