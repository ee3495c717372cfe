package web

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carillon/app/account"
)

var madeToken = regexp.MustCompile(`value="(` + account.TokenPrefix + `[\w-]{43})"`)

// newToken makes an API token of a person's on its page.
func (b *browser) newToken(permissions ...account.Permission) string {
	b.t.Helper()
	fields := []string{"name", "Script", "days", "90", "scope", "all"}
	for _, p := range permissions {
		fields[5] = "only"
		fields = append(fields, "permissions", string(p))
	}
	a := b.post("/settings/tokens", fields...)
	m := madeToken.FindStringSubmatch(a.body)
	if m == nil {
		b.t.Fatalf("no token was made: %d %.600s", a.StatusCode, a.body)
	}
	return m[1]
}

func TestATokenIsShownOnceAndRevokedOnItsPage(t *testing.T) {
	s := open(t)
	b := s.as("Owner", account.RoleMember)
	b.post("/settings/tokens", "name", "Nightly", "days", "90", "scope", "only").
		expect(t, http.StatusUnprocessableEntity, "Tick what the token may do.")
	made := b.newToken(account.ViewOwn)
	page := b.get("/settings/tokens")
	page.expect(t, http.StatusOK, "automations.view_own")
	if strings.Contains(page.body, made) {
		t.Error("the token is on the page a second time")
	}
	m := regexp.MustCompile(`action="(/settings/tokens/[^"]+/revocation)"`).FindStringSubmatch(page.body)
	if m == nil {
		t.Fatal("the page has no way to revoke the token")
	}
	if _, err := s.server.Accounts.ActorByToken(t.Context(), made); err != nil {
		t.Errorf("the token opens nothing: %v", err)
	}
	if a := b.post(m[1]); a.StatusCode != http.StatusSeeOther {
		t.Errorf("revoking answered %d; want to be sent on", a.StatusCode)
	}
	if _, err := s.server.Accounts.ActorByToken(t.Context(), made); err == nil {
		t.Error("the token is good after it was revoked")
	}
}

func TestATokenIsNoSignIn(t *testing.T) {
	s := open(t)
	made := s.as("Owner", account.RoleMember).newToken()
	for _, path := range []string{"/", "/settings/tokens", "/automations"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.URL+path, nil)
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+made)
		if a := s.nobody().do(req); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"),
			"/login") {
			t.Errorf("%s answered %d to a token; want to be asked to sign in", path, a.StatusCode)
		}
	}
}
