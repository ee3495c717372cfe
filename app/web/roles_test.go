package web

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
)

func TestARoleIsMadeChangedGivenAndDeleted(t *testing.T) {
	s := open(t)
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	made := admin.post("/settings/roles", "name", "Release crew", "permissions", "automations.manage_all",
		"permissions", "bots.manage")
	role := made.Header.Get("Location")
	made.expect(t, 303, "")
	roleID := strings.TrimPrefix(role, "/settings/roles/")
	admin.post("/settings/users/"+mira.actor.ID.String()+"/roles", "roles", roleID).expect(t, 303, "")
	page := admin.get(role)
	page.expect(t, 200, "Mira")
	page.expect(t, 200, `value="bots.manage" checked`)
	admin.get("/settings/roles").expect(t, 200, "Release crew")
	mira.get("/settings/users").expect(t, 403, "")

	admin.post(role, "name", "Release crew", "permissions", "users.manage", "version", "1").expectTo(t, role)
	mira.get("/settings/users").expect(t, 200, "Mira") // at once, without signing in again
	if e := s.lastAudit(uuid.MustParse(roleID)); e.Action != "role.update" ||
		len(e.Before["permissions"].([]any)) != 2 || e.After["permissions"].([]any)[0] != "users.manage" {
		t.Errorf("the audit log says %+v", e)
	}
	admin.post(role, "name", "X", "version", "1").expect(t, 409, "saved this")
	admin.post(role, "name", "", "version", "2").expect(t, 422, "Give the role a name.")
	admin.post(role, "name", "member", "version", "2").expect(t, 422, "There is a role of this name already.")
	admin.post(role, "name", "Boss", "permissions", "admin", "version", "2").
		expect(t, 422, "A role cannot have the permission admin.")
	admin.post("/settings/roles", "name", "Odd", "permissions", "everything").
		expect(t, 422, "A role cannot have the permission everything.")

	admin.post(role+"/deletion").expect(t, 422, "People have this role.")
	admin.post("/settings/users/"+mira.actor.ID.String()+"/roles", "roles", s.roleID(account.RoleMember)).
		expect(t, 303, "")
	admin.post(role+"/deletion").expectTo(t, "/settings/roles")
	admin.get(role).expect(t, 404, "")
}

func TestRolesBuiltInStayAsTheyAre(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	for _, key := range []string{account.RoleAdministrator, account.RoleManager, account.RoleMember} {
		role := "/settings/roles/" + s.roleID(key)
		admin.get(role).expect(t, 200, "This role is built in")
		admin.post(role, "name", "Mine", "permissions", "users.manage", "version", "1").expect(t, 403, "")
		admin.post(role+"/deletion").expect(t, 403, "")
	}
	copied := admin.get("/settings/roles/new?from=" + s.roleID(account.RoleManager))
	copied.expect(t, 200, `value="Copy of Manager"`)
	copied.expect(t, 200, `value="automations.manage_all" checked`)
	copied.expect(t, 200, `value="automations.view_own" checked`) // what is included is written out in a copy
	if strings.Contains(copied.body, `value="admin"`) {
		t.Error("a role can be made to hold admin")
	}
}

func TestNobodyGrantsByARoleWhatTheyDoNotHold(t *testing.T) {
	s := open(t)
	admin, clerk := s.as("Ada", account.RoleAdministrator), s.as("Carl", account.RoleMember)
	s.custom(clerk, "Clerk", account.ManageUsers, account.Manage)
	clerk.get("/settings/roles/new").expect(t, 200, "You do not have this permission, so you cannot grant it.")
	clerk.post("/settings/roles", "name", "Mine", "permissions", "shell.use").expect(t, 403, "")
	// held by implication
	clerk.post("/settings/roles", "name", "Less", "permissions", "automations.view_own").expect(t, 303, "")
	made := admin.post("/settings/roles", "name", "Crew", "permissions", "settings.manage", "permissions",
		"users.manage").Header.Get("Location")
	clerk.get(made).expect(t, 200, "This role has permissions that you do not have")
	// also not take away
	clerk.post(made, "name", "Crew", "permissions", "users.manage", "version", "1").expect(t, 403, "")
	clerk.post(made+"/deletion").expect(t, 403, "")
	own, err := db.RolesOf(t.Context(), s.server.DB, clerk.actor.ID)
	check(t, err)
	clerk.post("/settings/roles/"+own[0].ID.String(), "name", "Clerk", "permissions", "users.manage", "permissions",
		"automations.manage_all", "version", "1").expect(t, 403, "")
}

func TestThePermissionMatrixSaysWhatIsGrantedAndWhatIsIncluded(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", account.RoleMember)
	page := mira.get("/help/permissions")
	page.expect(t, 200, "What there is to be allowed")
	for _, p := range account.Permissions {
		row := regexp.MustCompile(`(?s)<tr class="row"><th class="cell cell-main" scope="row"><span class="mono">` +
			regexp.QuoteMeta(string(p.Permission)) + `</span>.*?</tr>`).FindString(page.body)
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
	s.nobody().get("/help/permissions").expectTo(t, "/login?next=%2Fhelp%2Fpermissions")
}
