package settings_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/inbox"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestSettingsNeedASignIn(t *testing.T) {
	s := webtest.OpenSettings(t)
	b := s.Nobody()
	for _, path := range []string{"/settings", "/settings/profile"} {
		if a := b.Get(path); a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"),
			"/login?next=") {
			t.Errorf("GET %s answered %d to %s", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	for _, action := range []string{"", "/password", "/notices", "/webhook-secret", "/sign-outs",
		"/sign-outs/" + uuid.NewString()} {
		if a := b.Post("/settings/profile" + action); a.StatusCode != http.StatusSeeOther ||
			a.Header.Get("Location") != "/login" {
			t.Errorf("POST /settings/profile%s answered %d to %s", action, a.StatusCode, a.Header.Get("Location"))
		}
	}
}

func TestSettingsLeadToTheProfile(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	if a := b.Get("/settings"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/settings/profile" {
		t.Errorf("answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	b.Get("/settings/profile").Expect(t, http.StatusOK, `value="Mira@example.com"`)
}

func TestAProfileIsSavedByItsForm(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	if a := b.Post("/settings/profile", "name", "Mira Okafor", "time_zone", "Asia/Kolkata", "theme", "dark", "email",
		"eve@example.com", "id", uuid.NewString()); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("answered %d", a.StatusCode)
	}
	a := b.Get("/settings/profile")
	for _, want := range []string{`value="Mira Okafor"`, `<option value="Asia/Kolkata" selected>`, `data-theme="dark"`,
		"Saved.", `value="Mira@example.com"`} {
		a.Expect(t, http.StatusOK, want)
	}
}

func TestMistakesOfAProfileStandBesideTheirFieldsWithWhatWasTyped(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	a := b.Post("/settings/profile", "name", " ", "time_zone", "Mars/<Olympus>", "theme", "")
	for _, want := range []string{"Enter your name.", `id="name-error"`, `id="time_zone-error"`,
		`<option value="Europe/Berlin">`} {
		a.Expect(t, http.StatusUnprocessableEntity, want)
	}
	if strings.Contains(a.Text, "Mars/<Olympus>") {
		t.Error("what was typed is markup")
	}
}

func TestAPasswordIsChangedByItsForm(t *testing.T) {
	s := webtest.OpenSettings(t)
	// ends the sign-in of the kit
	webtest.Check(t, s.Server.Accounts.SetPassword(t.Context(), nil, s.As("Ada", account.RoleMember).Actor.ID,
		"the old password"))
	ada := s.Nobody()
	signIn := func(b *webtest.Browser, password string) *webtest.Answer {
		return b.Post("/login", "email", "ada@example.com", "password", password)
	}
	if a := signIn(ada, "the old password"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Fatalf("signing in answered %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	elsewhere := s.Nobody()
	signIn(elsewhere, "the old password")
	a := ada.Post("/settings/profile/password", "current", "not the old one", "password", "the new password")
	a.Expect(t, http.StatusUnprocessableEntity, "This is not your current password.")
	if strings.Contains(a.Text, "not the old one") || strings.Contains(a.Text, "the new password") {
		t.Error("the page repeats a password")
	}
	if a := ada.Post("/settings/profile/password", "current", "the old password", "password",
		"the new password"); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("answered %d", a.StatusCode)
	}
	ada.Get("/settings/profile").Expect(t, http.StatusOK, "The password was changed")
	if a := elsewhere.Get("/settings/profile"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("elsewhere it answers %d; want to be signed out", a.StatusCode)
	}
	signIn(s.Nobody(), "the old password").Expect(t, http.StatusUnprocessableEntity, "wrong")
}

func TestSignInsAreListedAndEndedFromThePage(t *testing.T) {
	s := webtest.OpenSettings(t)
	b := s.As("Mira", account.RoleMember)
	now := time.Now()
	add := func(user uuid.UUID, agent string) string {
		l := &db.Login{
			ID: db.NewID(), UserID: user, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
			Address: "203.0.113.9", UserAgent: agent,
		}
		webtest.Check(t, db.InsertLogin(t.Context(), s.Server.DB, l))
		return l.ID.String()
	}
	phone := add(b.Actor.ID,
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 "+
			"Safari/604.1")
	add(b.Actor.ID, `<script>alert(1)</script>`)
	other := s.As("Jonas", account.RoleMember)
	foreign := add(other.Actor.ID, "curl/8")
	a := b.Get("/settings/profile")
	for _, want := range []string{"Safari on iOS", "203.0.113.9", "This browser", "&lt;script&gt;alert(1)",
		"Sign out everywhere else"} {
		a.Expect(t, http.StatusOK, want)
	}
	if strings.Contains(a.Text, foreign) || strings.Contains(a.Text, "<script>alert") {
		t.Error("the page has somebody else's sign-in, or markup of a stranger")
	}
	b.Post("/settings/profile/sign-outs/"+foreign).Expect(t, http.StatusNotFound, "")
	b.Post("/settings/profile/sign-outs/nonsense").Expect(t, http.StatusNotFound, "")
	if a := b.Post("/settings/profile/sign-outs/" + phone); a.StatusCode != http.StatusSeeOther {
		t.Errorf("ending one answered %d", a.StatusCode)
	}
	if a := b.Get("/settings/profile"); strings.Contains(a.Text, "Safari on iOS") ||
		!strings.Contains(a.Text, "alert(1)") {
		t.Error("not exactly that one is over")
	}
	b.Post("/settings/profile/sign-outs")
	if a := b.Get("/settings/profile"); strings.Contains(a.Text, "alert(1)") ||
		strings.Contains(a.Text, "Sign out everywhere else") {
		t.Error("others hold still")
	}
	other.Get("/settings/profile").Expect(t, http.StatusOK, "This browser")
}

var shownSecret = regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`)

func TestTheSecretOfAWebhookIsShownOnce(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	kinds := []string{"webhook", "https://example.com/hook", "email", "true", "kinds", "disabled", "kinds", "missed"}
	first := b.Post("/settings/profile/notices", kinds...)
	first.Expect(t, http.StatusOK, "Copy the secret of your webhook now.")
	secret := shownSecret.FindString(first.Text)
	a := b.Get("/settings/profile")
	a.Expect(t, http.StatusOK, `value="https://example.com/hook"`)
	if secret == "" || shownSecret.MatchString(a.Text) {
		t.Errorf("the secret %q shows again", secret)
	}
	if got := strings.Count(a.Text, `name="kinds"`) - strings.Count(a.Text,
		`name="kinds" value="disabled" checked`) - strings.Count(a.Text,
		`name="kinds" value="missed" checked`); got != len(inbox.Kinds)-2 {
		t.Errorf("the kinds on the page are not those saved: %d others", got)
	}
	if a := b.Post("/settings/profile/notices", kinds...); a.StatusCode != http.StatusSeeOther {
		t.Errorf("saving again answered %d", a.StatusCode)
	}
	renewed := b.Post("/settings/profile/webhook-secret")
	renewed.Expect(t, http.StatusOK, "Copy the secret")
	if again := shownSecret.FindString(renewed.Text); again == "" || again == secret {
		t.Errorf("renewed to %q from %q", again, secret)
	}
}

func TestWebhooksIntoThisNetworkAreRefusedBesideTheField(t *testing.T) {
	b := webtest.OpenSettings(t).As("Mira", account.RoleMember)
	a := b.Post("/settings/profile/notices", "webhook", "http://169.254.169.254/latest/meta-data/")
	a.Expect(t, http.StatusUnprocessableEntity, "This address is not on the public internet.")
	a.Expect(t, http.StatusUnprocessableEntity, `value="http://169.254.169.254/latest/meta-data/"`)
}

func TestWithoutAMailServerThePageSaysSo(t *testing.T) {
	s := webtest.OpenSettings(t)
	s.Server.Accounts.Mail = false
	b := s.As("Mira", account.RoleMember)
	b.Get("/settings/profile").Expect(t, http.StatusOK, "This server cannot send e-mail")
	b.Post("/settings/profile/notices", "email", "true").Expect(t, http.StatusUnprocessableEntity,
		"no mail server is set")
}

func TestThePageSaysHowTheLastCopyFared(t *testing.T) {
	s := webtest.OpenSettings(t)
	b := s.As("Mira", account.RoleMember)
	b.Post("/settings/profile/notices", "webhook", "https://example.com/hook", "kinds", "disabled")
	now := time.Now()
	_, err := db.InsertNotifications(t.Context(), s.Server.DB,
		[]db.Notification{{
			ID: db.NewID(), UserID: b.Actor.ID, Kind: "disabled", Title: "x", DedupKey: "x", CreatedAt: now,
		}})
	webtest.Check(t, err)
	list, err := db.ClaimCopies(t.Context(), s.Server.DB, db.WebhookChannel, now, now.Add(time.Minute), nil, 10)
	webtest.Check(t, err)
	c := &list[0].Copy
	c.Status, c.LastError, c.NextAttemptAt = db.CopyQueued, "the webhook answered <500>",
		now.Add(5*time.Minute+30*time.Second)
	webtest.Check(t, db.EndCopy(t.Context(), s.Server.DB, c))
	b.Get("/settings/profile").Expect(t, http.StatusOK,
		"The last one could not be sent yet: the webhook answered &lt;500&gt;. It is tried again in 5 min.")
	c.Status = db.CopyFailed
	webtest.Check(t, db.EndCopy(t.Context(), s.Server.DB, c))
	b.Get("/settings/profile").Expect(t, http.StatusOK, "The last one failed after 1 attempt")
}
