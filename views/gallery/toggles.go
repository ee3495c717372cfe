package gallery

import "carillon/views"

func toggleSpecimens() []Specimen {
	texts := views.TogglesPage{Toggles: []views.ToggleItem{
		{Text: views.Field{
			Name: "edge_cases", Label: "Edge Cases", Rows: 4, Hint: "Added to the first prompt.",
			Value: "Edge cases: think of empty, huge, repeated and hostile input.",
		}},
		{Text: views.Field{
			Name: "code_review", Label: "Code Review", Rows: 4, Hint: "A message of its own after the run.",
			Value: "Review all that this session has changed.",
		}, Changed: true},
	}}
	badTexts := views.TogglesPage{Toggles: []views.ToggleItem{{Text: views.Field{
		Name: "edge_cases", Label: "Edge Cases", Rows: 4, Error: "Write what the agent is told, or reset it.",
	}, Changed: true}}}
	return []Specimen{
		{Name: "page-toggles", Page: views.Toggles(usagePage("Session toggles"), texts)},
		{Name: "page-toggles-wrong", Page: views.Toggles(usagePage("Session toggles"), badTexts)},
	}
}

// usagePage is a page of the settings of what agents are told and may use.
func usagePage(title string) views.Page {
	page := samplePage(title, "settings")
	page.Settings = []views.Tab{{Label: "Profile", URL: views.ProfileURL()}, {
		Label: "Session toggles", URL: views.TogglesURL(), Current: title != "Usage",
	}, {Label: "Usage", URL: views.UsageURL(""), Current: title == "Usage"}}
	return page
}
