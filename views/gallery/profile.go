package gallery

import (
	"time"

	"carillon/views"
)

func profileSpecimens() []Specimen {
	zones := []views.Choice{{Value: "Europe/Berlin", Label: "Berlin", Group: "Europe"},
		{Value: "Europe/Paris", Label: "Paris", Group: "Europe"}, {Value: "UTC", Label: "UTC", Group: "Other"}}
	p := views.NewProfilePage()
	p.Now, p.Email, p.Name.Value = now, "mira@acme.example", "Mira Okafor"
	p.TimeZone.Value, p.TimeZone.Options = "Europe/Berlin", zones
	p.Notices.Email.Hint, p.Notices.Email.Checked, p.Notices.EmailState = "To mira@acme.example.", true,
		"The last one was sent 9 h ago."
	p.Notices.Webhook.Value, p.Notices.HasWebhook = "https://chat.acme.example/hooks/1", true
	p.Notices.WebhookState = "The last one failed: the webhook answered 500. It is tried again in 4 min."
	p.Notices.Of = []views.Field{{Label: "Auto-disabled", Value: "disabled", Checked: true},
		{Label: "Failed runs", Value: "failed", Checked: true}, {Label: "Skipped runs", Value: "skipped"}}
	p.Logins = []views.LoginItem{
		{
			ID: "l1", Browser: "Firefox on Linux", Address: "2001:db8::17", Seen: ago(20 * time.Second),
			Since: ago(76 * time.Hour), Current: true,
		},
		{
			ID: "l2", Browser: "Safari on iOS", Address: "203.0.113.9", Seen: ago(9 * time.Hour),
			Since: ago(30 * time.Hour),
		},
	}
	wrong := p
	wrong.Name.Value, wrong.Name.Error = "", "Enter your name."
	wrong.Password.Current.Error = "This is not your current password."
	wrong.Notices.Webhook.Value, wrong.Notices.Webhook.Error = "http://169.254.169.254/",
		"This address is not on the public internet."
	wrong.Notices.Kinds.Error = "There is no such kind of notice."
	bare := p
	bare.Notices.Email.Checked = false
	bare.Notices.Email.Hint = ""
	bare.Notices.Email.Disabled = true
	bare.Notices.EmailState = ""
	bare.Notices.Email.Why = "This server cannot send e-mail: an administrator sets CARILLON_SMTP_URL."
	bare.Notices.Webhook.Value, bare.Notices.HasWebhook, bare.Notices.WebhookState = "", false, ""
	bare.Password.None = "You sign in without a password here. An administrator can give you one."
	bare.Logins = p.Logins[:1]
	secret := p
	secret.NewSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	linked := views.NewProfilePage()
	linked.Now, linked.Email, linked.Name.Value = now, "mira@acme.example", "Mira Okafor"
	linked.TimeZone.Value, linked.TimeZone.Options = "UTC", []views.Choice{{Value: "UTC", Label: "UTC", Group: "Other"}}
	linked.Password.None = "You sign in without a password here. An administrator can give you one."
	linked.Identities = sampleIdentities()
	page := samplePage("Profile", "settings")
	return []Specimen{
		{Name: "page-profile", Page: views.Profile(page, p)},
		{Name: "page-profile-wrong", Page: views.Profile(page, wrong)},
		{Name: "page-profile-bare", Page: views.Profile(page, bare)},
		{Name: "page-profile-secret", Page: views.Profile(page, secret)},
		{Name: "page-profile-sign-on", Page: views.Profile(samplePage("Profile", "settings"), linked)},
	}
}

func sampleIdentities() []views.IdentityItem {
	return []views.IdentityItem{{
		Provider: "login.acme.example", Email: "mira@acme.example", Since: ago(76 * time.Hour),
		Used: ago(9 * time.Hour),
	}}
}
