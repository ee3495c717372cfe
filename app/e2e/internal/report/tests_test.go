package main

import (
	"strings"
	"testing"
)

func TestTotalsCountWhatEnded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     totals
		shown    []string
		hidden   []string
	}{
		{
			"tests that pass are silent, those left out say why",
			`{"Action":"output","Package":"a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
			{"Action":"output","Package":"a","Test":"TestOne","Output":"chatter\n"}
			{"Action":"pass","Package":"a","Test":"TestOne","Elapsed":1}
			{"Action":"output","Package":"a","Test":"TestTwo","Output":"    no bubblewrap\n"}
			{"Action":"skip","Package":"a","Test":"TestTwo"}
			{"Action":"pass","Package":"a","Elapsed":1.2}
			{"Action":"skip","Package":"without tests"}`,
			totals{passed: 1, skipped: 1}, []string{"ok    a  1.2s\n", "skip  a TestTwo\n    no bubblewrap\n"},
			[]string{"chatter", "without tests"},
		},
		{
			"a test that fails is shown with what it said",
			`{"Action":"output","Package":"a","Test":"TestOne","Output":"    a_test.go:3: got 1; want 2\n"}
			{"Action":"fail","Package":"a","Test":"TestOne","Elapsed":1}
			{"Action":"fail","Package":"a","Elapsed":1}`,
			totals{failed: 1}, []string{"--- FAIL: TestOne (1.00s)\n    a\n    a_test.go:3: got 1; want 2\n"}, nil,
		},
		{
			"a package that does not compile is one failure, with the compiler's words once",
			`{"Action":"build-output","ImportPath":"b [b.test]","Output":"b.go:1: undefined: x\n"}
			{"Action":"build-fail","ImportPath":"b [b.test]"}
			{"Action":"fail","Package":"b","FailedBuild":"b [b.test]"}`,
			totals{failed: 1}, []string{"--- FAIL: b\nb.go:1: undefined: x\n"}, nil,
		},
		{
			"a panic is one failure and tells which test had not ended",
			`{"Action":"output","Package":"c","Test":"TestOne","Output":"    before the end\n"}
			{"Action":"output","Package":"c","Output":"panic: oh\n"}
			{"Action":"fail","Package":"c"}`,
			totals{failed: 1}, []string{"panic: oh", "TestOne had not ended:\n    before the end"}, nil,
		},
		{
			"a time limit after a test that failed names what hangs, with its stack alone",
			`{"Action":"output","Package":"d","Test":"TestOne","Output":"    no\n"}
			{"Action":"fail","Package":"d","Test":"TestOne"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"    before\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"panic: test timed out after 1h0m0s\n\trunning tests:\n\t\tTestThree (3s)\n\t\tTestTwo (4s)\n\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"goroutine 26 [running]:\ntesting.(*M).startAlarm.func1()\n\t/go/testing.go:2802 +0x605\n\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"goroutine 20 [chan receive]:\ntesting.(*testState).waitParallel(0xc0)\n\t/go/testing.go:2 +0x1\ncarillon/d.TestThree(0xc0)\n\t/d_test.go:9 +0x91\ntesting.tRunner(0xc0, 0x65)\n\t/go/testing.go:3 +0x1\n\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"goroutine 21 [sync.Mutex.Lock]:\nsync.(*Mutex).Lock(0xc0)\n\t/go/mutex.go:46 +0x15\ncarillon/d.TestTwo(0xc0)\n\t/d_test.go:6 +0x91\ntesting.tRunner(0xc0, 0x65)\n\t/go/testing.go:3 +0x1\n\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"goroutine 22 [select]:\nnet/http.(*conn).serve(0xc0)\n\t/go/server.go:1 +0x1\n\n"}
			{"Action":"output","Package":"d","Test":"TestTwo","Output":"goroutine 23 [select]:\ncarillon/d.(*Loop).Run(0xc0)\n\t/loop.go:1 +0x1\n\n"}
			{"Action":"fail","Package":"d"}`,
			totals{failed: 2},
			[]string{"TestTwo had not ended:\n    before\n", "\t\tTestTwo (4s)\n",
				"carillon/d.TestTwo(0xc0)\n\t/d_test.go:6\n", "(*Loop).Run"},
			[]string{"net/http", "startAlarm", "d_test.go:9", "tRunner"},
		},
		{"what is not JSON is passed on", "go: no such module\n", totals{}, []string{"go: no such module\n"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w strings.Builder
			got, err := summarize(strings.NewReader(tt.in), &w)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
			for _, s := range tt.shown {
				if !strings.Contains(w.String(), s) {
					t.Errorf("got\n%s\nwant %q in it", w.String(), s)
				}
			}
			for _, s := range tt.hidden {
				if strings.Contains(w.String(), s) {
					t.Errorf("got\n%s\nwant %q not in it", w.String(), s)
				}
			}
		})
	}
}

func TestTotalsEndTheOutput(t *testing.T) {
	t.Parallel()
	if got, want := (totals{1, 2, 3}).String(), "1 passed, 2 failed, 3 skipped"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
