package gallery

import (
	"time"

	"carillon/views"
)

func tokenSpecimens() []Specimen {
	p := views.NewTokensPage()
	p.Now = now
	p.Days.Value, p.Days.Options = "90", []views.Choice{{Value: "7", Label: "7 days"}, {Value: "30", Label: "30 days"},
		{Value: "90", Label: "90 days"}, {Value: "365", Label: "One year"}}
	p.Boxes = []views.PermissionBox{
		{Permission: "automations.view_own", Capability: "See your own automations"},
		{
			Permission: "automations.manage", Capability: "Create, edit and delete your own automations",
			Implies: []string{"automations.view_own"},
		},
		{Permission: "tickets.manage", Capability: "Create and edit tickets"},
	}
	full := p
	full.Rows = []views.TokenItem{
		{
			ID: "t1", Name: "Nightly report", May: "automations.view_own, tickets.manage",
			Created: ago(300 * time.Hour), Expires: now.Add(1900 * time.Hour), Used: ago(4 * time.Minute),
			UsedFrom: "203.0.113.9",
		},
		{
			ID: "t2", Name: "CI", May: "Everything that you may do", Created: ago(100 * time.Hour),
			Expires: now.Add(70 * time.Hour),
		},
		{
			ID: "t3", Name: "Old laptop", May: "Everything that you may do", Created: ago(2300 * time.Hour),
			Expires: ago(140 * time.Hour), Used: ago(700 * time.Hour), UsedFrom: "2001:db8::17", Expired: true,
		},
	}
	made := full
	made.Made = "carillon_api_3mQ9vZr0yJH2bSxWcK7dPnLtEfAoUg5Rk1iVhNqYwTs"
	wrong := full
	wrong.Name.Error, wrong.Days.Error = "Give the token a name, such as that of the program that uses it.",
		"Choose how long the token is good."
	wrong.Scope.Value, wrong.Error = "only", "Tick what the token may do."
	page := samplePage("API tokens", "settings")
	return []Specimen{
		{Name: "page-tokens", Page: views.Tokens(page, full)},
		{Name: "page-tokens-empty", Page: views.Tokens(page, p)},
		{Name: "page-tokens-made", Page: views.Tokens(page, made)},
		{Name: "page-tokens-wrong", Page: views.Tokens(page, wrong)},
	}
}
