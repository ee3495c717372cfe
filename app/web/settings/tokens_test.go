package settings_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/web/webtest"
)

func TestATokenIsShownOnceAndRevokedOnItsPage(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Owner", account.RoleMember)
	b.Post("/settings/tokens", "name", "Nightly", "days", "90", "scope", "only").
		Expect(t, http.StatusUnprocessableEntity, "Tick what the token may do.")
	made := b.NewToken(account.ViewOwn)
	page := b.Get("/settings/tokens")
	page.Expect(t, http.StatusOK, "automations.view_own")
	if strings.Contains(page.Text, made) {
		t.Error("the token is on the page a second time")
	}
	m := regexp.MustCompile(`action="(/settings/tokens/[^"]+/revocation)"`).FindStringSubmatch(page.Text)
	if m == nil {
		t.Fatal("the page has no way to revoke the token")
	}
	if _, err := s.Server.Accounts.ActorByToken(t.Context(), made); err != nil {
		t.Errorf("the token opens nothing: %v", err)
	}
	if a := b.Post(m[1]); a.StatusCode != http.StatusSeeOther {
		t.Errorf("revoking answered %d; want to be sent on", a.StatusCode)
	}
	if _, err := s.Server.Accounts.ActorByToken(t.Context(), made); err == nil {
		t.Error("the token is good after it was revoked")
	}
}

func TestATokenIsNoSignIn(t *testing.T) {
	s := webtest.Open(t)
	made := s.As("Owner", account.RoleMember).NewToken()
	for _, path := range []string{"/", "/settings/tokens", "/automations"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.HTTP.URL+path, nil)
		webtest.Check(t, err)
		req.Header.Set("Authorization", "Bearer "+made)
		if a := s.Nobody().Do(req); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"),
			"/login") {
			t.Errorf("%s answered %d to a token; want to be asked to sign in", path, a.StatusCode)
		}
	}
}
