package account

import (
	"slices"
	"testing"
)

// The one table of what each role may do. What a person may do by several roles is the union of these.
func TestEachRoleBuiltInMayDoThisAndNothingElse(t *testing.T) {
	t.Parallel()
	member := []Permission{ViewOwn, Manage, ManageTickets, UseShell}
	manager := append(slices.Clone(member), ViewAll, ManageAll, ManageWorkflows, ManageBots)
	var all []Permission
	for _, p := range Permissions {
		all = append(all, p.Permission)
	}
	want := map[string][]Permission{RoleMember: member, RoleManager: manager, RoleAdministrator: all}
	for _, r := range BuiltIn() {
		for _, p := range Permissions {
			if got, may := Grants(r.Permissions, p.Permission), slices.Contains(want[r.Key], p.Permission); got != may {
				t.Errorf("%s may %s is %t; want %t", r.Name, p.Permission, got, may)
			}
		}
	}
	if len(want) != len(BuiltIn()) {
		t.Errorf("%d roles are built in; the table has %d", len(BuiltIn()), len(want))
	}
}

func TestEveryPermissionIsDescribedOnceAndImpliesOnlyWhatThereIs(t *testing.T) {
	t.Parallel()
	seen := map[Permission]bool{}
	for _, p := range Permissions {
		if seen[p.Permission] || p.Capability == "" {
			t.Errorf("%s is there twice, or without words", p.Permission)
		}
		seen[p.Permission] = true
	}
	for _, p := range Permissions {
		for _, i := range p.Implies {
			if !seen[i] {
				t.Errorf("%s implies %s, which is no permission", p.Permission, i)
			}
			for _, q := range Permissions { // Grants looks one step far
				if q.Permission != i {
					continue
				}
				for _, further := range q.Implies {
					if !slices.Contains(p.Implies, further) {
						t.Errorf("%s implies %s, which implies %s: name that too", p.Permission, i, further)
					}
				}
			}
		}
	}
}
