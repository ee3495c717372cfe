package web_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/mcp"
	"carillon/app/spec"
	"carillon/app/web/webtest"
)

// doorFields are what a door knows of a resource, by the paths that manifests use, and what it leaves out on purpose,
// with the reason.
type doorFields struct {
	name    string
	knows   map[string]bool
	without map[string]string
}

// has reports whether a door knows a field, by itself or as part of a whole.
func (d doorFields) has(path string) bool {
	whole, _, _ := strings.Cut(path, ".")
	return d.knows[path] || d.knows[whole]
}

// canonical is the name in manifests of a field that a door calls by the id of what it names, or in another unit.
func canonical(name string) string {
	switch name {
	case "workspace_id", "workflow_id", "bot_id":
		return strings.TrimSuffix(name, "_id")
	case "timeout_seconds":
		return "timeout_minutes"
	}
	return name
}

// TestEveryDoorKnowsEveryFieldOfAnAutomation holds what can be said of an automation through each door against the
// fields of its manifest. A new field that a door lacks fails, and so does a reason for one that the door has.
func TestEveryDoorKnowsEveryFieldOfAnAutomation(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("ada", account.RoleAdministrator)
	all := pathsOf(reflect.TypeFor[spec.Automation](), spec.Name)
	own := map[string]string{
		"id":      "it is in the address",
		"enabled": "an operation of its own switches automations on and off",
	}

	never := map[string]string{"signature_secret": "secrets are never shown"}

	page := map[string]bool{}
	_, editor, _ := strings.Cut(ada.Get("/automations/new").Text, `action="/automations"`)
	editor, _, _ = strings.Cut(editor, "</form>")
	for _, name := range regexp.MustCompile(`\sname="([^"]+)"`).FindAllStringSubmatch(editor, -1) {
		page[spec.FieldOf(&spec.Automation{}, name[1])] = true
	}
	for _, part := range []string{"filter", "parameters"} { // rows that the browser adds
		page[part] = strings.Contains(ada.Get("/automations/new").Text, part)
	}

	a, _, err := s.Rules.Definitions().Create(t.Context(), ada.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Nightly",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Provider:       "shell",
		Prompt:         "true",
		Retries:        2,
	}})
	webtest.Check(t, err)
	line := map[string]bool{}
	for name := range s.LastAudit(a.ID).After {
		line[canonical(name)] = true
	}

	for _, door := range []doorFields{
		{"the form", page, own},
		{"the API", pathsOf(reflect.TypeFor[api.AutomationFields](), spec.JSONName), own},
		{"the answer of the API", pathsOf(reflect.TypeFor[api.Automation](), readName), never},
		{"the tools", pathsOf(reflect.TypeFor[mcp.AutomationFields](), spec.JSONName), own},
		{"the answer of the tools", pathsOf(reflect.TypeFor[mcp.AutomationResult](), readName), never},
		{"the audit log", line, map[string]string{"id": "it is the subject of the line"}},
	} {
		for _, path := range slices.Sorted(maps.Keys(all)) {
			reason, left := door.without[path]
			switch {
			case !left && !door.has(path):
				t.Errorf("%s lacks %s: add it, or say here why not", door.name, path)
			case left && door.has(path):
				t.Errorf("%s has %s, though this test says: %s", door.name, path, reason)
			}
		}
	}
}

// readName is the name in JSON of a field that answers have.
func readName(f reflect.StructField) string {
	if f.Tag.Get("writeOnly") == "true" {
		return ""
	}
	return spec.JSONName(f)
}

// pathsOf lists the fields of a type and those within them, by their names.
func pathsOf(t reflect.Type, name func(reflect.StructField) string) map[string]bool {
	all := map[string]bool{}
	var add func(t reflect.Type, before string)
	add = func(t reflect.Type, before string) {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous {
				add(f.Type, before)
				continue
			}
			if name(f) == "" {
				continue
			}
			path := before + canonical(name(f))
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner.PkgPath() != "time" && inner != reflect.TypeFor[api.Named]() {
				add(inner, path+".")
				continue
			}
			all[path] = true
		}
	}
	add(t, "")
	return all
}
