package gallery

import "carillon/views"

func loginSpecimens() []Specimen {
	wrong := views.NewLoginForm()
	wrong.Wrong, wrong.Email.Value, wrong.Providers = "The e-mail address or the password is wrong.",
		"mira@acme.example", []views.Link{{Text: "Sign in with Acme", URL: "/login/oidc"}}
	setup := views.NewSetupForm()
	setup.Password.Error = "Write at least 12 characters."
	unverified := views.NewLoginForm()
	unverified.Providers = []views.Link{{Text: "Sign in with Acme", URL: "/login/sso?next=%2Finbox"}}
	unverified.Wrong = "The provider has not verified that mira@acme.example is your address. Verify it there, then " +
		"sign in again."
	return []Specimen{
		{Name: "page-login", Page: views.Login(views.Page{Title: "Sign in"}, views.NewLoginForm())},
		{Name: "page-login-wrong", Page: views.Login(views.Page{Title: "Sign in"}, wrong)},
		{Name: "page-setup", Page: views.Setup(views.Page{Title: "Welcome"}, setup)},
		{Name: "page-login-sign-on", Page: views.Login(views.Page{Title: "Sign in"}, unverified)},
	}
}
