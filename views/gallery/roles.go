package gallery

import "carillon/views"

func roleSpecimens() []Specimen {
	page := peoplePage()
	m := views.Matrix{
		Roles: []views.RoleItem{{ID: "r1", Name: "Administrator", BuiltIn: true, People: 1},
			{ID: "r2", Name: "Release crew", People: 2}},
		Rows: []views.MatrixRow{
			{
				Permission: "automations.manage_all", Capability: "Manage anyone's automations",
				Implies: []string{"automations.view_all", "automations.manage"},
				Grants:  []views.Grant{views.Implied, views.NotGranted},
			},
			{
				Permission: "bots.manage", Capability: "Create, edit and delete bots",
				Grants: []views.Grant{views.Implied, views.Granted},
			},
			{
				Permission: "admin", Capability: "Everything, in every workspace", Implies: []string{"all others"},
				Grants: []views.Grant{views.Granted, views.NotGranted},
			},
		},
	}
	role := views.NewRoleForm()
	role.Boxes = []views.PermissionBox{
		{
			Permission: "automations.manage_all", Capability: "Manage anyone's automations",
			Implies: []string{"automations.view_all"}, Checked: true,
		},
		{
			Permission: "shell.use",
			Capability: "Use the Shell provider: run commands on a worker, and outside of a sandbox with all that " +
				"the user of CARILLON_AGENT_USER may do there, and without that setting Carillon’s own user",
			Off: "You do not have this permission, so you cannot grant it.",
		},
	}
	fixed := role
	fixed.ID = "r1"
	fixed.Was = "Administrator"
	fixed.BuiltIn = true
	fixed.Why = "This role is built in, so it stays as it is."
	fixed.People = []views.Link{{Text: "Mira Okafor", URL: views.UserURL("u1")}}
	wrong := role
	wrong.ID = "r2"
	wrong.Was = "Release crew"
	wrong.Version = "3"
	wrong.Name.Error = "Give the role a name."
	wrong.Error = "A role cannot have the permission x."
	return []Specimen{
		{Name: "page-roles", Page: views.Roles(page, views.RolesPage{Matrix: m})},
		{Name: "page-role-new", Page: views.Role(page, role)},
		{Name: "page-role-built-in", Page: views.Role(page, fixed)},
		{Name: "page-role-wrong", Page: views.Role(page, wrong)},
		{Name: "page-permissions", Page: views.Permissions(page, sampleManual("permissions"),
			views.PermissionsPage{Matrix: m, Yours: []string{"bots.manage"}})},
		{Name: "page-permissions-none", Page: views.Permissions(page, sampleManual("permissions"),
			views.PermissionsPage{Matrix: m})},
	}
}
