package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/secret"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/static"
)

const password = "correct horse battery"

// mira adds a person with a password.
func (s *site) mira() *db.User {
	s.t.Helper()
	u, err := s.server.Accounts.Add(s.t.Context(), nil, account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: password, Role: account.RoleMember,
	})
	check(s.t, err)
	return u
}

// signIn posts the form as a browser does.
func (b *browser) signIn(next string) *answer {
	b.t.Helper()
	return b.post("/login", "email", "mira@example.com", "password", password, "next", next)
}

// kept is the cookie as the browser has it, or nil.
func (b *browser) kept() *http.Cookie {
	b.t.Helper()
	address, err := url.Parse(b.http.URL)
	check(b.t, err)
	for _, c := range b.client.Jar.Cookies(address) {
		if c.Name == "carillon" {
			return c
		}
	}
	return nil
}

// bearing is a browser that has but one cookie.
func (s *site) bearing(value string) *browser {
	s.t.Helper()
	b := s.nobody()
	address, err := url.Parse(s.http.URL)
	check(s.t, err)
	b.client.Jar.SetCookies(address, []*http.Cookie{{Name: "carillon", Value: value, Path: "/"}})
	return b
}

// forged signs a cookie with keys of its own.
func (s *site) forged(keys *secret.Keys, login string) string {
	s.t.Helper()
	store := sessions.NewCookieStore(keys.Cookies()...)
	r := httptest.NewRequest(http.MethodGet, s.http.URL, nil)
	c, err := store.New(r, "carillon")
	check(s.t, err)
	c.Values["login"] = login
	w := httptest.NewRecorder()
	check(s.t, store.Save(r, w, c))
	return w.Result().Cookies()[0].Value
}

func keys(t *testing.T, text string) *secret.Keys {
	t.Helper()
	k, err := secret.Parse(text)
	check(t, err)
	return k
}

const (
	firstKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // the one that open gives the server
	secondKey = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="
)

// expectTo fails unless an answer leads to an address.
func (a *answer) expectTo(t *testing.T, want string) {
	t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
		t.Errorf("%s %s answered %d to %q; want 303 to %q", a.Request.Method, a.Request.URL, a.StatusCode, got, want)
	}
}

func TestADeepLinkSurvivesTheSignIn(t *testing.T) {
	s := open(t)
	s.mira()
	b := s.nobody()
	const link = "/executions?status=failed&who=me%26you"
	b.get(link).expectTo(t, "/login?next="+url.QueryEscape(link))
	b.get("/login?next="+url.QueryEscape(link)).expect(t, 200,
		`name="next" value="/executions?status=failed&amp;who=me%26you"`)
	b.post("/login", "email", "mira@example.com", "password", "wrong password", "next", link).
		expect(t, 422, `name="next" value="/executions?status=failed&amp;who=me%26you"`)
	b.signIn(link).expectTo(t, link)
	b.get(link).expect(t, 200, "Mira")
	b.get("/login?next="+url.QueryEscape(link)).expectTo(t, link) // signed in already
}

func TestSignInLeadsToThisSiteAlone(t *testing.T) {
	s := open(t)
	s.mira()
	signedIn := s.nobody()
	signedIn.signIn("").expectTo(t, "/")
	for _, evil := range []string{
		"//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil.example",
		"javascript:alert(1)", "evil.example",
		"/\t/evil.example", "\t//evil.example", " //evil.example", "/\n/evil.example", "/..//evil.example",
		"/.//evil.example", "///evil.example", "@evil.example",
	} {
		signedIn.stays(signedIn.get("/login?next=" + url.QueryEscape(evil)))
		signedIn.stays(signedIn.post("/preferences/theme", "theme", "dark", "back", evil))
		b := s.nobody()
		if page := b.get("/login?next=" + url.QueryEscape(evil)); strings.Contains(page.body,
			`name="next" value="http`) {
			t.Errorf("the login page kept %q", evil)
		}
	}
	for _, evil := range []string{"//evil.example", "/\\evil.example", "https://evil.example"} {
		// each costs a password
		b := s.nobody()
		b.stays(b.signIn(evil))
	}
}

// stays fails unless a redirect, as a browser resolves it, stays on this site.
func (b *browser) stays(a *answer) {
	b.t.Helper()
	to, err := a.Location()
	if err != nil {
		b.t.Errorf("%s answered %d with %v; want a redirect", a.Request.URL, a.StatusCode, err)
		return
	}
	if raw := a.Header.Get("Location"); to.Host != a.Request.URL.Host || strings.ContainsAny(raw, "\\\t\n") ||
		strings.HasPrefix(raw, "//") {
		b.t.Errorf("%s leads to %q", a.Request.URL, raw)
	}
}

func TestASignInTakesANewLoginAndEndsTheOneBefore(t *testing.T) {
	s := open(t)
	s.mira()
	attacker := s.as("Eve", account.RoleMember)
	planted := attacker.kept().Value
	victim := s.bearing(planted)
	victim.signIn("").expectTo(t, "/")
	if victim.kept().Value == planted {
		t.Error("the sign-in kept the cookie that was planted")
	}
	victim.get("/").expect(t, 200, "Mira")
	attacker.get("/").expectTo(t, "/login") // the planted login is over
}

func TestASignedOutCookieIsDeadWhoeverKeptIt(t *testing.T) {
	s := open(t)
	s.mira()
	b := s.nobody()
	b.signIn("").expectTo(t, "/")
	copied := b.kept().Value
	other := s.nobody()
	other.signIn("").expectTo(t, "/")
	out := b.post("/logout")
	out.expectTo(t, "/login")
	if b.kept() != nil {
		t.Errorf("the browser keeps its cookie after %q", out.Header.Values("Set-Cookie"))
	}
	s.bearing(copied).get("/").expectTo(t, "/login")
	other.get("/").expect(t, 200, "Mira")
	b.get("/logout").expect(t, 405, "does not answer to GET")
}

func TestForgedCookiesAreWorthNothing(t *testing.T) {
	s := open(t)
	u := s.mira()
	b := s.nobody()
	b.signIn("").expectTo(t, "/")
	real := b.kept().Value
	middle := len(real) / 2
	changed := real[:middle] + map[bool]string{true: "B", false: "A"}[real[middle] == 'A'] + real[middle+1:]
	logins, err := db.Logins(t.Context(), s.server.DB, u.ID, time.Now())
	check(t, err)
	for name, value := range map[string]string{
		"signed by another key":           s.forged(keys(t, secondKey), logins[0].ID.String()),
		"signed well, for no login":       s.forged(keys(t, firstKey), uuid.NewString()),
		"signed well, for something else": s.forged(keys(t, firstKey), "' OR true --"),
		"the id of the login, bare":       logins[0].ID.String(),
		"cut short":                       real[:len(real)/2],
		"with a sign changed":             changed,
		"empty":                           "",
		"rubbish":                         strings.Repeat("x", 3000),
	} {
		forger := s.bearing(value)
		if got := forger.get("/"); got.StatusCode != http.StatusSeeOther {
			t.Errorf("a cookie %s answered %d; want to be asked to sign in", name, got.StatusCode)
		}
		if got := forger.get("/login"); got.StatusCode != http.StatusOK {
			t.Errorf("with a cookie %s the login page answered %d; want 200", name, got.StatusCode)
		}
	}
	b.get("/").expect(t, 200, "Mira")
}

func TestCookiesOutliveTheRotationOfTheKeyUntilTheOldOneGoes(t *testing.T) {
	s := open(t)
	s.mira()
	b := s.nobody()
	b.signIn("").expectTo(t, "/")
	restart := func(text string) {
		next := *s.server
		next.Keys = keys(t, text)
		next.Init()
		s.http.Config.Handler = s.handlerOf(&next)
	}
	restart(secondKey + "," + firstKey)
	b.get("/").expect(t, 200, "Mira")
	restart(secondKey)
	b.get("/").expectTo(t, "/login")
	b.signIn("").expectTo(t, "/") // a cookie that cannot be read is in nobody's way
	b.get("/").expect(t, 200, "Mira")
}

func TestTheCookieHasEveryOption(t *testing.T) {
	s := open(t)
	s.mira()
	for _, scheme := range []string{"http", "https"} {
		next := *s.server
		next.PublicURL = &url.URL{Scheme: scheme, Host: s.server.PublicURL.Host}
		next.Init()
		s.http.Config.Handler = s.handlerOf(&next)
		list := s.nobody().signIn("").Cookies()
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

func TestWritesFromOtherSitesAreRefused(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	public := *s.server
	public.PublicURL = &url.URL{Scheme: "https", Host: "carillon.example.com"}
	public.Init()
	behindProxy := s.handlerOf(&public)
	plain := s.http.Config.Handler
	for _, tt := range []struct {
		name   string
		header [2]string
		proxy  bool
		status int
	}{
		{"a form of another origin", [2]string{"Origin", "http://evil.example"}, false, 403},
		{"a form of no origin that can be named", [2]string{"Origin", "null"}, false, 403},
		{"fetched from another site", [2]string{"Sec-Fetch-Site", "cross-site"}, false, 403},
		{"fetched from a sibling", [2]string{"Sec-Fetch-Site", "same-site"}, false, 403},
		{"fetched from here", [2]string{"Sec-Fetch-Site", "same-origin"}, false, 303},
		{"of this origin", [2]string{"Origin", s.http.URL}, false, 303},
		{"neither header, as curl", [2]string{"X-Nothing", ""}, false, 303},
		{"of the public address, behind a proxy", [2]string{"Origin", "https://carillon.example.com"}, true, 303},
		{"of another, behind a proxy", [2]string{"Origin", "https://evil.example"}, true, 403},
	} {
		s.http.Config.Handler = plain
		if tt.proxy {
			s.http.Config.Handler = behindProxy
		}
		for _, htmx := range []string{"", "true"} {
			req, err := http.NewRequest(http.MethodPost, s.http.URL+"/preferences/theme",
				strings.NewReader("theme=dark"))
			check(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(tt.header[0], tt.header[1])
			req.Header.Set("HX-Request", htmx)
			got := b.do(req)
			if got.StatusCode != tt.status || tt.status == 403 && (!strings.Contains(got.body, "from another site") ||
				(htmx == "true") == strings.Contains(got.body, "<html")) {
				t.Errorf("%s (htmx %q): answered %d %.200s; want %d, to htmx a fragment", tt.name, htmx, got.StatusCode,
					got.body, tt.status)
			}
		}
	}
}

func TestSigningInSaysTheSameOfEverybody(t *testing.T) {
	s := open(t)
	s.mira()
	ada, err := s.server.Accounts.Add(t.Context(), nil, account.NewUser{
		Email: "gone@example.com", Name: "X", Password: password, Role: account.RoleMember,
	})
	check(t, err)
	check(t, s.server.Accounts.Deactivate(t.Context(), nil, ada.ID))
	answers := map[string]string{}
	for name, in := range map[string][2]string{
		"wrong password": {"mira@example.com", "wrong password"},
		"unknown":        {"nobo@example.com", password},
		"deactivated":    {"gone@example.com", password},
		"1 MB":           {"mira@example.com", strings.Repeat("x", 1<<20)},
	} {
		got := s.nobody().post("/login", "email", in[0], "password", in[1])
		got.expect(t, 422, "The e-mail address or the password is wrong.")
		if got.Header.Get("Set-Cookie") != "" || strings.Contains(got.body, in[1]) {
			t.Errorf("%s: got a cookie %q, or the password back", name, got.Header.Get("Set-Cookie"))
		}
		answers[strings.ReplaceAll(got.body, in[0], "-")] = name
	}
	if len(answers) != 1 {
		t.Errorf("got %d different answers; want one", len(answers))
	}
}

func TestTooManyAttemptsAreToldWhenToComeAgain(t *testing.T) {
	s := open(t)
	s.mira()
	var got *answer
	for range 11 {
		got = s.nobody().post("/login", "email", "mira@example.com", "password", "wrong password")
	}
	wait, err := strconv.Atoi(got.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 900 {
		t.Fatalf("Retry-After is %q; want what is left of 900 seconds", got.Header.Get("Retry-After"))
	}
	minutes := "a minute"
	if wait > 60 {
		minutes = fmt.Sprintf("%d minutes", (wait+59)/60)
	}
	got.expect(t, 429, "There were too many attempts. Try again in "+minutes+".")
}

func TestTheFirstAdministratorNeedsTheLinkAndItWorksOnce(t *testing.T) {
	s := open(t)
	b := s.nobody()
	b.get("/login").expect(t, 200, "Open the link that the server printed")
	for _, path := range []string{"/setup", "/setup?token=", "/setup?token=one-tim", "/setup?token=one-time2"} {
		b.get(path).expect(t, 404, "")
		b.post(path, "email", "a@example.com", "name", "A", "password", password).expect(t, 404, "")
	}
	b.get("/setup?token=one-time").expect(t, 200, `name="token" value="one-time"`)
	again := b.post("/setup", "token", "one-time", "email", "Ａda@example.com", "name", "Ada", "password", "short")
	again.expect(t, 422, "Use at least 10 characters.")
	again.expect(t, 422, `value="Ada"`)
	// The letter is a full-width one, which becomes a plain one.
	b.post("/setup", "token", "one-time", "email", "Ａda@example.com", "name", "Ada", "password", password).
		expectTo(t, "/")
	b.get("/").expect(t, 200, "Administrator")
	other := s.nobody()
	other.get("/setup?token=one-time").expect(t, 404, "")
	other.post("/setup", "token", "one-time", "email", "b@example.com", "name", "B", "password", password).
		expect(t, 404, "")
	if list, err := db.Users(t.Context(), s.server.DB); len(list) != 1 || err != nil ||
		list[0].Email != "Ada@example.com" {
		t.Errorf("got %v, %v; want Ada alone", list, err)
	}
}

func TestSetupEndsAtTheLoginWhereItsAddressIsThrottled(t *testing.T) {
	s := open(t)
	for i := range 60 { // somebody at this address, guessing
		_, err := s.server.Accounts.SignIn(t.Context(), strconv.Itoa(i), "x", "127.0.0.1", "")
		if throttled := (*account.Throttled)(nil); errors.As(err, &throttled) {
			break
		}
	}
	s.nobody().post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password", password).
		expectTo(t, "/login")
}

func TestARefusalIsWrittenIntoTheAuditLog(t *testing.T) {
	s := open(t)
	member := s.as("Mira", account.RoleMember)
	before := time.Now()
	member.post("/workspaces", "name", "X").expect(t, 403, "")
	list, err := db.AuditEvents(t.Context(), s.server.DB, db.AuditFilter{
		Actor: member.actor.ID, Action: "permission", Since: before.Add(-time.Minute), Limit: 10,
	})
	if err != nil || len(list) != 1 || list[0].SubjectName != "POST /workspaces" || list[0].Address != "127.0.0.1" {
		t.Errorf("got %+v, %v; want the refusal", list, err)
	}
}

// frame is a server without a database behind it, for what needs none.
func frame(t *testing.T, log io.Writer) *Server {
	t.Helper()
	s := &Server{Site: page.Site{
		Keys: keys(t, firstKey), PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}}
	s.Init()
	return s
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	mux := s.compose(s.server)
	mux.HandleFunc("GET /broken", s.server.Page(func(http.ResponseWriter, *http.Request, account.Actor) error {
		return errors.New("secret detail")
	}))
	mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("secret detail") })
	s.http.Config.Handler = s.server.Handler(mux)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200}, {"HEAD", "/", 200}, {"GET", "/login", 303}, {"GET", "/nothing/here", 404},
		{"DELETE", "/automations", 405}, {"GET", "/logout", 405},
		{"GET", "/automations/not-an-id", 404}, {"GET", "/automations/" + uuid.NewString(), 404},
		{"GET", "/?x=%00", 400}, {"GET", "/?x=%ff", 400}, {"GET", "/?x=%zz", 400},
		{"GET", "/broken", 500}, {"GET", "/panic", 500}, {"GET", "/healthz", 200}, {"GET", "/readyz", 200},
		{"GET", static.URL("app.css"), 200}, {"GET", "/static/nothing", 404},
		{"GET", "/a/../automations", 307}, {"GET", "/api/automations/http-trigger", 401}, {"GET", "/%00", 404},
		{"GET", "/%ff", 404},
	} {
		req, err := http.NewRequest(tt.method, s.http.URL+tt.path, nil)
		check(t, err)
		got := b.do(req)
		h := got.Header
		if got.StatusCode != tt.status {
			t.Errorf("%s %s answered %d; want %d", tt.method, tt.path, got.StatusCode, tt.status)
		}
		if h.Get("Content-Security-Policy") != middleware.Policy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "same-origin" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" {
			t.Errorf("%s %s lacks a header: %v", tt.method, tt.path, h)
		}
		if !strings.HasPrefix(tt.path, "/static/") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be stored: %q", tt.method, tt.path, h.Get("Cache-Control"))
		}
		if strings.Contains(got.body, "secret detail") {
			t.Errorf("%s %s shows what went wrong inside", tt.method, tt.path)
		}
		if tt.status == 405 && h.Get("Allow") == "" {
			t.Errorf("%s %s does not say what is allowed", tt.method, tt.path)
		}
	}
	if strings.Contains(middleware.Policy, "unsafe") {
		t.Errorf("the middleware.Policy is %q; want nothing unsafe", middleware.Policy)
	}
}

func TestFormsThatCannotBeStoredAreRefused(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	b.post("/workspaces", "name", "a\x00b").expect(t, 400, "not text")
	b.post("/workspaces", "name", "a\xffb").expect(t, 400, "not text")
	b.post("/workspaces", "na\x00me", "b").expect(t, 400, "not text")
	b.post("/workspaces", "name", strings.Repeat("x", page.MaxForm+1)).expect(t, 413, "A form holds at most 16 MiB.")
	s.nobody().post("/login", "email", "a\x00@example.com", "password", "x").expect(t, 400, "not text")
}

func TestAPanicIsAnsweredOrBreaksOff(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := frame(t, &log)
	routes := &middleware.Routes{}
	routes.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 100_000))
		panic("half-way")
	})
	srv := httptest.NewServer(s.Handler(routes))
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	res, err := http.Get(srv.URL + "/half")
	check(t, err)
	defer res.Body.Close() //nolint:errcheck // read below
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("half an answer passed for a whole one")
	}
	if !strings.Contains(log.String(), "half-way") {
		t.Errorf("logged %s; want the panic", log.String())
	}
}

// safeBuffer is a buffer that a server may write to while a test reads it.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestSomebodyNewHasTheTimeZoneThatTheySee(t *testing.T) {
	s := open(t)
	b := s.nobody()
	b.get("/setup?token=one-time").expect(t, 200, `name="time_zone"`)
	again := b.post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password", password,
		"time_zone", "Mars/Base")
	again.expect(t, 422, `value="Mars/Base"`)
	if strings.Contains(again.body, "data-zone") {
		t.Error("a script replaces what was typed")
	}
	b.post("/setup", "token", "one-time", "email", "ada@example.com", "name", "Ada", "password", password, "time_zone",
		"Asia/Tokyo").expectTo(t, "/")
	link := b.post("/settings/users", "email", "lena@example.com", "roles", s.roleID(account.RoleMember)).link(t)
	lena := s.nobody()
	lena.get(link).expect(t, 200, `name="time_zone"`)
	lena.post(link, "name", "Lena", "password", password, "time_zone", "America/Sao_Paulo").expectTo(t, "/")
	for email, want := range map[string]string{
		"ada@example.com": "Asia/Tokyo", "lena@example.com": "America/Sao_Paulo",
	} {
		var got string
		check(t, s.server.DB.NewRaw("SELECT time_zone FROM users WHERE email = ?", email).Scan(t.Context(), &got))
		if got != want {
			t.Errorf("%s has the time zone %s; want %s", email, got, want)
		}
	}
}
