package settings_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestARoleIsMadeChangedGivenAndDeleted(t *testing.T) {
	s := webtest.Open(t)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	made := admin.Post("/settings/roles", "name", "Release crew", "permissions", "automations.manage_all",
		"permissions", "bots.manage")
	role := made.Header.Get("Location")
	made.Expect(t, 303, "")
	roleID := strings.TrimPrefix(role, "/settings/roles/")
	admin.Post("/settings/users/"+mira.Actor.ID.String()+"/roles", "roles", roleID).Expect(t, 303, "")
	page := admin.Get(role)
	page.Expect(t, 200, "Mira")
	page.Expect(t, 200, `value="bots.manage" checked`)
	admin.Get("/settings/roles").Expect(t, 200, "Release crew")
	mira.Get("/settings/users").Expect(t, 403, "")

	admin.Post(role, "name", "Release crew", "permissions", "users.manage", "version", "1").ExpectTo(t, role)
	mira.Get("/settings/users").Expect(t, 200, "Mira") // at once, without signing in again
	if e := s.LastAudit(uuid.MustParse(roleID)); e.Action != "role.update" ||
		len(e.Before["permissions"].([]any)) != 2 || e.After["permissions"].([]any)[0] != "users.manage" {
		t.Errorf("the audit log says %+v", e)
	}
	admin.Post(role, "name", "X", "version", "1").Expect(t, 409, "saved this")
	admin.Post(role, "name", "", "version", "2").Expect(t, 422, "Give the role a name.")
	admin.Post(role, "name", "member", "version", "2").Expect(t, 422, "There is a role of this name already.")
	admin.Post(role, "name", "Boss", "permissions", "admin", "version", "2").
		Expect(t, 422, "A role cannot have the permission admin.")
	admin.Post("/settings/roles", "name", "Odd", "permissions", "everything").
		Expect(t, 422, "A role cannot have the permission everything.")

	admin.Post(role+"/deletion").Expect(t, 422, "People have this role.")
	admin.Post("/settings/users/"+mira.Actor.ID.String()+"/roles", "roles", s.RoleID(account.RoleMember)).
		Expect(t, 303, "")
	admin.Post(role+"/deletion").ExpectTo(t, "/settings/roles")
	admin.Get(role).Expect(t, 404, "")
}

func TestRolesBuiltInStayAsTheyAre(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	for _, key := range []string{account.RoleAdministrator, account.RoleManager, account.RoleMember} {
		role := "/settings/roles/" + s.RoleID(key)
		admin.Get(role).Expect(t, 200, "This role is built in")
		admin.Post(role, "name", "Mine", "permissions", "users.manage", "version", "1").Expect(t, 403, "")
		admin.Post(role+"/deletion").Expect(t, 403, "")
	}
	copied := admin.Get("/settings/roles/new?from=" + s.RoleID(account.RoleManager))
	copied.Expect(t, 200, `value="Copy of Manager"`)
	copied.Expect(t, 200, `value="automations.manage_all" checked`)
	copied.Expect(t, 200, `value="automations.view_own" checked`) // what is included is written out in a copy
	if strings.Contains(copied.Text, `value="admin"`) {
		t.Error("a role can be made to hold admin")
	}
}

func TestNobodyGrantsByARoleWhatTheyDoNotHold(t *testing.T) {
	s := webtest.Open(t)
	admin, clerk := s.As("Ada", account.RoleAdministrator), s.As("Carl", account.RoleMember)
	s.Custom(clerk, "Clerk", account.ManageUsers, account.Manage)
	clerk.Get("/settings/roles/new").Expect(t, 200, "You do not have this permission, so you cannot grant it.")
	clerk.Post("/settings/roles", "name", "Mine", "permissions", "shell.use").Expect(t, 403, "")
	// held by implication
	clerk.Post("/settings/roles", "name", "Less", "permissions", "automations.view_own").Expect(t, 303, "")
	made := admin.Post("/settings/roles", "name", "Crew", "permissions", "settings.manage", "permissions",
		"users.manage").Header.Get("Location")
	clerk.Get(made).Expect(t, 200, "This role has permissions that you do not have")
	// also not take away
	clerk.Post(made, "name", "Crew", "permissions", "users.manage", "version", "1").Expect(t, 403, "")
	clerk.Post(made+"/deletion").Expect(t, 403, "")
	own, err := db.RolesOf(t.Context(), s.Server.DB, clerk.Actor.ID)
	webtest.Check(t, err)
	clerk.Post("/settings/roles/"+own[0].ID.String(), "name", "Clerk", "permissions", "users.manage", "permissions",
		"automations.manage_all", "version", "1").Expect(t, 403, "")
}

func TestThePermissionMatrixSaysWhatIsGrantedAndWhatIsIncluded(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", account.RoleMember)
	page := mira.Get("/help/permissions")
	page.Expect(t, 200, "What there is to be allowed")
	for _, p := range account.Permissions {
		row := regexp.MustCompile(`(?s)<tr class="row"><th class="cell cell-main" scope="row"><span class="mono">` +
			regexp.QuoteMeta(string(p.Permission)) + `</span>.*?</tr>`).FindString(page.Text)
		if row == "" {
			t.Errorf("the matrix lacks %s", p.Permission)
			continue
		}
		for _, r := range account.BuiltIn() {
			cell := regexp.MustCompile(`(?s)data-th="` + r.Name + `">.*?</td>`).FindString(row)
			if got, want := !strings.Contains(cell, "sr-only"),
				account.Grants(r.Permissions, p.Permission); got != want {
				t.Errorf("%s of %s: the page says %t; want %t", p.Permission, r.Name, got, want)
			}
		}
	}
	s.Nobody().Get("/help/permissions").ExpectTo(t, "/login?next=%2Fhelp%2Fpermissions")
}
