package gallery

import (
	"time"

	"carillon/views"
)

func peopleSpecimens() []Specimen {
	page := peoplePage()
	mira := views.PersonItem{
		ID: "u1", Name: "Mira Okafor", Email: "mira@acme.example", Roles: "Administrator", Status: "active",
		Seen: ago(time.Minute), Workspaces: 2, Automations: 7, You: true,
	}
	jonas := views.PersonItem{
		ID: "u2", Name: "Jonas Weiß", Email: "jonas@acme.example", Roles: "Manager, Release crew", Status: "active",
		Seen: ago(26 * time.Hour), Workspaces: 1, Automations: 3,
	}
	invited := views.PersonItem{ID: "u3", Name: "lee", Email: "lee@acme.example", Roles: "Member", Status: "invited"}
	expired := views.PersonItem{
		ID: "u4", Name: "sam", Email: "sam@acme.example", Roles: "Member", Status: "invited", Expired: true,
	}
	gone := views.PersonItem{
		ID: "u5", Name: "Ada <script>", Email: "ada@acme.example", Roles: "Member", Status: "deactivated",
		Automations: 1,
	}
	list := views.UsersPage{
		Now: now, Status: views.Field{
			Name: "status", Label: "Status", Options: []views.Choice{{Value: "active", Label: "Active"},
				{Value: "invited", Label: "Invited"}},
		},
		Role: views.Field{
			Name: "role", Label: "Role", Value: "r1", Options: []views.Choice{{Value: "r1", Label: "Administrator"}},
		},
		Rows: []views.PersonItem{mira, jonas, invited, expired, gone}, Pager: views.Pager{
			Older: "?after=u5", Newer: "?before=u1", Named: true,
		},
	}
	none := list
	none.Rows = nil
	none.Pager = views.Pager{}
	none.Filtered = true
	none.Search = "zed"
	roles := views.RoleChoices{List: []views.RoleChoice{
		{
			ID: "r1", Name: "Administrator", May: "Everything, in every workspace.",
			Off: "This role has permissions that you do not have, so you cannot assign it.",
		},
		{ID: "r2", Name: "Member", May: "Create, edit and delete your own automations.", Checked: true},
	}}
	form := views.NewInviteForm()
	form.Roles = roles
	wrong := form
	wrong.Email.Value, wrong.Email.Error, wrong.Roles.Error = "lee", "This is not an e-mail address.",
		"Choose at least one role."

	user := views.NewUserPage()
	user.Now = now
	user.Person = jonas
	user.CanChange = true
	user.CanMove = true
	user.Facts = []views.Fact{{Label: "Email", Value: jonas.Email}, {Label: "Status", Value: "Active"},
		{Label: "Signed in", Value: "2 browsers"}}
	user.Name.Value, user.Email.Value, user.Roles = jonas.Name, jonas.Email, roles
	user.Workspaces, user.Join.Options = []views.Choice{{Value: "w1", Label: "payments-api"}},
		[]views.Choice{{Value: "w2", Label: "storefront"}}
	user.Transfer.Options = []views.Choice{{Value: "u1", Label: "Mira Okafor"}}
	user.Events, user.EventsURL = sampleAudit()[:2], views.AuditSubjectURL("u2")
	changed := user
	changed.Unconfirmed, changed.Mails = true, true
	unmailed := changed
	unmailed.Mails = false
	link := user
	link.Person = invited
	link.NewLink = "https://carillon.example/join/s3cret"
	link.LinkFor = "invitation"
	link.LinkUntil = now.Add(7 * 24 * time.Hour)
	reset := user
	reset.NewLink = "https://carillon.example/join/s3cret"
	reset.LinkFor = "reset"
	reset.LinkUntil = now.Add(24 * time.Hour)
	reset.Mailed = true
	inactive := user
	inactive.Person = gone
	inactive.Workspaces = nil
	inactive.Events = nil
	inactive.Problem = "This is the last administrator. Make another one first."
	beyond := user
	beyond.Person = mira
	beyond.CanChange = false
	beyond.CanMove = false
	beyond.Why = "Mira Okafor may do what you may not, so you cannot change the account."

	join := views.NewJoinForm()
	join.Address = views.JoinURL("s3cret")
	join.Invites = true
	join.Email.Value = "lee@acme.example"
	join.Name.Value = "lee"
	choose := join
	choose.Invites, choose.Password.Error = false, "Use at least 10 characters."
	linked := views.NewUserPage()
	linked.Now, linked.Person, linked.CanChange = now,
		views.PersonItem{ID: "u2", Name: "Jonas Weber", Email: "jonas@acme.example", Roles: "Member", Status: "active"},
		true
	linked.Name.Value, linked.Email.Value, linked.Identities = "Jonas Weber", "jonas@acme.example", sampleIdentities()
	linked.Tokens = []views.TokenItem{
		{
			ID: "t1", Name: "Nightly report", May: "automations.view_own, tickets.manage",
			Expires: now.Add(1900 * time.Hour), Used: ago(4 * time.Minute),
		},
		{ID: "t2", Name: "CI", May: "Everything that the person may do", Expires: now.Add(70 * time.Hour)},
	}
	return []Specimen{
		{Name: "page-users", Page: views.Users(page, list)},
		{Name: "page-users-none", Page: views.Users(page, none)},
		{Name: "page-invite", Page: views.Invite(page, form)},
		{Name: "page-invite-wrong", Page: views.Invite(page, wrong)},
		{Name: "page-user", Page: views.UserDetail(page, user)},
		{Name: "page-user-unconfirmed", Page: views.UserDetail(page, changed)},
		{Name: "page-user-unconfirmed-unmailed", Page: views.UserDetail(page, unmailed)},
		{Name: "page-confirm-address", Page: views.ConfirmAddress(views.Page{Title: "Is this your address?"},
			views.JoinURL("s3cret"),
			"Jonas Weiß", "jonas@elsewhere.example")},
		{Name: "page-user-invited", Page: views.UserDetail(page, link)},
		{Name: "page-user-reset", Page: views.UserDetail(page, reset)},
		{Name: "page-user-deactivated", Page: views.UserDetail(page, inactive)},
		{Name: "page-user-beyond", Page: views.UserDetail(page, beyond)},
		{Name: "page-join", Page: views.Join(views.Page{Title: "Choose a password"}, join)},
		{Name: "page-join-reset", Page: views.Join(views.Page{Title: "Choose a password"}, choose)},
		{Name: "page-user-sign-on", Page: views.UserDetail(samplePage("Jonas Weber", "settings"), linked)},
	}
}

// peoplePage is a page of the settings of people.
func peoplePage() views.Page {
	page := samplePage("Users", "settings")
	page.Settings = []views.Tab{{Label: "Profile", URL: views.ProfileURL()},
		{Label: "Users", URL: views.UsersURL(), Current: true},
		{Label: "Roles", URL: views.RolesURL()}, {Label: "Audit log", URL: views.AuditURL()}}
	return page
}
