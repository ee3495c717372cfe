package workflow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/secret"
	"carillon/app/spec"
	"carillon/db"
)

// Input is a workflow as a person typed it. The keys of fault.Invalid are the names in the tags, with the place
// of a row between: "steps.0.text".
type Input struct {
	Name        string           `form:"name"`
	Workspace   string           `form:"workspace"` // empty: for all workspaces
	Description string           `form:"description"`
	Steps       []StepInput      `form:"steps"`
	Parameters  []ParameterInput `form:"parameters"`
	Version     int64            `form:"version"` // of what the person started from
}

// StepInput is one step of a form. Those of a loop follow it, and are Inside.
type StepInput struct {
	Kind, Label, Text, Path, Marker, Max string
	OnlyUnchanged, Inside                bool
}

// ParameterInput is one parameter of a form.
type ParameterInput struct {
	Alias, Label, Type, Default, Choices string // of Choices: one a line, or with commas between them
	Required                             bool
}

// MaxStepText is the most bytes that the text of a step may have.
const MaxStepText = 128 << 10

// Bounds of a workflow.
const (
	maxSteps      = 100
	maxParameters = 50
	maxRounds     = 100
	maxChoices    = 100
)

// Spec is what is said of a workflow, without the defaults of its secrets. The workspace is an id.
func Spec(wf *db.Workflow) spec.Workflow {
	is := spec.Workflow{
		Name: wf.Name, Workspace: form.ID(wf.WorkspaceID), Description: wf.Description, Steps: stepsSpec(wf.Steps),
	}
	for _, p := range wf.Parameters {
		q := spec.Parameter{
			Alias: p.Alias, Label: p.Label, Type: string(p.Type), Required: p.Required,
			Choices: slices.Clone(p.Choices),
		}
		if p.Type != db.SecretParameter {
			q.Default = p.Default
		}
		is.Parameters = append(is.Parameters, q)
	}
	return is
}

func stepsSpec(steps []db.Step) []spec.Step {
	var list []spec.Step
	for _, s := range steps {
		list = append(list, spec.Step{
			Kind: string(s.Kind), Label: s.Label, Path: s.Path, Text: s.Text, OnlyUnchanged: s.OnlyUnchanged,
			Marker: s.Marker, Max: s.Max, Steps: stepsSpec(s.Steps),
		})
	}
	return list
}

// Typed is a workflow as the form would have it typed. Defaults of secrets are left out.
func Typed(wf *db.Workflow) Input {
	in := Input{
		Name: wf.Name, Workspace: form.ID(wf.WorkspaceID), Description: wf.Description, Version: wf.Version,
	}
	typed := func(step db.Step, inside bool) StepInput {
		t := StepInput{
			Kind: string(step.Kind), Label: step.Label, Text: step.Text, Path: step.Path, Marker: step.Marker,
			OnlyUnchanged: step.OnlyUnchanged, Inside: inside,
		}
		if step.Max > 0 {
			t.Max = strconv.Itoa(step.Max)
		}
		return t
	}
	for _, step := range wf.Steps {
		in.Steps = append(in.Steps, typed(step, false))
		for _, inner := range step.Steps {
			in.Steps = append(in.Steps, typed(inner, true))
		}
	}
	in.Parameters = TypedParameters(Spec(wf).Parameters)
	return in
}

// TypedParameters are parameters as the form would have them typed.
func TypedParameters(list []spec.Parameter) []ParameterInput {
	var typed []ParameterInput
	for _, p := range list {
		typed = append(typed, ParameterInput{
			Alias: p.Alias, Label: p.Label, Type: p.Type, Default: p.Default, Choices: strings.Join(p.Choices, ", "),
			Required: p.Required,
		})
	}
	return typed
}

// apply puts what a person typed into a workflow, or says what is wrong with it, all at once.
func (s *Service) apply(ctx context.Context, q bun.IDB, actor account.Actor, wf *db.Workflow, in Input) error {
	bad := fault.Invalid{}
	wf.Name = form.Name(bad, "name", "Give the workflow a name.", in.Name, 200)
	wf.Description = form.Line(bad, "description", "", in.Description, 500, false)
	wf.WorkspaceID = uuid.Nil
	if in.Workspace != "" {
		id, err := uuid.Parse(in.Workspace)
		if err != nil {
			err = fault.ErrNotFound
		} else {
			_, err = account.MemberWorkspace(ctx, q, actor, id)
		}
		switch {
		case errors.Is(err, fault.ErrNotFound):
			bad["workspace"] = "This workspace does not exist, or you are not a member of it."
		case err != nil:
			return err
		}
		wf.WorkspaceID = id
	}
	wf.Parameters = readParameters(s.Keys, in.Parameters, wf.Parameters, bad)
	wf.Steps = readSteps(in.Steps, bad)
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// readSteps makes steps of the rows of a form. A row of an inner step belongs to the loop before it.
func readSteps(rows []StepInput, bad fault.Invalid) []db.Step {
	list := []db.Step{}
	loop := -1 // the row of the loop that is open
	closeLoop := func() {
		if loop >= 0 && len(list[len(list)-1].Steps) == 0 {
			bad[fmt.Sprintf("steps.%d.kind",
				loop)] = "This loop block has no steps. Put the next step into it, or remove it."
		}
		loop = -1
	}
	if len(rows) == 0 {
		bad["steps"] = "Add at least one step."
	}
	if len(rows) > maxSteps {
		bad["steps"] = fmt.Sprintf("A workflow has at most %d steps.", maxSteps)
		return list
	}
	for i, row := range rows {
		step := readStep(i, row, bad)
		if !row.Inside {
			closeLoop()
			list = append(list, step)
			if step.Kind == db.LoopStep {
				loop = i
			}
			continue
		}
		switch {
		case loop < 0:
			bad[fmt.Sprintf("steps.%d.inside", i)] = "There is no loop block above this step."
		case step.Kind == db.LoopStep:
			bad[fmt.Sprintf("steps.%d.inside", i)] = "A loop block cannot be within another."
		default:
			list[len(list)-1].Steps = append(list[len(list)-1].Steps, step)
		}
	}
	closeLoop()
	return list
}

func readStep(i int, row StepInput, bad fault.Invalid) db.Step {
	field := func(name string) string { return fmt.Sprintf("steps.%d.%s", i, name) }
	step := db.Step{Kind: db.StepKind(row.Kind), Label: form.Line(bad, field("label"), "", row.Label, 100, false)}
	content := strings.ReplaceAll(row.Text, "\r\n", "\n")
	switch {
	case len(content) > MaxStepText:
		bad[field("text")] = fmt.Sprintf("This is %d KiB long. At most 128 KiB fit.", (len(content)+1023)>>10)
	case !form.Storable(content):
		bad[field("text")] = "This has bytes that are not text."
	}
	written := func(missing string) {
		if strings.TrimSpace(content) == "" {
			bad[field("text")] = missing
		}
		step.Text = content
	}
	switch step.Kind {
	case db.MessageStep:
		written("Write what the agent is to do.")
	case db.SystemStep:
		written("Write what the agent is to be told.")
	case db.AssetStep:
		step.Text = content
		step.Path = readPath(field("path"), row.Path, true, bad)
	case db.InstructionStep:
		written("Write the instructions.")
		step.Path = readPath(field("path"), row.Path, false, bad)
	case db.CompleteStep:
		step.OnlyUnchanged = row.OnlyUnchanged
	case db.LoopStep:
		step.Marker = form.Line(bad, field("marker"), "", row.Marker, 200, false)
		n, err := strconv.Atoi(strings.TrimSpace(row.Max))
		if err != nil || n < 1 || n > maxRounds {
			bad[field("max")] = fmt.Sprintf("Write how often it repeats at most: a whole number from 1 to %d.",
				maxRounds)
		}
		step.Max = n
	case db.ClearStep:
	default:
		bad[field("kind")] = "Choose what this step does."
	}
	return step
}

// readPath checks the path of a file within the worktree. Where links lead shows when it is written.
func readPath(field, typed string, required bool, bad fault.Invalid) string {
	path := form.Line(bad, field, "Write the file's path within the repository.", typed, 500, required)
	if path == "" {
		return ""
	}
	path = filepath.ToSlash(filepath.Clean(path))
	inGit := slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool {
		return strings.EqualFold(part, ".git")
	})
	if !filepath.IsLocal(path) || path == "." || strings.HasSuffix(strings.TrimSpace(typed), "/") ||
		strings.Contains(path, `\`) || inGit {
		bad[field] = "Write the path of a file within the repository, such as docs/plan.md."
	}
	return path
}

// DraftSteps are the steps of a form as far as they can be read, to be looked at before they are saved.
func DraftSteps(rows []StepInput) []db.Step { return readSteps(rows, fault.Invalid{}) }

// aliasPattern is what an alias may look like.
var aliasPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,49}$`)

func readParameters(keys *secret.Keys, rows []ParameterInput, stored []db.Parameter,
	bad fault.Invalid) []db.Parameter {
	list := []db.Parameter{}
	if len(rows) > maxParameters {
		bad["parameters"] = fmt.Sprintf("A workflow has at most %d parameters.", maxParameters)
		return list
	}
	for i, row := range rows {
		alias := strings.TrimPrefix(strings.TrimSpace(row.Alias), "$")
		if alias == "" && strings.TrimSpace(row.Label) == "" && row.Default == "" {
			continue // an empty row
		}
		field := func(name string) string { return fmt.Sprintf("parameters.%d.%s", i, name) }
		p := db.Parameter{
			Alias: alias, Label: form.Line(bad, field("label"), "", row.Label, 100, false),
			Type: db.ParameterType(row.Type), Required: row.Required,
		}
		switch {
		case !aliasPattern.MatchString(alias):
			bad[field("alias")] = "An alias has at most 50 letters, digits, _ and -, and begins with a letter."
		case slices.Contains(automatic, alias):
			bad[field("alias")] = "$" + alias + " has a value by itself. Choose another alias."
		case slices.ContainsFunc(list, func(o db.Parameter) bool { return variable(o.Alias) == variable(alias) }):
			bad[field("alias")] = "$" + alias + " is there twice, or differs by - and _ alone."
		}
		switch p.Type {
		case db.TextParameter, db.NumberParameter, db.BooleanParameter, db.SecretParameter:
		case db.ChoiceParameter:
			p.Choices = readChoices(row.Choices)
			if len(p.Choices) == 0 || len(p.Choices) > maxChoices {
				bad[field("choices")] = fmt.Sprintf("Write what can be chosen, from 1 to %d, with commas between.",
					maxChoices)
			}
		default:
			bad[field("type")] = "Choose a type."
		}
		p.Default = row.Default
		if p.Type == db.SecretParameter {
			if p.Default == "" { // the stored one stays
				if j := slices.IndexFunc(stored, func(o db.Parameter) bool {
					return o.Alias == alias && o.Type == db.SecretParameter
				}); j >= 0 {
					p.Default = stored[j].Default
				}
			} else if CanUnseal(keys, alias, p.Default) {
				bad[field("default")] = fault.Sentence(StoredFormGiven)
			} else {
				p.Default = Seal(keys, alias, p.Default)
			}
		} else if p.Default != "" {
			if problem := Problem(p, p.Default); problem != "" && bad[field("choices")] == "" {
				bad[field("default")] = fault.Sentence(problem)
			}
		}
		list = append(list, p)
	}
	return list
}

// variable is an alias as scripts read it.
func variable(alias string) string { return strings.ReplaceAll(alias, "-", "_") }

func readChoices(typed string) []string {
	var list []string
	seen := form.Seen{}
	for _, c := range strings.FieldsFunc(typed, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if c = strings.TrimSpace(c); c != "" && seen.Add(c) {
			list = append(list, c)
		}
	}
	return list
}
