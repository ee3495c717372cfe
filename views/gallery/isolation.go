package gallery

import "carillon/views"

func isolationSpecimens() []Specimen {
	page := samplePage("Isolation", "settings")
	page.Settings = []views.Tab{{Label: "Profile", URL: views.ProfileURL()},
		{Label: "Isolation", URL: views.IsolationURL(), Current: true}, {Label: "Usage", URL: views.UsageURL("")}}
	full := views.IsolationPage{
		Now: now, Count: "32 workspaces",
		Unconfined: []views.Link{{Text: "payments-api", URL: views.WorkspaceURL("w1")},
			{Text: "storefront", URL: views.WorkspaceURL("w2")}},
		Pager: views.Pager{Older: "?after=w2", Named: true},
		Machines: []views.Machine{
			{ID: "1", Name: "forge-1", Roles: "runs agents, serves pages", Runs: true, Statements: []views.Statement{
				{Name: "User", Kind: "ok", Text: "Carillon runs as a user of its own, not as root.", Do: ""},
				{Name: "Sandbox", Kind: "ok",
					Text: "Sandboxes work. In one, agents and scripts have no capabilities, and see no homes, " +
						"sockets of " +
						"services and data of Carillon.", Do: ""},
				{Name: "Bubblewrap", Kind: "warn",
					Text: "Version 0.4.1, which cannot keep a sandbox from making user namespaces.",
					Do:   "Install 0.8 or newer."},
				{Name: "Further hidden paths", Kind: "info",
					Text: "Sandboxes hide homes, /run, Carillon’s data, and " +
						"/srv/a-folder-of-a-rather-long-name/with-keys/of-other-programs.", Do: ""},
			}, Agents: []views.MachineAgent{{Name: "Claude Code", Version: "2.1.197",
				Looks: "It is refused every tool that is not allowed beforehand."},
				{Name: "Mine", Version: "", Looks: "The sandbox. Without one the turn is refused."}}},
			{ID: "2", Name: "forge-2", Roles: "runs agents", Runs: true, Statements: []views.Statement{
				{Name: "User", Kind: "fail",
					Text: "Carillon runs as root. Agents and scripts of a workspace without a sandbox can do " +
						"everything on " +
						"this machine.", Do: "Run Carillon as a user of its own."},
				{Name: "Sandbox", Kind: "fail", Text: "No sandbox can be had: bubblewrap (bwrap) is not installed.",
					Do: "Install the package bubblewrap."},
			}},
			{ID: "3", Name: "forge-3"},
		},
	}
	return []Specimen{
		{Name: "page-isolation", Page: views.Isolation(page, full)},
		{Name: "page-isolation-none", Page: views.Isolation(page, views.IsolationPage{Now: now, None: true})},
	}
}
