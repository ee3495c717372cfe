package settings_test

import (
	"net/http"
	"testing"

	"carillon/app/account"
	"carillon/app/web/webtest"
)

func TestTogglesAreEditedAndResetByTheirPage(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	b.Get("/settings/toggles").Expect(t, http.StatusOK, "Documentation: bring")
	fields := []string{"update_docs", "Write <b>it</b> down."}
	if a := b.Post("/settings/toggles", fields...); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving answered %d %.600s", a.StatusCode, a.Text)
	}
	page := b.Get("/settings/toggles")
	page.Expect(t, http.StatusOK, "Write &lt;b&gt;it&lt;/b&gt; down.")
	page.Expect(t, http.StatusOK, `formaction="/settings/toggles/update_docs/reset"`)
	bad := b.Post("/settings/toggles", "update_docs", " ", "update_tests", "kept")
	bad.Expect(t, http.StatusUnprocessableEntity, "Write what the agent is told, or reset it.")
	bad.Expect(t, http.StatusUnprocessableEntity, "kept")
	if a := b.Post("/settings/toggles/update_docs/reset"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("resetting answered %d", a.StatusCode)
	}
	b.Get("/settings/toggles").Expect(t, http.StatusOK, "Documentation: bring")
}
