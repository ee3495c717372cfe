package web

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
	"carillon/db"
)

// roleID is the id of a role built in, as a form has it.
func (s *site) roleID(key string) string {
	s.t.Helper()
	r, err := db.RoleByKey(s.t.Context(), s.server.DB, key)
	check(s.t, err)
	return r.ID.String()
}

// custom makes a role of the permissions given and gives it to somebody in place of theirs.
func (s *site) custom(b *browser, name string, permissions ...account.Permission) {
	s.t.Helper()
	r := db.Role{ID: db.NewID(), Name: name, Permissions: []string{}, CreatedAt: time.Now(), Version: 1}
	for _, p := range permissions {
		r.Permissions = append(r.Permissions, string(p))
	}
	check(s.t, db.InsertRole(s.t.Context(), s.server.DB, &r))
	check(s.t, db.SetRoles(s.t.Context(), s.server.DB, b.actor.ID, []uuid.UUID{r.ID}))
	u, err := db.UserByID(s.t.Context(), s.server.DB, b.actor.ID)
	check(s.t, err)
	b.actor = account.ActorOf(u)
}

var joinLink = regexp.MustCompile(`value="http[^"]*(/join/[^"]+)"`)

// link finds the one-time link on a page.
func (a *answer) link(t *testing.T) string {
	t.Helper()
	m := joinLink.FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("%s answered %d without a link: %.600s", a.Request.URL, a.StatusCode, a.body)
	}
	return m[1]
}

// lastAudit is the newest line of the audit log about a thing.
func (s *site) lastAudit(subject uuid.UUID) db.AuditEvent {
	s.t.Helper()
	list, err := db.AuditOf(s.t.Context(), s.server.DB, subject, 1)
	check(s.t, err)
	if len(list) == 0 {
		s.t.Fatalf("nothing in the audit log about %s", subject)
	}
	return list[0]
}

func TestAnInvitedPersonChoosesNameAndPasswordByALinkThatWorksOnce(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	page := admin.post("/settings/users", "email", "Lee@Example.com", "roles", s.roleID(account.RoleMember))
	page.expect(t, 200, "Send Lee this invitation now.")
	link := page.link(t)
	if admin.get(page.Request.URL.Path).expect(t, 200, ""); strings.Contains(admin.get("/settings/users").body, link) {
		t.Error("the list shows the link")
	}
	admin.get("/settings/users?status=invited").expect(t, 200, "Lee@Example.com")

	lee := s.nobody()
	lee.get(link).expect(t, 200, "Welcome to Carillon")
	lee.get(link).expect(t, 200, "Welcome to Carillon") // a look does not use it up
	lee.post(link, "name", "", "password", "short").expect(t, 422, "Use at least 10 characters.")
	lee.post(link, "name", "Lee Ho", "password", password, "email", "other@example.com", "role", "administrator").
		expectTo(t, "/")
	lee.get("/").expect(t, 200, "Lee Ho")
	lee.get("/settings/users").expect(t, 403, "You may not do this.")
	s.nobody().post(link, "name", "Eve", "password", password).expect(t, 404, "This link does not work")
	s.nobody().get(link).expect(t, 404, "This link does not work")
	again := s.nobody()
	again.post("/login", "email", "lee@example.com", "password", password).expectTo(t, "/")
	admin.get("/settings/users?status=invited").expect(t, 200, "Nobody matches")
	u, err := db.UserByEmail(t.Context(), s.server.DB, "lee@example.com")
	check(t, err)
	if e := s.lastAudit(u.ID); e.Action != "user.accept_invitation" || e.ActorID != u.ID ||
		e.After["name"] != "Lee Ho" || e.Address != "127.0.0.1" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestAnInvitationWithAPasswordLetsThePersonInAtOnce(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	admin.post("/settings/users", "email", "kim@example.com", "name", "Kim", "password", password, "roles",
		s.roleID(account.RoleMember)).expect(t, 303, "")
	s.nobody().post("/login", "email", "kim@example.com", "password", password).expectTo(t, "/")
}

func TestMistakesOfAnInvitationStandBesideTheirFields(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	bad := admin.post("/settings/users", "email", "not an address", "name", "Lee Ho")
	bad.expect(t, 422, "This is not an e-mail address.")
	bad.expect(t, 422, "Choose at least one role.")
	bad.expect(t, 422, `value="Lee Ho"`)
	admin.post("/settings/users", "email", "ada@example.com", "roles", s.roleID(account.RoleMember)).
		expect(t, 422, "Somebody has this address already.")
	admin.post("/settings/users", "email", "x@example.com", "roles", uuid.NewString()).
		expect(t, 422, "One of these roles is gone.")
	admin.post("/settings/users", "email", "x@example.com", "roles", "nonsense").
		expect(t, 422, "One of these roles is gone.")
}

func TestAResetEndsThePasswordAndEverySignInAndGivesALink(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	u := s.mira()
	mira := s.nobody()
	mira.signIn("").expectTo(t, "/")
	page := admin.post("/settings/users/" + u.ID.String() + "/reset")
	page.expect(t, 200, "Give Mira this link now.")
	mira.get("/").expectTo(t, "/login")
	s.nobody().signIn("").expect(t, 422, "The e-mail address or the password is wrong.")
	link := page.link(t)
	b := s.nobody()
	b.get(link).expect(t, 200, "Choose a password")
	b.post(link, "password", "another good one", "name", "Mallory").expectTo(t, "/")
	b.get("/").expect(t, 200, "Mira") // a reset renames nobody
	newer := admin.post("/settings/users/" + u.ID.String() + "/reset").link(t)
	newest := admin.post("/settings/users/" + u.ID.String() + "/reset").link(t)
	s.nobody().get(newer).expect(t, 404, "This link does not work")
	s.nobody().get(newest).expect(t, 200, "Choose a password")
}

func TestALinkIsDeadOnceItsTimeOrItsMakersPowerIsOver(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	clerk := s.as("Carl", account.RoleMember)
	s.custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	invite := func(by *browser, email string) (string, *db.User) {
		link := by.post("/settings/users", "email", email, "roles", s.roleID(account.RoleMember)).link(t)
		u, err := db.UserByEmail(t.Context(), s.server.DB, email)
		check(t, err)
		return link, u
	}
	link, u := invite(clerk, "a@example.com")
	s.nobody().get(link).expect(t, 200, "Welcome")
	check(t, s.server.Accounts.SetRoles(t.Context(), &admin.actor, u.ID,
		[]uuid.UUID{uuid.MustParse(s.roleID(account.RoleAdministrator))}, ""))
	s.nobody().get(link).expect(t, 404, "This link does not work") // else the clerk would become an administrator by it
	s.nobody().post(link, "name", "X", "password", password).expect(t, 404, "This link does not work")

	link, u = invite(clerk, "b@example.com")
	check(t, s.server.Accounts.Deactivate(t.Context(), &admin.actor, u.ID))
	s.nobody().get(link).expect(t, 404, "This link does not work")
	check(t, s.server.Accounts.Activate(t.Context(), &admin.actor, u.ID))
	s.nobody().get(link).expect(t, 404, "This link does not work")

	link, _ = invite(clerk, "c@example.com")
	check(t, s.server.Accounts.Deactivate(t.Context(), &admin.actor, clerk.actor.ID))
	s.nobody().get(link).expect(t, 404, "This link does not work")

	link, _ = invite(admin, "d@example.com")
	accounts := *s.server.Accounts
	accounts.Now = func() time.Time { return time.Now().Add(account.InvitationLifetime + time.Minute) }
	s.server.Accounts = &accounts
	s.nobody().get(link).expect(t, 404, "This link does not work")
}

func TestTheTokenOfALinkIsNeitherStoredNorLogged(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	link := admin.post("/settings/users", "email", "lee@example.com", "roles", s.roleID(account.RoleMember)).link(t)
	token := strings.TrimPrefix(link, "/join/")
	for _, table := range []string{"password_links", "users", "audit_events"} {
		var rows []string
		check(t, s.server.DB.NewRaw("SELECT t::text FROM "+table+" t").Scan(t.Context(), &rows))
		if strings.Contains(strings.Join(rows, "\n"), token) {
			t.Errorf("%s holds the token", table)
		}
	}
	var log safeBuffer
	quiet := frame(t, &log)
	req, err := http.NewRequest(http.MethodGet, link, nil)
	check(t, err)
	if got := middleware.Path(req); got != "/join/***" || quiet == nil {
		t.Errorf("the log would have %q", got)
	}
}

func TestDeactivationFromThePageEndsSignInsAndKeepsHistory(t *testing.T) {
	s := open(t)
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	user := "/settings/users/" + mira.actor.ID.String()
	admin.post(user+"/deactivation").expectTo(t, user)
	mira.get("/").expectTo(t, "/login")
	admin.get(user).expect(t, 200, "Activate")
	admin.get("/settings/users?status=deactivated").expect(t, 200, "Mira@example.com")
	admin.post(user+"/reset").expect(t, 422, "Activate the account first.")
	admin.post(user+"/activation").expectTo(t, user)
	if e := s.lastAudit(mira.actor.ID); e.Action != "user.activate" || e.Before["active"] != false ||
		e.After["active"] != true || e.ActorID != admin.actor.ID || e.Address == "" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestTheLastAdministratorKeepsTheRoleAndTheAccount(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	own := "/settings/users/" + admin.actor.ID.String()
	admin.post(own+"/deactivation").expect(t, 422, "You cannot deactivate your own account.")
	admin.post(own+"/roles", "roles", s.roleID(account.RoleMember)).expect(t, 422, "This is the last administrator.")
	admin.post(own+"/roles").expect(t, 422, "Choose at least one role.")
	// Somebody invited cannot administer before they have a password, so they do not count.
	admin.post("/settings/users", "email", "lee@example.com", "roles", s.roleID(account.RoleAdministrator)).
		expect(t, 200, "invitation")
	admin.post(own+"/roles", "roles", s.roleID(account.RoleMember)).expect(t, 422, "This is the last administrator.")
	s.as("Second", account.RoleAdministrator)
	admin.post(own+"/roles", "roles", s.roleID(account.RoleMember)).expect(t, 303, "")
	admin.get("/settings/users").expect(t, 403, "")
}

func TestSomebodyWhoManagesPeopleCannotTouchThoseWhoMayDoMore(t *testing.T) {
	s := open(t)
	admin, clerk, member := s.as("Ada", account.RoleAdministrator), s.as("Carl", account.RoleMember),
		s.as("Mira", account.RoleMember)
	s.custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	of := func(b *browser) string { return "/settings/users/" + b.actor.ID.String() }
	clerk.get(of(admin)).expect(t, 200, "Ada has permissions that you do not have")
	clerk.post(of(admin), "name", "Eve", "email", "eve@example.com").expect(t, 403, "")
	for _, action := range []string{"reset", "deactivation", "invitation"} {
		clerk.post(of(admin)+"/"+action).expect(t, 403, "")
	}
	clerk.post(of(admin)+"/roles", "roles", s.roleID(account.RoleMember)).expect(t, 403, "")
	clerk.post(of(member)+"/roles", "roles", s.roleID(account.RoleAdministrator)).expect(t, 403, "")
	clerk.post(of(clerk)+"/roles", "roles", s.roleID(account.RoleAdministrator)).expect(t, 403, "")
	clerk.post("/settings/users", "email", "x@example.com", "roles", s.roleID(account.RoleManager)).expect(t, 403, "")
	clerk.post(of(member)+"/memberships", "workspace", s.workspace).expect(t, 403, "") // that needs workspaces.manage
	clerk.post(of(member), "name", "Mira Okafor", "email", "mira.okafor@example.com").expect(t, 303, "")
	if e := s.lastAudit(member.actor.ID); e.Action != "user.update" || e.Before["email"] != "Mira@example.com" ||
		e.After["email"] != "mira.okafor@example.com" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestPeopleAreSearchedAndTurnedOverByName(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	now := time.Now()
	for i := range page.Rows + 5 {
		name := string(rune('a'+i%26)) + strings.Repeat("x", i/26) + " person"
		check(t, db.InsertUser(t.Context(), s.server.DB,
			&db.User{
				ID: db.NewID(), Email: uuid.NewString() + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: now,
				UpdatedAt: now,
			}, uuid.MustParse(s.roleID(account.RoleMember))))
	}
	first := admin.get("/settings/users")
	next := regexp.MustCompile(`href="(/settings/users\?after=[^"]+)" rel="next"`).FindStringSubmatch(first.body)
	if next == nil || strings.Contains(first.body, `rel="prev"`) {
		t.Fatalf("the first page has no next one: %.300s", first.body)
	}
	second := admin.get(next[1])
	previous := regexp.MustCompile(`href="(/settings/users\?before=[^"]+)" rel="prev"`).FindStringSubmatch(second.body)
	rows := func(a *answer) int { return strings.Count(a.body, `class="title-link"`) }
	if rows(first) != page.Rows || rows(second) != 6 || previous == nil {
		t.Fatalf("pages of %d and %d rows, back by %v; want %d and 6", rows(first), rows(second), previous, page.Rows)
	}
	if back := admin.get(previous[1]); rows(back) != page.Rows || !strings.Contains(back.body, ">Ada<") ||
		strings.Contains(back.body, `rel="prev"`) {
		t.Errorf("back came to %d rows; want the first page", rows(back))
	}
	admin.get("/settings/users?q=ADA%40").expect(t, 200, "Ada@example.com")
	admin.get("/settings/users?q=%25").expect(t, 200, "Nobody matches")
	admin.get("/settings/users?role="+s.roleID(account.RoleAdministrator)).expect(t, 200, "Ada@example.com")
}

func TestMembershipsAreChangedFromAPersonsPage(t *testing.T) {
	s := open(t)
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	user := "/settings/users/" + mira.actor.ID.String()
	admin.get(user).expect(t, 200, "Scratch")
	admin.post(user+"/memberships", "do", "remove", "workspace", s.workspace).expectTo(t, user)
	mira.get("/workspaces/"+s.workspace).expect(t, 404, "")
	admin.post(user+"/memberships", "workspace", s.workspace).expectTo(t, user)
	mira.get("/workspaces/"+s.workspace).expect(t, 200, "Scratch")
}

func TestALinkGoesOutByEmailWhereThereIsAMailServer(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	var to, text string
	s.server.Settings.Letter = func(_ context.Context, recipient, _, body string) error {
		to, text = recipient, body
		return nil
	}
	page := admin.post("/settings/users", "email", "lee@example.com", "roles", s.roleID(account.RoleMember))
	page.expect(t, 200, "It was also sent to lee@example.com.")
	if link := page.link(t); to != "lee@example.com" || !strings.Contains(text, "Ada invites you") ||
		!strings.Contains(text, s.http.URL+link) {
		t.Errorf("the letter to %q says %q", to, text)
	}
	s.server.Settings.Letter = func(context.Context, string, string, string) error {
		return errors.New("the mail server is away")
	}
	page = admin.post("/settings/users", "email", "kim@example.com", "roles", s.roleID(account.RoleMember))
	if page.link(t); strings.Contains(page.body, "also sent") || strings.Contains(page.body, "mail server is away") {
		t.Error("the page says that a letter went out, or why it did not")
	}
}
