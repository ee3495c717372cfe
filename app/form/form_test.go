package form

import (
	"strings"
	"testing"
	"time"

	"carillon/app/fault"
)

func TestNamesAndLinesCanBeRead(t *testing.T) {
	t.Parallel()
	name := func(bad fault.Invalid, value string) { Name(bad, "field", "Give it a name.", value, 200) }
	line := func(bad fault.Invalid, value string) { Line(bad, "field", "Give it a title.", value, 200, true) }
	for _, tt := range []struct {
		read    func(fault.Invalid, string)
		value   string
		refused bool
	}{
		{name, "Nightly audit", false}, {name, "ניתוח לילי", false}, {name, "\u202etidua", true},
		{name, "\u200b", true}, {name, "\u3164", true}, {name, "a\u2028b", true}, {name, "", true},
		{name, strings.Repeat("é", 200), false}, {name, strings.Repeat("é", 201), true},
		{line, "אב\u200f (x)", false}, // no name: a mark of direction may stand in a sentence
		{line, "a\u0085b", true}, {line, "a\nb", true}, {line, " ", true}, {line, "a\xff", true},
	} {
		bad := fault.Invalid{}
		tt.read(bad, tt.value)
		if (bad["field"] != "") != tt.refused {
			t.Errorf("%+q: %q; want refused %v", tt.value, bad["field"], tt.refused)
		}
	}
	if bad := (fault.Invalid{}); Line(bad, "field", "", " ", 10, false) != "" || len(bad) > 0 {
		t.Errorf("a line that may be left out: %v", bad)
	}
}

func TestNumbersThatCannotBeAreRefusedAndLeaveWhatWas(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{
		"": 5, " 7 ": 7, "1": 1, "10": 10, "0": -1, "11": -1, "x": -1, "1.5": -1, "99999999999999999999": -1,
	} {
		bad := fault.Invalid{}
		got := Whole(bad, "field", value, 5, 1, 10)
		if want == -1 && (len(bad) == 0 || got != 5) || want != -1 && (len(bad) > 0 || got != want) {
			t.Errorf("%q is %d, %v; want %d", value, got, bad, want)
		}
	}
	for value, want := range map[string]int{
		"": 300, "0": 0, "0.001": 1, "1.5": 90, "60": 3600, "61": -1, "-1": -1, "NaN": -1, "inf": -1, "x": -1,
	} {
		bad := fault.Invalid{}
		got := Minutes(bad, "field", value, 5*time.Minute, time.Hour)
		if want == -1 && (len(bad) == 0 || got != 300) || want != -1 && (len(bad) > 0 || got != want) {
			t.Errorf("%q minutes are %d seconds, %v; want %d", value, got, bad, want)
		}
	}
}

func TestNumbersAndListsReadAsSentencesHaveThem(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		Count(1, "run"): "1 run", Count(0, "run"): "0 runs", Count(1200, "entry"): "1,200 entries",
		Count(2, "day"):   "2 days",
		Count(2, "match"): "2 matches", Count(2, "review pass"): "2 review passes",
		Thousands(999): "999", Thousands(1000): "1,000", Thousands(-1234567): "-1,234,567", Thousands(-100): "-100",
		Capitalize("über"): "Über", Capitalize(""): "",
		List(nil, "and"): "", List([]string{"a"}, "and"): "a", List([]string{"a", "b", "c"}, "or"): "a, b or c",
	} {
		if got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}
