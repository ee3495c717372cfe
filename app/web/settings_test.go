package web

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/inbox"
	"carillon/db"
)

// openSettings is a site whose accounts can keep secrets and send e-mail.
func openSettings(t *testing.T) *site {
	t.Helper()
	s := open(t)
	s.server.Accounts.Keys, s.server.Accounts.Mail, s.server.Accounts.NoticeKinds = s.server.Keys, true, nil
	for _, k := range inbox.Kinds {
		s.server.Accounts.NoticeKinds = append(s.server.Accounts.NoticeKinds, k.Kind)
	}
	return s
}

func TestSettingsNeedASignIn(t *testing.T) {
	s := openSettings(t)
	b := s.nobody()
	for _, path := range []string{"/settings", "/settings/profile"} {
		if a := b.get(path); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"),
			"/login?next=") {
			t.Errorf("GET %s answered %d to %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	for _, action := range []string{"", "/password", "/notices", "/webhook-secret", "/sign-outs",
		"/sign-outs/" + uuid.NewString()} {
		if a := b.post("/settings/profile" + action); a.StatusCode != http.StatusSeeOther ||
			a.Header.Get("Location") != "/login" {
			t.Errorf("POST /settings/profile%s answered %d to %s", action, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestSettingsLeadToTheProfile(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	if a := b.get("/settings"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/settings/profile" {
		t.Errorf("answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	b.get("/settings/profile").expect(t, http.StatusOK, `value="Mira@example.com"`)
}

func TestAProfileIsSavedByItsForm(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	if a := b.post("/settings/profile", "name", "Mira Okafor", "time_zone", "Asia/Kolkata", "theme", "dark", "email",
		"eve@example.com", "id", uuid.NewString()); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("answered %d", a.StatusCode)
	}
	a := b.get("/settings/profile")
	for _, want := range []string{`value="Mira Okafor"`, `<option value="Asia/Kolkata" selected>`, `data-theme="dark"`,
		"Saved.", `value="Mira@example.com"`} {
		a.expect(t, http.StatusOK, want)
	}
}

func TestMistakesOfAProfileStandBesideTheirFieldsWithWhatWasTyped(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	a := b.post("/settings/profile", "name", " ", "time_zone", "Mars/<Olympus>", "theme", "")
	for _, want := range []string{"Enter your name.", `id="name-error"`, `id="time_zone-error"`,
		`<option value="Europe/Berlin">`} {
		a.expect(t, http.StatusUnprocessableEntity, want)
	}
	if strings.Contains(a.body, "Mars/<Olympus>") {
		t.Error("what was typed is markup")
	}
}

func TestAPasswordIsChangedByItsForm(t *testing.T) {
	s := openSettings(t)
	// ends the sign-in of the kit
	check(t, s.server.Accounts.SetPassword(t.Context(), nil, s.as("Ada", account.RoleMember).actor.ID,
		"the old password"))
	ada := s.nobody()
	signIn := func(b *browser, password string) *answer {
		return b.post("/login", "email", "ada@example.com", "password", password)
	}
	if a := signIn(ada, "the old password"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Fatalf("signing in answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	elsewhere := s.nobody()
	signIn(elsewhere, "the old password")
	a := ada.post("/settings/profile/password", "current", "not the old one", "password", "the new password")
	a.expect(t, http.StatusUnprocessableEntity, "This is not your current password.")
	if strings.Contains(a.body, "not the old one") || strings.Contains(a.body, "the new password") {
		t.Error("the page repeats a password")
	}
	if a := ada.post("/settings/profile/password", "current", "the old password", "password",
		"the new password"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("answered %d", a.StatusCode)
	}
	ada.get("/settings/profile").expect(t, http.StatusOK, "The password was changed")
	if a := elsewhere.get("/settings/profile"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("elsewhere it answers %d; want to be signed out", a.StatusCode)
	}
	signIn(s.nobody(), "the old password").expect(t, http.StatusUnprocessableEntity, "wrong")
}

func TestSignInsAreListedAndEndedFromThePage(t *testing.T) {
	s := openSettings(t)
	b := s.as("Mira", account.RoleMember)
	now := time.Now()
	add := func(user uuid.UUID, agent string) string {
		l := &db.Login{
			ID: db.NewID(), UserID: user, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
			Address: "203.0.113.9", UserAgent: agent,
		}
		check(t, db.InsertLogin(t.Context(), s.server.DB, l))
		return l.ID.String()
	}
	phone := add(b.actor.ID,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 "+
			"Safari/604.1")
	add(b.actor.ID, `<script>alert(1)</script>`)
	other := s.as("Jonas", account.RoleMember)
	foreign := add(other.actor.ID, "curl/8")
	a := b.get("/settings/profile")
	for _, want := range []string{"Safari on iOS", "203.0.113.9", "This browser", "&lt;script&gt;alert(1)",
		"Sign out everywhere else"} {
		a.expect(t, http.StatusOK, want)
	}
	if strings.Contains(a.body, foreign) || strings.Contains(a.body, "<script>alert") {
		t.Error("the page has somebody else's sign-in, or markup of a stranger")
	}
	b.post("/settings/profile/sign-outs/"+foreign).expect(t, http.StatusNotFound, "")
	b.post("/settings/profile/sign-outs/nonsense").expect(t, http.StatusNotFound, "")
	if a := b.post("/settings/profile/sign-outs/" + phone); a.StatusCode != http.StatusSeeOther {
		t.Errorf("ending one answered %d", a.StatusCode)
	}
	if a := b.get("/settings/profile"); strings.Contains(a.body, "Safari on iOS") ||
		!strings.Contains(a.body, "alert(1)") {
		t.Error("not exactly that one is over")
	}
	b.post("/settings/profile/sign-outs")
	if a := b.get("/settings/profile"); strings.Contains(a.body, "alert(1)") ||
		strings.Contains(a.body, "Sign out everywhere else") {
		t.Error("others hold still")
	}
	other.get("/settings/profile").expect(t, http.StatusOK, "This browser")
}

var shownSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

func TestTheSecretOfAWebhookIsShownOnce(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	kinds := []string{"webhook", "https://example.com/hook", "email", "true", "kinds", "disabled", "kinds", "missed"}
	first := b.post("/settings/profile/notices", kinds...)
	first.expect(t, http.StatusOK, "Copy the secret of your webhook now.")
	secret := shownSecret.FindString(first.body)
	a := b.get("/settings/profile")
	a.expect(t, http.StatusOK, `value="https://example.com/hook"`)
	if secret == "" || shownSecret.MatchString(a.body) {
		t.Errorf("the secret %q shows again", secret)
	}
	if got := strings.Count(a.body, `name="kinds"`) - strings.Count(a.body,
		`name="kinds" value="disabled" checked`) - strings.Count(a.body,
		`name="kinds" value="missed" checked`); got != len(inbox.Kinds)-2 {
		t.Errorf("the kinds on the page are not those saved: %d others", got)
	}
	if a := b.post("/settings/profile/notices", kinds...); a.StatusCode != http.StatusSeeOther {
		t.Errorf("saving again answered %d", a.StatusCode)
	}
	renewed := b.post("/settings/profile/webhook-secret")
	renewed.expect(t, http.StatusOK, "Copy the secret")
	if again := shownSecret.FindString(renewed.body); again == "" || again == secret {
		t.Errorf("renewed to %q from %q", again, secret)
	}
}

func TestWebhooksIntoThisNetworkAreRefusedBesideTheField(t *testing.T) {
	b := openSettings(t).as("Mira", account.RoleMember)
	a := b.post("/settings/profile/notices", "webhook", "http://169.254.169.254/latest/meta-data/")
	a.expect(t, http.StatusUnprocessableEntity, "This address is not on the public internet.")
	a.expect(t, http.StatusUnprocessableEntity, `value="http://169.254.169.254/latest/meta-data/"`)
}

func TestWithoutAMailServerThePageSaysSo(t *testing.T) {
	s := openSettings(t)
	s.server.Accounts.Mail = false
	b := s.as("Mira", account.RoleMember)
	b.get("/settings/profile").expect(t, http.StatusOK, "This server cannot send e-mail")
	b.post("/settings/profile/notices", "email", "true").expect(t, http.StatusUnprocessableEntity,
		"no mail server is set")
}

func TestThePageSaysHowTheLastCopyFared(t *testing.T) {
	s := openSettings(t)
	b := s.as("Mira", account.RoleMember)
	b.post("/settings/profile/notices", "webhook", "https://example.com/hook", "kinds", "disabled")
	now := time.Now()
	_, err := db.InsertNotifications(t.Context(), s.server.DB,
		[]db.Notification{{
			ID: db.NewID(), UserID: b.actor.ID, Kind: "disabled", Title: "x", DedupKey: "x", CreatedAt: now,
		}})
	check(t, err)
	list, err := db.ClaimCopies(t.Context(), s.server.DB, db.WebhookChannel, now, now.Add(time.Minute), nil, 10)
	check(t, err)
	c := &list[0].Copy
	c.Status, c.LastError, c.NextAttemptAt = db.CopyQueued, "the webhook answered <500>",
		now.Add(5*time.Minute+30*time.Second)
	check(t, db.EndCopy(t.Context(), s.server.DB, c))
	b.get("/settings/profile").expect(t, http.StatusOK,
		"The last one could not be sent yet: the webhook answered &lt;500&gt;. It is tried again in 5 min.")
	c.Status = db.CopyFailed
	check(t, db.EndCopy(t.Context(), s.server.DB, c))
	b.get("/settings/profile").expect(t, http.StatusOK, "The last one failed after 1 attempt")
}
