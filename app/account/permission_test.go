package account

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the permission matrix into README.md")

const (
	matrixBegin = "<!-- permissions: written by go test ./app/account -run README -update -->\n"
	matrixEnd   = "<!-- end of permissions -->\n"
)

// matrix is the table of permissions as README.md has it.
func matrix() string {
	var b strings.Builder
	b.WriteString("| permission | its holder may | includes |")
	for _, r := range BuiltIn() {
		b.WriteString(" " + r.Name + " |")
	}
	b.WriteString("\n| --- | --- | --- |" + strings.Repeat(" :-: |", len(BuiltIn())) + "\n")
	for _, p := range Permissions {
		var with []string
		for _, i := range p.Implies {
			with = append(with, "`"+string(i)+"`")
		}
		if p.Permission == Admin {
			with = []string{"all others"}
		}
		b.WriteString("| `" + string(p.Permission) + "` | " + strings.ToLower(p.Capability[:1]) + p.Capability[1:] + " | " + strings.Join(with, ", ") + " |")
		for _, r := range BuiltIn() {
			mark := ""
			if Grants(r.Permissions, p.Permission) {
				mark = "yes"
			}
			b.WriteString(" " + mark + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestREADMEHasTheMatrixOfPermissions(t *testing.T) {
	t.Parallel()
	const file = "../../README.md"
	text, err := os.ReadFile(file)
	check(t, err)
	before, rest, ok := strings.Cut(string(text), matrixBegin)
	is, after, ok2 := strings.Cut(rest, matrixEnd)
	if !ok || !ok2 {
		t.Fatalf("README.md has no place for the matrix between %q and %q", matrixBegin, matrixEnd)
	}
	if *update {
		check(t, os.WriteFile(file, []byte(before+matrixBegin+matrix()+matrixEnd+after), 0o644))
		return
	}
	if is != matrix() {
		t.Errorf("README.md says of the permissions\n%s\nwant\n%s\nWrite it with go test ./app/account -run README -update", is, matrix())
	}
}

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
