package gallery

import (
	"carillon/views"
	"carillon/views/markdown"
)

func helpSpecimens() []Specimen {
	help := views.APIHelpPage{Address: "https://carillon.example/api/v1",
		Description: "https://carillon.example/api/v1/openapi.json", Groups: []views.APIGroup{
			{Name: "Basics", Operations: []views.APIOperation{{
				Method: "GET", Path: "/me", Summary: "Who asks, and what they may do",
			}}},
			{Name: "Automations", Operations: []views.APIOperation{{
				Method: "GET", Path: "/automations", Summary: "List automations by name",
			},
				{Method: "POST", Path: "/automations/{id}/runs", Summary: "Run an automation now"}}},
		}}
	return []Specimen{
		{Name: "page-help", Page: views.Help(samplePage("Help", ""), []views.HelpTopic{
			{Title: "API", About: "For programs.", URL: views.APIHelpURL()},
			{Title: "Permissions", About: "For people.", URL: views.PermissionsURL()},
		})},
		{Name: "page-manual", Page: views.Manual(samplePage("A page of the manual", ""), sampleManual())},
		{Name: "page-api-help", Page: views.APIHelp(samplePage("API", ""), sampleManual("example", "operations"),
			help)},
		{Name: "page-promises", Page: views.Promises(samplePage("What is promised and how it is tested", ""),
			sampleManual("promises", "agents"), []views.Promise{
				{Name: "lost-run", Sentence: "Every run in flight has a session that waits for a worker or has one."},
				{Name: "twice", Sentence: "No due time has two executions."},
			}, []views.Obedience{
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
