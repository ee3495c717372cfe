package account

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/outbound"
	"carillon/app/secret"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// kit is a service on a database of its own with two people, at a time that stands still until it is moved.
type kit struct {
	*Service
	t           *testing.T
	now         time.Time
	mira, jonas Actor
}

func setup(t *testing.T) *kit {
	t.Parallel()
	d := dbtest.New(t)
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	check(t, err)
	k := &kit{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	k.Service = &Service{
		DB: d, Now: func() time.Time {
			return k.now
		}, Keys: keys, Log: slog.New(slog.DiscardHandler), Outbound: outbound.Policy{}, Mail: true,
		NoticeKinds: []string{"disabled", "failed", "skipped"},
	}
	check(t, EnsureRoles(t.Context(), d, k.now))
	k.mira, k.jonas = k.person("Mira"), k.person("Jonas")
	return k
}

func (k *kit) person(name string) Actor {
	k.t.Helper()
	r, err := db.RoleByKey(k.t.Context(), k.DB, RoleMember)
	check(k.t, err)
	u := &db.User{
		ID: db.NewID(), Email: name + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: k.now, UpdatedAt: k.now,
	}
	check(k.t, k.DB.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return db.InsertUser(ctx, tx, u, r.ID)
	}))
	u, err = db.UserByID(k.t.Context(), k.DB, u.ID)
	check(k.t, err)
	return ActorOf(u)
}

// login signs a person in.
func (k *kit) login(who Actor) uuid.UUID {
	k.t.Helper()
	l := &db.Login{ID: db.NewID(), UserID: who.ID, CreatedAt: k.now, SeenAt: k.now, ExpiresAt: k.now.Add(time.Hour)}
	check(k.t, db.InsertLogin(k.t.Context(), k.DB, l))
	return l.ID
}

func (k *kit) password(who Actor, password string) {
	k.t.Helper()
	check(k.t, db.SetPasswordHash(k.t.Context(), k.DB, who.ID, k.hash(password), k.now))
}

func (k *kit) profile(who Actor) *Profile {
	k.t.Helper()
	p, err := k.Profile(k.t.Context(), who)
	check(k.t, err)
	return p
}

// lastAudit is the newest line about a person.
func (k *kit) lastAudit(who Actor) db.AuditEvent {
	k.t.Helper()
	list, err := db.AuditOf(k.t.Context(), k.DB, who.ID, 1)
	check(k.t, err)
	if len(list) == 0 {
		return db.AuditEvent{}
	}
	return list[0]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantInvalid expects exactly the fields named to be wrong.
func wantInvalid(t *testing.T, err error, fields ...string) {
	t.Helper()
	var bad fault.Invalid
	errors.As(err, &bad)
	for _, f := range fields {
		if !strings.HasSuffix(bad[f], ".") {
			t.Errorf("got %v; want a sentence about %s", err, f)
		}
	}
	if len(bad) != len(fields) {
		t.Errorf("got %v; want something about %v alone", err, fields)
	}
}

func TestAProfileIsChangedAndWrittenDown(t *testing.T) {
	k := setup(t)
	check(t, k.UpdateProfile(t.Context(), k.mira, ProfileInput{
		Name: "  Mira Okafor ", TimeZone: "Europe/Berlin", Theme: "dark",
	}))
	if p := k.profile(k.mira); p.Name != "Mira Okafor" || p.TimeZone != "Europe/Berlin" || p.Theme != "dark" {
		t.Errorf("got %+v", p.User)
	}
	if e := k.lastAudit(k.mira); e.Action != "user.update_profile" || e.ActorID != k.mira.ID ||
		e.Before["name"] != "Mira" || e.After["name"] != "Mira Okafor" {
		t.Errorf("the audit log says %+v", e)
	}
	if p := k.profile(k.jonas); p.Name != "Jonas" {
		t.Error("somebody else was changed")
	}
}

func TestAProfileWithMistakesIsNotSaved(t *testing.T) {
	k := setup(t)
	wantInvalid(t, k.UpdateProfile(t.Context(), k.mira, ProfileInput{Theme: "mauve"}), "name", "time_zone", "theme")
	wantInvalid(t, k.UpdateProfile(t.Context(), k.mira, ProfileInput{
		Name: "Mira\r\nBcc: eve@example.com", TimeZone: "UTC",
	}), "name")
	wantInvalid(t, k.UpdateProfile(t.Context(), k.mira,
		ProfileInput{Name: strings.Repeat("é", 201), TimeZone: "../../etc/passwd"}), "name", "time_zone")
	if p := k.profile(k.mira); p.Name != "Mira" || k.lastAudit(k.mira).Action != "" {
		t.Errorf("got %+v, and the audit log has a line", p.User)
	}
}

func TestChangingThePasswordNeedsTheCurrentOneAndEndsOtherSignIns(t *testing.T) {
	k := setup(t)
	k.password(k.mira, "the old password")
	here, there, other := k.login(k.mira), k.login(k.mira), k.login(k.jonas)
	wantInvalid(t, k.ChangePassword(t.Context(), k.mira, here, "a wrong password", "short"), "current")
	wantInvalid(t, k.ChangePassword(t.Context(), k.mira, here, "the old password", "short"), "password")
	wantInvalid(t, k.ChangePassword(t.Context(), k.mira, here, "the old password", "the old password"), "password")
	if n := len(k.profile(k.mira).Logins); n != 2 {
		t.Fatalf("%d sign-ins after refusals; want both", n)
	}
	check(t, k.ChangePassword(t.Context(), k.mira, here, "the old password", "the new password"))
	for login, want := range map[uuid.UUID]bool{here: true, there: false, other: true} {
		if _, err := k.Actor(t.Context(), login); (err == nil) != want {
			t.Errorf("a sign-in holds: %v; want %v", err == nil, want)
		}
	}
	if _, err := k.SignIn(t.Context(), k.mira.Email, "the old password", "", ""); !errors.Is(err, ErrWrongCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := k.SignIn(t.Context(), k.mira.Email, "the new password", "", ""); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if e := k.lastAudit(k.mira); e.Action != "user.change_password" || e.Before != nil || e.After != nil {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestGuessesOfTheCurrentPasswordAreSlowedDownWithoutLockingThePersonOut(t *testing.T) {
	k := setup(t)
	k.password(k.mira, "the old password")
	here := k.login(k.mira)
	for range attemptsPerPair {
		// costs no hashing
		wantInvalid(t, k.ChangePassword(t.Context(), k.mira, here, strings.Repeat("x", maxPassword+1),
			"the new password"), "current")
	}
	var throttled *Throttled
	if err := k.ChangePassword(t.Context(), k.mira, here, "the old password", "the new password"); !errors.As(err,
		&throttled) {
		t.Errorf("got %v; want to be throttled", err)
	}
	if _, err := k.SignIn(t.Context(), k.mira.Email, "the old password", "", ""); err != nil {
		t.Errorf("signing in: %v", err)
	}
	k.now = k.now.Add(attemptWindow + time.Second)
	check(t, k.ChangePassword(t.Context(), k.mira, here, "the old password", "the new password"))
}

func TestManyGuessesAtOnceDoNotPassTheLimitTogether(t *testing.T) {
	k := setup(t)
	k.password(k.mira, "the old password")
	here := k.login(k.mira)
	var all sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 3 * attemptsPerPair {
		all.Go(func() {
			var throttled *Throttled
			if errors.As(k.ChangePassword(t.Context(), k.mira, here, strings.Repeat("x", maxPassword+1),
				"the new password"), &throttled) {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if refused < 2*attemptsPerPair {
		t.Errorf("%d of %d were refused; want all but %d", refused, 3*attemptsPerPair, attemptsPerEmail)
	}
}

func TestOfTwoPasswordChangesAtOnceOneCounts(t *testing.T) {
	k := setup(t)
	k.password(k.mira, "the old password")
	here := k.login(k.mira)
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		both.Go(func() {
			errs[i] = k.ChangePassword(t.Context(), k.mira, here, "the old password",
				strings.Repeat(string(rune('a'+i)), 12))
		})
	}
	both.Wait()
	good := 0
	for _, err := range errs {
		var bad fault.Invalid
		switch {
		case err == nil:
			good++
		case !errors.Is(err, fault.ErrStale) && !errors.As(err, &bad):
			// the second came before the first was done, or after
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d of two changes counted: %v", good, errs)
	}
}

func TestSomebodyWithoutAPasswordCannotMakeOneThemselves(t *testing.T) {
	k := setup(t)
	wantInvalid(t, k.ChangePassword(t.Context(), k.mira, k.login(k.mira), "", "the new password"), "current")
	if k.profile(k.mira).HasPassword() {
		t.Error("there is one now")
	}
}

func TestSignInsAreEndedByTheirOwnPersonAlone(t *testing.T) {
	k := setup(t)
	here, there, other := k.login(k.mira), k.login(k.mira), k.login(k.jonas)
	if err := k.EndLogin(t.Context(), k.mira, other); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("somebody else's: %v; want not found", err)
	}
	check(t, k.EndLogin(t.Context(), k.mira, there))
	if err := k.EndLogin(t.Context(), k.mira, there); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("one that is over: %v; want not found", err)
	}
	k.login(k.mira)
	k.login(k.mira)
	check(t, k.EndOtherLogins(t.Context(), k.mira, here))
	if list := k.profile(k.mira).Logins; len(list) != 1 || list[0].ID != here {
		t.Errorf("got %+v; want this one alone", list)
	}
	if _, err := k.Actor(t.Context(), other); err != nil {
		t.Errorf("somebody else is signed out: %v", err)
	}
	if e := k.lastAudit(k.mira); e.Action != "user.end_other_logins" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestSignInsThatExpiredAreNotListed(t *testing.T) {
	k := setup(t)
	k.login(k.mira)
	k.now = k.now.Add(2 * time.Hour)
	if n := len(k.profile(k.mira).Logins); n != 0 {
		t.Errorf("%d sign-ins", n)
	}
}

func TestASecretIsShownWhenAWebhookIsNewAndKeptSealed(t *testing.T) {
	k := setup(t)
	choose := func(hook string) string {
		t.Helper()
		text, err := k.UpdateNotices(t.Context(), k.mira, NoticesInput{WebhookURL: hook, Kinds: k.NoticeKinds})
		check(t, err)
		return text
	}
	first := choose("https://example.com/a?token=T0PSECRET")
	if !strings.HasPrefix(first, "whsec_") {
		t.Fatalf("the secret is %q", first)
	}
	if again := choose("https://example.com/b"); again != "" {
		t.Error("another address of the webhook has another secret")
	}
	p := k.profile(k.mira)
	if strings.Contains(string(p.Notices.WebhookSecret), first[6:]) {
		t.Error("the secret is kept as it is")
	}
	key, err := k.WebhookKey(k.mira.ID, p.Notices.WebhookSecret)
	if err != nil || len(key) != 32 {
		t.Errorf("opened as %d bytes, %v", len(key), err)
	}
	if _, err := k.WebhookKey(k.jonas.ID, p.Notices.WebhookSecret); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("opened for somebody else: %v", err)
	}
	second, err := k.RenewWebhookSecret(t.Context(), k.mira)
	check(t, err)
	if renewed, err := k.WebhookKey(k.mira.ID, k.profile(k.mira).Notices.WebhookSecret); err != nil ||
		second == first || string(renewed) == string(key) {
		t.Errorf("the secret was not renewed: %v", err)
	}
	choose("")
	if p := k.profile(k.mira); p.Notices.WebhookSecret != nil {
		t.Error("without a webhook its secret is still there")
	}
	if _, err := k.RenewWebhookSecret(t.Context(), k.mira); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("renewing the secret of no webhook: %v", err)
	}
	list, err := db.AuditOf(t.Context(), k.DB, k.mira.ID, 10)
	check(t, err)
	for _, e := range list {
		for _, v := range []any{e.Before["webhook"], e.After["webhook"]} {
			if text, _ := v.(string); strings.Contains(text, "T0PSECRET") {
				t.Errorf("the audit log has the whole address: %v", v)
			}
		}
	}
	if len(list) != 4 || list[3].After["webhook"] != "example.com" {
		t.Errorf("the audit log says %+v", list)
	}
}

func TestChoicesOfCopiesAreChecked(t *testing.T) {
	k := setup(t)
	for _, hook := range []string{"http://127.0.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/",
		"ftp://example.com", "no address", "https://me:pw@example.com"} {
		_, err := k.UpdateNotices(t.Context(), k.mira, NoticesInput{WebhookURL: hook})
		wantInvalid(t, err, "webhook")
	}
	_, err := k.UpdateNotices(t.Context(), k.mira, NoticesInput{Kinds: []string{"skipped", "nonsense"}})
	wantInvalid(t, err, "kinds")
	_, err = k.UpdateNotices(t.Context(), k.mira, NoticesInput{Kinds: []string{"skipped"}})
	check(t, err)
	if p := k.profile(k.mira); !p.Wants("skipped") || p.Wants("failed") || !p.Wants("of a later version") {
		t.Errorf("muted are %v; want all known kinds but skipped", p.Notices.Muted)
	}
}

func TestWithoutAMailServerTheChoiceOfEmailStaysAsItWas(t *testing.T) {
	k := setup(t)
	_, err := k.UpdateNotices(t.Context(), k.mira, NoticesInput{Email: true})
	check(t, err)
	k.Mail = false
	_, err = k.UpdateNotices(t.Context(), k.mira, NoticesInput{}) // a switch that cannot be pressed posts nothing
	check(t, err)
	if !k.profile(k.mira).Notices.Email {
		t.Error("the choice is lost")
	}
	_, err = k.UpdateNotices(t.Context(), k.jonas, NoticesInput{Email: true})
	wantInvalid(t, err, "email")
}
