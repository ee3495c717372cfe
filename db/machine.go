package db

// Machine is what a process found of the machine that it runs on, as far as it keeps agents and scripts from the rest.
type Machine struct {
	Roles []string `json:"roles,omitempty"` // of the process: web, scheduler, worker
	Root  bool     `json:"root,omitempty"`  // it runs as root

	AgentUser string `json:"agent_user,omitempty"` // as whom agents and scripts run; empty: the process's own user
	Apart     bool   `json:"apart,omitempty"`      // programs of that user, of different runs, are kept apart
	// Unreached are those of Shows that AgentUser cannot look at.
	Unreached []string `json:"unreached,omitempty"`

	Bubblewrap   string `json:"bubblewrap,omitempty"`    // its version; empty: it is not there, or did not tell
	NoSandbox    string `json:"no_sandbox,omitempty"`    // why no sandbox can be had; empty: it can
	Namespace    string `json:"namespace,omitempty"`     // of users, in a sandbox: closed, open or none
	NoOffline    string `json:"no_offline,omitempty"`    // why a sandbox cannot be without a network; empty: it can
	ConfinesNew  bool   `json:"confines_new,omitempty"`  // the settings want a sandbox for new workspaces
	Shell        bool   `json:"shell,omitempty"`         // the Shell provider can be used
	CountsLimits bool   `json:"counts_limits,omitempty"` // the system can tell what a run uses
	Processes    int    `json:"processes,omitempty"`     // that a message's agent may have at once; 0: no limit
	Memory       int64  `json:"memory,omitempty"`        // in bytes, that it may use; 0: no limit

	Disk   int64 `json:"disk,omitempty"`    // in bytes of files, that it may write; 0: no limit
	Room   int64 `json:"room,omitempty"`    // in bytes, that is to be free where runs write; 0: no limit
	NoRoom bool  `json:"no_room,omitempty"` // less is free

	Hides []string `json:"hides,omitempty"` // paths that the settings hide beside what always is
	Shows []string `json:"shows,omitempty"` // paths of homes that the settings show

	OwnDatabase bool     `json:"own_database,omitempty"` // the embedded PostgreSQL, else one of others
	Logs        []string `json:"logs,omitempty"`         // settings by which the database logs values of statements
	LogsUnknown bool     `json:"logs_unknown,omitempty"` // they could not be read
}

// The values of Machine.Namespace.
const (
	NamespaceClosed = "closed" // its own, in which no further ones can be made
	NamespaceOpen   = "open"   // its own, in which further ones can be made
	NamespaceNone   = "none"   // that of the process
)
