package spec

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// stored is an automation that has something everywhere where a patch could leave a part of it.
func stored() Automation {
	return Automation{
		Name: "Nightly", MaxIterations: 7, CreatePR: true, Toggles: []string{"a", "b", "c"},
		Parameters: map[string]string{"one": "1", "two": "2"},
		Gate:       Gate{Command: "exit 0", BranchMoved: true, NoOpenPR: true},
		Budget:     Budget{Run: Limits{Money: 1, Turns: 3}, Day: Limits{Tokens: 5}},
		Filter: Filter{Any: true, Conditions: []Condition{
			{Field: "a", Operator: "equals", Value: "1"}, {Field: "b", Operator: "equals", Value: "2"},
		}},
		SignatureSecret: "",
	}
}

// changed is stored with a change.
func changed(change func(*Automation)) Automation {
	a := stored()
	change(&a)
	return a
}

func TestAPatchChangesWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patch string
		want  Automation
		names []string
	}{
		{`{}`, stored(), nil},
		{`{"name": "Other", "max_iterations": 0, "create_pr": false}`, changed(func(a *Automation) {
			a.Name, a.MaxIterations, a.CreatePR = "Other", 0, false
		}), []string{"create_pr", "max_iterations", "name"}},
		{`{"name": null, "max_iterations": null, "toggles": null}`, stored(), nil},
		{`{"parameters": null, "gate": null, "filter": null}`, stored(), nil},
		{`{"gate": {"branch_moved": true}}`, changed(func(a *Automation) {
			a.Gate = Gate{BranchMoved: true}
		}), []string{"gate"}},
		{`{"gate": {"command": null}}`, changed(func(a *Automation) { a.Gate = Gate{} }), []string{"gate"}},
		{`{"budget": {"day": {"turns": 2}}}`, changed(func(a *Automation) {
			a.Budget = Budget{Day: Limits{Turns: 2}}
		}), []string{"budget"}},
		{`{"filter": {"conditions": [{"field": "c", "operator": "absent"}]}}`, changed(func(a *Automation) {
			a.Filter = Filter{Conditions: []Condition{{Field: "c", Operator: "absent"}}}
		}), []string{"filter"}},
		{`{"toggles": ["x"]}`, changed(func(a *Automation) { a.Toggles = []string{"x"} }), []string{"toggles"}},
		{`{"toggles": [null, "x"]}`, changed(func(a *Automation) {
			a.Toggles = []string{"", "x"}
		}), []string{"toggles"}},
		{`{"toggles": []}`, changed(func(a *Automation) { a.Toggles = []string{} }), []string{"toggles"}},
		{`{"parameters": {"two": "", "three": "3"}}`, changed(func(a *Automation) {
			a.Parameters = map[string]string{"one": "1", "two": "", "three": "3"}
		}), []string{"parameters", "parameters.three", "parameters.two"}},
		{`{"NAME": "Other"}`, changed(func(a *Automation) { a.Name = "Other" }), []string{"name"}},
	} {
		got := stored()
		before := got
		p, err := ReadPatch([]byte(c.patch), reflect.TypeFor[Automation]())
		if err == nil {
			err = p.Apply(&got)
		}
		if err != nil || !reflect.DeepEqual(got, c.want) || !slices.Equal(p.Names(), c.names) {
			t.Errorf("%s gives %+v, %q, %v; want %+v, %q", c.patch, got, p.Names(), err, c.want, c.names)
		}
		if !reflect.DeepEqual(before, stored()) {
			t.Errorf("%s changed what it was applied to: %+v", c.patch, before)
		}
	}
}

func TestAPatchThatCannotBeReadNamesTheField(t *testing.T) {
	t.Parallel()
	for patch, want := range map[string]string{
		`{"gate": {"command": 4}}`: "gate.command", `{"retries": "two"}`: "retries", `{"retries": 1.5}`: "retries",
		`{"filter": {"conditions": [{"value": {}}]}}`: "filter.conditions.value", `{"budget": []}`: "budget",
	} {
		_, err := ReadPatch([]byte(patch), reflect.TypeFor[Automation]())
		var kind *json.UnmarshalTypeError
		if !errors.As(err, &kind) || kind.Field != want {
			t.Errorf("%s gives %v; want a mistake in %s", patch, err, want)
		}
	}
	for patch, want := range map[string]string{
		`{"nane": "x"}`: `unknown field "nane"`, `{"gate": {"comand": "x"}}`: `unknown field "comand"`,
		`{"workspace": "x"}`: `unknown field "workspace"`, `{"id": "x"}`: `unknown field "id"`,
	} {
		if _, err := ReadPatch([]byte(patch), reflect.TypeFor[Automation]()); err == nil || err.Error() != want {
			t.Errorf("%s gives %v; want %s", patch, err, want)
		}
	}
}

// Programs and agents read what each field means.
func TestEveryFieldThatJSONHasIsDescribed(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, of := range []any{
		Automation{}, Filter{}, Condition{}, Gate{}, Success{}, Budget{}, Limits{}, Parameter{}, Bot{},
	} {
		EachField(reflect.TypeOf(of), func(of reflect.Type, f reflect.StructField) {
			known[of.Name()+"."+JSONName(f)] = true
			if Describe(of, f).Text == "" {
				t.Errorf("%s.%s is not described", of.Name(), f.Name)
			}
		})
	}
	for name := range descriptions {
		if !known[name] {
			t.Errorf("%s is described, and there is no such field", name)
		}
	}
}
