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
			totals{passed: 1, skipped: 1}, []string{"ok    a  1.2s\n", "skip  a TestTwo\n    no bubblewrap\n", "\n1 passed, 0 failed, 1 skipped\n"}, []string{"chatter", "without tests"},
		},
		{
			"a test that fails is shown with what it said",
			`{"Action":"output","Package":"a","Test":"TestOne","Output":"    a_test.go:3: got 1; want 2\n"}
			{"Action":"fail","Package":"a","Test":"TestOne","Elapsed":1}
			{"Action":"fail","Package":"a","Elapsed":1}`,
			totals{failed: 1}, []string{"--- FAIL: TestOne (1.00s)\n    a\n    a_test.go:3: got 1; want 2\n", "\n0 passed, 1 failed, 0 skipped\n"}, nil,
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
		{"what is not JSON is passed on", "go: no such module\n", totals{}, []string{"go: no such module\n", "\n0 passed, 0 failed, 0 skipped\n"}, nil},
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
