package workspace

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Who may point a workspace at another repository must not thereby have the token sent there.
func TestAStoredTokenGoesToNoServerThatItWasNotTypedFor(t *testing.T) {
	k := setup(t)
	probed := ""
	k.Probe = func(_ context.Context, r Remote) (string, fault.Invalid) {
		probed = r.Token
		return "main", nil
	}
	w, err := k.Create(t.Context(), k.mira,
		Input{Name: "Theirs", GitURL: "https://git.example.com/a/b.git", Token: "right-token"})
	check(t, err)
	version := w.Version
	for _, tt := range []struct {
		name   string
		change func(*Input)
		token  string // that goes there; empty: it is refused
	}{
		{"another server", func(in *Input) { in.GitURL = "https://evil.example/a/b.git" }, ""},
		{"another port", func(in *Input) { in.GitURL = "https://git.example.com:8443/a/b.git" }, ""},
		{"without encryption", func(in *Input) { in.GitURL = "http://git.example.com/a/b.git" }, ""},
		{"a forge of one's own", func(in *Input) {
			in.GitURL, in.Forge, in.ForgeBase = "git@evil.example:a/b.git", "gitea", "https://evil.example"
		}, ""},
		{"another repository of the server", func(in *Input) {
			in.GitURL = "https://GIT.example.com/a/c.git"
		}, "right-token"},
		{"with a token typed for it", func(in *Input) {
			in.GitURL, in.Token = "https://evil.example/a/b.git", "mine"
		}, "mine"},
		{"back again", func(*Input) {}, ""},
		{"without the token", func(in *Input) { in.ForgetToken = true }, "none"},
	} {
		in := Input{
			Name: "Theirs", GitURL: "https://git.example.com/a/b.git", DefaultBranch: "main", Version: version,
		}
		tt.change(&in)
		probed = "nothing"
		err := k.Update(t.Context(), k.mira, w.ID, in)
		if tt.token == "" {
			wantInvalid(t, err, "token")
			if probed != "nothing" {
				t.Errorf("%s: it was asked with the token %q", tt.name, probed)
			}
			continue
		}
		check(t, err)
		version++
		if tt.token == "none" {
			tt.token = ""
		}
		if probed != tt.token {
			t.Errorf("%s: it was asked with the token %q; want %q", tt.name, probed, tt.token)
		}
	}
}

// A server that takes its time to answer must not keep a permission alive.
func TestAPermissionThatIsTakenDuringAWaitIsGone(t *testing.T) {
	k := setup(t)
	var meanwhile func()
	k.Probe = func(context.Context, Remote) (string, fault.Invalid) {
		meanwhile()
		return "main", nil
	}
	in := Input{Name: "Mine", GitURL: "https://git.example.com/a/b.git", Version: 1}
	for name, tt := range map[string]struct {
		take func(who account.Actor, workspace uuid.UUID) error
		want error
	}{
		"the role": {func(who account.Actor, _ uuid.UUID) error {
			return db.SetRoles(t.Context(), k.DB, who.ID, nil)
		}, fault.ErrForbidden},
		"the account": {func(who account.Actor, _ uuid.UUID) error {
			return db.SetDeactivated(t.Context(), k.DB, who.ID, begun, begun)
		}, fault.ErrForbidden},
		"the membership": {func(who account.Actor, w uuid.UUID) error {
			return db.RemoveMember(t.Context(), k.DB, w, who.ID)
		}, fault.ErrNotFound},
	} {
		otto := k.holding("Otto"+name[4:], account.ManageWorkspaces)
		meanwhile, in.Name = func() {}, "Of "+otto.Name
		w, err := k.Create(t.Context(), otto, in)
		check(t, err)
		meanwhile = func() { check(t, tt.take(otto, w.ID)) }
		wantErr(t, k.Update(t.Context(), otto, w.ID, in), tt.want)
		in.Name += " 2"
		if name != "the membership" {
			meanwhile = func() {}
			_, err = k.Create(t.Context(), otto, in)
			wantErr(t, err, tt.want)
		}
	}
}

// What decides which code runs is asked for again once the repository's server has answered.
func TestTheRightToRunCommandsThatIsTakenDuringAWaitIsGone(t *testing.T) {
	k := setup(t)
	role := db.Role{
		ID: db.NewID(), Name: "Of workspaces", Permissions: []string{string(account.ManageWorkspaces)},
		CreatedAt: begun, Version: 1,
	}
	check(t, db.InsertRole(t.Context(), k.DB, &role))
	meanwhile := func() {}
	k.Probe = func(context.Context, Remote) (string, fault.Invalid) {
		meanwhile()
		return "main", nil
	}
	in := Input{
		GitURL: "https://git.example.com/a/b.git", Version: 1,
		Variables: []Variable{{Name: "COLOUR", Value: "red"}, {Name: "GIT_EDITOR", Value: "/tmp/theirs"}},
	}
	otto := k.holding("Otto", account.ManageWorkspaces, account.UseShell)
	take := func() { check(t, db.SetRoles(t.Context(), k.DB, otto.ID, []uuid.UUID{role.ID})) }
	for _, tt := range []struct {
		name string
		call func() error
	}{
		{"a new workspace", func() error {
			_, err := k.Create(t.Context(), otto, in)
			return err
		}},
		{"a change", func() error {
			first := in
			first.Variables = in.Variables[:1]
			keep := meanwhile
			meanwhile = func() {}
			w, err := k.Create(t.Context(), otto, first)
			check(t, err)
			meanwhile = keep
			return k.Update(t.Context(), otto, w.ID, in)
		}},
	} {
		in.Name, meanwhile = "Of Otto, "+tt.name, take
		if said := wantInvalid(t, tt.call(), "variables.1"); !strings.Contains(said, "shell.use") {
			t.Errorf("%s: it says %q", tt.name, said)
		}
		otto = k.actor(otto.ID)
		check(t, db.SetRoles(t.Context(), k.DB, otto.ID, []uuid.UUID{role.ID, roleOf(k, account.RoleMember)}))
		otto = k.actor(otto.ID)
	}
	var n int
	check(t, k.DB.NewRaw("SELECT count(*) FROM workspace_variables WHERE name = 'GIT_EDITOR'").Scan(t.Context(), &n))
	if n != 0 {
		t.Errorf("%d variables were saved", n)
	}
}
