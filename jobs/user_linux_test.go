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
			_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = ?", sandbox)
			check(t, err)
			k.start()
			e := k.ended(k.run(`id -u; cat `+k.runner.Data+`/secret && echo BAD; cat `+
				k.runner.Data+`/postgres/* && echo BAD
echo x > made; git add -A; git commit -qm "by the user"; git status --short; (setsid sleep 1000 &)`, nil))
			if e.Status != db.Succeeded || strings.Contains(e.Answer, "BAD") ||
				!strings.HasPrefix(e.Answer, fmt.Sprint(u.UID)) {
				t.Fatalf("it ended as %s with %q: %s\n%s", e.Status, e.Answer, e.Reason, k.events(e.SessionID))
			}
			if s := k.session(e.SessionID); s.Commits != 1 || s.FilesChanged != 1 {
				t.Errorf("the session has %d commits and %d changed files; want one of each", s.Commits, s.FilesChanged)
			}
			k.eventually("the run's folder to be removed", func() error {
				if left, _ := filepath.Glob(filepath.Join(k.runner.Data, "runs", "*")); len(left) > 0 {
					return fmt.Errorf("there are %v", left)
				}
				return nil
			})
		})
	}
}

func TestAConversationGoesOnWhenTheUserOfAgentsChanges(t *testing.T) {
	t.Parallel()
	for _, sandbox := range []bool{false, true} {
		t.Run(fmt.Sprintf("sandbox %v", sandbox), func(t *testing.T) {
			t.Parallel()
			k := prepare(t)
			f := k.withAgent()
			u := k.asAnother()
			if err := agent.SandboxAvailable(t.Context(), u); err != nil && sandbox {
				t.Skip(err)
			}
			_, err := k.db.ExecContext(t.Context(), "UPDATE workspaces SET sandbox = ?", sandbox)
			check(t, err)
			program := strings.ReplaceAll(fakeScript, `echo "$resume $prompt" >> "$dir/calls"`,
				`echo "$resume $prompt" >> calls; dir="$PWD"; git add -A; git commit -qm "$prompt"; mkdir -p "$HOME/.cache/x"; echo x >> "$HOME/.cache/x/y"`)
			check(t, os.Chmod(filepath.Dir(f.dir), 0o711))
			check(t, os.WriteFile(filepath.Join(f.dir, "fake"), []byte(program), 0o700))
			check(t, os.Chmod(filepath.Join(f.dir, "fake"), 0o755)) //nolint:gosec // the other user runs it
			k.use(nil)
			k.start()
			id := k.run("first", fakeChat).Session.ID
			for i, user := range []*runas.User{u, u, nil, u} {
				k.waits(id, db.SessionWaiting)
				k.stop()
				k.use(user)
				check(t, k.rules.Sessions().Reply(t.Context(), k.actor, id, fmt.Sprintf("message %d", i)))
				k.start()
			}
			k.eventually("all messages to be committed", func() error {
				if s := k.session(id); s.Status != db.SessionWaiting || s.Commits != 5 {
					return fmt.Errorf("it is %s with %d commits: %s", s.Status, s.Commits, k.events(id))
				}
				return nil
			})
			text, err := os.ReadFile(filepath.Join(k.runner.Store.Worktree("", id.String(), "", "").Dir, "calls"))
			want := "new first\nconversation-1 message 0\nconversation-1 message 1\nconversation-1 message " +
				"2\nconversation-1 message 3\n"
			if err != nil || string(text) != want {
				t.Errorf("it was called with %q, %v; want %q", text, err, want)
			}
		})
	}
}
