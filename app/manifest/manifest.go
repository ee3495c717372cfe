// Package manifest is automations, workflows and bots as YAML: their documents, how they are read, with the file and the line
// of each mistake, how they are written, and how two of them differ. It knows nothing of rows and of what is allowed.
package manifest

import (
	"fmt"
	"path"
	"strings"
)

// Kind is what a document describes.
type Kind string

// The kinds of documents.
const (
	KindBot        Kind = "Bot"
	KindWorkflow   Kind = "Workflow"
	KindAutomation Kind = "Automation"
)

// Document is one document of a manifest: what it describes, and where it stands.
type Document struct {
	Kind Kind
	Spec any // *Automation, *Workflow or *Bot

	File  string // as the caller names it
	Line  int    // the first
	lines map[string]int
}

// Identity is the id and the workspace's and own name that a document gives.
func (d *Document) Identity() (id, workspace, name string) {
	switch s := d.Spec.(type) {
	case *Automation:
		return s.ID, s.Workspace, s.Name
	case *Workflow:
		return s.ID, s.Workspace, s.Name
	case *Bot:
		return s.ID, s.Workspace, s.Name
	}
	return "", "", ""
}

// LineOf is the line of a field, or of the nearest field around it.
func (d *Document) LineOf(field string) int {
	for field != "" {
		if line, ok := d.lines[field]; ok {
			return line
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return d.Line
}

// Has reports whether the document names a field itself.
func (d *Document) Has(field string) bool { _, ok := d.lines[field]; return ok }

// Mistake is something wrong with a field of a document, or with the whole of it.
func (d *Document) Mistake(field, text string) Mistake {
	_, workspace, name := d.Identity()
	return Mistake{File: d.File, Line: d.LineOf(field), Kind: d.Kind, Workspace: workspace, Name: name, Field: field, Text: text}
}

// Mistake is something wrong in a manifest.
type Mistake struct {
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Kind      Kind   `json:"kind,omitempty"`
	Workspace string `json:"workspace,omitempty"`
	Name      string `json:"name,omitempty"`
	Field     string `json:"field,omitempty"`
	Text      string `json:"message"`
}

func (m Mistake) String() string {
	var parts []string
	if m.File != "" {
		at := m.File
		if m.Line > 0 {
			at = fmt.Sprintf("%s:%d", m.File, m.Line)
		}
		parts = append(parts, at)
	}
	if m.Field != "" {
		parts = append(parts, m.Field)
	}
	return strings.Join(append(parts, m.Text), ": ")
}

// Mistakes are all that is wrong in a manifest.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// The tags of the types below: yaml is a field's name, default what it is when it is left out, and form what the rules call it
// when they find fault with it; that of a nested type begins those of its fields.

// Automation is an automation in a manifest.
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
	MaxIterations int    `yaml:"max_iterations" form:"max_iterations"`
	StopText      string `yaml:"stop_text" form:"stop_text"`

	AllowParallel   bool   `yaml:"allow_parallel" form:"allow_parallel"`
	MaxParallel     int    `yaml:"max_parallel" form:"max_parallel"` // left out: without limit
	Sender          string `yaml:"sender" form:"sender"`             // who signs the calls of an HTTP Trigger
	SignatureHeader string `yaml:"signature_header" form:"signature_header"`
	SignatureSecret Value  `yaml:"signature_secret" form:"signature_secret"` // never written; left out: the one stored stays
	Filter          Filter `yaml:"filter" form:"filter"`
	AppendPayload   bool   `yaml:"append_payload" form:"append_payload"`

	SessionType   string           `yaml:"session_type" form:"session_type" default:"develop"`
	ExecutionType string           `yaml:"execution_type" form:"execution_type" default:"inline"`
	Workflow      string           `yaml:"workflow" form:"workflow"`
	Bot           string           `yaml:"bot" form:"bot"`
	Prompt        string           `yaml:"prompt" form:"prompt"`
	Parameters    map[string]Value `yaml:"parameters" form:"param."`
	BaseBranch    string           `yaml:"base_branch" form:"base_branch"`
	Provider      string           `yaml:"provider" form:"provider"` // left out: the workspace's, or the bot's
	Model         string           `yaml:"model" form:"model"`
	Toggles       []string         `yaml:"toggles" form:"toggles"`

	AutoComplete   bool    `yaml:"auto_complete" form:"auto_complete" default:"true"`
	OnlyUnchanged  bool    `yaml:"only_unchanged" form:"only_unchanged"`
	CreatePR       bool    `yaml:"create_pr" form:"create_pr"`
	MayAutomate    bool    `yaml:"may_automate" form:"may_automate"`
	TimeoutMinutes float64 `yaml:"timeout_minutes" form:"timeout" default:"360"` // 0: none
	Retries        int     `yaml:"retries" form:"retries" default:"2"`

	Gate    Gate         `yaml:"gate" form:"gate_"`
	Success SuccessCheck `yaml:"success" form:"success_"`
	Budget  Budget       `yaml:"budget" form:"budget_"`
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
	Value    Value  `yaml:"value"`
}

// Gate is what has to hold before a run.
type Gate struct {
	Command     string `yaml:"command" form:"command"`
	BranchMoved bool   `yaml:"branch_moved" form:"branch_moved"`
	NoOpenPR    bool   `yaml:"no_open_pr" form:"no_open_pr"`
}

// SuccessCheck is what has to hold after a run.
type SuccessCheck struct {
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

// Limits are of one period. What is left out is without limit.
type Limits struct {
	Money   *float64 `yaml:"money" form:"money"` // US dollars
	Tokens  *float64 `yaml:"tokens" form:"tokens"`
	Turns   *float64 `yaml:"turns" form:"turns"`
	Minutes *float64 `yaml:"minutes" form:"minutes"`
}

// Workflow is a workflow in a manifest.
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
	Default  Value    `yaml:"default" form:"default"` // of a secret never written; left out: the one stored stays
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

// Bot is a bot in a manifest.
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

// Value is a text, or the name of the caller's environment variable that holds it.
type Value struct {
	Text    string
	FromEnv string
}

// Given reports whether there is anything.
func (v Value) Given() bool { return v != Value{} }

// Resolve is the text of a value, with the caller's variables. ok is false for a variable that is not among them.
func (v Value) Resolve(environment map[string]string) (text string, ok bool) {
	if v.FromEnv == "" {
		return v.Text, true
	}
	text, ok = environment[v.FromEnv]
	return text, ok
}

// IsManifest reports whether a file's name is one of a manifest's.
func IsManifest(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}
