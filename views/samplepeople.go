package views

import "time"

func peopleSpecimens() []Specimen {
	page := samplePage("Users", "settings")
	page.Settings = []Tab{{Label: "Profile", URL: ProfileURL()}, {Label: "Users", URL: UsersURL(), Current: true},
		{Label: "Roles", URL: RolesURL()}, {Label: "Audit log", URL: AuditURL()}}
	mira := PersonItem{
		ID: "u1", Name: "Mira Okafor", Email: "mira@acme.example", Roles: "Administrator", Status: "active",
		Seen: ago(time.Minute), Workspaces: 2, Automations: 7, You: true,
	}
	jonas := PersonItem{
		ID: "u2", Name: "Jonas Weiß", Email: "jonas@acme.example", Roles: "Manager, Release crew", Status: "active",
		Seen: ago(26 * time.Hour), Workspaces: 1, Automations: 3,
	}
	invited := PersonItem{ID: "u3", Name: "lee", Email: "lee@acme.example", Roles: "Member", Status: "invited"}
	expired := PersonItem{
		ID: "u4", Name: "sam", Email: "sam@acme.example", Roles: "Member", Status: "invited", Expired: true,
	}
	gone := PersonItem{
		ID: "u5", Name: "Ada <script>", Email: "ada@acme.example", Roles: "Member", Status: "deactivated",
		Automations: 1,
	}
	list := UsersPage{
		Now: galleryNow, Status: Field{
			Name: "status", Label: "Status", Options: []Choice{{Value: "active", Label: "Active"},
				{Value: "invited", Label: "Invited"}},
		},
		Role: Field{Name: "role", Label: "Role", Value: "r1", Options: []Choice{{Value: "r1", Label: "Administrator"}}},
		Rows: []PersonItem{mira, jonas, invited, expired, gone}, Pager: Pager{
			Older: "?after=u5", Newer: "?before=u1", Named: true,
		},
	}
	none := list
	none.Rows, none.Pager, none.Filtered, none.Search = nil, Pager{}, true, "zed"
	roles := RoleChoices{List: []RoleChoice{
		{
			ID: "r1", Name: "Administrator", May: "Everything, in every workspace.",
			Off: "It may do what you may not, so you cannot give it.",
		},
		{ID: "r2", Name: "Member", May: "Create, edit and delete your own automations.", Checked: true},
	}}
	form := NewInviteForm()
	form.Roles = roles
	wrong := form
	wrong.Email.Value, wrong.Email.Error, wrong.Roles.Error = "lee", "This is not an e-mail address.",
		"Choose at least one role."

	user := NewUserPage()
	user.Now, user.Person, user.CanChange, user.CanMove = galleryNow, jonas, true, true
	user.Facts = []Fact{{Label: "Email", Value: jonas.Email}, {Label: "Status", Value: "Active"},
		{Label: "Signed in", Value: "2 browsers"}}
	user.Name.Value, user.Email.Value, user.Roles = jonas.Name, jonas.Email, roles
	user.Workspaces, user.Join.Options = []Choice{{Value: "w1", Label: "payments-api"}},
		[]Choice{{Value: "w2", Label: "storefront"}}
	user.Transfer.Options = []Choice{{Value: "u1", Label: "Mira Okafor"}}
	user.Events, user.EventsURL = sampleAudit()[:2], AuditSubjectURL("u2")
	changed := user
	changed.Unconfirmed, changed.Mails = true, true
	unmailed := changed
	unmailed.Mails = false
	link := user
	link.Person, link.NewLink, link.LinkFor, link.LinkUntil = invited, "https://carillon.example/join/s3cret",
		"invitation", galleryNow.Add(7*24*time.Hour)
	reset := user
	reset.NewLink, reset.LinkFor, reset.LinkUntil, reset.Mailed = "https://carillon.example/join/s3cret", "reset",
		galleryNow.Add(24*time.Hour), true
	inactive := user
	inactive.Person, inactive.Workspaces, inactive.Events, inactive.Problem = gone, nil, nil,
		"This is the last administrator. Make another one first."
	beyond := user
	beyond.Person, beyond.CanChange, beyond.CanMove, beyond.Why = mira, false, false,
		"Mira Okafor may do what you may not, so you cannot change the account."

	join := NewJoinForm()
	join.Address, join.Invites, join.Email.Value, join.Name.Value = JoinURL("s3cret"), true, "lee@acme.example", "lee"
	choose := join
	choose.Invites, choose.Password.Error = false, "Use at least 10 characters."
	return append([]Specimen{
		{Name: "page-users", Page: Users(page, list)},
		{Name: "page-users-none", Page: Users(page, none)},
		{Name: "page-invite", Page: Invite(page, form)},
		{Name: "page-invite-wrong", Page: Invite(page, wrong)},
		{Name: "page-user", Page: UserDetail(page, user)},
		{Name: "page-user-unconfirmed", Page: UserDetail(page, changed)},
		{Name: "page-user-unconfirmed-unmailed", Page: UserDetail(page, unmailed)},
		{Name: "page-confirm-address", Page: ConfirmAddress(Page{Title: "Is this your address?"}, JoinURL("s3cret"),
			"Jonas Weiß", "jonas@elsewhere.example")},
		{Name: "page-user-invited", Page: UserDetail(page, link)},
		{Name: "page-user-reset", Page: UserDetail(page, reset)},
		{Name: "page-user-deactivated", Page: UserDetail(page, inactive)},
		{Name: "page-user-beyond", Page: UserDetail(page, beyond)},
		{Name: "page-join", Page: Join(Page{Title: "Choose a password"}, join)},
		{Name: "page-join-reset", Page: Join(Page{Title: "Choose a password"}, choose)},
	}, roleSpecimens(page)...)
}

func roleSpecimens(page Page) []Specimen {
	m := Matrix{
		Roles: []RoleItem{{ID: "r1", Name: "Administrator", BuiltIn: true, People: 1},
			{ID: "r2", Name: "Release crew", People: 2}},
		Rows: []MatrixRow{
			{
				Permission: "automations.manage_all", Capability: "Manage anyone's automations",
				Implies: []string{"automations.view_all", "automations.manage"}, Grants: []Grant{Implied, NotGranted},
			},
			{Permission: "bots.manage", Capability: "Create, edit and delete bots", Grants: []Grant{Implied, Granted}},
			{
				Permission: "admin", Capability: "Everything, in every workspace", Implies: []string{"all others"},
				Grants: []Grant{Granted, NotGranted},
			},
		},
	}
	role := NewRoleForm()
	role.Boxes = []PermissionBox{
		{
			Permission: "automations.manage_all", Capability: "Manage anyone's automations",
			Implies: []string{"automations.view_all"}, Checked: true,
		},
		{
			Permission: "shell.use",
			Capability: "Use the Shell provider: run commands on a worker, and outside of a sandbox with all that " +
				"the user of CARILLON_AGENT_USER may do there, and without that setting Carillon’s own user",
			Off: "You do not hold it, so you cannot grant it.",
		},
	}
	fixed := role
	fixed.ID, fixed.Was, fixed.BuiltIn, fixed.Why, fixed.People = "r1", "Administrator", true,
		"This role is built in, so it stays as it is.", []Link{{"Mira Okafor", UserURL("u1")}}
	wrong := role
	wrong.ID, wrong.Was, wrong.Version, wrong.Name.Error, wrong.Error = "r2", "Release crew", "3",
		"Give the role a name.", "A role cannot have the permission x."
	audit := AuditPage{
		Now: galleryNow, Person: Field{
			Name: "person", Label: "Person", Value: "u1", Options: []Choice{{Value: "u1", Label: "Mira Okafor"}},
		},
		Action: Field{Name: "action", Label: "Action", Options: []Choice{{Value: "user", Label: "user: everything"},
			{Value: "user.set_roles", Label: "user.set_roles"}}},
		Workspace: Field{
			Name: "workspace", Label: "Workspace", Options: []Choice{{Value: "w1", Label: "payments-api"}},
		},
		From: Field{Name: "from", Label: "From", Value: "2026-11-01"}, To: Field{Name: "to", Label: "To"},
		Filtered: true, Subject: "u2", SubjectName: "Jonas Weiß",
		Rows: sampleAudit(), Pager: Pager{Older: "?before=x"}, JSON: AuditURL() + "/export/ndjson?",
		CSV: AuditURL() + "/export/csv?",
	}
	empty := audit
	empty.Rows, empty.Pager, empty.Filtered, empty.Subject = nil, Pager{}, false, ""
	return []Specimen{
		{Name: "page-roles", Page: Roles(page, RolesPage{m})},
		{Name: "page-role-new", Page: Role(page, role)},
		{Name: "page-role-built-in", Page: Role(page, fixed)},
		{Name: "page-role-wrong", Page: Role(page, wrong)},
		{Name: "page-permissions", Page: Permissions(page, sampleManual("permissions"),
			PermissionsPage{Matrix: m, Yours: []string{"bots.manage"}})},
		{Name: "page-permissions-none", Page: Permissions(page, sampleManual("permissions"),
			PermissionsPage{Matrix: m})},
		{Name: "page-audit", Page: Audit(page, audit)},
		{Name: "page-audit-empty", Page: Audit(page, empty)},
	}
}

func sampleAudit() []AuditItem {
	mira := Link{"Mira Okafor", AuditPersonURL("u1")}
	return []AuditItem{
		{ID: "a1", At: ago(time.Minute), Actor: mira, Action: "user.set_roles", Kind: "user",
			Subject: Link{"Jonas Weiß", AuditSubjectURL("u2")}, Address: "203.0.113.9",
			Changes: []Change{{Name: "roles", Before: "Member", After: "Manager, Release crew"}}},
		{
			ID: "a2", At: ago(time.Hour), Action: "automation.disable", Kind: "automation",
			Subject: Link{"Nightly <audit>", AuditSubjectURL("x1")}, Reason: "3 failures in a row",
		},
		{ID: "a3", At: ago(3 * time.Hour), Actor: mira, Action: "automation.create", Kind: "automation",
			Subject: Link{"Nightly <audit>", AuditSubjectURL("x1")}, Address: "2001:db8::17", Token: "Nightly report",
			Changes: []Change{{Name: "cron", After: "30 2 * * *", New: true},
				{Name: "prompt", After: "Run a dependency audit.\nOpen one ticket for each finding.", New: true},
				{Name: "model", New: true}}},
		{
			ID: "a4", At: ago(4 * time.Hour), Actor: Link{"Jonas Weiß", AuditPersonURL("u2")},
			Action: "permission.denied", Kind: "request", Subject: Link{Text: "POST /workspaces"},
			Address: "203.0.113.9",
		},
		{
			ID: "a5", At: ago(5 * time.Hour), Actor: mira, Action: "role.delete", Kind: "role",
			Subject: Link{"Interns", AuditSubjectURL("r9")},
			Changes: []Change{{Name: "permissions", Before: "tickets.manage", Gone: true}},
		},
	}
}
