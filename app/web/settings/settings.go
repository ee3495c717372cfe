// Package settings has the pages of the settings: a person's own account and API tokens, providers, people and roles,
// session toggles, isolation, usage and the audit log.
package settings

import (
	"context"
	"net/http"
	"strings"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/views"
)

// Pages are the pages of the settings. Letter is set once, in main; Init prepares the rest.
type Pages struct {
	*page.Site
	// Letter sends an e-mail of plain text now; nil: there is no mail server.
	Letter func(ctx context.Context, to, subject, text string) error
}

// Init prepares the pages for a site.
func (s *Pages) Init(site *page.Site) { s.Site = site }

// Routes adds the addresses of the pages.
func (s *Pages) Routes(mux *middleware.Routes) {
	profile := profilePages{s}
	mux.HandleFunc("GET /settings", s.Page(profile.index))
	mux.HandleFunc("GET /settings/profile", s.Page(profile.one))
	mux.HandleFunc("POST /settings/profile", s.Page(profile.update))
	mux.HandleFunc("POST /settings/profile/password", s.Page(profile.changePassword))
	mux.HandleFunc("POST /settings/profile/notices", s.Page(profile.updateNotices))
	mux.HandleFunc("POST /settings/profile/webhook-secret", s.Page(profile.renewWebhookSecret))
	mux.HandleFunc("POST /settings/profile/sign-outs", s.Page(profile.endOtherLogins))
	mux.HandleFunc("POST /settings/profile/sign-outs/{id}", s.Page(profile.endLogin))

	tokens := tokenPages{s}
	mux.HandleFunc("GET /settings/tokens", s.Page(tokens.list))
	mux.HandleFunc("POST /settings/tokens", s.Page(tokens.create))
	mux.HandleFunc("POST /settings/tokens/{id}/revocation", s.Page(tokens.revoke))

	providers := providerPages{s}
	mux.HandleFunc("GET /settings/providers", s.Page(providers.list))
	mux.HandleFunc("POST /settings/providers", s.Page(providers.create))
	mux.HandleFunc("GET /settings/providers/new", s.Page(providers.new))
	mux.HandleFunc("GET /settings/providers/{provider}", s.Page(providers.one))
	mux.HandleFunc("POST /settings/providers/{provider}", s.Page(providers.update))
	mux.HandleFunc("GET /settings/providers/{provider}/edit", s.Page(providers.edit))
	mux.HandleFunc("POST /settings/providers/{provider}/enabled", s.Page(providers.enable))
	mux.HandleFunc("POST /settings/providers/{provider}/models", s.Page(providers.saveModels))
	mux.HandleFunc("POST /settings/providers/{provider}/trial", s.Page(providers.try))
	mux.HandleFunc("POST /settings/providers/{provider}/resumption", s.Page(providers.resume))
	mux.HandleFunc("POST /settings/providers/{provider}/deletion", s.Page(providers.delete))

	usage := usagePages{s}
	mux.HandleFunc("GET /settings/usage", s.Page(usage.list))

	isolation := isolationPages{s}
	mux.HandleFunc("GET /settings/isolation", s.Page(isolation.list))

	toggles := togglePages{s}
	mux.HandleFunc("GET /settings/toggles", s.Page(toggles.list))
	mux.HandleFunc("POST /settings/toggles", s.Page(toggles.save))
	mux.HandleFunc("POST /settings/toggles/{key}/reset", s.Page(toggles.reset))

	users := userPages{s}
	mux.HandleFunc("GET /settings/users", s.Page(users.list))
	mux.HandleFunc("POST /settings/users", s.Page(users.invite))
	mux.HandleFunc("GET /settings/users/new", s.Page(users.new))
	mux.HandleFunc("GET /settings/users/{id}", s.Page(users.one))
	mux.HandleFunc("POST /settings/users/{id}", s.Page(users.update))
	mux.HandleFunc("POST /settings/users/{id}/roles", s.Page(users.setRoles))
	mux.HandleFunc("POST /settings/users/{id}/invitation", s.Page(users.renewInvitation))
	mux.HandleFunc("POST /settings/users/{id}/reset", s.Page(users.resetPassword))
	mux.HandleFunc("POST /settings/users/{id}/address", s.Page(users.renewAddressLink))
	mux.HandleFunc("POST /settings/users/{id}/deactivation", s.Page(users.deactivate))
	mux.HandleFunc("POST /settings/users/{id}/activation", s.Page(users.activate))
	mux.HandleFunc("POST /settings/users/{id}/unlinking", s.Page(users.unlink))
	mux.HandleFunc("POST /settings/users/{id}/token-revocation", s.Page(users.revokeTokens))
	mux.HandleFunc("POST /settings/users/{id}/memberships", s.Page(users.changeMembership))
	mux.HandleFunc("POST /settings/users/{id}/transfer", s.Page(users.handOver))

	roles := rolePages{s}
	mux.HandleFunc("GET /settings/roles", s.Page(roles.list))
	mux.HandleFunc("POST /settings/roles", s.Page(roles.create))
	mux.HandleFunc("GET /settings/roles/new", s.Page(roles.new))
	mux.HandleFunc("GET /settings/roles/{id}", s.Page(roles.one))
	mux.HandleFunc("POST /settings/roles/{id}", s.Page(roles.update))
	mux.HandleFunc("POST /settings/roles/{id}/deletion", s.Page(roles.delete))
	mux.HandleFunc("GET /help/permissions", s.Page(roles.permissions))

	audit := auditPages{s}
	mux.HandleFunc("GET /settings/audit", s.Page(audit.list))
	mux.HandleFunc("GET /settings/audit/export/{format}", s.Page(audit.export))

	preferences := preferencePages{s}
	mux.HandleFunc("POST /preferences/theme", s.Page(preferences.chooseTheme))
	mux.HandleFunc("POST /preferences/workspace", s.Page(preferences.chooseWorkspace))
}

// settingsTabs are the parts of the settings that a person may open.
func settingsTabs(actor account.Actor, path string) []views.Tab {
	var tabs []views.Tab
	for _, t := range []struct {
		label, url string
		needs      account.Permission
	}{
		{"Profile", views.ProfileURL(), ""},
		{"API tokens", views.TokensURL(), ""},
		{"Providers", views.ProvidersURL(), ""},
		{"Users", views.UsersURL(), account.ManageUsers},
		{"Roles", views.RolesURL(), account.ManageUsers},
		{"Session toggles", views.TogglesURL(), account.ManageSettings},
		{"Isolation", views.IsolationURL(), account.ManageSettings},
		{"Usage", views.UsageURL(""), ""},
		{"Audit log", views.AuditURL(), account.ViewAudit},
	} {
		if t.needs == "" || actor.Can(t.needs) {
			tabs = append(tabs, views.Tab{Label: t.label, URL: t.url, Current: strings.HasPrefix(path, t.url)})
		}
	}
	return tabs
}

// withSettings is with for a part of the settings.
func (s *Pages) withSettings(w http.ResponseWriter, r *http.Request, actor account.Actor, title string,
	page func(p views.Page) error) error {
	return s.With(w, r, actor, "settings", title, func(p views.Page) error {
		p.Settings = settingsTabs(actor, r.URL.Path)
		return page(p)
	})
}
