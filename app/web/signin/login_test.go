package signin_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

// kept is the cookie as the browser has it, or nil.
func kept(b *webtest.Browser) *http.Cookie {
	b.T.Helper()
	address, err := url.Parse(b.HTTP.URL)
	webtest.Check(b.T, err)
	for _, c := range b.Client.Jar.Cookies(address) {
		if c.Name == "carillon" {
			return c
		}
	}
	return nil
}

func TestADeepLinkSurvivesTheSignIn(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	b := s.Nobody()
	const link = "/executions?status=failed&who=me%26you"
	b.Get(link).ExpectTo(t, "/login?next="+url.QueryEscape(link))
	b.Get("/login?next="+url.QueryEscape(link)).Expect(t, 200,
		`name="next" value="/executions?status=failed&amp;who=me%26you"`)
	b.Post("/login", "email", "mira@example.com", "password", "wrong password", "next", link).
		Expect(t, 422, `name="next" value="/executions?status=failed&amp;who=me%26you"`)
	b.SignIn(link).ExpectTo(t, link)
	b.Get(link).Expect(t, 200, "Mira")
	b.Get("/login?next="+url.QueryEscape(link)).ExpectTo(t, link) // signed in already
}

func TestSignInLeadsToThisSiteAlone(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	signedIn := s.Nobody()
	signedIn.SignIn("").ExpectTo(t, "/")
	for _, evil := range []string{
		"//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil.example",
		"javascript:alert(1)", "evil.example",
		"/\t/evil.example", "\t//evil.example", " //evil.example", "/\n/evil.example", "/..//evil.example",
		"/.//evil.example", "///evil.example", "@evil.example",
	} {
		stays(signedIn, signedIn.Get("/login?next="+url.QueryEscape(evil)))
		stays(signedIn, signedIn.Post("/preferences/theme", "theme", "dark", "back", evil))
		b := s.Nobody()
		if page := b.Get("/login?next=" + url.QueryEscape(evil)); strings.Contains(page.Text,
			`name="next" value="http`) {
			t.Errorf("the login page kept %q", evil)
		}
	}
	for _, evil := range []string{"//evil.example", "/\\evil.example", "https://evil.example"} {
		// each costs a password
		b := s.Nobody()
		stays(b, b.SignIn(evil))
	}
}

// stays fails unless a redirect, as a browser resolves it, stays on this site.
func stays(b *webtest.Browser, a *webtest.Answer) {
	b.T.Helper()
	to, err := a.Location()
	if err != nil {
		b.T.Errorf("%s answered %d with %v; want a redirect", a.Request.URL, a.StatusCode, err)
		return
	}
	if raw := a.Header.Get("Location"); to.Host != a.Request.URL.Host || strings.ContainsAny(raw, "\\\t\n") ||
		strings.HasPrefix(raw, "//") {
		b.T.Errorf("%s leads to %q", a.Request.URL, raw)
	}
}

func TestASignInTakesANewLoginAndEndsTheOneBefore(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	attacker := s.As("Eve", account.RoleMember)
	planted := kept(attacker).Value
	victim := s.Bearing(planted)
	victim.SignIn("").ExpectTo(t, "/")
	if kept(victim).Value == planted {
		t.Error("the sign-in kept the cookie that was planted")
	}
	victim.Get("/").Expect(t, 200, "Mira")
	attacker.Get("/").ExpectTo(t, "/login") // the planted login is over
}

func TestASignedOutCookieIsDeadWhoeverKeptIt(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	b := s.Nobody()
	b.SignIn("").ExpectTo(t, "/")
	copied := kept(b).Value
	other := s.Nobody()
	other.SignIn("").ExpectTo(t, "/")
	out := b.Post("/logout")
	out.ExpectTo(t, "/login")
	if kept(b) != nil {
		t.Errorf("the browser keeps its cookie after %q", out.Header.Values("Set-Cookie"))
	}
	s.Bearing(copied).Get("/").ExpectTo(t, "/login")
	other.Get("/").Expect(t, 200, "Mira")
	b.Get("/logout").Expect(t, 405, "does not answer to GET")
}

func TestForgedCookiesAreWorthNothing(t *testing.T) {
	s := webtest.Open(t)
	u := s.Mira()
	b := s.Nobody()
	b.SignIn("").ExpectTo(t, "/")
	real := kept(b).Value
	middle := len(real) / 2
	changed := real[:middle] + map[bool]string{true: "B", false: "A"}[real[middle] == 'A'] + real[middle+1:]
	logins, err := db.Logins(t.Context(), s.Server.DB, u.ID, time.Now())
	webtest.Check(t, err)
	for name, value := range map[string]string{
		"signed by another key":           s.Forged(webtest.Keys(t, webtest.SecondKey), logins[0].ID.String()),
		"signed well, for no login":       s.Forged(webtest.Keys(t, webtest.FirstKey), uuid.NewString()),
		"signed well, for something else": s.Forged(webtest.Keys(t, webtest.FirstKey), "' OR true --"),
		"the id of the login, bare":       logins[0].ID.String(),
		"cut short":                       real[:len(real)/2],
		"with a sign changed":             changed,
		"empty":                           "",
		"rubbish":                         strings.Repeat("x", 3000),
	} {
		forger := s.Bearing(value)
		if got := forger.Get("/"); got.StatusCode != http.StatusSeeOther {
			t.Errorf("a cookie %s answered %d; want to be asked to sign in", name, got.StatusCode)
		}
		if got := forger.Get("/login"); got.StatusCode != http.StatusOK {
			t.Errorf("with a cookie %s the login page answered %d; want 200", name, got.StatusCode)
		}
	}
	b.Get("/").Expect(t, 200, "Mira")
}

func TestCookiesOutliveTheRotationOfTheKeyUntilTheOldOneGoes(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	b := s.Nobody()
	b.SignIn("").ExpectTo(t, "/")
	restart := func(text string) {
		next := *s.Server
		next.Keys = webtest.Keys(t, text)
		next.Init()
		s.HTTP.Config.Handler = s.HandlerOf(&next)
	}
	restart(webtest.SecondKey + "," + webtest.FirstKey)
	b.Get("/").Expect(t, 200, "Mira")
	restart(webtest.SecondKey)
	b.Get("/").ExpectTo(t, "/login")
	b.SignIn("").ExpectTo(t, "/") // a cookie that cannot be read is in nobody's way
	b.Get("/").Expect(t, 200, "Mira")
}

func TestTheCookieHasEveryOption(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	for _, scheme := range []string{"http", "https"} {
		next := *s.Server
		next.PublicURL = &url.URL{Scheme: scheme, Host: s.Server.PublicURL.Host}
		next.Init()
		s.HTTP.Config.Handler = s.HandlerOf(&next)
		list := s.Nobody().SignIn("").Cookies()
		if len(list) != 1 {
			t.Fatalf("%s set %d cookies; want one", scheme, len(list))
		}
		c := list[0]
		if c.Name != "carillon" || c.Path != "/" || c.Domain != "" || c.MaxAge != 14*24*3600 || !c.HttpOnly ||
			c.SameSite != http.SameSiteLaxMode || c.Secure != (scheme == "https") {
			t.Errorf("over %s got %v", scheme, c.Raw)
		}
	}
}

func TestSigningInSaysTheSameOfEverybody(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	ada, err := s.Server.Accounts.Add(t.Context(), nil, account.NewUser{
		Email: "gone@example.com", Name: "X", Password: webtest.Password, Role: account.RoleMember,
	})
	webtest.Check(t, err)
	webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), nil, ada.ID))
	answers := map[string]string{}
	for name, in := range map[string][2]string{
		"wrong password": {"mira@example.com", "wrong password"},
		"unknown":        {"nobo@example.com", webtest.Password},
		"deactivated":    {"gone@example.com", webtest.Password},
		"1 MB":           {"mira@example.com", strings.Repeat("x", 1<<20)},
	} {
		got := s.Nobody().Post("/login", "email", in[0], "password", in[1])
		got.Expect(t, 422, "The e-mail address or the password is wrong.")
		if got.Header.Get("Set-Cookie") != "" || strings.Contains(got.Text, in[1]) {
			t.Errorf("%s: got a cookie %q, or the password back", name, got.Header.Get("Set-Cookie"))
		}
		answers[strings.ReplaceAll(got.Text, in[0], "-")] = name
	}
	if len(answers) != 1 {
		t.Errorf("got %d different answers; want one", len(answers))
	}
}

func TestTooManyAttemptsAreToldWhenToComeAgain(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	var got *webtest.Answer
	for range 11 {
		got = s.Nobody().Post("/login", "email", "mira@example.com", "password", "wrong password")
	}
	wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 900 {
		t.Fatalf("Retry-After is %q; want what is left of 900 seconds", got.Header.Get("Retry-After"))
	}
	minutes := "a minute"
	if wait > 60 {
		minutes = fmt.Sprintf("%d minutes", (wait+59)/60)
	}
	got.Expect(t, 429, "There were too many attempts. Try again in "+minutes+".")
}

func TestTheFirstAdministratorNeedsTheLinkAndItWorksOnce(t *testing.T) {
	s := webtest.Open(t)
	b := s.Nobody()
	b.Get("/login").Expect(t, 200, "Open the link that the server printed")
	for _, path := range []string{"/setup", "/setup?token=", "/setup?token=one-tim", "/setup?token=one-time2"} {
		b.Get(path).Expect(t, 404, "")
		b.Post(path, "email", "a@example.com", "name", "A", "password", webtest.Password).Expect(t, 404, "")
	}
	b.Get("/setup?token=one-time").Expect(t, 200, `name="token" value="one-time"`)
	again := b.Post("/setup", "token", "one-time", "email", "Ａda@example.com", "name", "Ada", "password", "short")
	again.Expect(t, 422, "Use at least 10 characters.")
	again.Expect(t, 422, `value="Ada"`)
	// The letter is a full-width one, which becomes a plain one.
	b.Post("/setup", "token", "one-time", "email", "Ａda@example.com", "name", "Ada", "password", webtest.Password).
		ExpectTo(t, "/")
	b.Get("/").Expect(t, 200, "Administrator")
	other := s.Nobody()
	other.Get("/setup?token=one-time").Expect(t, 404, "")
	other.Post("/setup", "token", "one-time", "email", "b@example.com", "name", "B", "password", webtest.Password).
		Expect(t, 404, "")
	if list, err := db.Users(t.Context(), s.Server.DB); len(list) != 1 || err != nil ||
		list[0].Email != "Ada@example.com" {
		t.Errorf("got %v, %v; want Ada alone", list, err)
	}
}

func TestSetupEndsAtTheLoginWhereItsAddressIsThrottled(t *testing.T) {
	s := webtest.Open(t)
	for i := range 60 { // somebody at this address, guessing
		_, err := s.Server.Accounts.SignIn(t.Context(), strconv.Itoa(i), "x", "127.0.0.1", "")
		if throttled := (*account.Throttled)(nil); errors.As(err, &throttled) {
			break
		}
	}
	s.Nobody().Post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password",
		webtest.Password).
		ExpectTo(t, "/login")
}

func TestSomebodyNewHasTheTimeZoneThatTheySee(t *testing.T) {
	s := webtest.Open(t)
	b := s.Nobody()
	b.Get("/setup?token=one-time").Expect(t, 200, `name="time_zone"`)
	again := b.Post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password",
		webtest.Password,
		"time_zone", "Mars/Base")
	again.Expect(t, 422, `value="Mars/Base"`)
	if strings.Contains(again.Text, "data-zone") {
		t.Error("a script replaces what was typed")
	}
	b.Post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password", webtest.Password,
		"time_zone",
		"Asia/Tokyo").ExpectTo(t, "/")
	link := b.Post("/settings/users", "email", "lena@example.com", "roles", s.RoleID(account.RoleMember)).Link(t)
	lena := s.Nobody()
	lena.Get(link).Expect(t, 200, `name="time_zone"`)
	lena.Post(link, "name", "Lena", "password", webtest.Password, "time_zone", "America/Sao_Paulo").ExpectTo(t, "/")
	for email, want := range map[string]string{
		"ada@example.com": "Asia/Tokyo", "lena@example.com": "America/Sao_Paulo",
	} {
		var got string
		webtest.Check(t,
			s.Server.DB.NewRaw("SELECT time_zone FROM users WHERE email = ?", email).Scan(t.Context(), &got))
		if got != want {
			t.Errorf("%s has the time zone %s; want %s", email, got, want)
		}
	}
}
