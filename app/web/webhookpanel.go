package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// webhook is the panel of an HTTP Trigger. A token is there only right after it was made.
func (s automationPages) webhook(r *http.Request, actor account.Actor, a *db.Automation,
	token string) (*views.Webhook, error) {
	w := &views.Webhook{
		Automation: a.ID.String(), Token: token, CanManage: automation.CanManage(actor, a),
		URL: s.Link(views.TriggerURL(token)),
	}
	current, err := db.CurrentToken(r.Context(), s.DB, a.ID)
	if err != nil && !db.IsNotFound(err) {
		return nil, err
	}
	if err == nil {
		w.Fingerprint = automation.Fingerprint(current.Hash)
	}
	calls, err := db.Deliveries(r.Context(), s.DB, a.ID, db.DeliveryFilter{Limit: 1})
	if err != nil {
		return nil, err
	}
	w.LastCall = "It has not been called yet."
	if len(calls) > 0 {
		c := calls[0]
		from := ""
		if w.CanManage { // whose address it is, is for who may look into the calls
			from = " from " + c.Address
		}
		w.LastCall = fmt.Sprintf("Last called %s%s with the token %s, answered %d.",
			views.Moment(c.LastAt.In(page.Zone(actor)), s.Now().In(page.Zone(actor))), from, c.Fingerprint, c.Status)
	}
	w.Examples = s.snippets(s.Rules.Definitions().Names(a.Provider, a.Prompt))
	return w, nil
}

// snippets are ready to copy into the systems that call. They take the token from a secret of that system.
func (s automationPages) snippets(names []string) []views.Snippet {
	address := s.Link(views.TriggerURL(""))
	var fields []string
	for _, name := range names {
		if !strings.Contains(name, ".") {
			fields = append(fields, fmt.Sprintf("%q: %q", name, "…"))
		}
	}
	body := "{" + strings.Join(fields, ", ") + "}"
	curl := fmt.Sprintf(
		"curl --fail-with-body -X POST \"%s\" \\\n  -H \"%s: $CARILLON_TOKEN\" \\\n  -H \"Content-Type: "+
			"application/json\" \\\n  -d '%s'", address, automation.TokenHeader, body)
	indent := func(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }
	return []views.Snippet{
		{ID: "snippet-curl", Name: "curl", Text: curl},
		{
			ID: "snippet-github", Name: "GitHub Actions",
			Text: "- name: Trigger Carillon\n  env:\n    CARILLON_TOKEN: ${{ secrets.CARILLON_TOKEN }}\n  run: |\n" +
				indent(curl, "    "),
		},
		{
			ID: "snippet-gitlab", Name: "GitLab CI",
			Text: "# CARILLON_TOKEN is a masked variable of the project\ntrigger-carillon:\n  script:\n    - |\n" +
				indent(curl, "      "),
		},
		{
			ID: "snippet-azure", Name: "Azure Pipelines", Text: "- script: |\n" + indent(curl, "    ") +
				"\n  displayName: Trigger Carillon\n  env:\n    CARILLON_TOKEN: $(CARILLON_TOKEN)",
		},
		{
			ID: "snippet-powershell", Name: "PowerShell",
			Text: fmt.Sprintf(
				"Invoke-RestMethod -Method Post -Uri \"%s\" `\n  -Headers @{ \"%s\" = $env:CARILLON_TOKEN } `\n  "+
					"-ContentType \"application/json\" `\n  -Body '%s'", address, automation.TokenHeader,
				body),
		},
	}
}

func (s automationPages) regenerateToken(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	grace, ok := automation.GraceOf(r.PostFormValue("grace"))
	if !ok {
		return fault.Invalid{"grace": "Choose how long the previous address goes on working."}
	}
	token, err := s.Rules.Webhooks().RegenerateToken(r.Context(), actor, automationID, grace)
	if err != nil {
		return err
	}
	return s.showToken(w, r, automationID, token)
}

// tokenPurpose binds a token on its way to the page to its automation.
func tokenPurpose(automationID uuid.UUID) string { return "new token " + automationID.String() }

// showToken goes to the page that shows a new token this once. Until then it travels in the cookie, encrypted.
func (s automationPages) showToken(w http.ResponseWriter, r *http.Request, automationID uuid.UUID, token string) error {
	c := s.Cookie(r)
	c.Values["token"] = base64.RawURLEncoding.EncodeToString(s.Keys.Seal(token, tokenPurpose(automationID)))
	if err := c.Save(r, w); err != nil {
		return err
	}
	return s.Redirect(w, r, views.AutomationSettingsURL(automationID.String()),
		"Copy the webhook address now. It is shown only once.")
}

// shownToken takes the token to show, if there is one for this automation.
func (s automationPages) shownToken(w http.ResponseWriter, r *http.Request, automationID uuid.UUID) string {
	c := s.Cookie(r)
	sealed, ok := c.Values["token"].(string)
	if !ok {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return ""
	}
	token, err := s.Keys.Open(raw, tokenPurpose(automationID))
	if err != nil {
		return "" // another automation's
	}
	delete(c.Values, "token")
	if err := c.Save(r, w); err != nil {
		s.Log.Warn("save cookie", "err", err)
	}
	return token
}
