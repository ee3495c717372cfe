package gallery

import "carillon/views"

func fieldSpecimens() []Specimen {
	zones := []views.Choice{{Value: "Europe/Berlin", Label: "Europe/Berlin", Group: "Europe"},
		{Value: "Europe/Paris", Label: "Europe/Paris", Group: "Europe"},
		{Value: "Asia/Tokyo", Label: "Asia/Tokyo", Group: "Asia"},
		{Value: "x", Label: "Codex", Group: "Asia", Off: "not installed"}}
	return []Specimen{
		{Name: "field-input", Body: stacked(
			views.Input(views.Field{Name: "f1", Label: "Name", Value: "Nightly <audit> & \"more\"", Required: true}),
			views.Input(views.Field{
				Name: "f2", Label: "Base branch", Value: "mian", Mono: true, Hint: "Empty: the workspace’s default.",
				Error: "payments-api has no branch “mian”.",
			}),
			views.Input(views.Field{
				Name: "f3", Label: "Model", Placeholder: "Provider’s default", Suggest: []string{"large", "small"},
			}),
			views.Input(views.Field{
				Name: "f4", Label: "Provider", Value: "Claude Code", Disabled: true, Why: "The bot decides.",
			}),
			views.Input(views.Field{Name: "f5", Label: "Run at", Type: "datetime-local", Value: "2026-12-01T09:00"}),
		)},
		{
			Name: "field-select",
			Body: stacked(views.Select(views.Field{
				Name: "f6", Label: "Time zone", Value: "Asia/Tokyo", Options: zones,
			}),
				views.Pick(views.Field{Name: "f7", Label: "Model"})),
		},
		{Name: "field-textarea", Body: views.Textarea(views.Field{
			Name: "f8", Label: "Prompt", Mono: true,
			Value: "Run a dependency audit of {{service}}.\n\nOpen one ticket for each finding.",
			Hint:  "{{name}} is replaced when the automation runs.",
		})},
		{Name: "field-check", Body: stacked(views.Check(views.Field{Name: "f9", Label: "Required", Checked: true}),
			views.Check(views.Field{Name: "f10", Label: "Secret", Hint: "Never shown again."}))},
		{Name: "field-option", Body: stacked(
			views.Option(views.Field{
				Name: "f11", Label: "Auto-Complete Session", Hint: "Mark it Done when the run ends.", Checked: true,
			}),
			views.Option(views.Field{
				Name: "f12", Label: "Allow Parallel Sessions", Disabled: true,
				Why: "A loop runs one session at a time.",
			}),
		)},
		{Name: "field-seg", Body: stacked(
			views.Seg(views.Field{
				Name: "f13", Label: "Trigger", Value: "recurring", Wide: true, Options: views.TriggerChoices(),
			}),
			views.Seg(views.Field{
				Name: "f14", Label: "Session type", Value: "chat",
				Options: []views.Choice{{Value: "develop", Label: "Develop"}, {Value: "chat", Label: "Chat"},
					{Value: "bot", Label: "Bot", Off: "No bots yet"}},
			}),
		)},
		{Name: "field-modes", Body: views.Modes("Session modes", "toggles", sampleToggles())},
		{
			Name: "mistakes",
			Body: stacked(views.Mistakes([]views.Field{{
				Name: "name", Label: "Name", Error: "Give the automation a name.",
			}}),
				views.Mistakes([]views.Field{{Name: "f2", Label: "Base branch", Error: "no such branch"},
					{Name: "f5", Label: "Run at", Error: "lies in the past"}})),
		},
		{Name: "filters", Body: sampleFilters()},
	}
}

func sampleToggles() []views.Field {
	return []views.Field{
		{Value: "code_architecture", Label: "Code Architecture"}, {Value: "ux_enhancement", Label: "UX Enhancement"},
		{Value: "edge_cases", Label: "Edge Cases", Checked: true},
		{Value: "code_review", Label: "Code Review", Checked: true}, {
			Value: "verification", Label: "Verification", Checked: true,
		},
		{Value: "update_tests", Label: "Update Tests"}, {Value: "update_docs", Label: "Update Docs"},
	}
}
