package signin_test

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
	"carillon/app/web/webtest"
	"carillon/db"
)

// outbox keeps the letters that a site sends.
type outbox struct{ to, subject, text string }

// withMail gives a site a mail server, and returns what it sent last.
func withMail(s *webtest.Site) *outbox {
	o := &outbox{}
	s.Server.Accounts.Mail = true
	s.Server.Settings.Letter = func(_ context.Context, to, subject, text string) error {
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
func noticesOf(s *webtest.Site, user uuid.UUID) []string {
	s.T.Helper()
	list, err := db.Notifications(s.T.Context(), s.Server.DB, db.NotificationFilter{User: user, Limit: 10})
	webtest.Check(s.T, err)
	var titles []string
	for _, n := range list {
		titles = append(titles, n.Title)
	}
	return titles
}

func TestTheFirstSingleSignOnTakesAnAccountFromWhoeverUsedItBefore(t *testing.T) {
	s, p := withProvider(t, account.SignOn{Roles: []account.GroupRole{{Group: "ops", Role: "Administrator"}}})
	admin := s.As("Ada", account.RoleAdministrator)
	// Somebody who manages people answers the invitation of another themselves.
	link := admin.Post("/settings/users", "email", "boss@example.com", "roles", s.RoleID(account.RoleMember)).Link(t)
	thief := s.Nobody()
	thief.Post(link, "name", "Boss", "password", webtest.Password).ExpectTo(t, "/")
	boss, err := db.UserByEmail(t.Context(), s.Server.DB, "boss@example.com")
	webtest.Check(t, err)
	token, err := s.Server.Accounts.CreateToken(t.Context(), account.ActorOf(boss),
		account.TokenInput{Name: "kept", Days: "30"})
	webtest.Check(t, err)
	webtest.Check(t, db.SaveNoticePreferences(t.Context(), s.Server.DB, &db.NoticePreferences{
		UserID: boss.ID, WebhookURL: "https://thief.example.com/", WebhookSecret: []byte("x"), Muted: []string{},
		UpdatedAt: time.Now(),
	}))
	webtest.Check(t, db.SavePasswordLink(t.Context(), s.Server.DB, &db.PasswordLink{
		UserID: boss.ID, Hash: make([]byte, 32), CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}))

	p.set(member{
		User:   storage.User{ID: "b-1", Username: "boss", Email: "boss@example.com", EmailVerified: true},
		groups: []string{"ops"},
	})
	owner := s.Nobody()
	signOn(owner, p, "boss", "").ExpectTo(t, "/")
	owner.Get("/settings/users").Expect(t, 200, "Ada") // an administrator, by the groups
	thief.Get("/").ExpectTo(t, "/login")
	s.Nobody().Post("/login", "email", "boss@example.com", "password", webtest.Password).Expect(t, 422, "")
	if _, err := s.Server.Accounts.ActorByToken(t.Context(), token); err == nil {
		t.Error("an API token of before still works")
	}
	u, err := db.UserByID(t.Context(), s.Server.DB, boss.ID)
	webtest.Check(t, err)
	notices, err := db.NoticePreferencesOf(t.Context(), s.Server.DB, boss.ID)
	webtest.Check(t, err)
	had, err := db.TakePasswordLink(t.Context(), s.Server.DB, boss.ID, nil)
	webtest.Check(t, err)
	if u.PasswordHash != "" || notices.WebhookURL != "" || had {
		t.Errorf("the account kept a password (%t), a webhook (%q) or a link (%t)", u.PasswordHash != "",
			notices.WebhookURL, had)
	}
	list, err := db.AuditOf(t.Context(), s.Server.DB, boss.ID, 10)
	webtest.Check(t, err)
	told := false
	for _, e := range list {
		told = told || e.Action == "user.link_identity" && e.Before["password"] == true &&
			e.Before["api_tokens"] == 1.0 && e.Before["sign_ins"] == 1.0
	}
	if !told {
		t.Errorf("the audit log does not say what was taken: %+v", list)
	}
	if got := noticesOf(s, boss.ID); len(got) != 1 || got[0] != "You sign in by single sign-on from now on" {
		t.Errorf("the owner was told %q", got)
	}
	// Only the first link does it: what the owner makes afterwards stays.
	mine, err := s.Server.Accounts.CreateToken(t.Context(), account.ActorOf(u),
		account.TokenInput{Name: "mine", Days: "30"})
	webtest.Check(t, err)
	signOn(s.Nobody(), p, "boss", "").ExpectTo(t, "/")
	owner.Get("/").Expect(t, 200, "")
	if _, err := s.Server.Accounts.ActorByToken(t.Context(), mine); err != nil {
		t.Errorf("a second sign-on took the token of the owner: %v", err)
	}
}

func TestAnAddressThatSomebodyChangedIsLinkedOnlyOnceItsMailIsAnswered(t *testing.T) {
	s, p := withProvider(t, account.SignOn{})
	mail := withMail(s)
	var former outbox // the letter before the last
	send := s.Server.Settings.Letter
	s.Server.Settings.Letter = func(ctx context.Context, to, subject, text string) error {
		former = *mail
		return send(ctx, to, subject, text)
	}
	clerk := s.As("Carl", account.RoleMember)
	s.Custom(clerk, "Clerk", account.ManageUsers)
	page := "/settings/users/" + clerk.Actor.ID.String()
	p.set(member{User: storage.User{ID: "b-1", Username: "boss", Email: "boss@example.com", EmailVerified: true}})

	clerk.Post(page, "email", "boss@example.com", "name", "Carl").
		Expect(t, 200, "A link that confirms the address was sent to boss@example.com.")
	if former.to != "Carl@example.com" || !strings.Contains(former.text, "boss@example.com") {
		t.Errorf("the former address was told by a letter to %q: %q", former.to, former.text)
	}
	if mail.to != "boss@example.com" || !strings.Contains(mail.text, "only if that account is yours") {
		t.Errorf("the letter to %q says %q", mail.to, mail.text)
	}
	clerk.Get(page).Expect(t, 200, "boss@example.com, not confirmed")
	clerk.Get(page).Expect(t, 200, "Send the mail again")
	first := mail.link(t)
	if clerk.Get(page); strings.Contains(clerk.Get(page).Text, first) {
		t.Error("the page shows the link of the mail")
	}
	signOn(s.Nobody(), p, "boss", "").Expect(t, 403, "nobody has confirmed it")
	clerk.Get("/").Expect(t, 200, "Carl")

	clerk.Post(page+"/address").Expect(t, 200, "was sent to boss@example.com")
	second := mail.link(t)
	s.Nobody().Get(first).Expect(t, 404, "This link does not work")
	s.Nobody().Get(second).Expect(t, 200, "the account of “Carl”") // a look confirms nothing
	signOn(s.Nobody(), p, "boss", "").Expect(t, 403, "nobody has confirmed it")
	s.Nobody().Post(second, "name", "X", "password", webtest.Password).Expect(t, 200, "Your address is confirmed")
	s.Nobody().Post(second).Expect(t, 404, "This link does not work")
	if e := s.LastAudit(clerk.Actor.ID); e.Action != "user.confirm_address" || e.After["email"] != "boss@example.com" ||
		e.Address != "127.0.0.1" {
		t.Errorf("the audit log says %+v", e)
	}
	// it chose no password
	s.Nobody().Post("/login", "email", "boss@example.com", "password", webtest.Password).Expect(t, 422, "")
	signOn(s.Nobody(), p, "boss", "").ExpectTo(t, "/")
	clerk.Get("/").ExpectTo(t, "/login")
}

func TestAnotherAddressOfSomebodyInvitedEndsTheLinkInTheMailboxOfBefore(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	answer := admin.Post("/settings/users", "email", "lee@exmaple.com", "roles", s.RoleID(account.RoleMember))
	old, page := answer.Link(t), answer.Request.URL.Path
	u, err := db.UserByEmail(t.Context(), s.Server.DB, "lee@exmaple.com")
	webtest.Check(t, err)
	if page == "/settings/users" {
		page = "/settings/users/" + u.ID.String()
	}
	admin.Post(page, "email", "LEE@exmaple.com", "name", "Lee").ExpectTo(t, page) // the same address
	s.Nobody().Get(old).Expect(t, 200, "Welcome")
	admin.Post(page, "email", "lee@example.com", "name", "Lee").ExpectTo(t, page)
	s.Nobody().Get(old).Expect(t, 404, "This link does not work")
	fresh := admin.Post(page + "/invitation").Link(t)
	s.Nobody().Post(fresh, "name", "Lee", "password", webtest.Password).ExpectTo(t, "/")
	u, err = db.UserByID(t.Context(), s.Server.DB, u.ID)
	webtest.Check(t, err)
	if !u.EmailChangedAt.IsZero() {
		t.Error("the address of an invitation waits for another answer")
	}
}

func TestALinkGoesByMailAloneToSomebodyOfAWorkspaceOfWhichItsMakerIsNoMember(t *testing.T) {
	s := webtest.Open(t)
	clerk, mira := s.As("Carl", account.RoleMember), s.As("Mira", account.RoleMember)
	s.Custom(clerk, "Clerk", account.ManageUsers, account.Manage, account.ManageTickets, account.UseShell)
	hush := &db.Workspace{
		ID: db.NewID(), Name: "Hush", DefaultBranch: "main", Provider: "agent", CreatedAt: time.Now(),
		UpdatedAt: time.Now(), Version: 1,
	}
	webtest.Check(t, db.InsertWorkspace(t.Context(), s.Server.DB, hush))
	page := "/settings/users/" + mira.Actor.ID.String()

	shared := clerk.Post(page + "/reset").Link(t) // both are in Scratch alone
	webtest.Check(t, db.AddMember(t.Context(), s.Server.DB, hush.ID, mira.Actor.ID))
	s.Nobody().Get(shared).Expect(t, 404, "This link does not work") // its maker has seen it
	clerk.Post(page+"/reset").Expect(t, 422, "no mail server is set")
	clerk.Post(page, "email", "carl2@example.com", "name", "Mira").
		Expect(t, 422, "an administrator has to change the address")

	mail := withMail(s)
	answer := clerk.Post(page + "/reset")
	answer.Expect(t, 200, "A link to choose a new password was sent to Mira@example.com.")
	link := mail.link(t)
	if mail.to != "Mira@example.com" || strings.Contains(answer.Text, "/join/") {
		t.Errorf("the letter went to %q, and the page shows a link: %t", mail.to,
			strings.Contains(answer.Text, "/join/"))
	}
	if e := s.LastAudit(mira.Actor.ID); e.Action != "user.reset_password" || e.After["by_mail_alone"] != true {
		t.Errorf("the audit log says %+v", e)
	}
	if got := noticesOf(s, mira.Actor.ID); len(got) != 2 || got[0] != "Carl reset your password" {
		t.Errorf("the person was told %q", got)
	}
	s.Nobody().Post(link, "password", webtest.Password).ExpectTo(t, "/")

	// The same of an invitation.
	u := s.As("Lee", account.RoleMember).Actor.ID
	webtest.Check(t, db.AddMember(t.Context(), s.Server.DB, hush.ID, u))
	webtest.Check(t, db.SavePasswordLink(t.Context(), s.Server.DB, &db.PasswordLink{
		UserID: u, Hash: make([]byte, 32), Invites: true, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}))
	answer = clerk.Post("/settings/users/" + u.String() + "/invitation")
	answer.Expect(t, 200, "The invitation was sent to Lee@example.com.")
	if strings.Contains(answer.Text, "/join/") {
		t.Error("the page shows an invitation of somebody of another workspace")
	}
	s.Server.Settings.Letter = func(context.Context, string, string, string) error {
		return errors.New("the mail server is away")
	}
	clerk.Post(page+"/reset").Expect(t, 502, "could not be sent")

	// An address that nobody confirmed gets no such mail: it may be the maker's own.
	webtest.Check(t,
		s.Server.DB.NewRaw("UPDATE users SET email_changed_at = now() WHERE id = ? RETURNING id", mira.Actor.ID).
			Scan(t.Context(), &u))
	clerk.Post(page+"/reset").Expect(t, 422, "nobody has confirmed the address")
	// An administrator is at home everywhere.
	s.As("Ada", account.RoleAdministrator).Post(page + "/reset").Link(t)
}

func TestNoCopyOfANoticeGoesToAnAddressThatNobodyConfirmed(t *testing.T) {
	s := webtest.Open(t)
	withMail(s)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	webtest.Check(t, db.SaveNoticePreferences(t.Context(), s.Server.DB,
		&db.NoticePreferences{UserID: mira.Actor.ID, Email: true, Muted: []string{}, UpdatedAt: time.Now()}))
	told := func(key string) {
		_, err := db.InsertNotifications(t.Context(), s.Server.DB,
			[]db.Notification{{
				ID: db.NewID(), UserID: mira.Actor.ID, Kind: "failed", Title: key, DedupKey: key, CreatedAt: time.Now(),
			}})
		webtest.Check(t, err)
	}
	claimed := func() (wanted []string) {
		list, err := db.ClaimCopies(t.Context(), s.Server.DB, db.EmailChannel, time.Now().Add(time.Minute), time.Now(),
			nil, 10)
		webtest.Check(t, err)
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
	_, err := s.Server.Accounts.UpdatePerson(t.Context(), admin.Actor, mira.Actor.ID, "else@example.com", "Mira", "")
	webtest.Check(t, err)
	told("after")
	if got := claimed(); len(got) != 0 {
		t.Errorf("copies go to an address that nobody confirmed: %q", got)
	}
	webtest.Check(t, s.Server.Accounts.ConfirmAddress(t.Context(), mira.Actor.ID))
	told("confirmed")
	n, err := s.Server.DB.NewSelect().Table("notice_deliveries").Count(t.Context())
	webtest.Check(t, err)
	if n != 2 {
		t.Errorf("%d copies; want those of before the change and of after the confirmation", n)
	}
}

func TestACopyThatWaitsIsNotSentToSomebodyWhoHasLeftTheWorkspace(t *testing.T) {
	s := webtest.Open(t)
	ada, mira, left := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember),
		s.As("Lee", account.RoleMember)
	a, _, err := s.Rules.Definitions().Create(t.Context(), mira.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}})
	webtest.Check(t, err)
	for _, who := range []*webtest.Browser{ada, mira, left} {
		webtest.Check(t, db.SaveNoticePreferences(t.Context(), s.Server.DB,
			&db.NoticePreferences{UserID: who.Actor.ID, Email: true, Muted: []string{}, UpdatedAt: time.Now()}))
		_, err := db.InsertNotifications(t.Context(), s.Server.DB, []db.Notification{{
			ID: db.NewID(), UserID: who.Actor.ID, Kind: "failed", Title: who.Actor.Name, DedupKey: "1",
			WorkspaceID: a.WorkspaceID, AutomationID: a.ID,
			CreatedAt: time.Now(),
		}})
		webtest.Check(t, err)
	}
	for _, who := range []*webtest.Browser{ada, left} {
		webtest.Check(t, db.RemoveMember(t.Context(), s.Server.DB, uuid.MustParse(s.Workspace), who.Actor.ID))
	}
	webtest.Check(t,
		s.Rules.Definitions().Delete(t.Context(), ada.Actor, a.ID)) // what it told of stays the workspace's
	list, err := db.ClaimCopies(t.Context(), s.Server.DB, db.EmailChannel, time.Now().Add(time.Minute), time.Now(), nil,
		10)
	webtest.Check(t, err)
	wanted := map[string]bool{}
	for _, c := range list {
		wanted[c.Title] = c.Wanted
	}
	if len(list) != 3 || !wanted["Mira"] || !wanted["Ada"] || wanted["Lee"] { // an administrator is at home everywhere
		t.Errorf("wanted are %v", wanted)
	}
}
