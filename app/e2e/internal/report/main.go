// Command report runs go test and says what came of it in few words. It is what make test and make bench call.
//
//	report test [FLAGS OF GO TEST] PACKAGES   output of what failed, a line a package, totals at the end
//	report bench [-out FILE]                  every benchmark as a table, and as JSON in a file
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	// Ctrl-C reaches go test as well. It decides what becomes of the run; what it says is still reported. Signals that
	// were ignored, rather than heard and dropped, would be ignored by go test too.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "test":
		var code int
		if code, err = runTests(os.Args[2:]); err == nil {
			os.Exit(code)
		}
	case len(os.Args) > 1 && os.Args[1] == "bench":
		err = runBenchmarks(os.Args[2:])
	default:
		err = fmt.Errorf("expected test or bench")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// goTest is a call of go test that tells of each test by itself.
func goTest(args []string) *exec.Cmd {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd
}
