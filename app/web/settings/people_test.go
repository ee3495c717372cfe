package settings_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestAnInvitedPersonChoosesNameAndPasswordByALinkThatWorksOnce(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	page := admin.Post("/settings/users", "email", "Lee@Example.com", "roles", s.RoleID(account.RoleMember))
	page.Expect(t, 200, "Send Lee this invitation now.")
	link := page.Link(t)
	if admin.Get(page.Request.URL.Path).Expect(t, 200, ""); strings.Contains(admin.Get("/settings/users").Text, link) {
		t.Error("the list shows the link")
	}
	admin.Get("/settings/users?status=invited").Expect(t, 200, "Lee@Example.com")

	lee := s.Nobody()
	lee.Get(link).Expect(t, 200, "Welcome to Carillon")
	lee.Get(link).Expect(t, 200, "Welcome to Carillon") // a look does not use it up
	lee.Post(link, "name", "", "password", "short").Expect(t, 422, "Use at least 10 characters.")
	lee.Post(link, "name", "Lee Ho", "password", webtest.Password, "email", "other@example.com", "role",
		"administrator").
		ExpectTo(t, "/")
	lee.Get("/").Expect(t, 200, "Lee Ho")
	lee.Get("/settings/users").Expect(t, 403, "You may not do this.")
	s.Nobody().Post(link, "name", "Eve", "password", webtest.Password).Expect(t, 404, "This link does not work")
	s.Nobody().Get(link).Expect(t, 404, "This link does not work")
	again := s.Nobody()
	again.Post("/login", "email", "lee@example.com", "password", webtest.Password).ExpectTo(t, "/")
	admin.Get("/settings/users?status=invited").Expect(t, 200, "Nobody matches")
	u, err := db.UserByEmail(t.Context(), s.Server.DB, "lee@example.com")
	webtest.Check(t, err)
	if e := s.LastAudit(u.ID); e.Action != "user.accept_invitation" || e.ActorID != u.ID ||
		e.After["name"] != "Lee Ho" || e.Address != "127.0.0.1" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestAnInvitationWithAPasswordLetsThePersonInAtOnce(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	admin.Post("/settings/users", "email", "kim@example.com", "name", "Kim", "password", webtest.Password, "roles",
		s.RoleID(account.RoleMember)).Expect(t, 303, "")
	s.Nobody().Post("/login", "email", "kim@example.com", "password", webtest.Password).ExpectTo(t, "/")
}

func TestMistakesOfAnInvitationStandBesideTheirFields(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	bad := admin.Post("/settings/users", "email", "not an address", "name", "Lee Ho")
	bad.Expect(t, 422, "This is not an e-mail address.")
	bad.Expect(t, 422, "Choose at least one role.")
	bad.Expect(t, 422, `value="Lee Ho"`)
	admin.Post("/settings/users", "email", "ada@example.com", "roles", s.RoleID(account.RoleMember)).
		Expect(t, 422, "Somebody has this address already.")
	admin.Post("/settings/users", "email", "x@example.com", "roles", uuid.NewString()).
		Expect(t, 422, "One of these roles is gone.")
	admin.Post("/settings/users", "email", "x@example.com", "roles", "nonsense").
		Expect(t, 422, "One of these roles is gone.")
}

func TestAResetEndsThePasswordAndEverySignInAndGivesALink(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	u := s.Mira()
	mira := s.Nobody()
	mira.SignIn("").ExpectTo(t, "/")
	page := admin.Post("/settings/users/" + u.ID.String() + "/reset")
	page.Expect(t, 200, "Give Mira this link now.")
	mira.Get("/").ExpectTo(t, "/login")
	s.Nobody().SignIn("").Expect(t, 422, "The e-mail address or the password is wrong.")
	link := page.Link(t)
	b := s.Nobody()
	b.Get(link).Expect(t, 200, "Choose a password")
	b.Post(link, "password", "another good one", "name", "Mallory").ExpectTo(t, "/")
	b.Get("/").Expect(t, 200, "Mira") // a reset renames nobody
	newer := admin.Post("/settings/users/" + u.ID.String() + "/reset").Link(t)
	newest := admin.Post("/settings/users/" + u.ID.String() + "/reset").Link(t)
	s.Nobody().Get(newer).Expect(t, 404, "This link does not work")
	s.Nobody().Get(newest).Expect(t, 200, "Choose a password")
}

func TestALinkIsDeadOnceItsTimeOrItsMakersPowerIsOver(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	clerk := s.As("Carl", account.RoleMember)
	s.Custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	invite := func(by *webtest.Browser, email string) (string, *db.User) {
		link := by.Post("/settings/users", "email", email, "roles", s.RoleID(account.RoleMember)).Link(t)
		u, err := db.UserByEmail(t.Context(), s.Server.DB, email)
		webtest.Check(t, err)
		return link, u
	}
	link, u := invite(clerk, "a@example.com")
	s.Nobody().Get(link).Expect(t, 200, "Welcome")
	webtest.Check(t, s.Server.Accounts.SetRoles(t.Context(), &admin.Actor, u.ID,
		[]uuid.UUID{uuid.MustParse(s.RoleID(account.RoleAdministrator))}, ""))
	s.Nobody().Get(link).Expect(t, 404, "This link does not work") // else the clerk would become an administrator by it
	s.Nobody().Post(link, "name", "X", "password", webtest.Password).Expect(t, 404, "This link does not work")

	link, u = invite(clerk, "b@example.com")
	webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), &admin.Actor, u.ID))
	s.Nobody().Get(link).Expect(t, 404, "This link does not work")
	webtest.Check(t, s.Server.Accounts.Activate(t.Context(), &admin.Actor, u.ID))
	s.Nobody().Get(link).Expect(t, 404, "This link does not work")

	link, _ = invite(clerk, "c@example.com")
	webtest.Check(t, s.Server.Accounts.Deactivate(t.Context(), &admin.Actor, clerk.Actor.ID))
	s.Nobody().Get(link).Expect(t, 404, "This link does not work")

	link, _ = invite(admin, "d@example.com")
	accounts := *s.Server.Accounts
	accounts.Now = func() time.Time { return time.Now().Add(account.InvitationLifetime + time.Minute) }
	s.Server.Accounts = &accounts
	s.Nobody().Get(link).Expect(t, 404, "This link does not work")
}

func TestTheTokenOfALinkIsNeitherStoredNorLogged(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	link := admin.Post("/settings/users", "email", "lee@example.com", "roles", s.RoleID(account.RoleMember)).Link(t)
	token := strings.TrimPrefix(link, "/join/")
	for _, table := range []string{"password_links", "users", "audit_events"} {
		var rows []string
		webtest.Check(t, s.Server.DB.NewRaw("SELECT t::text FROM "+table+" t").Scan(t.Context(), &rows))
		if strings.Contains(strings.Join(rows, "\n"), token) {
			t.Errorf("%s holds the token", table)
		}
	}
	var log webtest.SafeBuffer
	quiet := webtest.Bare(t, &log)
	req, err := http.NewRequest(http.MethodGet, link, nil)
	webtest.Check(t, err)
	if got := middleware.Path(req); got != "/join/***" || quiet == nil {
		t.Errorf("the log would have %q", got)
	}
}

func TestDeactivationFromThePageEndsSignInsAndKeepsHistory(t *testing.T) {
	s := webtest.Open(t)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	user := "/settings/users/" + mira.Actor.ID.String()
	admin.Post(user+"/deactivation").ExpectTo(t, user)
	mira.Get("/").ExpectTo(t, "/login")
	admin.Get(user).Expect(t, 200, "Activate")
	admin.Get("/settings/users?status=deactivated").Expect(t, 200, "Mira@example.com")
	admin.Post(user+"/reset").Expect(t, 422, "Activate the account first.")
	admin.Post(user+"/activation").ExpectTo(t, user)
	if e := s.LastAudit(mira.Actor.ID); e.Action != "user.activate" || e.Before["active"] != false ||
		e.After["active"] != true || e.ActorID != admin.Actor.ID || e.Address == "" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestTheLastAdministratorKeepsTheRoleAndTheAccount(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	own := "/settings/users/" + admin.Actor.ID.String()
	admin.Post(own+"/deactivation").Expect(t, 422, "You cannot deactivate your own account.")
	admin.Post(own+"/roles", "roles", s.RoleID(account.RoleMember)).Expect(t, 422, "This is the last administrator.")
	admin.Post(own+"/roles").Expect(t, 422, "Choose at least one role.")
	// Somebody invited cannot administer before they have a password, so they do not count.
	admin.Post("/settings/users", "email", "lee@example.com", "roles", s.RoleID(account.RoleAdministrator)).
		Expect(t, 200, "invitation")
	admin.Post(own+"/roles", "roles", s.RoleID(account.RoleMember)).Expect(t, 422, "This is the last administrator.")
	s.As("Second", account.RoleAdministrator)
	admin.Post(own+"/roles", "roles", s.RoleID(account.RoleMember)).Expect(t, 303, "")
	admin.Get("/settings/users").Expect(t, 403, "")
}

func TestSomebodyWhoManagesPeopleCannotTouchThoseWhoMayDoMore(t *testing.T) {
	s := webtest.Open(t)
	admin, clerk, member := s.As("Ada", account.RoleAdministrator), s.As("Carl", account.RoleMember),
		s.As("Mira", account.RoleMember)
	s.Custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	of := func(b *webtest.Browser) string { return "/settings/users/" + b.Actor.ID.String() }
	clerk.Get(of(admin)).Expect(t, 200, "Ada has permissions that you do not have")
	clerk.Post(of(admin), "name", "Eve", "email", "eve@example.com").Expect(t, 403, "")
	for _, action := range []string{"reset", "deactivation", "invitation"} {
		clerk.Post(of(admin)+"/"+action).Expect(t, 403, "")
	}
	clerk.Post(of(admin)+"/roles", "roles", s.RoleID(account.RoleMember)).Expect(t, 403, "")
	clerk.Post(of(member)+"/roles", "roles", s.RoleID(account.RoleAdministrator)).Expect(t, 403, "")
	clerk.Post(of(clerk)+"/roles", "roles", s.RoleID(account.RoleAdministrator)).Expect(t, 403, "")
	clerk.Post("/settings/users", "email", "x@example.com", "roles", s.RoleID(account.RoleManager)).Expect(t, 403, "")
	clerk.Post(of(member)+"/memberships", "workspace", s.Workspace).Expect(t, 403, "") // that needs workspaces.manage
	clerk.Post(of(member), "name", "Mira Okafor", "email", "mira.okafor@example.com").Expect(t, 303, "")
	if e := s.LastAudit(member.Actor.ID); e.Action != "user.update" || e.Before["email"] != "Mira@example.com" ||
		e.After["email"] != "mira.okafor@example.com" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestPeopleAreSearchedAndTurnedOverByName(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	now := time.Now()
	for i := range page.Rows + 5 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i/26) + " person"
		webtest.Check(t, db.InsertUser(t.Context(), s.Server.DB,
			&db.User{
				ID: db.NewID(), Email: uuid.NewString() + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: now,
				UpdatedAt: now,
			}, uuid.MustParse(s.RoleID(account.RoleMember))))
	}
	first := admin.Get("/settings/users")
	next := regexp.MustCompile(`href="(/settings/users\?after=[^"]+)" rel="next"`).FindStringSubmatch(first.Text)
	if next == nil || strings.Contains(first.Text, `rel="prev"`) {
		t.Fatalf("the first page has no next one: %.300s", first.Text)
	}
	second := admin.Get(next[1])
	previous := regexp.MustCompile(`href="(/settings/users\?before=[^"]+)" rel="prev"`).FindStringSubmatch(second.Text)
	rows := func(a *webtest.Answer) int { return strings.Count(a.Text, `class="title-link"`) }
	if rows(first) != page.Rows || rows(second) != 6 || previous == nil {
		t.Fatalf("pages of %d and %d rows, back by %v; want %d and 6", rows(first), rows(second), previous, page.Rows)
	}
	if back := admin.Get(previous[1]); rows(back) != page.Rows || !strings.Contains(back.Text, ">Ada<") ||
		strings.Contains(back.Text, `rel="prev"`) {
		t.Errorf("back came to %d rows; want the first page", rows(back))
	}
	admin.Get("/settings/users?q=ADA%40").Expect(t, 200, "Ada@example.com")
	admin.Get("/settings/users?q=%25").Expect(t, 200, "Nobody matches")
	admin.Get("/settings/users?role="+s.RoleID(account.RoleAdministrator)).Expect(t, 200, "Ada@example.com")
}

func TestMembershipsAreChangedFromAPersonsPage(t *testing.T) {
	s := webtest.Open(t)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	user := "/settings/users/" + mira.Actor.ID.String()
	admin.Get(user).Expect(t, 200, "Scratch")
	admin.Post(user+"/memberships", "do", "remove", "workspace", s.Workspace).ExpectTo(t, user)
	mira.Get("/workspaces/"+s.Workspace).Expect(t, 404, "")
	admin.Post(user+"/memberships", "workspace", s.Workspace).ExpectTo(t, user)
	mira.Get("/workspaces/"+s.Workspace).Expect(t, 200, "Scratch")
}

func TestALinkGoesOutByEmailWhereThereIsAMailServer(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	var to, text string
	s.Server.Settings.Letter = func(_ context.Context, recipient, _, body string) error {
		to, text = recipient, body
		return nil
	}
	page := admin.Post("/settings/users", "email", "lee@example.com", "roles", s.RoleID(account.RoleMember))
	page.Expect(t, 200, "It was also sent to lee@example.com.")
	if link := page.Link(t); to != "lee@example.com" || !strings.Contains(text, "Ada invites you") ||
		!strings.Contains(text, s.HTTP.URL+link) {
		t.Errorf("the letter to %q says %q", to, text)
	}
	s.Server.Settings.Letter = func(context.Context, string, string, string) error {
		return errors.New("the mail server is away")
	}
	page = admin.Post("/settings/users", "email", "kim@example.com", "roles", s.RoleID(account.RoleMember))
	if page.Link(t); strings.Contains(page.Text, "also sent") || strings.Contains(page.Text, "mail server is away") {
		t.Error("the page says that a letter went out, or why it did not")
	}
}
