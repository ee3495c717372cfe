package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"carillon/app/account"
	"carillon/app/fault"
)

// A folder of the server is whatever the server can read: other people's repositories, and what nobody thinks of as
// one.
func TestAFolderOfTheServerIsGivenByAdministratorsOrBelowSharedFolders(t *testing.T) {
	k := setup(t)
	keeper := k.holding("Keeper", account.ManageWorkspaces)
	base := t.TempDir()
	shared, own := filepath.Join(base, "shared"), filepath.Join(base, "own")
	for _, dir := range []string{filepath.Join(shared, "a.git"), filepath.Join(own, "b.git"),
		filepath.Join(base, "shared-not", "c.git")} {
		check(t, os.MkdirAll(dir, 0o700))
	}
	check(t, os.Symlink(own, filepath.Join(shared, "link")))
	k.LocalRepositories = []string{shared}
	for i, tt := range []struct {
		url  string
		want bool
	}{
		{filepath.Join(shared, "a.git"), true},
		{"file://" + filepath.Join(shared, "a.git"), true},
		{"FILE://" + filepath.Join(shared, "a.git"), true},
		{shared, false},
		{filepath.Join(own, "b.git"), false},
		{"file://" + filepath.Join(own, "b.git"), false},
		{"file://localhost" + filepath.Join(own, "b.git"), false},
		{shared + "/../own/b.git", false},
		{"file://" + shared + "/%2e%2e/own/b.git", false},
		{filepath.Join(shared, "link", "b.git"), false},
		{filepath.Join(base, "shared-not", "c.git"), false},
		{filepath.Join(shared, "not there.git"), false},
		{"https://git.example.com/a/b.git", true},
	} {
		_, err := k.Create(t.Context(), keeper, Input{
			Name: fmt.Sprint("Keeper's ", i), GitURL: tt.url,
		})
		var bad fault.Invalid
		if refused := errors.As(err, &bad) && bad["url"] == notShared; refused == tt.want || err != nil && !refused {
			t.Errorf("%s: got %v; taken should be %t", tt.url, err, tt.want)
		}
		if _, err := k.Create(t.Context(), k.mira, Input{
			Name: fmt.Sprint("Mira's ", i), GitURL: tt.url,
		}); err != nil {
			t.Errorf("%s by an administrator: %v", tt.url, err)
		}
	}
}

func TestARemoteOfBeforeGoesOnUntilItsAddressIsChanged(t *testing.T) {
	k := setup(t)
	keeper := k.holding("Keeper", account.ManageWorkspaces)
	var asked []Remote
	probe := k.Probe
	k.Probe = func(ctx context.Context, r Remote) (string, fault.Invalid) {
		asked = append(asked, r)
		return probe(ctx, r)
	}
	w, err := k.Create(t.Context(), keeper,
		Input{Name: "Theirs", GitURL: "https://git.example.com/a/b.git"})
	check(t, err)
	_, err = k.DB.NewRaw("UPDATE workspaces SET git_url = '/srv/git/a.git', remote_anywhere = true WHERE id = ?", w.ID).
		Exec(t.Context())
	check(t, err)
	in := Input{Name: "Renamed", GitURL: "/srv/git/a.git", Version: 1}
	check(t, k.Update(t.Context(), keeper, w.ID, in))
	_, err = k.Check(t.Context(), keeper, w.ID)
	check(t, err)
	in.Version, in.GitURL = 2, "https://git.example.com/a/b.git"
	check(t, k.Update(t.Context(), keeper, w.ID, in))
	in.Version, in.GitURL = 3, "/srv/git/a.git"
	if err := k.Update(t.Context(), keeper, w.ID, in); err == nil {
		t.Error("the folder was given again by somebody who is no administrator")
	}
	want := []bool{false, true, true, false}
	if len(asked) != len(want) {
		t.Fatalf("the repository was looked at %d times; want %d", len(asked), len(want))
	}
	for i, r := range asked {
		if r.Anywhere != want[i] {
			t.Errorf("look %d at %s goes anywhere: %t; want %t", i, r.URL, r.Anywhere, want[i])
		}
	}
}
