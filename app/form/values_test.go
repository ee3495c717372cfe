package form

import (
	"net/url"
	"reflect"
	"testing"

	"carillon/app/fault"
)

type sample struct {
	Name  string            `form:"name"`
	On    bool              `form:"on"`
	Tries int               `form:"tries" default:"2" most:"10"`
	Most  int               `form:"most" zero:"empty" most:"1000"`
	Time  float64           `form:"time" default:"360" unit:"minutes" most:"43200"`
	Keys  []string          `form:"keys"`
	Given map[string]string `form:"given."`
	Other string
	Inner inner `form:"inner_"`
}

type inner struct {
	Money float64 `form:"money" zero:"none" most:"1000000"`
	Turns int64   `form:"turns" zero:"none" most:"1000000"`
}

func TestAFormIsReadByTheTagsOfItsFields(t *testing.T) {
	t.Parallel()
	got := sample{Other: "stays"}
	bad := Read(url.Values{
		"name": {"x"}, "on": {"true"}, "most": {"1,000"}, "time": {"1.5"}, "keys": {"a", "b"}, "given.one": {"1"},
		"given.two":   {""},
		"inner_money": {"$1,000.50"}, "inner_turns": {"3"}, "unknown": {"y"},
	}, &got)
	want := sample{
		Name: "x", On: true, Tries: 2, Most: 1000, Time: 1.5, Keys: []string{"a", "b"},
		Given: map[string]string{"one": "1"},
		Other: "stays", Inner: inner{Money: 1000.5, Turns: 3},
	}
	if len(bad) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("read was %+v, %v; want %+v", got, bad, want)
	}
	again := sample{Other: "stays"}
	if bad := Read(Write(&got), &again); len(bad) > 0 || !reflect.DeepEqual(again, want) {
		t.Errorf("what was written is read as %+v, %v; want %+v", again, bad, want)
	}
}

func TestWhatIsNoNumberOrBeyondItsBoundsIsSaidByItsField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, text, want string }{
		{"tries", "11", "Write a whole number from 0 to 10."}, {"tries", "-1", "Write a whole number from 0 to 10."},
		{"tries", "x", "Write a whole number from 0 to 10."}, {"tries", "1.5", "Write a whole number from 0 to 10."},
		{"most", "1001", "Write a whole number from 1 to 1000, or nothing for no limit."}, {"most", "0", ""},
		{"time", "NaN", "Write a number of minutes, at most 43200, or 0 for none."},
		{"time", "inf", "Write a number of minutes, at most 43200, or 0 for none."},
		{"time", "0", ""}, {"time", "43200.5", "Write a number of minutes, at most 43200, or 0 for none."},
		{"inner_money", "0", "Write a number above 0, at most 1000000, or nothing for no limit."},
		{"inner_money", "-1", "Write a number above 0, at most 1000000, or nothing for no limit."},
		{"inner_turns", "1.5", "Write a whole number."},
		{"inner_turns", "99999999999999999999", "Write a number above 0, at most 1000000, or nothing for no limit."},
	} {
		var got sample
		bad := Read(url.Values{c.field: {c.text}}, &got)
		if bad[c.field] != c.want || (c.want != "") != (len(bad) == 1) {
			t.Errorf("%s with %q: %v; want %q", c.field, c.text, bad, c.want)
		}
	}
	bad := fault.Invalid{"time": "Said already."}
	Check(&sample{Tries: 11, Time: -1, Inner: inner{Money: -1}}, bad)
	if len(bad) != 3 || bad["time"] != "Said already." || bad["tries"] == "" || bad["inner_money"] == "" {
		t.Errorf("what is beyond its bounds is said as %v", bad)
	}
}

func TestNoNumberIsWrittenAsAnEmptyText(t *testing.T) {
	t.Parallel()
	want := url.Values{"name": {""}, "tries": {"0"}, "time": {"0"}, "keys": nil}
	if got := Write(&sample{}); !reflect.DeepEqual(got, want) {
		t.Errorf("written was %v; want %v", got, want)
	}
	kinds := Kinds(&sample{})
	if kinds["on"] != reflect.Bool || kinds["inner_money"] != reflect.Float64 || kinds["given."] != reflect.Invalid ||
		kinds["Other"] != reflect.Invalid {
		t.Errorf("kinds are %v", kinds)
	}
}
