package views

import "time"

func signOnSpecimens() []Specimen {
	login := NewLoginForm()
	login.Providers = []Link{{Text: "Sign in with Acme", URL: "/login/sso?next=%2Finbox"}}
	login.Wrong = "The provider has not verified that mira@acme.example is your address. Verify it there, then sign " +
		"in again."
	p := NewProfilePage()
	p.Now, p.Email, p.Name.Value = galleryNow, "mira@acme.example", "Mira Okafor"
	p.TimeZone.Value, p.TimeZone.Options = "UTC", []Choice{{Value: "UTC", Label: "UTC", Group: "Other"}}
	p.Password.None = "You sign in without a password here. An administrator can give you one."
	p.Identities = []IdentityItem{{
		Provider: "login.acme.example", Email: "mira@acme.example", Since: ago(76 * time.Hour),
		Used: ago(9 * time.Hour),
	}}
	user := NewUserPage()
	user.Now, user.Person, user.CanChange = galleryNow,
		PersonItem{ID: "u2", Name: "Jonas Weber", Email: "jonas@acme.example", Roles: "Member", Status: "active"}, true
	user.Name.Value, user.Email.Value, user.Identities = "Jonas Weber", "jonas@acme.example", p.Identities
	user.Tokens = []TokenItem{
		{
			ID: "t1", Name: "Nightly report", May: "automations.view_own, tickets.manage",
			Expires: galleryNow.Add(1900 * time.Hour), Used: ago(4 * time.Minute),
		},
		{ID: "t2", Name: "CI", May: "All that they may", Expires: galleryNow.Add(70 * time.Hour)},
	}
	return []Specimen{
		{Name: "page-user-sign-on", Page: UserDetail(samplePage("Jonas Weber", "settings"), user)},
		{Name: "page-login-sign-on", Page: Login(Page{Title: "Sign in"}, login)},
		{Name: "page-profile-sign-on", Page: Profile(samplePage("Profile", "settings"), p)},
	}
}
