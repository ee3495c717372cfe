// Package spec has what can be said of an automation, a workflow and a bot. Manifests, forms, the API, the tools of agents and
// the audit log read the same types by their tags. It knows nothing of rows and of what is allowed.
package spec

// The tags of the types below: yaml is the name of a field, default its value where it is left out, and form its name in the
// editor's form; that of a nested type begins those of its fields. A field with from:"env" holds a text that a manifest may
// take from the environment of its caller. With zero, 0 is no limit: see form.Read for
// that, and for least, most and unit.

// Automation is what can be said of an automation.
type Automation struct {
	ID            string `yaml:"id"` // where a name alone does not tell
	Name          string `yaml:"name" form:"name"`
	Workspace     string `yaml:"workspace" form:"workspace"`
	Enabled       *bool  `yaml:"enabled" form:"enabled"` // left out: as it is, and a new one is on
	Trigger       string `yaml:"trigger" form:"trigger"`
	RunAt         string `yaml:"run_at" form:"run_at"`
	Cron          string `yaml:"cron" form:"cron"`
	TimeZone      string `yaml:"time_zone" form:"time_zone"`
	CatchUp       bool   `yaml:"catch_up" form:"catch_up"`
	MaxIterations int    `yaml:"max_iterations" form:"max_iterations" zero:"empty" most:"1000000"`
	StopText      string `yaml:"stop_text" form:"stop_text"`

	AllowParallel   bool   `yaml:"allow_parallel" form:"allow_parallel"`
	MaxParallel     int    `yaml:"max_parallel" form:"max_parallel" zero:"empty" most:"1000"` // left out: without limit
	Sender          string `yaml:"sender" form:"sender"`                                      // who signs the calls of an HTTP Trigger
	SignatureHeader string `yaml:"signature_header" form:"signature_header"`
	SignatureSecret string `yaml:"signature_secret" form:"signature_secret" from:"env"` // never written; left out: the one stored stays
	Filter          Filter `yaml:"filter" form:"filter"`
	AppendPayload   bool   `yaml:"append_payload" form:"append_payload"`

	SessionType   string            `yaml:"session_type" form:"session_type" default:"develop"`
	ExecutionType string            `yaml:"execution_type" form:"execution_type" default:"inline"`
	Workflow      string            `yaml:"workflow" form:"workflow"`
	Bot           string            `yaml:"bot" form:"bot"`
	Prompt        string            `yaml:"prompt" form:"prompt"`
	Parameters    map[string]string `yaml:"parameters" form:"param." from:"env"`
	BaseBranch    string            `yaml:"base_branch" form:"base_branch"`
	Provider      string            `yaml:"provider" form:"provider"` // left out: the workspace's, or the bot's
	Model         string            `yaml:"model" form:"model"`
	Toggles       []string          `yaml:"toggles" form:"toggles"`

	AutoComplete   bool    `yaml:"auto_complete" form:"auto_complete" default:"true"`
	OnlyUnchanged  bool    `yaml:"only_unchanged" form:"only_unchanged"`
	CreatePR       bool    `yaml:"create_pr" form:"create_pr"`
	MayAutomate    bool    `yaml:"may_automate" form:"may_automate"`
	TimeoutMinutes float64 `yaml:"timeout_minutes" form:"timeout" default:"360" unit:"minutes" most:"43200"` // 0: none
	Retries        int     `yaml:"retries" form:"retries" default:"2" most:"10"`

	Gate    Gate    `yaml:"gate" form:"gate_"`
	Success Success `yaml:"success" form:"success_"`
	Budget  Budget  `yaml:"budget" form:"budget_"`
}

// Filter says which payloads start a run of an HTTP Trigger.
type Filter struct {
	Any        bool        `yaml:"any"`
	Conditions []Condition `yaml:"conditions"`
}

// Condition compares one field of a payload.
type Condition struct {
	Field    string `yaml:"field"`
	Operator string `yaml:"operator" default:"equals"`
	Value    string `yaml:"value" from:"env"`
}

// Gate is what has to hold before a run.
type Gate struct {
	Command     string `yaml:"command" form:"command"`
	BranchMoved bool   `yaml:"branch_moved" form:"branch_moved"`
	NoOpenPR    bool   `yaml:"no_open_pr" form:"no_open_pr"`
}

// Success is what has to hold after a run.
type Success struct {
	Command      string `yaml:"command" form:"command"`
	Contains     string `yaml:"contains" form:"contains"`
	FilesChanged bool   `yaml:"files_changed" form:"files_changed"`
	PullRequest  bool   `yaml:"pull_request" form:"pull_request"`
}

// Budget limits what runs use.
type Budget struct {
	Run   Limits `yaml:"run" form:"run_"`
	Day   Limits `yaml:"day" form:"day_"`
	Month Limits `yaml:"month" form:"month_"`
}

// Limits are those of one period. 0 is no limit.
type Limits struct {
	Money   float64 `yaml:"money" form:"money" zero:"none" most:"1000000"` // US dollars
	Tokens  int64   `yaml:"tokens" form:"tokens" zero:"none" most:"1000000000000"`
	Turns   int     `yaml:"turns" form:"turns" zero:"none" most:"1000000"`
	Minutes float64 `yaml:"minutes" form:"minutes" zero:"none" most:"1000000"`
}

// Workflow is what can be said of a workflow.
type Workflow struct {
	ID          string      `yaml:"id"`
	Name        string      `yaml:"name" form:"name"`
	Workspace   string      `yaml:"workspace" form:"workspace"` // left out: for all workspaces
	Description string      `yaml:"description" form:"description"`
	Parameters  []Parameter `yaml:"parameters" form:"parameters"`
	Steps       []Step      `yaml:"steps" form:"steps"`
}

// Parameter is a value that a workflow is given.
type Parameter struct {
	Alias    string   `yaml:"alias" form:"alias"`
	Label    string   `yaml:"label" form:"label"`
	Type     string   `yaml:"type" form:"type" default:"text"`
	Required bool     `yaml:"required"`
	Choices  []string `yaml:"choices" form:"choices"`
	Default  string   `yaml:"default" form:"default" from:"env"` // of a secret never written; left out: the one stored stays
}

// Step is one step of a workflow.
type Step struct {
	Kind          string `yaml:"kind" form:"kind" default:"message"`
	Label         string `yaml:"label" form:"label"`
	Path          string `yaml:"path" form:"path"`
	Text          string `yaml:"text" form:"text"`
	OnlyUnchanged bool   `yaml:"only_unchanged"`
	Marker        string `yaml:"marker" form:"marker"`
	Max           int    `yaml:"max" form:"max"`
	Steps         []Step `yaml:"steps"` // of a loop
}

// Bot is what can be said of a bot.
type Bot struct {
	ID           string   `yaml:"id"`
	Name         string   `yaml:"name" form:"name"`
	Workspace    string   `yaml:"workspace" form:"workspace"` // left out: for all workspaces
	Enabled      bool     `yaml:"enabled" default:"true"`
	Instructions string   `yaml:"instructions" form:"instructions"`
	Provider     string   `yaml:"provider" form:"provider"`
	Model        string   `yaml:"model" form:"model"`
	LocksAgent   bool     `yaml:"locks_agent"`
	AllowedTools []string `yaml:"allowed_tools" form:"allowed_tools"`
	ReadOnly     bool     `yaml:"read_only"`
}
