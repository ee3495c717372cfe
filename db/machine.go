package db

// Machine is what a process has found out about its machine with regard to the isolation of agents and scripts.
type Machine struct {
	Roles []string `json:"roles,omitempty"` // of the process: web, scheduler, worker
	Root  bool     `json:"root,omitempty"`  // it runs as root

	AgentUser     string `json:"agent_user,omitempty"` // user of agents and scripts; empty: the process's own user
	SeparatesRuns bool   `json:"apart,omitempty"`      // programs of AgentUser in different runs are separated
	// Unreachable are the paths of Shows that AgentUser cannot read.
	Unreachable []string `json:"unreached,omitempty"`

	Bubblewrap   string `json:"bubblewrap,omitempty"`    // its version; empty: not installed, or unknown
	NoSandbox    string `json:"no_sandbox,omitempty"`    // why no sandbox can be made; empty: one can
	Namespace    string `json:"namespace,omitempty"`     // of users, in a sandbox: closed, open or none
	NoOffline    string `json:"no_offline,omitempty"`    // why no sandbox without a network can be made; empty: one can
	ConfinesNew  bool   `json:"confines_new,omitempty"`  // new workspaces get a sandbox by the settings
	Shell        bool   `json:"shell,omitempty"`         // the Shell provider can be used
	CountsLimits bool   `json:"counts_limits,omitempty"` // the system can measure what a run uses
	Processes    int    `json:"processes,omitempty"`     // bound for the agent of one message; 0: no limit
	Memory       int64  `json:"memory,omitempty"`        // bound in bytes; 0: no limit

	Disk        int64 `json:"disk,omitempty"`    // bound of written files in bytes; 0: no limit
	MinFreeDisk int64 `json:"room,omitempty"`    // free bytes that must remain where runs write; 0: no limit
	LowDisk     bool  `json:"no_room,omitempty"` // fewer bytes are free

	Hides []string `json:"hides,omitempty"` // paths that the settings hide beside those that are always hidden
	Shows []string `json:"shows,omitempty"` // paths of homes that the settings show

	OwnDatabase bool     `json:"own_database,omitempty"` // the database is the embedded PostgreSQL
	Logs        []string `json:"logs,omitempty"`         // settings by which the database logs values of statements
	LogsUnknown bool     `json:"logs_unknown,omitempty"` // they could not be read
}

// The values of Machine.Namespace.
const (
	NamespaceClosed = "closed" // its own, in which no further ones can be made
	NamespaceOpen   = "open"   // its own, in which further ones can be made
	NamespaceNone   = "none"   // that of the process
)
