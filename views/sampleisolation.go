package views

func isolationSpecimens() []Specimen {
	page := samplePage("Isolation", "settings")
	page.Settings = []Tab{{Label: "Profile", URL: ProfileURL()},
		{Label: "Isolation", URL: IsolationURL(), Current: true}, {Label: "Usage", URL: UsageURL("")}}
	full := IsolationPage{
		Now: galleryNow, Count: "32 workspaces", Unconfined: []Link{{"payments-api", WorkspaceURL("w1")},
			{"storefront", WorkspaceURL("w2")}},
		Pager: Pager{Older: "?after=w2", Named: true},
		Machines: []Machine{
			{ID: "1", Name: "forge-1", Roles: "runs agents, serves pages", Runs: true, Statements: []Statement{
				{"User", "ok", "Carillon runs as a user of its own, not as root.", ""},
				{"Sandbox", "ok",
					"Sandboxes work. In one, agents and scripts have no capabilities, and see no homes, sockets of " +
						"services and data of Carillon.", ""},
				{"Bubblewrap", "warn", "Version 0.4.1, which cannot keep a sandbox from making user namespaces.",
					"Install 0.8 or newer."},
				{"Further hidden paths", "info",
					"Sandboxes hide homes, /run, Carillon’s data, and " +
						"/srv/a-folder-of-a-rather-long-name/with-keys/of-other-programs.", ""},
			}, Agents: []MachineAgent{{"Claude Code", "2.1.197",
				"It is refused every tool that is not allowed beforehand."},
				{"Mine", "", "The sandbox. Without one the turn is refused."}}},
			{ID: "2", Name: "forge-2", Roles: "runs agents", Runs: true, Statements: []Statement{
				{"User", "fail",
					"Carillon runs as root. Agents and scripts of a workspace without a sandbox can do everything on " +
						"this machine.", "Run Carillon as a user of its own."},
				{"Sandbox", "fail", "No sandbox can be had: bubblewrap (bwrap) is not installed.",
					"Install the package bubblewrap."},
			}},
			{ID: "3", Name: "forge-3"},
		},
	}
	return []Specimen{
		{Name: "page-isolation", Page: Isolation(page, full)},
		{Name: "page-isolation-none", Page: Isolation(page, IsolationPage{Now: galleryNow, None: true})},
	}
}
