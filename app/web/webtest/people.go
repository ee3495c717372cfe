package webtest

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/sessions"

	"carillon/app/account"
	"carillon/app/inbox"
	"carillon/app/secret"
	"carillon/app/web"
	"carillon/app/web/page"
	"carillon/db"
)

// Password is the password of people who have one.
const Password = "correct horse battery"

// Mira adds a person with a password.
func (s *Site) Mira() *db.User {
	s.T.Helper()
	u, err := s.Server.Accounts.Add(s.T.Context(), nil, account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: Password, Role: account.RoleMember,
	})
	Check(s.T, err)
	return u
}

// SignIn posts the form as a browser does.
func (b *Browser) SignIn(next string) *Answer {
	b.T.Helper()
	return b.Post("/login", "email", "mira@example.com", "password", Password, "next", next)
}

// Bearing is a browser that has but one cookie.
func (s *Site) Bearing(value string) *Browser {
	s.T.Helper()
	b := s.Nobody()
	address, err := url.Parse(s.HTTP.URL)
	Check(s.T, err)
	b.Client.Jar.SetCookies(address, []*http.Cookie{{Name: "carillon", Value: value, Path: "/"}})
	return b
}

// Forged signs a cookie with keys of its own.
func (s *Site) Forged(keys *secret.Keys, login string) string {
	s.T.Helper()
	store := sessions.NewCookieStore(keys.Cookies()...)
	r := httptest.NewRequest(http.MethodGet, s.HTTP.URL, nil)
	c, err := store.New(r, "carillon")
	Check(s.T, err)
	c.Values["login"] = login
	w := httptest.NewRecorder()
	Check(s.T, store.Save(r, w, c))
	return w.Result().Cookies()[0].Value
}

// Keys are the keys of a text.
func Keys(t *testing.T, text string) *secret.Keys {
	t.Helper()
	k, err := secret.Parse(text)
	Check(t, err)
	return k
}

const (
	FirstKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // the one that open gives the server
	SecondKey = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="
)

// ExpectTo fails unless an answer leads to an address.
func (a *Answer) ExpectTo(t *testing.T, want string) {
	t.Helper()
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
		t.Errorf("%s %s answered %d to %q; want 303 to %q", a.Request.Method, a.Request.URL, a.StatusCode, got, want)
	}
}

// Bare is a server without a database behind it, for what needs none.
func Bare(t *testing.T, log io.Writer) *web.Server {
	t.Helper()
	s := &web.Server{Site: page.Site{
		Keys: Keys(t, FirstKey), PublicURL: &url.URL{Scheme: "http", Host: "localhost"}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	}}
	s.Init()
	return s
}

// SafeBuffer is a buffer that a server may write to while a test reads it.
type SafeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends to the buffer.
func (s *SafeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

// String is what was written so far.
func (s *SafeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// RoleID is the id of a role built in, as a form has it.
func (s *Site) RoleID(key string) string {
	s.T.Helper()
	r, err := db.RoleByKey(s.T.Context(), s.Server.DB, key)
	Check(s.T, err)
	return r.ID.String()
}

// Custom makes a role of the permissions given and gives it to somebody in place of theirs.
func (s *Site) Custom(b *Browser, name string, permissions ...account.Permission) {
	s.T.Helper()
	r := db.Role{ID: db.NewID(), Name: name, Permissions: []string{}, CreatedAt: time.Now(), Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	Check(s.T, db.InsertRole(s.T.Context(), s.Server.DB, &r))
	Check(s.T, db.SetRoles(s.T.Context(), s.Server.DB, b.Actor.ID, []uuid.UUID{r.ID}))
	u, err := db.UserByID(s.T.Context(), s.Server.DB, b.Actor.ID)
	Check(s.T, err)
	b.Actor = account.ActorOf(u)
}

var joinLink = regexp.MustCompile(`value="http[^"]*(/join/[^"]+)"`)

// Link finds the one-time link on a page.
func (a *Answer) Link(t *testing.T) string {
	t.Helper()
	m := joinLink.FindStringSubmatch(a.Text)
	if m == nil {
		t.Fatalf("%s answered %d without a link: %.600s", a.Request.URL, a.StatusCode, a.Text)
	}
	return m[1]
}

// LastAudit is the newest line of the audit log about a thing.
func (s *Site) LastAudit(subject uuid.UUID) db.AuditEvent {
	s.T.Helper()
	list, err := db.AuditOf(s.T.Context(), s.Server.DB, subject, 1)
	Check(s.T, err)
	if len(list) == 0 {
		s.T.Fatalf("nothing in the audit log about %s", subject)
	}
	return list[0]
}

// OpenSettings is a site whose accounts can keep secrets and send e-mail.
func OpenSettings(t *testing.T) *Site {
	t.Helper()
	s := Open(t)
	s.Server.Accounts.Keys, s.Server.Accounts.Mail, s.Server.Accounts.NoticeKinds = s.Server.Keys, true, nil
	for _, k := range inbox.Kinds {
		s.Server.Accounts.NoticeKinds = append(s.Server.Accounts.NoticeKinds, k.Kind)
	}
	return s
}

var madeToken = regexp.MustCompile(`value="(` + account.TokenPrefix + `[\w-]{43})"`)

// NewToken makes an API token of a person's on its page.
func (b *Browser) NewToken(permissions ...account.Permission) string {
	b.T.Helper()
	fields := []string{"name", "Script", "days", "90", "scope", "all"}
	for _, p := range permissions {
		fields[5] = "only"
		fields = append(fields, "permissions", string(p))
	}
	a := b.Post("/settings/tokens", fields...)
	m := madeToken.FindStringSubmatch(a.Text)
	if m == nil {
		b.T.Fatalf("no token was made: %d %.600s", a.StatusCode, a.Text)
	}
	return m[1]
}
