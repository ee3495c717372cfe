package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/app/runas"
	"carillon/db"
)

// asAnother lets the runner's scripts and agents run as another user.
func (k *kit) asAnother() *runas.User {
	k.t.Helper()
	if os.Geteuid() != 0 {
		k.t.Skip("needs root, which alone may start programs as another user")
	}
	u, err := runas.LookUp("nobody")
	if err != nil {
		k.t.Skip("needs the user nobody: ", err)
	}
	check(k.t, os.Chmod(filepath.Dir(k.runner.Data), 0o711))
	u.Home = filepath.Join(filepath.Dir(k.runner.Data), "home")
	check(k.t, os.MkdirAll(u.Home, 0o700))
	check(k.t, u.Own(u.Home))
	check(k.t, os.Chmod(k.runner.Data, 0o700))
	k.use(u)
	return u
}

// use has what begins from here on run as a user; nil: as the server's own.
func (k *kit) use(u *runas.User) {
	k.runner.Store.User = u
	before := k.runner.Providers
	k.runner.Providers = func() []agent.Provider {
		list := append([]agent.Provider(nil), before()...)
		for i := range list {
			list[i].User = u
		}
		return list
	}
}

func TestScriptsRunAsAnotherUserInASandboxAndWithout(t *testing.T) {
	t.Parallel()
	for _, sandbox := range []bool{false, true} {
		t.Run(fmt.Sprintf("sandbox %v", sandbox), func(t *testing.T) {
			t.Parallel()
			k := prepare(t)
			u := k.asAnother()
			if err := agent.SandboxAvailable(t.Context(), u); err != nil && sandbox {
				t.Skip(err)
			}
			check(t, os.WriteFile(filepath.Join(k.runner.Data, "secret"), []byte("key"), 0o600))
			if sandbox {
				_, err := k.db.NewRaw("UPDATE workspaces SET sandbox = true WHERE id = ?", k.workspace).Exec(t.Context())
				check(t, err)
			}
			k.start()
			script := `id -u; cat ` + k.runner.Data + `/secret && echo BAD; ls ` + k.runner.Data + ` && echo BAD
echo x > made; git add -A; git commit -qm "by the user"; git status --short; (setsid sleep 1000 &)`
			e := k.waitFor(k.fire(k.automation("as another", script)))
			events := k.events(e.SessionID)
			if e.Status != db.Succeeded || strings.Contains(events, "BAD") || !strings.Contains(events, fmt.Sprint(u.UID)) {
				t.Fatalf("it ended as %s %s: %s", e.Status, e.Reason, events)
			}
			var s db.Session
			check(t, k.db.NewSelect().Model(&s).Where("id = ?", e.SessionID).Scan(t.Context()))
			if s.Commits != 1 || s.FilesChanged != 1 {
				t.Errorf("the session has %d commits and %d changed files; want one of each", s.Commits, s.FilesChanged)
			}
			if left, _ := filepath.Glob(filepath.Join(k.runner.Data, "runs", "*")); len(left) > 0 {
				t.Errorf("folders of runs are left: %v", left)
			}
		})
	}
}
