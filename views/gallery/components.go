package gallery

import (
	"time"

	"carillon/views"

	"github.com/a-h/templ"
)

func componentSpecimens() []Specimen {
	statuses := []string{"", "queued", "running", "succeeded", "failed", "canceled", "timed_out", "skipped", "missed",
		"in_progress", "waiting", "done"}
	var status, badges, strikes []templ.Component
	for _, s := range statuses {
		status = append(status, views.Status(s))
	}
	for _, t := range views.TriggerChoices() {
		badges = append(badges, views.TriggerBadge(t.Value))
	}
	for i := range 4 {
		strikes = append(strikes, views.Strikes(i, false))
	}
	return []Specimen{
		{Name: "buttons", Body: inline(
			views.Button(views.Action{Label: "Save", Kind: "primary"}),
			views.Button(views.Action{Label: "Edit", Icon: "pencil", Kind: "plain"}),
			views.Button(views.Action{Label: "Cancel", Kind: "ghost"}),
			views.Button(views.Action{Label: "Run now", Icon: "play", Kind: "small quiet", Of: "Nightly audit"}),
			views.Button(views.Action{Label: "Stop", Icon: "square", Kind: "small danger"}),
			views.Button(views.Action{Label: "Run now", Icon: "play", Kind: "primary", Off: "Session 1486 is running"}),
			views.LinkButton(views.Action{
				Label: "New automation", Icon: "plus", Kind: "primary", URL: "/automations/new",
			}),
			views.LinkButton(views.Action{Label: "Edit", Kind: "plain", Off: "Only its creator may"}),
			views.Post(views.Action{Label: "Mark all read", Icon: "check-check", Kind: "ghost", URL: "/inbox/reading"}),
		)},
		{Name: "status", Body: inline(status...)},
		{Name: "trigger-badges", Body: inline(badges...)},
		{Name: "sources", Body: inline(views.Source("schedule", ""),
			views.Source("schedule", "catch-up after downtime"),
			views.Source("manual", "Mira Okafor"), views.Source("webhook", "token 9f3ac2e1"), views.Source("", ""))},
		{Name: "strikes", Body: inline(append(strikes, views.Strikes(0, true))...)},
		{Name: "switches", Body: inline(
			views.Switch(views.SwitchData{URL: "/x", Name: "enabled", Label: "Enabled", Of: "on", On: true}),
			views.Switch(views.SwitchData{URL: "/x", Name: "enabled", Label: "Enabled", Of: "off"}),
			views.Switch(views.SwitchData{
				URL: "/x", Name: "enabled", Label: "Enabled", Of: "not mine", On: true, Off: "Only its creator may",
			}),
		)},
		{Name: "times", Body: inline(views.Time(ago(10*time.Second), now), views.Time(ago(12*time.Minute), now),
			views.Time(ago(9*time.Hour), now), views.Time(ago(4*24*time.Hour), now),
			views.Time(ago(40*24*time.Hour), now), views.Time(now.Add(7*time.Hour), now), views.Time(time.Time{}, now),
			views.At(now.Add(20*time.Hour), now), views.At(now.Add(100*time.Hour), now))},
		{Name: "clocks", Body: inline(views.Clock(ago(252*time.Second), time.Time{}, now),
			views.Clock(ago(time.Hour), ago(50*time.Minute), now), views.Clock(time.Time{}, time.Time{}, now))},
		{Name: "notices", Body: stacked(withText(views.Notice("fail"), "payments-api has no branch “mian”."),
			withText(views.Notice("warn"), "Copy the token now."), withText(views.Notice("ok"), "Saved."),
			withText(views.Notice("info"), "Nobody has run this yet."))},
		{
			Name: "toasts",
			Body: stacked(views.ToastItem(views.Toast{
				Kind: "ok", Text: "Started.", Link: views.Link{Text: "Open session", URL: "/sessions/1"},
			}),
				views.ErrorFragment("Session 1486 is still running.",
					views.Link{Text: "Open it", URL: "/sessions/1486"})),
		},
		{Name: "toast-part", Body: views.ToastPart(views.Toast{Kind: "ok", Text: "Saved."})},
	}
}
