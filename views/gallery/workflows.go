package gallery

import "carillon/views"

// workflowSpecimens are the pages of workflows.
func workflowSpecimens() []Specimen {
	item := views.WorkflowItem{
		ID: "wf1", Name: "Cut release", About: "Rolls a release branch and opens its pull request.",
		Where: "payments-api", Steps: 3, Uses: 2,
	}
	lines := []views.StepLine{
		{Number: "1", Kind: "Message", Label: "Branch", Text: "Create the release branch for $version."},
		{Number: "2", Kind: "Loop block: at most 3 times, until an answer contains “GREEN”", Label: "Loop block"},
		{Number: "2.1", Kind: "Message", Label: "Test", Text: "Run the tests and mend what fails.", Inside: true},
		{Number: "3", Kind: "Complete Session only if no file changes", Label: "Complete Session"},
	}
	page := views.WorkflowPage{
		WorkflowItem: item, Lines: lines, Parameters: []views.Fact{{Label: "$version", Value: "text, required"}},
		UsedBy: []views.Link{{Text: "Roll the release branch", URL: views.AutomationURL("a2")}}, Hidden: 1,
		CanManage: true, Warning: "2 automations with it stay without a workflow.",
	}
	return []Specimen{
		{Name: "page-workflows", Page: views.Workflows(samplePage("Workflows", "workflows"),
			views.WorkflowsPage{Rows: []views.WorkflowItem{item}, CanManage: true})},
		{Name: "page-workflows-empty", Page: views.Workflows(samplePage("Workflows", "workflows"),
			views.WorkflowsPage{CanManage: true})},
		{Name: "page-workflow", Page: views.Workflow(samplePage("Cut release", "workflows"), page)},
		{Name: "page-workflow-edit", Page: views.EditWorkflow(samplePage("Edit workflow", "workflows"),
			sampleWorkflowForm(lines))},
	}
}

func sampleWorkflowForm(lines []views.StepLine) views.WorkflowForm {
	f := views.NewWorkflowForm()
	f.ID = "wf1"
	f.Was = "Cut release"
	f.Version = "2"
	f.Automatic = "$date, $branch"
	f.Preview = lines
	f.Name.Value = "Cut release"
	kinds := []views.Choice{{Value: "message", Label: "Message"}, {Value: "loop", Label: "Loop block"}}
	row := func(n, kind string) views.StepRow {
		return views.StepRow{
			Number: n, CanUp: n != "1", CanDown: n != "3",
			Kind: views.Field{
				Name: "step_kind", ID: "steps." + n + ".kind", Label: "Kind", Of: "step " + n, Value: kind,
				Options: kinds,
			}, Label: views.Field{Name: "step_label", ID: "steps." + n + ".label", Label: "Label", Of: "step " + n},
			Text: views.Field{Name: "step_text", ID: "steps." + n + ".text", Label: "Text", Of: "step " + n},
			Path: views.Field{Name: "step_path", ID: "steps." + n + ".path", Label: "File", Of: "step " + n},
			Marker: views.Field{
				Name: "step_marker", ID: "steps." + n + ".marker", Label: "Kind",
				Of: "step " + n + ": until an answer contains",
			}, Max: views.Field{
				Name: "step_max", ID: "steps." + n + ".max", Label: "Kind", Of: "step " + n + ": times at most",
			},
		}
	}
	f.Steps = []views.StepRow{row("1", "message"), row("2", "loop"), row("3", "message")}
	f.Steps[0].Text.Error = "Write what the agent is to do."
	f.Steps[2].Inside, f.Steps[2].Number = true, "2.1"
	f.Announcement, f.Focus = "Step 3 is step 2.1 now.", "up.2"
	f.Parameters = []views.ParameterRow{{
		Alias: views.Field{
			Name: "parameter_alias", ID: "parameters.0.alias", Label: "Alias", Of: "parameter 1", Value: "version",
		}, Label: views.Field{Name: "parameter_label", ID: "parameters.0.label", Label: "Label", Of: "parameter 1"},
		Type: views.Field{
			Name: "parameter_type", ID: "parameters.0.type", Label: "Type", Of: "parameter 1",
			Options: []views.Choice{{Value: "text", Label: "Text"}},
		},
		Default: views.Field{
			Name: "parameter_default", ID: "parameters.0.default", Label: "Default", Of: "parameter 1",
		},
		Choices: views.Field{
			Name: "parameter_choices", ID: "parameters.0.choices", Label: "Choices", Of: "parameter 1",
		},
		Required: true,
	}}
	return f
}
