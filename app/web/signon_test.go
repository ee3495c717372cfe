package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"carillon/app/account"
	"carillon/db"
)

func TestASingleSignOnLeadsToThePageThatWasAskedFor(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	b := s.nobody()
	const link = "/executions?status=failed&who=me%26you"
	b.get(link).expectTo(t, "/login?next="+url.QueryEscape(link))
	b.get("/login?next="+url.QueryEscape(link)).expect(t, 200,
		`href="/login/sso?next=%2Fexecutions%3Fstatus%3Dfailed%26who%3Dme%2526you"`)
	b.get("/login").expect(t, 200, "Sign in with Acme")
	b.signOn(p, "mira", link).expectTo(t, link)
	b.get(link).expect(t, 200, "Mira")
	b.get("/login/sso?next="+url.QueryEscape(link)).expectTo(t, link) // signed in already

	me := b.get("/settings/profile")
	me.expect(t, 200, "Single sign-on")
	me.expect(t, 200, strings.TrimPrefix(p.http.URL, "http://"))
	b.post("/logout").expectTo(t, "/login") // here alone: the provider is not asked
	b.get("/").expectTo(t, "/login")
}

func TestASingleSignOnLeadsToThisSiteAlone(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	for _, evil := range []string{"//evil.example", "/\\evil.example", "https://evil.example"} {
		s.nobody().signOn(p, "mira", evil).expectTo(t, "/")
	}
	// more than a cookie holds
	s.nobody().signOn(p, "mira", "/executions?who="+strings.Repeat("x", 5000)).expectTo(t, "/")
}

func TestAnAccountIsKnownByItsSubjectAfterTheFirstSignOn(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	u := s.mira()
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	// Another address there, not even verified, is the same account.
	p.set(member{User: storage.User{ID: "m-1", Username: "mira", Email: "other@example.com"}})
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	list, err := db.Identities(t.Context(), s.server.DB, u.ID)
	check(t, err)
	if len(list) != 1 || list[0].Subject != "m-1" || list[0].Email != "other@example.com" {
		t.Errorf("got %+v; want the one account with its new address", list)
	}
	// Whoever gets the old address there does not get the account here.
	p.set(member{User: storage.User{ID: "m-2", Username: "eve", Email: "mira@example.com", EmailVerified: true}})
	s.nobody().signOn(p, "eve", "").expect(t, 403, "belongs to somebody who signs in with another account")
}

func TestAnAddressThatIsNotVerifiedLetsNobodyIn(t *testing.T) {
	t.Parallel()
	for _, create := range []bool{false, true} {
		t.Run(map[bool]string{true: "adding people", false: "adding nobody"}[create], func(t *testing.T) {
			s, p := withProvider(t, account.SignOn{AutoCreate: create})
			u := s.mira()
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", Email: "mira@example.com"}})
			b := s.nobody()
			b.signOn(p, "eve", "").expect(t, 403, "has not verified that mira@example.com is your address")
			b.get("/").expectTo(t, "/login")
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", Email: "new@example.com"}})
			b.signOn(p, "eve", "").expect(t, 403, "has not verified")
			p.set(member{User: storage.User{ID: "e-1", Username: "eve", EmailVerified: true}})
			b.signOn(p, "eve", "").expect(t, 403, "did not tell your e-mail address")
			// the а is Cyrillic
			p.set(member{User: storage.User{
				ID: "e-1", Username: "eve", EmailVerified: true, Email: "mirа@example.com",
			}})
			b.signOn(p, "eve", "").expect(t, 403, "cannot be used here")
			list, err := db.Identities(t.Context(), s.server.DB, u.ID)
			check(t, err)
			if len(list) != 0 {
				t.Errorf("got linked with %+v", list)
			}
		})
	}
}

func TestStrangersAreAddedOnlyWhereThatIsWanted(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.nobody().signOn(p, "mira", "").expect(t, 403, "Nobody here has the address mira@example.com")
	s.server.Accounts.SignOn.AutoCreate = true
	b := s.nobody()
	b.signOn(p, "mira", "/inbox").expectTo(t, "/inbox")
	b.get("/settings/profile").expect(t, 200, "You sign in without a password here.")
	u, err := db.UserByEmail(t.Context(), s.server.DB, "mira@example.com")
	check(t, err)
	if u.Name != "Mira Okafor" || u.RoleName != "Member" || u.PasswordHash != "" {
		t.Errorf("got %q, a %q; want Mira Okafor, a Member without a password", u.Name, u.RoleName)
	}
	b.get("/workspaces").expect(t, 200, "Scratch")
	s.nobody().post("/login", "email", "mira@example.com", "password", "").expect(t, 422, "is wrong")
}

func TestTheDeactivatedAreNotLetInByAnotherDoor(t *testing.T) {
	s, p := withProvider(t, account.SignOn{AutoCreate: true})
	u := s.mira()
	check(t, s.server.Accounts.Deactivate(t.Context(), nil, u.ID))
	b := s.nobody()
	b.signOn(p, "mira", "").expect(t, 403, "Your account here is deactivated.") // found by the address
	check(t, s.server.Accounts.Activate(t.Context(), nil, u.ID))
	b.signOn(p, "mira", "").expectTo(t, "/")
	b.get("/").expect(t, 200, "Mira")
	check(t, s.server.Accounts.Deactivate(t.Context(), nil, u.ID))
	b.get("/").expectTo(t, "/login")
	b.signOn(p, "mira", "").expect(t, 403, "Your account here is deactivated.") // found by the account
}

func TestRolesFollowTheGroupsAtEachSignOn(t *testing.T) {
	s, p := withProvider(t, account.SignOn{AutoCreate: true, Roles: []account.GroupRole{
		{Group: "ops", Role: "Administrator"}, {Group: "dev", Role: "member"}, {Group: "leads", Role: "Manager"},
		{Group: "ghosts", Role: "No such role"}}})
	ada := s.as("Ada", account.RoleAdministrator)
	mira := func(groups ...string) member {
		return member{User: storage.User{
			ID: "m-1", Username: "mira", FirstName: "Mira", Email: "mira@example.com", EmailVerified: true,
		}, groups: groups}
	}
	p.set(mira("ghosts", "strangers"))
	s.nobody().signOn(p, "mira", "").expect(t, 403, "None of your groups is let in here.")
	if _, err := db.UserByEmail(t.Context(), s.server.DB, "mira@example.com"); !db.IsNotFound(err) {
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
		s.nobody().signOn(p, "mira", "").expectTo(t, "/")
		if got := s.rolesOf("mira@example.com"); got != tt.roles {
			t.Errorf("with the groups %v got the roles %q; want %q", tt.groups, got, tt.roles)
		}
	}

	before := s.nobody()
	before.signOn(p, "mira", "").expectTo(t, "/")
	p.bare = true // says nothing, which is not that there are none
	s.nobody().signOn(p, "mira", "").expect(t, 403, "The provider did not tell your groups")
	before.get("/").expect(t, 200, "Mira")
	p.bare = false
	p.set(mira())
	s.nobody().signOn(p, "mira", "").expect(t, 403, "None of your groups is let in here any more.")
	before.get("/").expectTo(t, "/login") // what was open is over
	if got := s.rolesOf("mira@example.com"); got != "" {
		t.Errorf("without groups kept the roles %q", got)
	}

	// A role given by hand, which no group gives, stays.
	s.server.Accounts.SignOn.Roles = s.server.Accounts.SignOn.Roles[:2]
	u, err := db.UserByEmail(t.Context(), s.server.DB, "mira@example.com")
	check(t, err)
	manager, err := db.RoleByKey(t.Context(), s.server.DB, account.RoleManager)
	check(t, err)
	check(t, db.SetRoles(t.Context(), s.server.DB, u.ID, []uuid.UUID{manager.ID}))
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	if got := s.rolesOf("mira@example.com"); got != "Manager" {
		t.Errorf("got the roles %q; want Manager", got)
	}
	ada.get("/").expect(t, 200, "Ada")
}

func TestGroupsNeverTakeTheLastAdministratorAway(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"},
		{Group: "dev", Role: "Member"}}})
	_, err := s.server.Accounts.Setup(t.Context(), account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: password,
	})
	check(t, err)
	p.set(member{
		User:   storage.User{ID: "m-1", Username: "mira", Email: "mira@example.com", EmailVerified: true},
		groups: []string{"dev"},
	})
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	if got := s.rolesOf("mira@example.com"); got != "Administrator, Member" {
		t.Errorf("the last administrator got the roles %q; want Administrator, Member", got)
	}
	s.as("Ada", account.RoleAdministrator)
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	if got := s.rolesOf("mira@example.com"); got != "Member" {
		t.Errorf("beside another administrator got the roles %q; want Member", got)
	}
}

func TestAnAttemptHoldsOnceInItsOwnBrowser(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	b := s.nobody()
	const notBegunHere = "was not started in this browser"
	back := b.identify(p, "mira", "")
	s.nobody().visit(back).expect(t, 400, notBegunHere) // stolen, or sent to a victim
	kept := b.cookieNamed("carillon-sign-on")
	if kept == nil {
		t.Fatal("the browser keeps no attempt")
	}
	b.visit(back).expectTo(t, "/")
	b.visit(back).expect(t, 400, notBegunHere) // replayed
	address, err := url.Parse(s.http.URL + "/login/sso")
	check(t, err)
	thief := s.nobody()
	thief.client.Jar.SetCookies(address, []*http.Cookie{kept})
	thief.visit(back).expect(t, 400, "did not confirm this sign-in") // replayed with the cookie: the code was used
	thief.get("/").expectTo(t, "/login")

	// The code of one attempt does not go with the state of another.
	first, second := s.nobody(), s.nobody()
	one, err := url.Parse(first.identify(p, "mira", ""))
	check(t, err)
	two, err := url.Parse(second.identify(p, "mira", ""))
	check(t, err)
	mixed := two.Query()
	mixed.Set("code", one.Query().Get("code"))
	two.RawQuery = mixed.Encode()
	second.visit(two.String()).expect(t, 400, "did not confirm this sign-in")
	first.get("/login/sso/callback").expect(t, 400, notBegunHere)
	first.get("/login/sso/callback?code=x&state=y").expect(t, 400, notBegunHere)
	first.visit(one.String()).expectTo(t, "/") // its own, undisturbed
}

func TestAnAttemptIsOverAfterTenMinutes(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	b := s.nobody()
	back := b.identify(p, "mira", "")
	s.server.Now = func() time.Time { return time.Now().Add(10*time.Minute + time.Second) }
	b.visit(back).expect(t, 400, "took too long")
	b.get("/").expectTo(t, "/login")
}

func TestAForgedAttemptIsWorthNothing(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	b := s.nobody()
	back := b.identify(p, "mira", "")
	address, err := url.Parse(s.http.URL + "/login/sso")
	check(t, err)
	// A cookie of the same keys under another name does not pass for this one.
	forged := s.forged(s.server.Keys, "x")
	b.client.Jar.SetCookies(address, []*http.Cookie{{Name: "carillon-sign-on", Value: forged, Path: "/login/sso"}})
	b.visit(back).expect(t, 400, "was not started in this browser")
}

func TestTheCookieOfAnAttemptHasEveryOption(t *testing.T) {
	s, _ := withProvider(t, account.SignOn{})
	for _, secure := range []string{"http", "https"} {
		next := *s.server
		next.PublicURL = &url.URL{Scheme: secure, Host: s.server.PublicURL.Host}
		next.Init()
		s.http.Config.Handler = s.handlerOf(&next)
		var c *http.Cookie
		for _, set := range s.nobody().get("/login/sso").Cookies() {
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
	s.mira()
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
		b := s.nobody()
		to, err := b.get("/login/sso?next=%2Finbox").Location()
		check(t, err)
		got := b.get("/login/sso/callback?" + tt.query + "&state=" + to.Query().Get("state"))
		got.expect(t, tt.status, tt.want)
		if strings.Contains(got.body, "<b>") {
			t.Errorf("%s: the provider's words are in the page", tt.query)
		}
		if tt.status == 403 {
			got.expect(t, 403, `href="/login/sso?next=%2Finbox"`) // and where to go on to is kept
		}
	}
	b := s.nobody()
	b.get("/login/sso")
	// without the state it is anybody's word
	b.get("/login/sso/callback?error=access_denied").expect(t, 400, "was not started in this browser")
}

func TestAProviderThatIsDownKeepsNobodyFromAPassword(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	s.mira()
	working := s.server.SignIn.SignOn.Issuer
	s.server.SignIn.SignOn.Issuer = "http://127.0.0.1:1"
	b := s.nobody()
	b.get("/login").expect(t, 200, "Sign in with Acme")
	b.get("/login/sso?next=%2Finbox").expect(t, 502, "The sign-on provider does not answer.")
	b.signIn("").expectTo(t, "/")
	// It is looked for again, and not only at the start.
	s.server.SignIn.SignOn.Issuer = working
	s.server.SignIn.SignOn.Now = func() time.Time { return time.Now().Add(time.Minute) }
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")

	other := s.nobody()
	back := other.identify(p, "mira", "")
	p.http.Close() // between going and coming back
	other.visit(back).expect(t, 502, "The sign-on provider does not answer.")
}

func TestWithoutAProviderThereIsNoSingleSignOn(t *testing.T) {
	s := open(t)
	s.mira()
	b := s.nobody()
	if page := b.get("/login"); strings.Contains(page.body, "/login/sso") {
		t.Error("the login page offers a single sign-on that there is not")
	}
	b.get("/login/sso").expectTo(t, "/login")
	b.get("/login/sso/callback?code=x&state=y").expectTo(t, "/login")
}

// rolesOf are the names of a person's roles.
func (s *site) rolesOf(email string) string {
	s.t.Helper()
	u, err := db.UserByEmail(s.t.Context(), s.server.DB, email)
	check(s.t, err)
	return u.RoleName
}

// cookieNamed is a cookie as the browser would send it to the sign-on, or nil.
func (b *browser) cookieNamed(name string) *http.Cookie {
	b.t.Helper()
	address, err := url.Parse(b.http.URL + "/login/sso")
	check(b.t, err)
	for _, c := range b.client.Jar.Cookies(address) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestAnAccountIsUnlinkedByWhoManagesPeople(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	u := s.mira()
	admin := s.as("Ada", account.RoleAdministrator)
	mira := s.nobody()
	mira.signOn(p, "mira", "").expectTo(t, "/")
	// The provider made her account anew, under another subject.
	p.set(member{User: storage.User{ID: "m-2", Username: "mira", Email: "mira@example.com", EmailVerified: true}})
	s.nobody().signOn(p, "mira", "").expect(t, 403, "another account")
	page := "/settings/users/" + u.ID.String()
	admin.get(page).expect(t, 200, "Unlink")
	mira.post(page+"/unlinking").expect(t, 403, "Not allowed")
	admin.post(page+"/unlinking").expectTo(t, page)
	mira.get("/").expectTo(t, "/login") // who may be another person signs in anew
	admin.post(page+"/unlinking").expect(t, 422, "There is no account of a single sign-on to unlink.")
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
}

func TestSomebodyInvitedIsNoOtherAdministrator(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"},
		{Group: "dev", Role: "Member"}}})
	_, err := s.server.Accounts.Setup(t.Context(), account.NewUser{
		Email: "mira@example.com", Name: "Mira", Password: password,
	})
	check(t, err)
	invited := s.as("Ada", account.RoleAdministrator).actor.ID
	check(t, db.SavePasswordLink(t.Context(), s.server.DB, &db.PasswordLink{
		UserID: invited, Hash: make([]byte, 32), Invites: true, CreatedAt: time.Now(), ExpiresAt: time.Now().
			Add(time.Hour),
	}))
	p.set(member{
		User:   storage.User{ID: "m-1", Username: "mira", Email: "mira@example.com", EmailVerified: true},
		groups: []string{"dev"},
	})
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	if got := s.rolesOf("mira@example.com"); got != "Administrator, Member" {
		t.Errorf("the only administrator who can sign in got the roles %q; want Administrator, Member", got)
	}
	// Who was invited and comes in this way needs the link no more.
	p.set(member{
		User:   storage.User{ID: "a-1", Username: "ada", Email: "Ada@example.com", EmailVerified: true},
		groups: []string{"ops"},
	})
	s.nobody().signOn(p, "ada", "").expectTo(t, "/")
	s.nobody().signOn(p, "mira", "").expectTo(t, "/")
	if got := s.rolesOf("mira@example.com"); got != "Member" {
		t.Errorf("beside an administrator who signed in got the roles %q; want Member", got)
	}
}
