package main

import (
	"regexp"
	"slices"
	"strings"
)

// timedOut begins what a test binary writes when it reaches its -timeout. The stacks of all goroutines follow.
const timedOut = "panic: test timed out after"

// frame matches the second line of a call in a stack: file, line and an offset that nobody needs.
var frame = regexp.MustCompile(`(?m) \+0x[0-9a-f]+$`)

// hung shortens what a test binary that reached its -timeout wrote: the names of the tests under way, and of each the
// stack of the goroutine that runs it, down to where the test begins. The goroutines that a stack waits for are those
// with our code in them; those follow. Any other text stays as it is.
func hung(text string) string {
	before, panicked, found := strings.Cut(text, timedOut)
	if !found {
		return text
	}
	head, rest, _ := strings.Cut(panicked, "\n\n")
	var tests, others []string
	for _, stack := range strings.Split(rest, "\n\n") {
		calls := frame.ReplaceAllString(strings.TrimSpace(stack), "")
		switch own, _, isTest := strings.Cut(calls, "\ntesting.tRunner("); {
		case waits(calls):
		case isTest:
			tests = append(tests, own)
		case strings.Contains(calls, "\n\t_testmain.go:"), !strings.Contains(calls, "\n"+module):
		default:
			others = append(others, calls)
		}
	}
	slices.Sort(others)
	return before + timedOut + head + "\n\n" + strings.Join(slices.Concat(tests, others), "\n\n") + "\n"
}

// module begins the names of our functions in a stack.
const module = "carillon/"

// waits reports whether a goroutine is a test that waits for its turn or for its subtests, or the watch over the time.
func waits(stack string) bool {
	for _, call := range []string{"testing.(*testState).waitParallel(", "testing.(*T).Run(", "testing.tRunner.func1(",
		"testing.(*M).startAlarm"} {
		if strings.Contains(stack, "\n"+call) {
			return true
		}
	}
	return false
}
