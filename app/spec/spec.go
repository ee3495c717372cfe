// Package spec has what can be said of an automation, a workflow and a bot. Manifests, forms, the API, the tools of
// agents and the audit log read the same types by their tags. It knows nothing of rows and of what is allowed.
package spec

import "reflect"

// The tags of the types below:
//
//   - json is the name of a field at every door. With "-", each door says the field in its own way: with an id or with
//     a name, as an instant or as a clock time.
//   - yaml and form are the names in manifests and in the editor's form, where they are others. In the form, the name
//     of a nested type begins the names of its fields.
//   - default is the value of a field that is left out. With required, JSON must have the field all the same.
//   - from:"env": a manifest may take the text from the environment of its caller. writeOnly: the value is never shown.
//   - zero, least, most and unit: see form.Read.
//
// See Description for what a field means.

// Automation is what can be said of an automation.
type Automation struct {
	ID            string `yaml:"id" json:"-"` // where a name alone does not tell
	Name          string `json:"name"`
	Workspace     string `yaml:"workspace" form:"workspace" json:"-"`
	Enabled       *bool  `yaml:"enabled" form:"enabled" json:"-"` // left out: as it is, and a new one is on
	Trigger       string `json:"trigger"`
	RunAt         string `yaml:"run_at" form:"run_at" json:"-"`
	Cron          string `json:"cron,omitempty"`
	TimeZone      string `json:"time_zone,omitempty"`
	CatchUp       bool   `json:"catch_up"`
	MaxIterations int    `json:"max_iterations,omitempty" zero:"empty" most:"1000000"`
	StopText      string `json:"stop_text,omitempty"`

	AllowParallel   bool   `json:"allow_parallel"`
	MaxParallel     int    `json:"max_parallel,omitempty" zero:"empty" most:"1000"` // left out: without limit
	Sender          string `json:"sender,omitempty"`                                // who signs the calls
	SignatureHeader string `json:"signature_header,omitempty"`
	SignatureSecret string `json:"signature_secret,omitempty" from:"env" writeOnly:"true"` // left out: it stays
	Filter          Filter `json:"filter"`
	AppendPayload   bool   `json:"append_payload"`

	SessionType   string            `json:"session_type" default:"develop"`
	ExecutionType string            `json:"execution_type" default:"inline"`
	Workflow      string            `yaml:"workflow" form:"workflow" json:"-"`
	Bot           string            `yaml:"bot" form:"bot" json:"-"`
	Prompt        string            `json:"prompt"`
	Parameters    map[string]string `json:"parameters" form:"param." from:"env"`
	BaseBranch    string            `json:"base_branch"`
	Provider      string            `json:"provider"` // left out: the workspace's, or the bot's
	Model         string            `json:"model"`
	Toggles       []string          `json:"toggles"`

	AutoComplete   bool    `json:"auto_complete" default:"true"`
	OnlyUnchanged  bool    `json:"only_unchanged"`
	CreatePR       bool    `json:"create_pr"`
	MayAutomate    bool    `json:"may_automate"`
	TimeoutMinutes float64 `json:"timeout_minutes" form:"timeout" default:"360" unit:"minutes" most:"43200"` // 0: none
	Retries        int     `json:"retries" default:"2" most:"10"`

	Gate    Gate    `json:"gate" form:"gate_"`
	Success Success `json:"success" form:"success_"`
	Budget  Budget  `json:"budget" form:"budget_"`
}

// Filter says which payloads start a run of an HTTP Trigger.
type Filter struct {
	Any        bool        `json:"any" form:"-"`
	Conditions []Condition `json:"conditions" form:"-"`
}

// Condition compares one field of a payload.
type Condition struct {
	Field    string `json:"field" required:"true"`
	Operator string `json:"operator" default:"equals" required:"true"`
	Value    string `json:"value" from:"env"`
}

// Gate is what has to hold before a run.
type Gate struct {
	Command     string `json:"command"`
	BranchMoved bool   `json:"branch_moved"`
	NoOpenPR    bool   `json:"no_open_pr"`
}

// Success is what has to hold after a run.
type Success struct {
	Command      string `json:"command"`
	Contains     string `json:"contains"`
	FilesChanged bool   `json:"files_changed"`
	PullRequest  bool   `json:"pull_request"`
}

// Budget limits what runs use.
type Budget struct {
	Run   Limits `json:"run" form:"run_"`
	Day   Limits `json:"day" form:"day_"`
	Month Limits `json:"month" form:"month_"`
}

// Limits are those of one period. 0 is no limit.
type Limits struct {
	Money   float64 `json:"money" zero:"none" most:"1000000"` // US dollars
	Tokens  int64   `json:"tokens" zero:"none" most:"1000000000000"`
	Turns   int     `json:"turns" zero:"none" most:"1000000"`
	Minutes float64 `json:"minutes" zero:"none" most:"1000000"`
}

// Workflow is what can be said of a workflow.
type Workflow struct {
	ID          string      `yaml:"id" json:"-"`
	Name        string      `json:"name"`
	Workspace   string      `yaml:"workspace" form:"workspace" json:"-"` // left out: for all workspaces
	Description string      `json:"description"`
	Parameters  []Parameter `json:"parameters"`
	Steps       []Step      `json:"steps"`
}

// Parameter is a value that a workflow is given.
type Parameter struct {
	Alias    string   `json:"alias" required:"true"`
	Label    string   `json:"label,omitempty"`
	Type     string   `json:"type" default:"text" required:"true"`
	Required bool     `json:"required,omitempty"`
	Choices  []string `json:"choices,omitempty"`
	Default  string   `json:"default,omitempty" from:"env"` // of a secret never written; left out: the one stored stays
}

// Step is one step of a workflow.
type Step struct {
	Kind          string `json:"kind" default:"message" required:"true"`
	Label         string `json:"label,omitempty"`
	Path          string `json:"path,omitempty"`
	Text          string `json:"text,omitempty"`
	OnlyUnchanged bool   `json:"only_unchanged,omitempty"`
	Marker        string `json:"marker,omitempty"`
	Max           int    `json:"max,omitempty"`
	Steps         []Step `json:"steps,omitempty"` // of a loop
}

// Bot is what can be said of a bot.
type Bot struct {
	ID           string   `yaml:"id" json:"-"`
	Name         string   `json:"name"`
	Workspace    string   `yaml:"workspace" form:"workspace" json:"-"` // left out: for all workspaces
	Enabled      bool     `json:"enabled" default:"true"`
	Instructions string   `json:"instructions"`
	Provider     string   `json:"provider"`
	Model        string   `json:"model"`
	LocksAgent   bool     `json:"locks_agent"`
	AllowedTools []string `json:"allowed_tools"`
	ReadOnly     bool     `json:"read_only"`
}

// Description says to programs and agents what a field means, and what its values are where they are a few.
type Description struct {
	Text    string
	Choices []string
}

// Enum are the choices as a schema of JSON lists them.
func (d Description) Enum() []any {
	var list []any
	for _, choice := range d.Choices {
		list = append(list, choice)
	}
	return list
}

// Describe is the description of a field that a type of this package declares. Other types have none.
func Describe(of reflect.Type, f reflect.StructField) Description {
	if of.PkgPath() != reflect.TypeFor[Description]().PkgPath() {
		return Description{}
	}
	return descriptions[of.Name()+"."+JSONName(f)]
}

func means(text string, choices ...string) Description { return Description{text, choices} }

// descriptions are keyed by the type and the name in JSON. Those of workflows and their steps are with the API, which
// does not take loops within loops.
var descriptions = map[string]Description{
	"Automation.name":    means("One line, at most 200 characters."),
	"Automation.trigger": means("What starts a run.", "manual", "one_time", "recurring", "loop", "http"),
	"Automation.cron":    means("Of recurring: five fields, such as 0 2 * * *."),
	"Automation.time_zone": means(
		"Of one_time and recurring: IANA name, such as Europe/Berlin. Another one alone leaves " +
			"the moment of one_time as it is."),
	"Automation.catch_up":       means("Of recurring: Auto-Execute Missed Runs on Startup, one run after downtime."),
	"Automation.max_iterations": means("Of a loop. 0 or absent: without limit."),
	"Automation.stop_text":      means("Of a loop: stop when the final answer contains it."),

	"Automation.allow_parallel":   means("Of http: several sessions at once."),
	"Automation.max_parallel":     means("Of http: the most sessions at once. 0 or absent: without limit."),
	"Automation.sender":           means("Of http: who signs the calls. Empty or absent: the token is enough."),
	"Automation.signature_header": means("Of http: the header in which a sender of another kind has its signature."),
	"Automation.signature_secret": means("Of http: what the calls are signed with. Left out: the one stored stays."),
	"Automation.filter":           means("Of http: which payloads start a run. A change replaces it as a whole."),
	"Automation.append_payload":   means("Of http: the payload is added to the prompt."),

	"Automation.session_type":   means("What kind of session a run is.", "develop", "chat", "bot"),
	"Automation.execution_type": means("Whether a run follows the prompt or a workflow.", "inline", "workflow"),
	"Automation.prompt":         means("What the agent is to do. {{name}} is filled in when it runs."),
	"Automation.parameters": means(
		"Stored values by name, without the secret ones. In a change, those not named stay, " +
			"and an empty text removes one that is not secret."),
	"Automation.base_branch": means("Empty: the workspace's default."),
	"Automation.provider": means(
		"Id of the coding agent. Empty: the bot's or the workspace's default. Another one than " +
			"before has its own default model, unless a model is given."),
	"Automation.model": means("Empty: the agent's default."),
	"Automation.toggles": means("Session modes, of develop.",
		"code_architecture", "ux_enhancement", "edge_cases", "code_review", "verification", "update_tests",
		"update_docs",
	),

	"Automation.auto_complete": means(
		"Mark the session Done when the run ends. Not of http: its session stays open."),
	"Automation.only_unchanged": means("Of auto_complete: only if no file changes."),
	"Automation.create_pr":      means("Open a pull request after a successful run that changed files."),
	"Automation.may_automate": means(
		"Its sessions may create, edit and run automations. A session cannot set this."),
	"Automation.timeout_minutes": means("0: none."),
	"Automation.retries":         means("How often a failure that passes by itself is tried again."),
	"Automation.gate":            means("What lets a run begin. A change replaces it as a whole."),
	"Automation.success":         means("What must hold at the end of a run. A change replaces it as a whole."),
	"Automation.budget": means(
		"The most that a run, a day and a month may use. A change replaces it as a whole."),

	"Filter.any":        means("One condition is enough; else all must hold."),
	"Filter.conditions": means("What a payload must have."),

	"Condition.field":    means("A dotted path, such as pull_request.state."),
	"Condition.operator": means("equals, not_equals, contains, exists or absent."),
	"Condition.value":    means("What the field is compared with."),

	"Gate.command":      means("A script in a fresh worktree; exit status 0 lets the run through."),
	"Gate.branch_moved": means("The base branch moved since the last success."),
	"Gate.no_open_pr":   means("No pull request of the automation is open."),

	"Success.command":       means("A script in the worktree; exit status 0 is right."),
	"Success.contains":      means("A text in the final answer."),
	"Success.files_changed": means("Files changed."),
	"Success.pull_request":  means("The session has a pull request."),

	"Budget.run":   means("Each run."),
	"Budget.day":   means("All runs that begin on one day."),
	"Budget.month": means("All runs that begin in one month."),

	"Limits.money":   means("US dollars. 0: no limit."),
	"Limits.tokens":  means("0: no limit."),
	"Limits.turns":   means("Messages. 0: no limit."),
	"Limits.minutes": means("0: no limit."),

	"Parameter.alias":    means("The name by which steps use the value."),
	"Parameter.label":    means("The name that people read."),
	"Parameter.type":     means("What the value is.", "text", "number", "boolean", "choice", "secret"),
	"Parameter.required": means("A run needs the value."),
	"Parameter.choices":  means("Of a choice: the values, each one line without commas."),
	"Parameter.default":  means("Of a secret it can be written and is never read. Left out, the one stored stays."),

	"Bot.name":         means("One line, at most 200 characters."),
	"Bot.enabled":      means("Runs with a bot that is off fail."),
	"Bot.instructions": means("What the bot is to do and how."),
	"Bot.provider":     means("Id of the coding agent. Empty: that of the automation."),
	"Bot.model":        means("Empty: the agent's default."),
	"Bot.locks_agent":  means("Automations cannot choose another provider or model."),
	"Bot.allowed_tools": means(
		"Names of the agent's tools, each one line without commas, that a read-only bot may use " +
			"without asking. A change replaces them as a whole. Empty: as the agent has it."),
	"Bot.read_only": means("The agent changes no files."),
}
