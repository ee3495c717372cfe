package workspace

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/db"
)

func TestTheForgeOfAWorkspaceIsKnownByItsAddressOrItsSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, kind, base string
		want            Forge
	}{
		{"https://github.com/acme/app.git", "", "", Forge{forge.GitHub, "https://github.com", "acme/app"}},
		{"git@gitlab.com:acme/group/app.git", "", "", Forge{forge.GitLab, "https://gitlab.com", "acme/group/app"}},
		{"https://git.example.com/acme/app", "", "", Forge{}},
		{"https://git.example.com:8443/acme/app", "gitea", "", Forge{forge.Gitea, "https://git.example.com:8443",
			"acme/app"}},
		{"git@git.example.com:acme/app.git", "gitea", "", Forge{forge.Gitea, "https://git.example.com", "acme/app"}},
		{"ssh://git@git.example.com:2222/acme/app.git", "gitlab", "", Forge{forge.GitLab, "https://git.example.com",
			"acme/app"}},
		{"https://example.com/gitlab/acme/app.git", "gitlab", "https://example.com/gitlab",
			Forge{forge.GitLab, "https://example.com/gitlab", "acme/app"}},
		{"https://example.com/acme/app.git", "gitlab", "https://elsewhere.example", Forge{}},
		{"/srv/git/app.git", "", "", Forge{}},
		{"", "", "", Forge{}},
	} {
		got, ok := ForgeOf(&db.Workspace{GitURL: tt.url, Forge: tt.kind, ForgeBase: tt.base})
		if ok != (tt.want != Forge{}) || ok && got != tt.want {
			t.Errorf("%s (%s at %s) is %+v %t; want %+v", tt.url, tt.kind, tt.base, got, ok, tt.want)
		}
	}
}

func TestTheForgesSecretIsSealedAndKeptAndForgotten(t *testing.T) {
	k := setup(t)
	in := Input{
		Name: "App", GitURL: "https://git.example.com/acme/app.git", Forge: "gitea",
		ForgeSecret: "a-secret-of-some-length",
	}
	w, err := k.Create(t.Context(), k.mira, in)
	check(t, err)
	if strings.Contains(string(w.ForgeSecret), in.ForgeSecret) {
		t.Error("the secret is stored as it is")
	}
	secret := func() string {
		_, text, err := k.ForgeHook(t.Context(), w.ID)
		check(t, err)
		return text
	}
	if secret() != in.ForgeSecret {
		t.Errorf("got %q", secret())
	}
	in.ForgeSecret, in.Version = "", 1
	check(t, k.Update(t.Context(), k.mira, w.ID, in))
	if secret() != "a-secret-of-some-length" {
		t.Error("an empty field forgets the secret")
	}
	for field, change := range map[string]func(*Input){
		"forge_secret": func(in *Input) { in.ForgeSecret = "short" },
		"forge":        func(in *Input) { in.Forge = "bitbucket" },
		"forge_base":   func(in *Input) { in.ForgeBase = "git.example.com" },
	} {
		bad := in
		bad.Version = 2
		change(&bad)
		wantInvalid(t, k.Update(t.Context(), k.mira, w.ID, bad), field)
	}
	in.ForgetForgeSecret, in.Version = true, 2
	check(t, k.Update(t.Context(), k.mira, w.ID, in))
	if secret() != "" {
		t.Error("the secret is still there")
	}
	check(t, k.Remove(t.Context(), k.mira, w.ID))
	if _, _, err := k.ForgeHook(t.Context(), w.ID); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a removed workspace answers %v", err)
	}
}
