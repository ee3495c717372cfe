package payload

import (
	"slices"
	"strings"
	"testing"

	"carillon/db"
)

// allocated is how many pieces of memory something takes.
func allocated(do func()) float64 { return testing.AllocsPerRun(1, do) }

func TestAFilterWithPathsOfManyPartsReadsNothing(t *testing.T) {
	const deep = 1000
	body := strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep)
	long := strings.Repeat("a.", deep) + "a"
	f := db.Filter{Conditions: slices.Repeat([]db.Condition{{Field: long, Operator: OpAbsent}}, MaxConditions)}
	if n := allocated(func() { Matches(f, map[string]string{"a": body}, body) }); n > 100 {
		t.Errorf("a filter with paths of %d parts took %v pieces of memory", deep, n)
	}
}

func TestNumbersOfAFilterAreComparedAsNumbers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body, value string
		want        bool
	}{
		{`{"n":1e3}`, "1000", true}, {`{"n":1000.0}`, "1e3", true}, {`{"n":-0}`, "0", true},
		{`{"n":0.10}`, "0.1", true},
		{`{"n":9007199254740993}`, "9007199254740992", false}, {`{"n":9007199254740993}`, "9007199254740993.0", true},
		{`{"n":1e999999}`, "1e999998", false}, {`{"n":1e99999999999}`, "1e99999999998", false},
		{`{"n":"1.10"}`, "1.1", false}, {`{"n":"1.1"}`, "1.1", true}, {`{"n":1}`, "one", false},
		{`{"n":true}`, "true", true},
	} {
		values, whole, problem := Read(Call{ContentType: "application/json", Body: []byte(tt.body)})
		if problem != "" {
			t.Fatal(problem)
		}
		for operator, want := range map[string]bool{OpEquals: tt.want, OpNotEquals: !tt.want} {
			f := db.Filter{Conditions: []db.Condition{{Field: "n", Operator: operator, Value: tt.value}}}
			if got, _ := Matches(f, values, whole); got != want {
				t.Errorf("%s %s %s is %v; want %v", tt.body, operator, tt.value, got, want)
			}
		}
	}
}
