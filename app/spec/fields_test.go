package spec

import "testing"

// Each field that the rules can find fault with is found by the name that they give it.
func TestFieldsAreFoundByTheNamesOfTheForm(t *testing.T) {
	t.Parallel()
	for form, want := range map[string]string{
		"run_at": "run_at", "create_pr": "create_pr", "timeout": "timeout_minutes", "sender": "sender",
		"signature_secret": "signature_secret",
		"gate_command":     "gate.command", "success_pull_request": "success.pull_request",
		"budget_day_money":     "budget.day.money",
		"budget_month_minutes": "budget.month.minutes", "param.token": "parameters.token", "filter": "filter",
		"toggles": "toggles", "nonsense": "",
	} {
		if got := FieldOf(&Automation{}, form); got != want {
			t.Errorf("%s is %q; want %q", form, got, want)
		}
	}
}
