// Package manifest is automations, workflows and bots as YAML: their documents, how they are read, with the file and
// the line of each mistake, how they are written, and how two of them differ. It knows nothing of rows and of what is
// allowed.
package manifest

import (
	"fmt"
	"path"
	"strings"

	"carillon/app/spec"
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
	Spec any // *spec.Automation, *spec.Workflow or *spec.Bot

	File  string // as the caller names it
	Line  int    // the first
	lines map[string]int

	// Faults are values that were read and that the rules would not find fault with: an environment variable of the
	// caller that is not there, a limit of 0.
	Faults []Fault
}

// Fault is a field of a document, and the sentence that says what is wrong with its value.
type Fault struct{ Field, Text string }

// Identity is the id and the workspace's and own name that a document gives.
func (d *Document) Identity() (id, workspace, name string) {
	switch s := d.Spec.(type) {
	case *spec.Automation:
		return s.ID, s.Workspace, s.Name
	case *spec.Workflow:
		return s.ID, s.Workspace, s.Name
	case *spec.Bot:
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
	return Mistake{
		File: d.File, Line: d.LineOf(field), Kind: d.Kind, Workspace: workspace, Name: name, Field: field, Text: text,
	}
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

// IsManifest reports whether a file's name is one of a manifest's.
func IsManifest(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}
