package mcp

import (
	"strings"
	"testing"

	"carillon/app/automation"
	"carillon/app/spec"
)

// FuzzToolArguments reads what agents give to tools.
func FuzzToolArguments(f *testing.F) {
	f.Add([]byte(
		`{"automation":"x","cron":null,"filter":{"any":true,"conditions":[{"field":"a","operator":"equals"}]},"budget":{"day":{"money":1e400}}}`))
	f.Add([]byte(`{"toggles":["a",1],"parameters":{"a":"\u0000"}}`))
	f.Add([]byte("\xff"))
	f.Add([]byte(`{"automation":"x"}{"automation":"y"}`))
	f.Fuzz(func(t *testing.T, arguments []byte) {
		var in spec.PatchOf[editAutomationArgs]
		if err := decode(arguments, []string{"automation"}, &in); err != nil {
			if err.Error() == "" {
				t.Error("it is refused without a reason")
			}
			return
		}
		given := automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Workspace:      "one",
			Retries:        2,
		}}
		change, err := in.Over(editAutomationArgs{AutomationFields: fieldsOf(&given)})
		if err != nil {
			t.Fatal(err) // reading them found nothing wrong
		}
		if strings.ContainsRune(change.Name, 0) {
			t.Errorf("the name is %q", change.Name)
		}
		if err := change.into(t.Context(), &caller{server: &Server{}}, &given, in.Patch); !in.Patch.Has("workspace") &&
			err != nil {
			t.Error(err)
		}
	})
}
