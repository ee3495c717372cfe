package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

// outbox keeps the letters that a site sends.
type outbox struct{ to, subject, text string }

// withMail gives a site a mail server, and returns what it sent last.
func (s *site) withMail() *outbox {
	o := &outbox{}
	s.server.Accounts.Mail = true
	s.server.Settings.Letter = func(_ context.Context, to, subject, text string) error {
		o.to, o.subject, o.text = to, subject, text
		return nil
	}
	return o
}

// link is the path of the link in the last letter.
func (o *outbox) link(t *testing.T) string {
	t.Helper()
	_, path, ok := strings.Cut(o.text, "/join/")
	if !ok {
		t.Fatalf("the letter to %q holds no link: %q", o.to, o.text)
	}
	path, _, _ = strings.Cut(path, "\n")
	return "/join/" + path
}

// noticesOf are the titles of a person's notices, the newest first.
func (s *site) noticesOf(user uuid.UUID) []string {
	s.t.Helper()
	list, err := db.Notifications(s.t.Context(), s.server.DB, db.NotificationFilter{User: user, Limit: 10})
	check(s.t, err)
	var titles []string
	for _, n := range list {
		titles = append(titles, n.Title)
	}
	return titles
}

func TestTheFirstSingleSignOnTakesAnAccountFromWhoeverUsedItBefore(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"}}})
	admin := s.as("Ada", account.RoleAdministrator)
	// Somebody who manages people answers the invitation of another themselves.
	link := admin.post("/settings/users", "email", "boss@example.com", "roles", s.roleID(account.RoleMember)).link(t)
	thief := s.nobody()
	thief.post(link, "name", "Boss", "password", password).expectTo(t, "/")
	boss, err := db.UserByEmail(t.Context(), s.server.DB, "boss@example.com")
	check(t, err)
	token, err := s.server.Accounts.CreateToken(t.Context(), account.ActorOf(boss),
		account.TokenInput{Name: "kept", Days: "30"})
	check(t, err)
	check(t, db.SaveNoticePreferences(t.Context(), s.server.DB, &db.NoticePreferences{
		UserID: boss.ID, WebhookURL: "https://thief.example.com/", WebhookSecret: []byte("x"), Muted: []string{},
		UpdatedAt: time.Now(),
	}))
	check(t, db.SavePasswordLink(t.Context(), s.server.DB, &db.PasswordLink{
		UserID: boss.ID, Hash: make([]byte, 32), CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}))

	p.set(member{
		User:   storage.User{ID: "b-1", Username: "boss", Email: "boss@example.com", EmailVerified: true},
		groups: []string{"ops"},
	})
	owner := s.nobody()
	owner.signOn(p, "boss", "").expectTo(t, "/")
	owner.get("/settings/users").expect(t, 200, "Ada") // an administrator, by the groups
	thief.get("/").expectTo(t, "/login")
	s.nobody().post("/login", "email", "boss@example.com", "password", password).expect(t, 422, "")
	if _, err := s.server.Accounts.ActorByToken(t.Context(), token); err == nil {
		t.Error("an API token of before still works")
	}
	u, err := db.UserByID(t.Context(), s.server.DB, boss.ID)
	check(t, err)
	notices, err := db.NoticePreferencesOf(t.Context(), s.server.DB, boss.ID)
	check(t, err)
	had, err := db.TakePasswordLink(t.Context(), s.server.DB, boss.ID, nil)
	check(t, err)
	if u.PasswordHash != "" || notices.WebhookURL != "" || had {
		t.Errorf("the account kept a password (%t), a webhook (%q) or a link (%t)", u.PasswordHash != "",
			notices.WebhookURL, had)
	}
	list, err := db.AuditOf(t.Context(), s.server.DB, boss.ID, 10)
	check(t, err)
	told := false
	for _, e := range list {
		told = told || e.Action == "user.link_identity" && e.Before["password"] == true &&
			e.Before["api_tokens"] == 1.0 && e.Before["sign_ins"] == 1.0
	}
	if !told {
		t.Errorf("the audit log does not say what was taken: %+v", list)
	}
	if got := s.noticesOf(boss.ID); len(got) != 1 || got[0] != "You sign in by single sign-on from now on" {
		t.Errorf("the owner was told %q", got)
	}
	// Only the first link does it: what the owner makes afterwards stays.
	mine, err := s.server.Accounts.CreateToken(t.Context(), account.ActorOf(u),
		account.TokenInput{Name: "mine", Days: "30"})
	check(t, err)
	s.nobody().signOn(p, "boss", "").expectTo(t, "/")
	owner.get("/").expect(t, 200, "")
	if _, err := s.server.Accounts.ActorByToken(t.Context(), mine); err != nil {
		t.Errorf("a second sign-on took the token of the owner: %v", err)
	}
}

func TestAnAddressThatSomebodyChangedIsLinkedOnlyOnceItsMailIsAnswered(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	mail := s.withMail()
	var former outbox // the letter before the last
	send := s.server.Settings.Letter
	s.server.Settings.Letter = func(ctx context.Context, to, subject, text string) error {
		former = *mail
		return send(ctx, to, subject, text)
	}
	clerk := s.as("Carl", account.RoleMember)
	s.custom(clerk, "Clerk", account.ManageUsers)
	page := "/settings/users/" + clerk.actor.ID.String()
	p.set(member{User: storage.User{ID: "b-1", Username: "boss", Email: "boss@example.com", EmailVerified: true}})

	clerk.post(page, "email", "boss@example.com", "name", "Carl").
		expect(t, 200, "A link that confirms the address was sent to boss@example.com.")
	if former.to != "Carl@example.com" || !strings.Contains(former.text, "boss@example.com") {
		t.Errorf("the former address was told by a letter to %q: %q", former.to, former.text)
	}
	if mail.to != "boss@example.com" || !strings.Contains(mail.text, "only if that account is yours") {
		t.Errorf("the letter to %q says %q", mail.to, mail.text)
	}
	clerk.get(page).expect(t, 200, "boss@example.com, not confirmed")
	clerk.get(page).expect(t, 200, "Send the mail again")
	first := mail.link(t)
	if clerk.get(page); strings.Contains(clerk.get(page).body, first) {
		t.Error("the page shows the link of the mail")
	}
	s.nobody().signOn(p, "boss", "").expect(t, 403, "nobody has confirmed it")
	clerk.get("/").expect(t, 200, "Carl")

	clerk.post(page+"/address").expect(t, 200, "was sent to boss@example.com")
	second := mail.link(t)
	s.nobody().get(first).expect(t, 404, "This link does not work")
	s.nobody().get(second).expect(t, 200, "the account of “Carl”") // a look confirms nothing
	s.nobody().signOn(p, "boss", "").expect(t, 403, "nobody has confirmed it")
	s.nobody().post(second, "name", "X", "password", password).expect(t, 200, "Your address is confirmed")
	s.nobody().post(second).expect(t, 404, "This link does not work")
	if e := s.lastAudit(clerk.actor.ID); e.Action != "user.confirm_address" || e.After["email"] != "boss@example.com" ||
		e.Address != "127.0.0.1" {
		t.Errorf("the audit log says %+v", e)
	}
	// it chose no password
	s.nobody().post("/login", "email", "boss@example.com", "password", password).expect(t, 422, "")
	s.nobody().signOn(p, "boss", "").expectTo(t, "/")
	clerk.get("/").expectTo(t, "/login")
}

func TestAnotherAddressOfSomebodyInvitedEndsTheLinkInTheMailboxOfBefore(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	answer := admin.post("/settings/users", "email", "lee@exmaple.com", "roles", s.roleID(account.RoleMember))
	old, page := answer.link(t), answer.Request.URL.Path
	u, err := db.UserByEmail(t.Context(), s.server.DB, "lee@exmaple.com")
	check(t, err)
	if page == "/settings/users" {
		page = "/settings/users/" + u.ID.String()
	}
	admin.post(page, "email", "LEE@exmaple.com", "name", "Lee").expectTo(t, page) // the same address
	s.nobody().get(old).expect(t, 200, "Welcome")
	admin.post(page, "email", "lee@example.com", "name", "Lee").expectTo(t, page)
	s.nobody().get(old).expect(t, 404, "This link does not work")
	fresh := admin.post(page + "/invitation").link(t)
	s.nobody().post(fresh, "name", "Lee", "password", password).expectTo(t, "/")
	u, err = db.UserByID(t.Context(), s.server.DB, u.ID)
	check(t, err)
	if !u.EmailChangedAt.IsZero() {
		t.Error("the address of an invitation waits for another answer")
	}
}

func TestALinkGoesByMailAloneToSomebodyOfAWorkspaceOfWhichItsMakerIsNoMember(t *testing.T) {
	s := open(t)
	clerk, mira := s.as("Carl", account.RoleMember), s.as("Mira", account.RoleMember)
	s.custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	hush := &db.Workspace{
		ID: db.NewID(), Name: "Hush", DefaultBranch: "main", Provider: "agent", CreatedAt: time.Now(),
		UpdatedAt: time.Now(), Version: 1,
	}
	check(t, db.InsertWorkspace(t.Context(), s.server.DB, hush))
	page := "/settings/users/" + mira.actor.ID.String()

	shared := clerk.post(page + "/reset").link(t) // both are in Scratch alone
	check(t, db.AddMember(t.Context(), s.server.DB, hush.ID, mira.actor.ID))
	s.nobody().get(shared).expect(t, 404, "This link does not work") // its maker has seen it
	clerk.post(page+"/reset").expect(t, 422, "no mail server is set")
	clerk.post(page, "email", "carl2@example.com", "name", "Mira").
		expect(t, 422, "an administrator has to change the address")

	mail := s.withMail()
	answer := clerk.post(page + "/reset")
	answer.expect(t, 200, "A link to choose a new password was sent to Mira@example.com.")
	link := mail.link(t)
	if mail.to != "Mira@example.com" || strings.Contains(answer.body, "/join/") {
		t.Errorf("the letter went to %q, and the page shows a link: %t", mail.to,
			strings.Contains(answer.body, "/join/"))
	}
	if e := s.lastAudit(mira.actor.ID); e.Action != "user.reset_password" || e.After["by_mail_alone"] != true {
		t.Errorf("the audit log says %+v", e)
	}
	if got := s.noticesOf(mira.actor.ID); len(got) != 2 || got[0] != "Carl reset your password" {
		t.Errorf("the person was told %q", got)
	}
	s.nobody().post(link, "password", password).expectTo(t, "/")

	// The same of an invitation.
	u := s.as("Lee", account.RoleMember).actor.ID
	check(t, db.AddMember(t.Context(), s.server.DB, hush.ID, u))
	check(t, db.SavePasswordLink(t.Context(), s.server.DB, &db.PasswordLink{
		UserID: u, Hash: make([]byte, 32), Invites: true, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}))
	answer = clerk.post("/settings/users/" + u.String() + "/invitation")
	answer.expect(t, 200, "The invitation was sent to Lee@example.com.")
	if strings.Contains(answer.body, "/join/") {
		t.Error("the page shows an invitation of somebody of another workspace")
	}
	s.server.Settings.Letter = func(context.Context, string, string, string) error {
		return errors.New("the mail server is away")
	}
	clerk.post(page+"/reset").expect(t, 502, "could not be sent")

	// An address that nobody confirmed gets no such mail: it may be the maker's own.
	check(t, s.server.DB.NewRaw("UPDATE users SET email_changed_at = now() WHERE id = ? RETURNING id", mira.actor.ID).
		Scan(t.Context(), &u))
	clerk.post(page+"/reset").expect(t, 422, "nobody has confirmed the address")
	// An administrator is at home everywhere.
	s.as("Ada", account.RoleAdministrator).post(page + "/reset").link(t)
}

func TestNoCopyOfANoticeGoesToAnAddressThatNobodyConfirmed(t *testing.T) {
	s := open(t)
	s.withMail()
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	check(t, db.SaveNoticePreferences(t.Context(), s.server.DB,
		&db.NoticePreferences{UserID: mira.actor.ID, Email: true, Muted: []string{}, UpdatedAt: time.Now()}))
	told := func(key string) {
		_, err := db.InsertNotifications(t.Context(), s.server.DB,
			[]db.Notification{{
				ID: db.NewID(), UserID: mira.actor.ID, Kind: "failed", Title: key, DedupKey: key, CreatedAt: time.Now(),
			}})
		check(t, err)
	}
	claimed := func() (wanted []string) {
		list, err := db.ClaimCopies(t.Context(), s.server.DB, db.EmailChannel, time.Now().Add(time.Minute), time.Now(),
			nil, 10)
		check(t, err)
		for _, c := range list {
			if c.Wanted {
				wanted = append(wanted, c.Title)
			}
		}
		return wanted
	}
	told("before")
	if got := claimed(); len(got) != 1 {
		t.Fatalf("got %q; want the copy that waits", got)
	}
	_, err := s.server.Accounts.UpdatePerson(t.Context(), admin.actor, mira.actor.ID, "else@example.com", "Mira", "")
	check(t, err)
	told("after")
	if got := claimed(); len(got) != 0 {
		t.Errorf("copies go to an address that nobody confirmed: %q", got)
	}
	check(t, s.server.Accounts.ConfirmAddress(t.Context(), mira.actor.ID))
	told("confirmed")
	n, err := s.server.DB.NewSelect().Table("notice_deliveries").Count(t.Context())
	check(t, err)
	if n != 2 {
		t.Errorf("%d copies; want those of before the change and of after the confirmation", n)
	}
}

func TestACopyThatWaitsIsNotSentToSomebodyWhoHasLeftTheWorkspace(t *testing.T) {
	s := open(t)
	ada, mira, left := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember),
		s.as("Lee", account.RoleMember)
	a, _, err := s.rules.Definitions().Create(t.Context(), mira.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(t, err)
	for _, who := range []*browser{ada, mira, left} {
		check(t, db.SaveNoticePreferences(t.Context(), s.server.DB,
			&db.NoticePreferences{UserID: who.actor.ID, Email: true, Muted: []string{}, UpdatedAt: time.Now()}))
		_, err := db.InsertNotifications(t.Context(), s.server.DB, []db.Notification{{
			ID: db.NewID(), UserID: who.actor.ID, Kind: "failed", Title: who.actor.Name, DedupKey: "1",
			WorkspaceID: a.WorkspaceID, AutomationID: a.ID,
			CreatedAt: time.Now(),
		}})
		check(t, err)
	}
	for _, who := range []*browser{ada, left} {
		check(t, db.RemoveMember(t.Context(), s.server.DB, uuid.MustParse(s.workspace), who.actor.ID))
	}
	check(t, s.rules.Definitions().Delete(t.Context(), ada.actor, a.ID)) // what it told of stays the workspace's
	list, err := db.ClaimCopies(t.Context(), s.server.DB, db.EmailChannel, time.Now().Add(time.Minute), time.Now(), nil,
		10)
	check(t, err)
	wanted := map[string]bool{}
	for _, c := range list {
		wanted[c.Title] = c.Wanted
	}
	if len(list) != 3 || !wanted["Mira"] || !wanted["Ada"] || wanted["Lee"] { // an administrator is at home everywhere
		t.Errorf("wanted are %v", wanted)
	}
}
