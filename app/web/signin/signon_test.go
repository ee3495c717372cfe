package signin_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestASingleSignOnLeadsToThePageThatWasAskedFor(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	b := s.Nobody()
	const link = "/executions?status=failed&who=me%26you"
	b.Get(link).ExpectTo(t, "/login?next="+url.QueryEscape(link))
	b.Get("/login?next="+url.QueryEscape(link)).Expect(t, 200,
		`href="/login/sso?next=%2Fexecutions%3Fstatus%3Dfailed%26who%3Dme%2526you"`)
	b.Get("/login").Expect(t, 200, "Sign in with Acme")
	signOn(b, p, "mira", link).ExpectTo(t, link)
	b.Get(link).Expect(t, 200, "Mira")
	b.Get("/login/sso?next="+url.QueryEscape(link)).ExpectTo(t, link) // signed in already

	me := b.Get("/settings/profile")
	me.Expect(t, 200, "Single sign-on")
	me.Expect(t, 200, strings.TrimPrefix(p.http.URL, "http://"))
	b.Post("/logout").ExpectTo(t, "/login") // here alone: the provider is not asked
	b.Get("/").ExpectTo(t, "/login")
}

func TestASingleSignOnLeadsToThisSiteAlone(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	for _, evil := range []string{"//evil.example", "/\\evil.example", "https://evil.example"} {
		signOn(s.Nobody(), p, "mira", evil).ExpectTo(t, "/")
	}
	// more than a cookie holds
	signOn(s.Nobody(), p, "mira", "/executions?who="+strings.Repeat("x", 5000)).ExpectTo(t, "/")
}

func TestAnAccountIsKnownByItsSubjectAfterTheFirstSignOn(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	u := s.Mira()
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	// Another address there, not even verified, is the same account.
	p.set(member{User: storage.User{ID: "m-1", Username: "mira", Email: "other@example.com"}})
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	list, err := db.Identities(t.Context(), s.Server.DB, u.ID)
	webtest.Check(t, err)
	if len(list) != 1 || list[0].Subject != "m-1" || list[0].Email != "other@example.com" {
		t.Errorf("got %+v; want the one account with its new address", list)
	}
	// Whoever gets the old address there does not get the account here.
	p.set(member{User: storage.User{ID: "m-2", Username: "eve", Email: "mira@example.com", EmailVerified: true}})
	signOn(s.Nobody(), p, "eve", "").Expect(t, 403, "belongs to somebody who signs in with another account")
}

func TestAnAddressThatIsNotVerifiedLetsNobodyIn(t *testing.T) {
	t.Parallel()
	for _, create := range []bool{false, true} {
		t.Run(map[bool]string{true: "adding people", false: "adding nobody"}[create], func(t *testing.T) {
			s, p := withProvider(t, account.SignOn{AutoCreate: create})
			u := s.Mira()
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", Email: "mira@example.com"}})
			b := s.Nobody()
			signOn(b, p, "eve", "").Expect(t, 403, "has not verified that mira@example.com is your address")
			b.Get("/").ExpectTo(t, "/login")
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", Email: "new@example.com"}})
			signOn(b, p, "eve", "").Expect(t, 403, "has not verified")
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", EmailVerified: true}})
			signOn(b, p, "eve", "").Expect(t, 403, "did not tell your e-mail address")
			// the а is Cyrillic
			p.set(member{User: storage.User{
				ID: "e-1", Username: "eve", EmailVerified: true, Email: "mirа@example.com",
			}})
			signOn(b, p, "eve", "").Expect(t, 403, "cannot be used here")
			list, err := db.Identities(t.Context(), s.Server.DB, u.ID)
			webtest.Check(t, err)
			if len(list) != 0 {
				t.Errorf("got linked with %+v", list)
			}
		})
	}
}

func TestStrangersAreAddedOnlyWhereThatIsWanted(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	signOn(s.Nobody(), p, "mira", "").Expect(t, 403, "Nobody here has the address mira@example.com")
	s.Server.Accounts.SignOn.AutoCreate = true
	b := s.Nobody()
	signOn(b, p, "mira", "/inbox").ExpectTo(t, "/inbox")
	b.Get("/settings/profile").Expect(t, 200, "You sign in without a password here.")
	u, err := db.UserByEmail(t.Context(), s.Server.DB, "mira@example.com")
	webtest.Check(t, err)
	if u.Name != "Mira Okafor" || u.RoleName != "Member" || u.PasswordHash != "" {
		t.Errorf("got %q, a %q; want Mira Okafor, a Member without a password", u.Name, u.RoleName)
	}
	b.Get("/workspaces").Expect(t, 200, "Scratch")
	s.Nobody().Post("/login", "email", "mira@example.com", "password", "").Expect(t, 422, "is wrong")
}

func TestTheDeactivatedAreNotLetInByAnotherDoor(t *testing.T) {
	s, p := withProvider(t, account.SignOn{AutoCreate: true})
	u := s.Mira()
	webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), nil, u.ID))
	b := s.Nobody()
	signOn(b, p, "mira", "").Expect(t, 403, "Your account here is deactivated.") // found by the address
	webtest.Check(t, s.Server.Accounts.Activate(t.Context(), nil, u.ID))
	signOn(b, p, "mira", "").ExpectTo(t, "/")
	b.Get("/").Expect(t, 200, "Mira")
	webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), nil, u.ID))
	b.Get("/").ExpectTo(t, "/login")
	signOn(b, p, "mira", "").Expect(t, 403, "Your account here is deactivated.") // found by the account
}

func TestRolesFollowTheGroupsAtEachSignOn(t *testing.T) {
	s, p := withProvider(t, account.SignOn{AutoCreate: true, Roles: []account.GroupRole{
		{Group: "ops", Role: "Administrator"}, {Group: "dev", Role: "member"}, {Group: "leads", Role: "Manager"},
		{Group: "ghosts", Role: "No such role"}}})
	ada := s.As("Ada", account.RoleAdministrator)
	mira := func(groups ...string) member {
		return member{User: storage.User{
			ID: "m-1", Username: "mira", FirstName: "Mira", Email: "mira@example.com", EmailVerified: true,
		}, groups: groups}
	}
	p.set(mira("ghosts", "strangers"))
	signOn(s.Nobody(), p, "mira", "").Expect(t, 403, "None of your groups is let in here.")
	if _, err := db.UserByEmail(t.Context(), s.Server.DB, "mira@example.com"); !db.IsNotFound(err) {
		t.Errorf("somebody without a group was added: %v", err)
	}
	for _, tt := range []struct {
		groups []string
		roles  string
	}{
		{[]string{"dev"}, "Member"}, {[]string{"dev", "leads"}, "Manager, Member"},
		{[]string{"ops", "other"}, "Administrator"}, {[]string{"leads"}, "Manager"},
	} {
		p.set(mira(tt.groups...))
		signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
		if got := rolesOf(s, "mira@example.com"); got != tt.roles {
			t.Errorf("with the groups %v got the roles %q; want %q", tt.groups, got, tt.roles)
		}
	}

	before := s.Nobody()
	signOn(before, p, "mira", "").ExpectTo(t, "/")
	p.bare = true // says nothing, which is not that there are none
	signOn(s.Nobody(), p, "mira", "").Expect(t, 403, "The provider did not tell your groups")
	before.Get("/").Expect(t, 200, "Mira")
	p.bare = false
	p.set(mira())
	signOn(s.Nobody(), p, "mira", "").Expect(t, 403, "None of your groups is let in here any more.")
	before.Get("/").ExpectTo(t, "/login") // what was open is over
	if got := rolesOf(s, "mira@example.com"); got != "" {
		t.Errorf("without groups kept the roles %q", got)
	}

	// A role given by hand, which no group gives, stays.
	s.Server.Accounts.SignOn.Roles = s.Server.Accounts.SignOn.Roles[:2]
	u, err := db.UserByEmail(t.Context(), s.Server.DB, "mira@example.com")
	webtest.Check(t, err)
	manager, err := db.RoleByKey(t.Context(), s.Server.DB, account.RoleManager)
	webtest.Check(t, err)
	webtest.Check(t, db.SetRoles(t.Context(), s.Server.DB, u.ID, []uuid.UUID{manager.ID}))
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	if got := rolesOf(s, "mira@example.com"); got != "Manager" {
		t.Errorf("got the roles %q; want Manager", got)
	}
	ada.Get("/").Expect(t, 200, "Ada")
}

func TestGroupsNeverTakeTheLastAdministratorAway(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"},
		{Group: "dev", Role: "Member"}}})
	_, err := s.Server.Accounts.Setup(t.Context(), account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: webtest.Password,
	})
	webtest.Check(t, err)
	p.set(member{
		User:   storage.User{ID: "m-1", Username: "mira", Email: "mira@example.com", EmailVerified: true},
		groups: []string{"dev"},
	})
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	if got := rolesOf(s, "mira@example.com"); got != "Administrator, Member" {
		t.Errorf("the last administrator got the roles %q; want Administrator, Member", got)
	}
	s.As("Ada", account.RoleAdministrator)
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	if got := rolesOf(s, "mira@example.com"); got != "Member" {
		t.Errorf("beside another administrator got the roles %q; want Member", got)
	}
}

func TestAnAttemptHoldsOnceInItsOwnBrowser(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	b := s.Nobody()
	const notBegunHere = "was not started in this browser"
	back := identify(b, p, "mira", "")
	visit(s.Nobody(), back).Expect(t, 400, notBegunHere) // stolen, or sent to a victim
	kept := cookieNamed(b, "carillon-sign-on")
	if kept == nil {
		t.Fatal("the browser keeps no attempt")
	}
	visit(b, back).ExpectTo(t, "/")
	visit(b, back).Expect(t, 400, notBegunHere) // replayed
	address, err := url.Parse(s.HTTP.URL + "/login/sso")
	webtest.Check(t, err)
	thief := s.Nobody()
	thief.Client.Jar.SetCookies(address, []*http.Cookie{kept})
	visit(thief, back).Expect(t, 400, "did not confirm this sign-in") // replayed with the cookie: the code was used
	thief.Get("/").ExpectTo(t, "/login")

	// The code of one attempt does not go with the state of another.
	first, second := s.Nobody(), s.Nobody()
	one, err := url.Parse(identify(first, p, "mira", ""))
	webtest.Check(t, err)
	two, err := url.Parse(identify(second, p, "mira", ""))
	webtest.Check(t, err)
	mixed := two.Query()
	mixed.Set("code", one.Query().Get("code"))
	two.RawQuery = mixed.Encode()
	visit(second, two.String()).Expect(t, 400, "did not confirm this sign-in")
	first.Get("/login/sso/callback").Expect(t, 400, notBegunHere)
	first.Get("/login/sso/callback?code=x&state=y").Expect(t, 400, notBegunHere)
	visit(first, one.String()).ExpectTo(t, "/") // its own, undisturbed
}

func TestAnAttemptIsOverAfterTenMinutes(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	b := s.Nobody()
	back := identify(b, p, "mira", "")
	s.Server.Now = func() time.Time { return time.Now().Add(10*time.Minute + time.Second) }
	visit(b, back).Expect(t, 400, "took too long")
	b.Get("/").ExpectTo(t, "/login")
}

func TestAForgedAttemptIsWorthNothing(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	b := s.Nobody()
	back := identify(b, p, "mira", "")
	address, err := url.Parse(s.HTTP.URL + "/login/sso")
	webtest.Check(t, err)
	// A cookie of the same keys under another name does not pass for this one.
	forged := s.Forged(s.Server.Keys, "x")
	b.Client.Jar.SetCookies(address, []*http.Cookie{{Name: "carillon-sign-on", Value: forged, Path: "/login/sso"}})
	visit(b, back).Expect(t, 400, "was not started in this browser")
}

func TestTheCookieOfAnAttemptHasEveryOption(t *testing.T) {
	s, _ := withProvider(t, account.SignOn{})
	for _, secure := range []string{"http", "https"} {
		next := *s.Server
		next.PublicURL = &url.URL{Scheme: secure, Host: s.Server.PublicURL.Host}
		next.Init()
		s.HTTP.Config.Handler = s.HandlerOf(&next)
		var c *http.Cookie
		for _, set := range s.Nobody().Get("/login/sso").Cookies() {
			if set.Name == "carillon-sign-on" {
				c = set
			}
		}
		if c == nil || c.Path != "/login/sso" || c.Domain != "" || c.MaxAge != 600 || !c.HttpOnly ||
			c.SameSite != http.SameSiteLaxMode || c.Secure != (secure == "https") {
			t.Errorf("over %s got %v", secure, c)
		}
	}
}

func TestWhatTheProviderRefusesIsTold(t *testing.T) {
	s, _ := withProvider(t, account.SignOn{})
	s.Mira()
	for _, tt := range []struct {
		query  string
		status int
		want   string
	}{
		{"error=access_denied&error_description=%3Cb%3Eno%3C%2Fb%3E", 403, "it was denied"},
		{"error=server_error&error_description=%3Cb%3Eno%3C%2Fb%3E", 502, "did not confirm this sign-in"},
		{"iss=https%3A%2F%2Fevil.example&code=x", 400, "came from another provider"},
		{"code=", 400, "did not confirm"},
	} {
		b := s.Nobody()
		to, err := b.Get("/login/sso?next=%2Finbox").Location()
		webtest.Check(t, err)
		got := b.Get("/login/sso/callback?" + tt.query + "&state=" + to.Query().Get("state"))
		got.Expect(t, tt.status, tt.want)
		if strings.Contains(got.Text, "<b>") {
			t.Errorf("%s: the provider's words are in the page", tt.query)
		}
		if tt.status == 403 {
			got.Expect(t, 403, `href="/login/sso?next=%2Finbox"`) // and where to go on to is kept
		}
	}
	b := s.Nobody()
	b.Get("/login/sso")
	// without the state it is anybody's word
	b.Get("/login/sso/callback?error=access_denied").Expect(t, 400, "was not started in this browser")
}

func TestAProviderThatIsDownKeepsNobodyFromAPassword(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.Mira()
	working := s.Server.SignIn.SignOn.Issuer
	s.Server.SignIn.SignOn.Issuer = "http://127.0.0.1:1"
	b := s.Nobody()
	b.Get("/login").Expect(t, 200, "Sign in with Acme")
	b.Get("/login/sso?next=%2Finbox").Expect(t, 502, "The sign-on provider does not answer.")
	b.SignIn("").ExpectTo(t, "/")
	// It is looked for again, and not only at the start.
	s.Server.SignIn.SignOn.Issuer = working
	s.Server.SignIn.SignOn.Now = func() time.Time { return time.Now().Add(time.Minute) }
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")

	other := s.Nobody()
	back := identify(other, p, "mira", "")
	p.http.Close() // between going and coming back
	visit(other, back).Expect(t, 502, "The sign-on provider does not answer.")
}

func TestWithoutAProviderThereIsNoSingleSignOn(t *testing.T) {
	s := webtest.Open(t)
	s.Mira()
	b := s.Nobody()
	if page := b.Get("/login"); strings.Contains(page.Text, "/login/sso") {
		t.Error("the login page offers a single sign-on that there is not")
	}
	b.Get("/login/sso").ExpectTo(t, "/login")
	b.Get("/login/sso/callback?code=x&state=y").ExpectTo(t, "/login")
}

// rolesOf are the names of a person's roles.
func rolesOf(s *webtest.Site, email string) string {
	s.T.Helper()
	u, err := db.UserByEmail(s.T.Context(), s.Server.DB, email)
	webtest.Check(s.T, err)
	return u.RoleName
}

// cookieNamed is a cookie as the browser would send it to the sign-on, or nil.
func cookieNamed(b *webtest.Browser, name string) *http.Cookie {
	b.T.Helper()
	address, err := url.Parse(b.HTTP.URL + "/login/sso")
	webtest.Check(b.T, err)
	for _, c := range b.Client.Jar.Cookies(address) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestAnAccountIsUnlinkedByWhoManagesPeople(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	u := s.Mira()
	admin := s.As("Ada", account.RoleAdministrator)
	mira := s.Nobody()
	signOn(mira, p, "mira", "").ExpectTo(t, "/")
	// The provider made her account anew, under another subject.
	p.set(member{User: storage.User{ID: "m-2", Username: "mira", Email: "mira@example.com", EmailVerified: true}})
	signOn(s.Nobody(), p, "mira", "").Expect(t, 403, "another account")
	page := "/settings/users/" + u.ID.String()
	admin.Get(page).Expect(t, 200, "Unlink")
	mira.Post(page+"/unlinking").Expect(t, 403, "Not allowed")
	admin.Post(page+"/unlinking").ExpectTo(t, page)
	mira.Get("/").ExpectTo(t, "/login") // who may be another person signs in anew
	admin.Post(page+"/unlinking").Expect(t, 422, "There is no account of a single sign-on to unlink.")
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
}

func TestSomebodyInvitedIsNoOtherAdministrator(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"},
		{Group: "dev", Role: "Member"}}})
	_, err := s.Server.Accounts.Setup(t.Context(), account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: webtest.Password,
	})
	webtest.Check(t, err)
	invited := s.As("Ada", account.RoleAdministrator).Actor.ID
	webtest.Check(t, db.SavePasswordLink(t.Context(), s.Server.DB, &db.PasswordLink{
		UserID: invited, Hash: make([]byte, 32), Invites: true, CreatedAt: time.Now(), ExpiresAt: time.Now().
			Add(time.Hour),
	}))
	p.set(member{
		User:   storage.User{ID: "m-1", Username: "mira", Email: "mira@example.com", EmailVerified: true},
		groups: []string{"dev"},
	})
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	if got := rolesOf(s, "mira@example.com"); got != "Administrator, Member" {
		t.Errorf("the only administrator who can sign in got the roles %q; want Administrator, Member", got)
	}
	// Who was invited and comes in this way needs the link no more.
	p.set(member{
		User:   storage.User{ID: "a-1", Username: "ada", Email: "Ada@example.com", EmailVerified: true},
		groups: []string{"ops"},
	})
	signOn(s.Nobody(), p, "ada", "").ExpectTo(t, "/")
	signOn(s.Nobody(), p, "mira", "").ExpectTo(t, "/")
	if got := rolesOf(s, "mira@example.com"); got != "Member" {
		t.Errorf("beside an administrator who signed in got the roles %q; want Member", got)
	}
}

// Whoever begins a sign-in may come back with as much as an address holds.
func TestAStrangerWritesLittleIntoTheLogByASignOn(t *testing.T) {
	s, _ := withProvider(t, account.SignOn{})
	var log webtest.SafeBuffer
	s.Server.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := s.Nobody()
	to, err := b.Get("/login/sso").Location()
	webtest.Check(t, err)
	before := len(log.String())
	b.Get("/login/sso/callback?state="+to.Query().Get("state")+"&error="+strings.Repeat("%0A", 5000)+
		"&error_description="+strings.Repeat("x", 40_000)).Expect(t, http.StatusBadGateway, "did not confirm")
	if n := len(log.String()) - before; n == 0 || n > 4096 {
		t.Errorf("%d bytes were written into the log; want at most 4096", n)
	}
}
