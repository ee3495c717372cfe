package account

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
	"carillon/db/dbtest"
)

const (
	good  = "correct horse battery"
	other = "another good password"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// installation is one with its roles and nobody.
func installation(t *testing.T) (*Service, *clock) {
	t.Helper()
	d := dbtest.New(t)
	c := &clock{at: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	check(t, EnsureRoles(t.Context(), d, c.now()))
	return &Service{DB: d, Now: c.now, Log: slog.New(slog.DiscardHandler), PasswordMemory: 64}, c
}

// person adds somebody by the command line.
func person(t *testing.T, s *Service, email, role string) Actor {
	t.Helper()
	u, err := s.Add(t.Context(), nil, NewUser{Email: email, Name: email, Password: good, Role: role})
	check(t, err)
	return actorOf(t, s, u.ID)
}

func actorOf(t *testing.T, s *Service, id uuid.UUID) Actor {
	t.Helper()
	u, err := db.UserByID(t.Context(), s.DB, id)
	check(t, err)
	return ActorOf(u)
}

func signIn(t *testing.T, s *Service, email, password string) (*db.Login, error) {
	t.Helper()
	return s.SignIn(t.Context(), email, password, "192.0.2.1", "test")
}

func TestPermissionsImplyOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		held    []Permission
		granted []Permission
	}{
		{nil, nil},
		{[]Permission{ViewOwn}, []Permission{ViewOwn}},
		{[]Permission{ViewAll}, []Permission{ViewAll}},
		{[]Permission{Manage}, []Permission{ViewOwn, Manage}},
		{[]Permission{ManageAll}, []Permission{ViewOwn, ViewAll, Manage, ManageAll}},
		{[]Permission{ManageUsers, ViewAudit}, []Permission{ManageUsers, ViewAudit}},
		{[]Permission{"nonsense"}, nil},
	} {
		held := []string{}
		for _, p := range tt.held {
			held = append(held, string(p))
		}
		for _, p := range Permissions {
			if got, want := Grants(held, p.Permission), slices.Contains(tt.granted, p.Permission); got != want {
				t.Errorf("%v grants %s: %v; want %v", tt.held, p.Permission, got, want)
			}
		}
	}
	for _, p := range Permissions {
		if !Grants([]string{string(Admin)}, p.Permission) {
			t.Errorf("admin does not grant %s", p.Permission)
		}
	}
}

func TestRolesAreMadeOnceByManyServers(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := d.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
				return EnsureRoles(ctx, tx, time.Now())
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	n, err := d.NewSelect().Model((*db.Role)(nil)).Count(t.Context())
	if n != 3 || err != nil {
		t.Errorf("got %d roles, %v; want 3", n, err)
	}
}

func TestOnlyOneOfManyBecomesTheFirstAdministrator(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	var mu sync.Mutex
	var won, lost int
	var all sync.WaitGroup
	for _, name := range []string{"ada", "bob", "cy", "dee", "eve", "fay"} {
		all.Go(func() {
			_, err := s.Setup(t.Context(), NewUser{Email: name + "@example.com", Name: name, Password: good})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case errors.Is(err, ErrSetUp):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := db.Users(t.Context(), s.DB)
	if won != 1 || lost != 5 || len(list) != 1 || err != nil || !ActorOf(&list[0]).Can(Admin) {
		t.Errorf("%d won, %d lost, %v, %v; want one administrator", won, lost, list, err)
	}
}

func TestNewPeopleAreChecked(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	person(t, s, "taken@example.com", RoleMember)
	for _, tt := range []struct {
		name  string
		in    NewUser
		field string // at which a mistake is; "": none
	}{
		{"as it should be", NewUser{"Ada@example.com", "Ada", good, RoleMember, ""}, ""},
		{"name of another script", NewUser{"li@example.com", "李小龍", good, RoleMember, ""}, ""},
		{"full-width letters are plain ones", NewUser{"ｂｏｂ@example.com", "Bob", good, RoleMember, ""}, ""},
		{"taken, in another case", NewUser{"TAKEN@Example.com", "X", good, RoleMember, ""}, "email"},
		{"taken, in full-width letters", NewUser{"ｔａｋｅｎ@example.com", "X", good, RoleMember, ""}, "email"},
		{"a Cyrillic look-alike", NewUser{"t\u0430ken@example.com", "X", good, RoleMember, ""}, "email"},
		{"a look-alike domain", NewUser{"taken@ex\u0430mple.com", "X", good, RoleMember, ""}, "email"},
		{"an invisible sign", NewUser{"tak\u200ben@example.com", "X", good, RoleMember, ""}, "email"},
		{"with a display name", NewUser{"Ada <a@example.com>", "X", good, RoleMember, ""}, "email"},
		{"with a line break", NewUser{"a@example.com\r\nBcc: b@example.com", "X", good, RoleMember, ""}, "email"},
		{"no address", NewUser{" ", "X", good, RoleMember, ""}, "email"},
		{"an address too long", NewUser{strings.Repeat("a", 250) + "@b.com", "X", good, RoleMember, ""}, "email"},
		{"no name", NewUser{"n@example.com", " ", good, RoleMember, ""}, "name"},
		{"a name too long", NewUser{"n@example.com", strings.Repeat("é", 201), good, RoleMember, ""}, "name"},
		{"a name with NUL", NewUser{"n@example.com", "a\x00b", good, RoleMember, ""}, "name"},
		{"a name of broken UTF-8", NewUser{"n@example.com", "a\xff", good, RoleMember, ""}, "name"},
		{"nine characters of password", NewUser{"n@example.com", "X", "äöüäöüäöü", RoleMember, ""}, "password"},
		{"1 MB of password", NewUser{"n@example.com", "X", strings.Repeat("x", 1<<20), RoleMember, ""}, "password"},
		{"a role that is none", NewUser{"n@example.com", "X", good, "emperor", ""}, "role"},
	} {
		_, err := s.Add(t.Context(), nil, tt.in)
		var invalid fault.Invalid
		switch errors.As(err, &invalid); {
		case tt.field == "" && err != nil:
			t.Errorf("%s: got %v; want none", tt.name, err)
		case tt.field != "" && (len(invalid) != 1 || invalid[tt.field] == ""):
			t.Errorf("%s: got %v; want a mistake at %s alone", tt.name, err, tt.field)
		}
	}
	if _, err := signIn(t, s, "ｂｏｂ@example.com", good); err != nil {
		t.Errorf("signing in as one was added: %v; want a login", err)
	}
}

func TestNobodyGivesOrTakesWhatTheyMayNotDo(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	admin, member := person(t, s, "admin@example.com", RoleAdministrator),
		person(t, s, "member@example.com", RoleMember)
	manager := person(t, s, "manager@example.com", RoleManager)
	// Somebody who manages people and may otherwise do what a member may.
	clerks, err := s.CreateRole(t.Context(), admin, RoleInput{
		Name:        "Clerks",
		Permissions: []string{string(Manage), string(ManageTickets), string(UseShell), string(ManageUsers)},
	})
	check(t, err)
	clerk := person(t, s, "clerk@example.com", RoleMember)
	check(t, s.SetRoles(t.Context(), &admin, clerk.ID, []uuid.UUID{clerks.ID}, ""))
	clerk = actorOf(t, s, clerk.ID)

	add := func(a Actor, role string) error {
		_, err := s.Add(t.Context(), &a, NewUser{
			Email: uuid.NewString() + "@example.com", Name: "X", Password: good, Role: role,
		})
		return err
	}
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"a manager adds nobody", add(manager, RoleMember), fault.ErrForbidden},
		{"a clerk adds a member", add(clerk, RoleMember), nil},
		{"a clerk adds no administrator", add(clerk, RoleAdministrator), fault.ErrForbidden},
		{"a clerk adds no manager", add(clerk, RoleManager), fault.ErrForbidden},
		{"an administrator adds an administrator", add(admin, RoleAdministrator), nil},
		{"a clerk resets a member's password", s.SetPassword(t.Context(), &clerk, member.ID, other), nil},
		{"a clerk resets no administrator's", s.SetPassword(t.Context(), &clerk, admin.ID, other), fault.ErrForbidden},
		{"a member resets nobody's", s.SetPassword(t.Context(), &member, clerk.ID, other), fault.ErrForbidden},
		{"nobody resets their own", s.SetPassword(t.Context(), &admin, admin.ID, other), fault.ErrForbidden},
		{"a clerk deactivates no administrator", s.Deactivate(t.Context(), &clerk, admin.ID), fault.ErrForbidden},
		{"a clerk deactivates a member", s.Deactivate(t.Context(), &clerk, member.ID), nil},
		{"a manager activates nobody", s.Activate(t.Context(), &manager, member.ID), fault.ErrForbidden},
		{"a clerk activates a member", s.Activate(t.Context(), &clerk, member.ID), nil},
		{"nobody there", s.Deactivate(t.Context(), &admin, uuid.New()), fault.ErrNotFound},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: got %v; want %v", tt.name, tt.err, tt.want)
		}
	}
}

func TestAnAdministratorIsAlwaysLeft(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	a, b := person(t, s, "a@example.com", RoleAdministrator), person(t, s, "b@example.com", RoleAdministrator)
	var invalid fault.Invalid
	if err := s.Deactivate(t.Context(), &a, a.ID); !errors.As(err, &invalid) {
		t.Errorf("deactivating oneself: got %v; want Invalid", err)
	}
	for range 5 { // each the other, at once
		tx, err := s.DB.BeginTx(t.Context(), nil)
		check(t, err)
		for _, who := range []Actor{a, b} {
			_, err := db.LockUser(t.Context(), tx, who.ID)
			check(t, err)
		}
		errs := make(chan error, 2)
		for _, pair := range [][2]Actor{{a, b}, {b, a}} {
			go func() { errs <- s.Deactivate(t.Context(), &pair[0], pair[1].ID) }()
		}
		waitingForLocks(t, s, 2)
		check(t, tx.Commit())
		first, second := <-errs, <-errs
		left, err := db.HoldersOf(t.Context(), s.DB, string(Admin))
		check(t, err)
		if (first == nil) == (second == nil) || len(left) != 1 {
			t.Fatalf("got %v and %v, and %d administrators left; want one refused and one left", first, second,
				len(left))
		}
		check(t, errors.Join(s.Activate(t.Context(), nil, a.ID), s.Activate(t.Context(), nil, b.ID)))
	}
}

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

// waitingForLocks returns when as many connections wait for a lock.
func waitingForLocks(t *testing.T, s *Service, want int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var n int
		check(t, s.DB.NewRaw(
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").
			Scan(t.Context(), &n))
		switch {
		case n == want:
			return
		case time.Now().After(deadline):
			t.Fatalf("%d wait for a lock; want %d", n, want)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

func TestDeactivationEndsSignInsUntilActivation(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	admin, member := person(t, s, "admin@example.com", RoleAdministrator), person(t, s, "m@example.com", RoleMember)
	login, err := signIn(t, s, "m@example.com", good)
	check(t, err)
	check(t, s.Deactivate(t.Context(), &admin, member.ID))
	if _, err := s.Actor(t.Context(), login.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the login gave %v; want ErrNotFound", err)
	}
	if _, err := signIn(t, s, "m@example.com", good); !errors.Is(err, ErrWrongCredentials) {
		t.Errorf("signing in gave %v; want ErrWrongCredentials, as for anybody", err)
	}
	check(t, s.Activate(t.Context(), &admin, member.ID))
	if _, err := s.Actor(t.Context(), login.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the old login gave %v after activation; want ErrNotFound", err)
	}
	if _, err := signIn(t, s, "m@example.com", good); err != nil {
		t.Errorf("signing in after activation gave %v", err)
	}
	events, err := db.AuditOf(t.Context(), s.DB, member.ID, 10)
	check(t, err)
	var actions []string
	for _, e := range events {
		actions = append(actions, e.Action)
		if e.Action != "user.create" && e.ActorID != admin.ID {
			t.Errorf("%s was written down for %s; want %s", e.Action, e.ActorID, admin.ID)
		}
	}
	slices.Sort(actions)
	if want := []string{"user.activate", "user.create", "user.deactivate"}; !slices.Equal(actions, want) {
		t.Errorf("the audit log has %v; want %v", actions, want)
	}
}

func TestLoginsEndAtSignOutResetAndAfterTheirTime(t *testing.T) {
	t.Parallel()
	s, c := installation(t)
	u := person(t, s, "m@example.com", RoleMember)
	login := func() uuid.UUID {
		l, err := signIn(t, s, "M@Example.com ", good)
		check(t, err)
		return l.ID
	}
	first, second := login(), login()
	if first == second {
		t.Fatal("two sign-ins share an id")
	}
	got, err := s.Actor(t.Context(), first)
	if err != nil || got.ID != u.ID || !got.Can(Manage) || got.Can(ViewAll) {
		t.Fatalf("got %+v, %v; want the member", got, err)
	}
	ended := func(what string, id uuid.UUID) {
		t.Helper()
		if _, err := s.Actor(t.Context(), id); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("after %s the login gave %v; want ErrNotFound", what, err)
		}
	}
	check(t, s.SignOut(t.Context(), first))
	ended("signing out", first)
	c.move(LoginLifetime - time.Second)
	if _, err := s.Actor(t.Context(), second); err != nil {
		t.Errorf("within its time the other login gave %v", err)
	}
	c.move(time.Second)
	ended("its time", second)
	third := login()
	check(t, s.SetPassword(t.Context(), nil, u.ID, other))
	ended("a reset", third)
	if _, err := signIn(t, s, "m@example.com", good); !errors.Is(err, ErrWrongCredentials) {
		t.Errorf("the old password gave %v; want ErrWrongCredentials", err)
	}
}

func TestTheAuditLogIsReadInPagesAndNarrowed(t *testing.T) {
	t.Parallel()
	s, c := installation(t)
	workspace, subject := uuid.New(), uuid.New()
	begun := c.now()
	for i := range 7 {
		c.move(time.Minute)
		e := db.AuditEvent{
			ID: db.NewID(), At: c.now(), Action: "user.create", SubjectKind: "user", SubjectName: string(rune('a' + i)),
		}
		if i%2 == 1 {
			e.Action, e.WorkspaceID = "users_of.things", workspace
		}
		if i == 6 {
			e.SubjectID = subject
		}
		check(t, db.AddAudit(t.Context(), s.DB, e))
	}
	read := func(f db.AuditFilter) (names string, last uuid.UUID) {
		t.Helper()
		if f.Limit == 0 {
			f.Limit = 100
		}
		list, err := db.AuditEvents(t.Context(), s.DB, f)
		check(t, err)
		for _, e := range list {
			names, last = names+e.SubjectName, e.ID
		}
		return names, last
	}
	first, last := read(db.AuditFilter{Limit: 3})
	second, last := read(db.AuditFilter{Limit: 3, Before: last})
	third, _ := read(db.AuditFilter{Limit: 3, Before: last})
	if first != "gfe" || second != "dcb" || third != "a" {
		t.Errorf("got pages %q, %q, %q; want the newest first, each line once", first, second, third)
	}
	for _, tt := range []struct {
		name   string
		filter db.AuditFilter
		want   string
	}{
		{"an action", db.AuditFilter{Action: "user.create"}, "geca"},
		{"a kind of action, whole words", db.AuditFilter{Action: "user"}, "geca"},
		{"no pattern", db.AuditFilter{Action: "user%"}, ""},
		{"a workspace", db.AuditFilter{Workspace: workspace}, "fdb"},
		{"a subject", db.AuditFilter{Subject: subject}, "g"},
		{"nobody's", db.AuditFilter{Actor: uuid.New()}, ""},
		{"a time", db.AuditFilter{Since: begun.Add(2 * time.Minute), Until: begun.Add(4 * time.Minute)}, "cb"},
		{"a workspace within a time", db.AuditFilter{Workspace: workspace, Since: begun.Add(3 * time.Minute)}, "fd"},
	} {
		if got, _ := read(tt.filter); got != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, got, tt.want)
		}
	}
}
