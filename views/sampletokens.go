package views

import (
	"time"

	"carillon/views/markdown"
)

func tokenSpecimens() []Specimen {
	p := NewTokensPage()
	p.Now = galleryNow
	p.Days.Value, p.Days.Options = "90", []Choice{{Value: "7", Label: "7 days"}, {Value: "30", Label: "30 days"},
		{Value: "90", Label: "90 days"}, {Value: "365", Label: "One year"}}
	p.Boxes = []PermissionBox{
		{Permission: "automations.view_own", Capability: "See your own automations"},
		{
			Permission: "automations.manage", Capability: "Create, edit and delete your own automations",
			Implies: []string{"automations.view_own"},
		},
		{Permission: "tickets.manage", Capability: "Create and edit tickets"},
	}
	full := p
	full.Rows = []TokenItem{
		{
			ID: "t1", Name: "Nightly report", May: "automations.view_own, tickets.manage",
			Created: ago(300 * time.Hour), Expires: galleryNow.Add(1900 * time.Hour), Used: ago(4 * time.Minute),
			UsedFrom: "203.0.113.9",
		},
		{
			ID: "t2", Name: "CI", May: "All that you may", Created: ago(100 * time.Hour),
			Expires: galleryNow.Add(70 * time.Hour),
		},
		{
			ID: "t3", Name: "Old laptop", May: "All that you may", Created: ago(2300 * time.Hour),
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
	help := APIHelpPage{Address: "https://carillon.example/api/v1",
		Description: "https://carillon.example/api/v1/openapi.json", Groups: []APIGroup{
			{Name: "Basics", Operations: []APIOperation{{"GET", "/me", "Who asks, and what they may do"}}},
			{Name: "Automations", Operations: []APIOperation{{"GET", "/automations", "List automations by name"},
				{"POST", "/automations/{id}/runs", "Run an automation now"}}},
		}}
	return []Specimen{
		{Name: "page-tokens", Page: Tokens(page, full)},
		{Name: "page-api-help", Page: APIHelp(samplePage("API", ""), sampleManual("example", "operations"), help)},
		{Name: "page-help", Page: Help(samplePage("Help", ""), []HelpTopic{
			{"API", "For programs.", APIHelpURL()}, {"Permissions", "For people.", PermissionsURL()},
		})},
		{Name: "page-manual", Page: Manual(samplePage("A page of the manual", ""), sampleManual())},
		{Name: "page-promises", Page: Promises(samplePage("What is promised and how it is tested", ""),
			sampleManual("promises", "agents"), []Promise{
				{"lost-run", "Every run in flight has a session that waits for a worker or has one."},
				{"twice", "No due time has two executions."},
			}, []Obedience{
				{
					Agent: "Claude Code", Reads: "CLAUDE.md of the root, handed over by Carillon.",
					Shut: ".claude is not read.", Looks: "It is refused every tool that is not allowed beforehand.",
				},
				{
					Agent: "Gemini CLI", Reads: "GEMINI.md, by itself.",
					Shut: "Variables of .env that steer programs are empty.", Obeys: []string{".gemini"},
					Looks: "It runs in its mode plan.",
				},
			})},
		{Name: "page-tokens-empty", Page: Tokens(page, p)},
		{Name: "page-tokens-made", Page: Tokens(page, made)},
		{Name: "page-tokens-wrong", Page: Tokens(page, wrong)},
	}
}

// sampleManual is a page of the manual with each kind of thing that one may have, and some places.
func sampleManual(places ...string) *markdown.Document {
	text := `# A page of the manual

What it is about.

## A table

A paragraph with ` + "`code`, *emphasis*, **more of it**" + `, [a link](settings.md#the-server) and [one that leads
out](https://example.com).

| Name | Default | Meaning |
| --- | --- | --- |
| ` + "`CARILLON_DATA` | `data`" + ` | folder |
| ` + "`CARILLON_URL`" + ` | | public base |

## Lists

- One
- Two, see [below](#code)
  1. First
  2. Second

### Under a heading

> Quoted.

## Code

` + "```sh\ncarillon check --help | head\n```\n"
	for _, name := range places {
		text += "\n<!-- " + name + ": filled by the page -->\nWhat a reader of the file sees.\n<!-- end of " + name +
			" -->\n"
	}
	document, err := markdown.Parse([]byte(text), func(to string) string { return to })
	if err != nil {
		panic(err) // the text stands above
	}
	return document
}
