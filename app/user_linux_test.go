package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWorkerRefusesAUserOfAgentsThatItMayNotOrCannotUse(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which alone may start programs as another user")
	}
	closed := t.TempDir()
	if err := os.Chmod(filepath.Dir(closed), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ user, want string }{
		{"no-such-user", `there is no user "no-such-user" on this machine`}, {"root", "is root"}, {"0", "is root"},
		{"nobody", "cannot reach CARILLON_DATA"},
	} {
		conf := &config{AgentUser: c.user, Roles: []string{roleWorker}, Data: filepath.Join(closed, "data")}
		if err := os.MkdirAll(conf.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := conf.findAgentUser(); err == nil || !strings.HasPrefix(err.Error(), "CARILLON_AGENT_USER: ") ||
			!strings.Contains(err.Error(), c.want) || conf.agents != nil {
			t.Errorf("of %s it says %v; want %q", c.user, err, c.want)
		}
	}
	conf := &config{AgentUser: "no-such-user", Roles: []string{roleWeb}}
	if err := conf.findAgentUser(); err != nil {
		t.Errorf("a process that runs no agents says %v", err)
	}
	if err := os.Chmod(filepath.Dir(closed), 0o711); err != nil {
		t.Fatal(err)
	}
	conf = &config{AgentUser: "nobody", Roles: []string{roleWorker}, Data: filepath.Join(closed, "data")}
	if err := conf.findAgentUser(); err != nil || conf.agents == nil || conf.agents.Name != "nobody" {
		t.Errorf("it found %+v, %v", conf.agents, err)
	}
}
