package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/fault"
	"carillon/db"
)

func token(t *testing.T, s *Service, owner Actor, narrowed ...Permission) string {
	t.Helper()
	in := TokenInput{Name: "Script", Days: "90", Narrowed: len(narrowed) > 0}
	for _, p := range narrowed {
		in.Permissions = append(in.Permissions, string(p))
	}
	made, err := s.CreateToken(t.Context(), owner, in)
	check(t, err)
	return made
}

func TestATokenMayWhatItsOwnerMayNowAndNothingThatItIsNotFor(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	owner := person(t, s, "owner@example.com", RoleManager)
	all, some := token(t, s, owner), token(t, s, owner, ManageAll, ManageTickets)
	may := func(token string) (list []Permission) {
		t.Helper()
		a, err := s.ActorByToken(t.Context(), token)
		check(t, err)
		if a.ID != owner.ID || a.Token == owner.Token {
			t.Errorf("the token is of %s; want %s, by a token", a.ID, owner.ID)
		}
		for _, p := range Permissions {
			if a.Can(p.Permission) {
				list = append(list, p.Permission)
			}
		}
		return list
	}
	expect := func(what string, got []Permission, want ...Permission) {
		t.Helper()
		for _, p := range Permissions {
			if a, b := slices.Contains(got, p.Permission), slices.Contains(want, p.Permission); a != b {
				t.Errorf("%s may %s is %v; want %v", what, p.Permission, a, b)
			}
		}
	}
	expect("the wide one", may(all), ViewOwn, ViewAll, Manage, ManageAll, ManageWorkflows, ManageBots, ManageTickets,
		UseShell)
	expect("the narrow one", may(some), ViewOwn, ViewAll, Manage, ManageAll, ManageTickets)
	member, err := db.RoleByKey(t.Context(), s.DB, RoleMember)
	check(t, err)
	check(t, db.SetRoles(t.Context(), s.DB, owner.ID, ids([]db.Role{*member})))
	expect("the wide one of a Member", may(all), ViewOwn, Manage, ManageTickets, UseShell)
	expect("the narrow one of a Member", may(some), ViewOwn, Manage, ManageTickets)
	admin, err := db.RoleByKey(t.Context(), s.DB, RoleAdministrator)
	check(t, err)
	check(t, db.SetRoles(t.Context(), s.DB, owner.ID, ids([]db.Role{*admin})))
	expect("the narrow one of an Administrator", may(some), ViewOwn, ViewAll, Manage, ManageAll, ManageTickets)
}

func TestATokenEnds(t *testing.T) {
	t.Parallel()
	s, c := installation(t)
	admin := person(t, s, "admin@example.com", RoleAdministrator)
	for name, end := range map[string]func(owner Actor){
		"revoked": func(owner Actor) {
			list, err := s.Tokens(t.Context(), owner)
			check(t, err)
			if err := s.RevokeToken(t.Context(), admin, list[0].ID); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("somebody else's token: %v; want not found", err)
			}
			check(t, s.RevokeToken(t.Context(), owner, list[0].ID))
		},
		"all revoked by an administrator": func(owner Actor) {
			if err := s.RevokeTokensOf(t.Context(), &owner, owner.ID); !errors.Is(err, fault.ErrForbidden) {
				t.Errorf("without users.manage: %v; want forbidden", err)
			}
			check(t, s.RevokeTokensOf(t.Context(), &admin, owner.ID))
		},
		"its owner deactivated": func(owner Actor) { check(t, s.Deactivate(t.Context(), &admin, owner.ID)) },
		"its owner deactivated, then activated": func(owner Actor) {
			check(t, s.Deactivate(t.Context(), &admin, owner.ID))
			check(t, s.Activate(t.Context(), &admin, owner.ID))
		},
		"the password set by an administrator": func(owner Actor) {
			check(t, s.SetPassword(t.Context(), &admin, owner.ID, other))
		},
		"the password reset": func(owner Actor) {
			_, err := s.ResetPassword(t.Context(), admin, owner.ID)
			check(t, err)
		},
	} {
		owner := person(t, s, strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")+"@example.com",
			RoleMember)
		made := token(t, s, owner)
		end(owner)
		if _, err := s.ActorByToken(t.Context(), made); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: %v; want not found", name, err)
		}
	}
	owner := person(t, s, "last@example.com", RoleMember)
	made := token(t, s, owner)
	login, err := signIn(t, s, "last@example.com", good)
	check(t, err)
	check(t, s.ChangePassword(t.Context(), owner, login.ID, good, other))
	c.move(90*24*time.Hour - time.Second)
	if _, err := s.ActorByToken(t.Context(), made); err != nil {
		t.Errorf("after a change of the password, a second before its end: %v; want it to be good", err)
	}
	c.move(time.Second)
	for _, token := range []string{made, "", TokenPrefix, strings.TrimPrefix(made, TokenPrefix), made + "x",
		strings.ToUpper(made)} {
		if _, err := s.ActorByToken(t.Context(), token); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%q: %v; want not found", token, err)
		}
	}
}

func TestAProgramChangesNothingOfHowItsOwnerIsLetIn(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	owner := person(t, s, "owner@example.com", RoleAdministrator)
	login, err := signIn(t, s, "owner@example.com", good)
	check(t, err)
	by, err := s.ActorByToken(t.Context(), token(t, s, owner))
	check(t, err)
	_, created := s.CreateToken(t.Context(), by, TokenInput{Name: "More", Days: "365"})
	_, listed := s.Tokens(t.Context(), by)
	for what, err := range map[string]error{
		"make a token": created, "list tokens": listed, "revoke its token": s.RevokeToken(t.Context(), by, by.Token),
		"change the password": s.ChangePassword(t.Context(), by, login.ID, good, other),
		"end sign-ins":        s.EndOtherLogins(t.Context(), by, login.ID),
		"change the profile":  s.UpdateProfile(t.Context(), by, ProfileInput{Name: "Mallory", TimeZone: "UTC"}),
	} {
		if !errors.Is(err, fault.ErrForbidden) {
			t.Errorf("%s: %v; want forbidden", what, err)
		}
	}
}

func TestATokenIsKeptAsAHashAndItsUseOnceAMinute(t *testing.T) {
	t.Parallel()
	s, c := installation(t)
	owner := person(t, s, "owner@example.com", RoleMember)
	made := token(t, s, owner)
	var found int
	check(t, s.DB.NewRaw("SELECT count(*) FROM api_tokens WHERE api_tokens::text LIKE ?",
		"%"+strings.TrimPrefix(made, TokenPrefix)+"%").Scan(t.Context(), &found))
	var audit string
	check(t, s.DB.NewRaw("SELECT string_agg(audit_events::text, ' ') FROM audit_events").Scan(t.Context(), &audit))
	if found != 0 || strings.Contains(audit, strings.TrimPrefix(made, TokenPrefix)) ||
		!strings.Contains(audit, "token.create") {
		t.Errorf("the token is in %d rows, and the log says %.300s; want it nowhere, and that it was made", found,
			audit)
	}
	begun := c.now()
	for _, tt := range []struct{ after, want time.Duration }{{0, 0}, {59 * time.Second, 0},
		{time.Second, time.Minute}} {
		c.move(tt.after)
		_, err := s.ActorByToken(db.WithAddress(t.Context(), "192.0.2.7"), made)
		check(t, err)
		list, err := s.Tokens(t.Context(), owner)
		check(t, err)
		if got := list[0].UsedAt.Sub(begun); got != tt.want || list[0].UsedFrom != "192.0.2.7" {
			t.Errorf("last used after %v from %s; want %v from 192.0.2.7", got, list[0].UsedFrom, tt.want)
		}
	}
}

func TestATokenIsRefusedBesideWhatIsWrong(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	owner := person(t, s, "owner@example.com", RoleMember)
	for _, tt := range []struct {
		field string
		in    TokenInput
	}{
		{"name", TokenInput{Name: "  ", Days: "90"}},
		{"name", TokenInput{Name: "a\u202eb", Days: "90"}},
		{"days", TokenInput{Name: "x", Days: "0"}},
		{"days", TokenInput{Name: "x", Days: "36500"}},
		{"permissions", TokenInput{Name: "x", Days: "90", Narrowed: true}},
		// not theirs
		{"permissions", TokenInput{Name: "x", Days: "90", Narrowed: true, Permissions: []string{"users.manage"}}},
		{"permissions", TokenInput{Name: "x", Days: "90", Narrowed: true, Permissions: []string{"nonsense"}}},
		{"scope", TokenInput{Name: "x", Days: "90", Permissions: []string{"tickets.manage"}}},
	} {
		_, err := s.CreateToken(t.Context(), owner, tt.in)
		var bad fault.Invalid
		if !errors.As(err, &bad) || bad[tt.field] == "" || len(bad) != 1 {
			t.Errorf("%+v: %v; want it refused by %s", tt.in, err, tt.field)
		}
	}
	for range maxTokens {
		token(t, s, owner)
	}
	if _, err := s.CreateToken(t.Context(), owner, TokenInput{Name: "x", Days: "90"}); err == nil {
		t.Errorf("a token more than %d was made", maxTokens)
	}
}
