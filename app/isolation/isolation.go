// Package isolation describes how agents and scripts are isolated from the rest of a machine, and where they are not.
// The texts are for the log of a process at its start and for a page of administrators.
package isolation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/db"
)

// Kind says how far a protection is effective.
type Kind string

// The kinds of a Statement.
const (
	Holds   Kind = "ok"
	Partly  Kind = "warn" // effective, with a gap; Do says how to close it
	Missing Kind = "fail" // not effective
	Chosen  Kind = "info" // a choice of the machine's operator
)

// Statement describes one protection on a machine.
type Statement struct {
	Name string
	Kind Kind
	Text string // sentences
	Do   string // what to do if it is not effective; may be empty
}

// minDisableUserns is the first version of bubblewrap that can prevent further user namespaces in a sandbox.
var minDisableUserns = []int{0, 8}

// Statements lists the statements about the machine of a process, the most important first. There are fewer for a
// process that runs no agents.
func Statements(m db.Machine) []Statement {
	runs := slices.Contains(m.Roles, "worker")
	list := []Statement{user(m, runs)}
	if runs || slices.Contains(m.Roles, "web") {
		list = append(list, sandbox(m, runs))
	}
	if runs {
		if m.NoSandbox == "" {
			list = append(list, namespaces(m), network(m))
		}
		list = append(list, bubblewrap(m), processes(m), memory(m), disk(m), freeDisk(m), hides(m), shows(m))
		if m.Shell {
			list = append(list, Statement{"Shell provider", Chosen, "People with the permission shell.use run " +
				"commands here: in a sandbox where their workspace has one.",
				"CARILLON_SHELL=off switches it off."})
		} else {
			list = append(list, Statement{"Shell provider", Holds, "It is switched off.", ""})
		}
	}
	return append(list, Database(m)...)
}

// runsAs describes the protection by another user for agents without a sandbox.
const runsAs = "That keeps them from Carillon’s keys, its database and its other files. Without a sandbox they share " +
	"the files of " +
	"all such workspaces."

func user(m db.Machine, runs bool) Statement {
	const name = "User"
	switch {
	case m.AgentUser != "" && runs && m.SeparatesRuns:
		return Statement{name, Partly, "Agents and scripts run as the user " + m.AgentUser +
			", in a sandbox and without. " +
			runsAs + " It reads no memory of other runs.", "Use sandboxes."}
	case m.AgentUser != "" && runs:
		return Statement{name, Partly, "Agents and scripts run as the user " + m.AgentUser +
			", in a sandbox and without. " +
			runsAs + " Without a sandbox it can read memory and environments of other runs.",
			"Use sandboxes, and a kernel with Landlock from Linux 6.12 on."}
	case m.Root && runs:
		return Statement{"User", Missing, "Carillon runs as root. Agents and scripts of a workspace without a " +
			"sandbox can do everything on this machine.",
			"Run Carillon as a user of its own, or set CARILLON_AGENT_USER."}
	case m.Root:
		return Statement{"User", Partly, "Carillon runs as root.", "Run Carillon as a user of its own."}
	}
	return Statement{"User", Holds, "Carillon runs as a user of its own, not as root.", ""}
}

func sandbox(m db.Machine, runs bool) Statement {
	const name = "Sandbox"
	if !runs {
		switch {
		case !m.ConfinesNew:
			return Statement{name, Chosen, "A new workspace begins without a sandbox, since the settings say " +
				"so.", "CARILLON_SANDBOX=on gives it one."}
		case m.NoSandbox != "":
			return Statement{name, Partly, "A new workspace begins without a sandbox: on this machine, where its " +
				"form is made, " + m.NoSandbox + ".", sandboxAdvice(m)}
		}
		return Statement{name, Holds, "A new workspace begins with a sandbox.", ""}
	}
	if m.NoSandbox != "" {
		return Statement{name, Missing, "No sandbox can be had: " + m.NoSandbox + ". Agents and scripts can do all " +
			"that " + whom(m) + " Runs of workspaces that want a sandbox fail.", sandboxAdvice(m)}
	}
	return Statement{name, Holds, "Sandboxes work. In one, agents and scripts have no capabilities, and see no " +
		"homes, sockets of services and data of " +
		"Carillon. In a workspace without one they can do all that " + whom(m), ""}
}

// userOf is the user that agents run as.
func userOf(m db.Machine) string {
	if m.AgentUser != "" {
		return "the user " + m.AgentUser
	}
	return "Carillon’s user"
}

// whom gives the end of a sentence about agents and scripts without a sandbox.
func whom(m db.Machine) string {
	if m.AgentUser != "" {
		return "the user " + m.AgentUser + " can."
	}
	if m.NoSandbox != "" {
		return "Carillon’s own user can: read its data folder, its keys and its database."
	}
	return "Carillon’s own user can."
}

// sandboxAdvice says what to do if no sandbox can be made.
func sandboxAdvice(m db.Machine) string {
	if m.Bubblewrap == "" {
		return "Install the package bubblewrap."
	}
	return "Let " + userOf(m) + " make namespaces. On the machine: kernel.unprivileged_userns_clone=1, and on Ubuntu " +
		"kernel.apparmor_restrict_unprivileged_userns=0. In a container: profiles of seccomp and AppArmor that " +
		"allow it."
}

func namespaces(m db.Machine) Statement {
	const name = "User namespaces"
	switch m.Namespace {
	case db.NamespaceClosed:
		return Statement{name, Holds, "A sandbox has one of its own, in which no further ones can be made.", ""}
	case db.NamespaceOpen:
		text := "A sandbox has one of its own. In it further ones can be made, by which more of the kernel can be " +
			"attacked."
		if older(m.Bubblewrap) {
			return Statement{name, Partly, text, "Install bubblewrap 0.8 or newer, which prevents it."}
		}
		return Statement{name, Partly, text + " Bubblewrap could not prevent it on this machine.", ""}
	}
	return Statement{name, Partly, "A sandbox has none of its own: its root is that of the machine, without " +
		"capabilities.",
		"Let " + userOf(m) + " make user namespaces."}
}

func older(version string) bool {
	for i, text := range strings.SplitN(version, ".", len(minDisableUserns)+1) {
		if i == len(minDisableUserns) {
			break
		}
		switch n, err := strconv.Atoi(text); {
		case err != nil || n > minDisableUserns[i]:
			return false
		case n < minDisableUserns[i]:
			return true
		}
	}
	return false
}

func bubblewrap(m db.Machine) Statement {
	const name = "Bubblewrap"
	switch {
	case m.Bubblewrap == "" && m.NoSandbox != "":
		return Statement{name, Missing, "It is not installed.", "Install the package bubblewrap."}
	case m.Bubblewrap == "":
		return Statement{name, Chosen, "It does not tell its version.", ""}
	case older(m.Bubblewrap):
		return Statement{name, Partly, "Version " + m.Bubblewrap + ", which cannot keep a sandbox from making user " +
			"namespaces.", "Install 0.8 or newer."}
	}
	return Statement{name, Holds, "Version " + m.Bubblewrap + ", which can do all that Carillon asks of it.", ""}
}

func network(m db.Machine) Statement {
	const name = "Without network"
	if m.NoOffline != "" {
		return Statement{name, Missing, "A sandbox cannot be without a network here: " + m.NoOffline + ". Runs of " +
			"workspaces that want that fail.",
			"Let " + userOf(m) + " make network namespaces."}
	}
	return Statement{name, Holds, "A workspace may have its agents and scripts without a network.", ""}
}

func processes(m db.Machine) Statement {
	const name = "Processes of a run"
	switch {
	case !m.CountsLimits:
		return Statement{name, Missing, "They are not limited: this system cannot tell how many there are.", "Run " +
			"workers on Linux."}
	case m.Processes == 0:
		return Statement{name, Missing, "They are not limited.", "Set CARILLON_RUN_PROCESSES."}
	}
	return Statement{name, Holds, fmt.Sprintf("At most %d at once. A run that starts more is ended "+
		"alone.", m.Processes), ""}
}

func memory(m db.Machine) Statement {
	const name = "Memory of a run"
	switch {
	case !m.CountsLimits:
		return Statement{name, Missing, "It is not limited: this system cannot tell how much there is.", "Run " +
			"workers on Linux."}
	case m.Memory == 0:
		return Statement{name, Partly, "It is not limited. Where the machine’s memory runs out, the kernel ends " +
			"runs before Carillon.", "Set CARILLON_RUN_MEMORY."}
	}
	return Statement{name, Holds, fmt.Sprintf("At most %d MiB. A run that takes more is ended "+
		"alone.", m.Memory>>20), ""}
}

func disk(m db.Machine) Statement {
	const name = "Disk of a run"
	const own = "Keep CARILLON_DATA on a disk of its own, or with a quota."
	switch {
	case !m.CountsLimits:
		return Statement{name, Partly, "What a run writes is not limited: this system cannot tell how much that is.",
			own}
	case m.Disk == 0:
		return Statement{name, Partly, "What a run writes is not limited.", "Set CARILLON_RUN_DISK. " + own}
	}
	return Statement{name, Holds, fmt.Sprintf("At most %d MiB of files. A run that writes more is ended "+
		"alone.", m.Disk>>20), ""}
}

func freeDisk(m db.Machine) Statement {
	const name = "Free disk"
	switch {
	case m.MinFreeDisk == 0:
		return Statement{name, Partly, "Runs begin however full the disk is.", "Set CARILLON_DISK_FREE."}
	case m.LowDisk:
		return Statement{name, Missing,
			fmt.Sprintf("Less than %d MiB are left on the disk of the data folder, or than a "+
				"fiftieth of it. No run begins, and one that writes much is ended.", m.MinFreeDisk>>20), "Make room."}
	}
	return Statement{name, Holds, fmt.Sprintf("With less than %d MiB no run begins.", m.MinFreeDisk>>20), ""}
}

func hides(m db.Machine) Statement {
	const name = "Further hidden paths"
	if len(m.Hides) == 0 {
		return Statement{name, Chosen, "Sandboxes hide homes, /run and Carillon’s data, and nothing " +
			"beside.", "CARILLON_SANDBOX_HIDE names more."}
	}
	return Statement{name, Chosen, "Sandboxes hide homes, /run, Carillon’s data, and " + strings.Join(m.Hides, ", "+
		"") + ".", ""}
}

func shows(m db.Machine) Statement {
	const name = "Shown paths"
	if len(m.Shows) == 0 {
		return Statement{name, Chosen, "Sandboxes of all workspaces show nothing of homes but the folders of " +
			"programs.", ""}
	}
	text := "Sandboxes of all workspaces show, read-only, " + strings.Join(m.Shows, ", ") + "."
	if len(m.Unreachable) > 0 {
		return Statement{name, Partly, text + " The user " + m.AgentUser + " cannot read " +
			strings.Join(m.Unreachable, ", ") + ".",
			"Let that user read them, or take them out of CARILLON_SANDBOX_SHOW."}
	}
	return Statement{name, Chosen, text, ""}
}

// Database lists the statements about the database that a process uses.
func Database(m db.Machine) []Statement {
	which := "One of others, by DATABASE_URL."
	if m.OwnDatabase {
		which = "The embedded PostgreSQL, of Carillon’s own."
	}
	list := []Statement{{"Database", Chosen, which, ""}}
	const name = "Log of the database"
	switch {
	case m.LogsUnknown:
		return append(list, Statement{name, Partly, "Whether it has values of statements could not be read.", ""})
	case len(m.Logs) > 0:
		return append(list, Statement{name, Missing, "It has values of statements, prompts and names among them: " +
			"" + strings.Join(m.Logs, ", ") + ".",
			"Set log_min_error_statement to log or fatal, log_statement to none or ddl, and the durations to -1."})
	}
	return append(list, Statement{name, Holds, "It has no values of statements.", ""})
}
