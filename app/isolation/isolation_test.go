package isolation

import (
	"strings"
	"testing"

	"carillon/db"
)

// words are the statements of a machine, by name.
func words(m db.Machine) map[string]Statement {
	all := map[string]Statement{}
	for _, s := range Statements(m) {
		all[s.Name] = s
	}
	return all
}

func TestAMachineThatHoldsAllSaysSoOfEachThing(t *testing.T) {
	t.Parallel()
	m := db.Machine{
		Roles: []string{"web", "scheduler", "worker"}, Bubblewrap: "0.8.0", Namespace: db.NamespaceClosed,
		ConfinesNew: true, CountsLimits: true,
		Processes: 2000, Memory: 4 << 30, Disk: 20 << 30, MinFreeDisk: 256 << 20, OwnDatabase: true,
		Hides: []string{"/srv/keys"}, Shows: []string{"/home/c/.npmrc"},
	}
	all := words(m)
	for name, want := range map[string]string{
		"User": "not as root", "Sandbox": "Sandboxes work", "User namespaces": "no further " +
			"ones", "Bubblewrap": "0.8.0", "Without network": "may have",
		"Processes of a run": "At most 2000", "Memory of a run": "At most 4096 MiB",
		"Disk of a run": "At most 20480 MiB", "Free disk": "256 MiB", "Shell provider": "switched " +
			"off", "Log of the database": "no values",
	} {
		if s := all[name]; s.Kind != Holds || !strings.Contains(s.Text, want) {
			t.Errorf("of %s it says %+v; want that it holds, with %q", name, s, want)
		}
	}
	for name, want := range map[string]string{
		"Further hidden paths": "/srv/keys", "Shown paths": "/home/c/.npmrc", "Database": "embedded",
	} {
		if s := all[name]; s.Kind != Chosen || !strings.Contains(s.Text, want) {
			t.Errorf("of %s it says %+v; want %q", name, s, want)
		}
	}
}

func TestAMachineThatHoldsNothingSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	m := db.Machine{
		Roles: []string{"worker"}, Root: true, NoSandbox: "bubblewrap (bwrap) is not installed", Shell: true,
		Logs: []string{"log_statement = all"},
	}
	all := words(m)
	for name, want := range map[string]string{
		"User": "runs as root", "Sandbox": "is not installed", "Bubblewrap": "not installed", "Processes of a " +
			"run": "not limited",
		"Memory of a run": "not limited", "Log of the database": "log_statement = all",
	} {
		if s := all[name]; s.Kind != Missing || !strings.Contains(s.Text, want) || s.Do == "" {
			t.Errorf("of %s it says %+v; want that it does not hold, with %q and what to do", name, s, want)
		}
	}
	if s := all["Database"]; !strings.Contains(s.Text, "DATABASE_URL") {
		t.Errorf("of a database of others it says %+v", s)
	}
	for _, name := range []string{"User namespaces", "Without network"} {
		if s, said := all[name]; said {
			t.Errorf("where there is no sandbox it says of %s: %+v", name, s)
		}
	}
}

func TestGapsOfASandboxAreSaid(t *testing.T) {
	t.Parallel()
	m := db.Machine{Roles: []string{"worker"}, CountsLimits: true}
	for _, c := range []struct {
		change     func(m *db.Machine)
		name, want string
		kind       Kind
	}{
		{func(m *db.Machine) { m.Bubblewrap, m.Namespace = "0.4.1", db.NamespaceOpen }, "Bubblewrap", "cannot " +
			"keep", Partly},
		{func(m *db.Machine) { m.Bubblewrap, m.Namespace = "0.4.1", db.NamespaceOpen }, "User namespaces", "further " +
			"ones can be made", Partly},
		{func(m *db.Machine) {
			m.Bubblewrap, m.Namespace = "0.11.0", db.NamespaceClosed
		}, "Bubblewrap", "0.11.0", Holds},
		{func(m *db.Machine) { m.Bubblewrap, m.Namespace = "1.0", db.NamespaceNone }, "User namespaces", "none of " +
			"its own", Partly},
		{func(m *db.Machine) { m.NoOffline = "loopback: not permitted" }, "Without network", "loopback", Missing},
		{func(m *db.Machine) { m.Bubblewrap, m.NoSandbox = "0.8.0", "no namespaces" }, "Sandbox", "no " +
			"namespaces", Missing},
		{func(*db.Machine) {}, "Disk of a run", "not limited", Partly},
		{func(m *db.Machine) { m.MinFreeDisk, m.LowDisk = 1<<20, true }, "Free disk", "No run begins", Missing},
		{func(*db.Machine) {}, "Processes of a run", "not limited", Missing},
		{func(m *db.Machine) { m.LogsUnknown = true }, "Log of the database", "could not be read", Partly},
		{func(m *db.Machine) { m.Roles = []string{"web"}; m.NoSandbox = "x" }, "Sandbox", "begins without a " +
			"sandbox", Chosen},
		{func(m *db.Machine) {
			m.Roles, m.NoSandbox, m.ConfinesNew = []string{"web"}, "x", true
		}, "Sandbox", "x", Partly},
	} {
		m := m
		c.change(&m)
		if s := words(m)[c.name]; s.Kind != c.kind || !strings.Contains(s.Text, c.want) {
			t.Errorf("of %s it says %+v; want %s with %q", c.name, s, c.kind, c.want)
		}
	}
}

func TestAnotherUserForAgentsIsSaid(t *testing.T) {
	t.Parallel()
	m := db.Machine{Roles: []string{"worker"}, Root: true, AgentUser: "agents", SeparatesRuns: true}
	if s := words(m)["User"]; s.Kind != Partly || !strings.Contains(s.Text, "as the user agents") ||
		s.Do != "Use sandboxes." {
		t.Errorf("of the user it says %+v", s)
	}
	if s := words(m)["Sandbox"]; !strings.Contains(s.Text, "the user agents can") ||
		strings.Contains(s.Text, "own user") {
		t.Errorf("of sandboxes it says %+v", s)
	}
	m.Shows, m.Unreachable = []string{"/home/c/.npmrc", "/home/c/.pip"}, []string{"/home/c/.pip"}
	if s := words(m)["Shown paths"]; s.Kind != Partly || !strings.Contains(s.Text, "cannot read /home/c/.pip.") {
		t.Errorf("of a path that the user cannot read it says %+v", s)
	}
	m.SeparatesRuns = false
	if s := words(m)["User"]; s.Kind != Partly || s.Do == "" {
		t.Errorf("of a kernel that keeps nothing apart it says %+v", s)
	}
}
