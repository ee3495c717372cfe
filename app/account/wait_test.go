package account

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/db"
)

// Changes of people and roles wait for one another, and requests for their bodies. What a person may do is asked again
// then: here it was taken since the request began.
func TestWhatIsTakenWhileAChangeOfPeopleWaitsIsGone(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	ctx := t.Context()
	boss := person(t, s, "boss@example.com", RoleAdministrator)
	mira := person(t, s, "mira@example.com", RoleMember)
	role, err := s.CreateRole(ctx, boss, RoleInput{Name: "Guests", Permissions: []string{string(ViewOwn)}})
	check(t, err)
	member, err := db.RoleByKey(ctx, s.DB, RoleMember)
	check(t, err)
	operations := map[string]func(who Actor) error{
		"Add": func(who Actor) error {
			_, err := s.Add(ctx, &who, NewUser{Email: "x@example.com", Name: "X", Password: good, Role: RoleMember})
			return err
		},
		"Invite": func(who Actor) error {
			_, _, err := s.Invite(ctx, who, Invitation{Email: "x@example.com", Roles: []uuid.UUID{member.ID}})
			return err
		},
		"RenewInvitation": func(who Actor) error { _, err := s.RenewInvitation(ctx, who, mira.ID); return err },
		"ResetPassword":   func(who Actor) error { _, err := s.ResetPassword(ctx, who, mira.ID); return err },
		"UpdatePerson": func(who Actor) error {
			_, err := s.UpdatePerson(ctx, who, mira.ID, "mira@example.org", "Mira", "")
			return err
		},
		"RenewAddressLink": func(who Actor) error { _, err := s.RenewAddressLink(ctx, who, mira.ID); return err },
		"SetRoles":         func(who Actor) error { return s.SetRoles(ctx, &who, mira.ID, []uuid.UUID{role.ID}, "") },
		"SetPassword":      func(who Actor) error { return s.SetPassword(ctx, &who, mira.ID, other) },
		"Deactivate":       func(who Actor) error { return s.Deactivate(ctx, &who, mira.ID) },
		"Activate":         func(who Actor) error { return s.Activate(ctx, &who, mira.ID) },
		"Unlink":           func(who Actor) error { return s.Unlink(ctx, &who, mira.ID) },
		"RevokeTokensOf":   func(who Actor) error { return s.RevokeTokensOf(ctx, &who, mira.ID) },
		"CreateRole": func(who Actor) error {
			_, err := s.CreateRole(ctx, who, RoleInput{Name: "Mine", Permissions: []string{string(ViewAll)}})
			return err
		},
		"UpdateRole": func(who Actor) error {
			in := RoleInput{Name: "Hosts", Permissions: []string{string(ViewAll)}, Version: 1}
			return s.UpdateRole(ctx, who, role.ID, in)
		},
		"DeleteRole": func(who Actor) error { return s.DeleteRole(ctx, who, role.ID) },
	}
	lines := func() int {
		list, err := db.AuditEvents(ctx, s.DB, db.AuditFilter{Limit: 1000})
		check(t, err)
		return len(list)
	}
	for taken, take := range map[string]func(who Actor) error{
		"the role":    func(who Actor) error { return s.SetRoles(ctx, &boss, who.ID, []uuid.UUID{member.ID}, "") },
		"the account": func(who Actor) error { return s.Deactivate(ctx, &boss, who.ID) },
	} {
		eve := person(t, s, taken[4:]+"@example.com", RoleAdministrator)
		check(t, take(eve))
		before := lines()
		for _, name := range slices.Sorted(maps.Keys(operations)) {
			if err := operations[name](eve); !errors.Is(err, fault.ErrForbidden) {
				t.Errorf("%s, after %s was taken: %v; want that it is forbidden", name, taken, err)
			}
		}
		if n := lines() - before; n > 0 {
			t.Errorf("after %s was taken %d lines were written into the audit log", taken, n)
		}
	}
}

// Somebody who still manages people gives away no more than they hold now.
func TestAPermissionThatIsTakenWhileAChangeOfPeopleWaitsIsGivenToNobody(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	ctx := t.Context()
	boss := person(t, s, "boss@example.com", RoleAdministrator)
	eve := person(t, s, "eve@example.com", RoleAdministrator)
	mira := person(t, s, "mira@example.com", RoleMember)
	keeper, err := s.CreateRole(ctx, boss, RoleInput{
		Name:        "Keepers",
		Permissions: []string{string(ManageUsers), string(Manage), string(ManageTickets), string(UseShell)},
	})
	check(t, err)
	check(t, s.SetRoles(ctx, &boss, eve.ID, []uuid.UUID{keeper.ID}, ""))
	administrator, err := db.RoleByKey(ctx, s.DB, RoleAdministrator)
	check(t, err)
	more := RoleInput{Name: "More", Permissions: []string{string(ManageSettings)}}
	_, created := s.CreateRole(ctx, eve, more)
	more.Version = 1
	_, _, invited := s.Invite(ctx, eve, Invitation{Email: "x@example.com", Roles: []uuid.UUID{administrator.ID}})
	for what, err := range map[string]error{
		"a role for somebody":         s.SetRoles(ctx, &eve, mira.ID, []uuid.UUID{administrator.ID}, ""),
		"a role for somebody new":     invited,
		"a permission in a new role":  created,
		"a permission in a role":      s.UpdateRole(ctx, eve, keeper.ID, more),
		"the password of who has all": s.SetPassword(ctx, &eve, boss.ID, other),
	} {
		if !errors.Is(err, fault.ErrForbidden) {
			t.Errorf("%s: %v; want that it is forbidden", what, err)
		}
	}
	check(t, s.SetRoles(ctx, &eve, mira.ID, []uuid.UUID{keeper.ID}, "")) // what they hold they may give
}
