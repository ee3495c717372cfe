package automation

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"carillon/app/secret"
	"carillon/app/shell"
	"carillon/db"
)

// Placed is a step where it stands in a run.
type Placed struct {
	Step  db.Step
	Path  []int // its place, from 0: of a step in a loop the loop's and its own
	Round int   // in a loop: which time, from 1
}

// Number is the place of a step as people count: "3", "3.1".
func (p Placed) Number() string {
	parts := make([]string, len(p.Path))
	for i, n := range p.Path {
		parts[i] = strconv.Itoa(n + 1)
	}
	return strings.Join(parts, ".")
}

// Label names a step in a transcript: "3.1 Review, round 2".
func (p Placed) Label() string {
	label := p.Number() + " " + StepName(p.Step)
	if p.Round > 0 {
		label += fmt.Sprintf(", round %d", p.Round)
	}
	return label
}

// Completed is the answer of a step Complete Session that completed it.
const Completed = "The session is completed."

// Walk gives the steps that a run has taken, in order, and after them the next one where there is one. Answers are what
// came of those taken. A run has no other memory of its place, so it goes on there after a restart.
func Walk(steps []db.Step, answers []string) []Placed {
	w := &walk{answers: answers}
	w.all(steps, nil, 0)
	return w.list
}

type walk struct {
	answers []string
	list    []Placed
}

// take adds a step. It reports whether that one has been taken, and what came of it.
func (w *walk) take(p Placed) (answer string, taken bool) {
	w.list = append(w.list, p)
	if n := len(w.list); n <= len(w.answers) {
		return w.answers[n-1], true
	}
	return "", false
}

// all walks through steps and reports whether the run goes on after them.
func (w *walk) all(steps []db.Step, path []int, round int) bool {
	for i, step := range steps {
		at := append(slices.Clone(path), i)
		if step.Kind == db.LoopStep {
			if !w.loop(step, at) {
				return false
			}
			continue
		}
		answer, taken := w.take(Placed{Step: step, Path: at, Round: round})
		if !taken || step.Kind == db.CompleteStep && answer == Completed {
			return false
		}
	}
	return true
}

// loop walks through the rounds of a loop: until an answer contains its marker, at once then, or as often as it may.
func (w *walk) loop(loop db.Step, path []int) bool {
	for round := 1; round <= loop.Max; round++ {
		for i, step := range loop.Steps {
			answer, taken := w.take(Placed{Step: step, Path: append(slices.Clone(path), i), Round: round})
			switch {
			case !taken, step.Kind == db.CompleteStep && answer == Completed:
				return false
			case step.Kind == db.MessageStep && loop.Marker != "" && strings.Contains(answer, loop.Marker):
				return true
			}
		}
	}
	return true
}

// maxExpanded is the length from which Expand leaves a text as it is written.
const maxExpanded = 4 << 20

// Expand puts values in place of $alias and ${alias} in a text, the longest alias first, in one pass: a value that
// holds $alias is not expanded again. What names no value stays as written, and so does what comes after 4 MiB of text.
func Expand(text string, values map[string]string) string {
	if strings.IndexByte(text, '$') < 0 {
		return text
	}
	names := aliasesOf(values)
	var b strings.Builder
	brace := -1 // the next closing brace, where it has been looked for
	for at := 0; at < len(text); {
		next := strings.IndexByte(text[at:], '$')
		if next < 0 || b.Len() > maxExpanded {
			b.WriteString(text[at:])
			break
		}
		b.WriteString(text[at : at+next])
		at += next
		value, length := "$", 1
		if name, ok := names.longest(text[at+1:]); ok {
			value, length = values[name], 1+len(name)
		}
		if strings.HasPrefix(text[at+1:], "{") {
			if brace < at && brace < len(text) {
				if brace = strings.IndexByte(text[at:], '}') + at; brace < at {
					brace = len(text)
				}
			}
			if brace < len(text) {
				name := text[at+2 : brace]
				if given, ok := values[name]; ok && len(name) >= length-1 {
					value, length = given, len(name)+len("${}")
				}
			}
		}
		b.WriteString(value)
		at += length
	}
	return b.String()
}

// aliases finds the longest of many names with which a text begins.
type aliases struct {
	names   []string // in their order
	shorter []int    // for each the place of the longest other one with which it begins, or -1
}

func aliasesOf(values map[string]string) aliases {
	a := aliases{names: slices.Sorted(maps.Keys(values)), shorter: make([]int, len(values))}
	for i, name := range a.names {
		before := i - 1
		for before >= 0 && !strings.HasPrefix(name, a.names[before]) {
			before = a.shorter[before]
		}
		a.shorter[i] = before
	}
	return a
}

func (a aliases) longest(text string) (name string, ok bool) {
	// Each name with which the text begins is one with which the last name that is not behind the text begins, or is
	// that itself.
	at := sort.Search(len(a.names), func(i int) bool { return a.names[i] > text }) - 1
	if at < 0 {
		return "", false
	}
	same := 0
	for last := a.names[at]; same < len(last) && same < len(text) && last[same] == text[same]; {
		same++
	}
	for at >= 0 && len(a.names[at]) > same {
		at = a.shorter[at]
	}
	if at < 0 {
		return "", false
	}
	return a.names[at], true
}

// ScriptText is a step's text as bash is to read it, which has $alias and ${alias} as variables: an alias with a dash,
// which bash would read as another one with a value to fall back on, is written with an underscore.
func ScriptText(text string, values map[string]string) string {
	return shell.Dashed(text, slices.Collect(maps.Keys(values)))
}

// automatic are the aliases that every run has by itself.
var automatic = []string{"date", "time", "datetime", "timestamp", "year", "month", "day", "session-id",
	"automation-name", "execution-id", "workspace-name", "branch", "ticket-id", "ticket-title"}

// AutomaticAliases lists the aliases that every run has by itself.
func AutomaticAliases() []string { return slices.Clone(automatic) }

// Surroundings are what the automatic values of a run are made of.
type Surroundings struct {
	At                                           time.Time // when the run was fired, in its zone
	Session, Execution                           string    // ids
	Automation, Workspace, Branch, Ticket, Title string
}

// Automatic are the values that every run has by itself.
func Automatic(s Surroundings) map[string]string {
	return map[string]string{
		"date": s.At.Format("2006-01-02"), "time": s.At.Format("15:04"), "datetime": s.At.Format("2006-01-02 15:04"),
		"timestamp": strconv.FormatInt(s.At.Unix(), 10),
		"year":      s.At.Format("2006"), "month": s.At.Format("01"), "day": s.At.Format("02"), "session-id": s.Session,
		"automation-name": s.Automation,
		"execution-id":    s.Execution, "workspace-name": s.Workspace, "branch": s.Branch, "ticket-id": s.Ticket,
		"ticket-title": s.Title,
	}
}

// sealedMark begins the stored form of a secret value.
const sealedMark = "sealed:"

func sealPurpose(alias string) string { return "workflow parameter " + alias }

// seal makes the stored form of a secret value. One that is in that form already stays.
func (s *Service) seal(alias, value string) string {
	if value == "" {
		return ""
	}
	if _, ok := s.unseal(alias, value); ok {
		return value
	}
	return sealedMark + base64.RawStdEncoding.EncodeToString(s.Keys.Seal(value, sealPurpose(alias)))
}

// storedForm reports whether a value that somebody gives is the stored form of a secret. Whoever came across one of
// another automation's could else have it opened by their own.
func (s *Service) storedForm(alias, value string) bool {
	_, ok := s.unseal(alias, value)
	return ok
}

const notStoredForm = "this is the stored form of a secret, not the secret"

// shownValues are values as people may see them: of secrets a fingerprint of the stored form.
func shownValues(values map[string]string) map[string]string {
	shown := map[string]string{}
	for name, value := range values {
		if strings.HasPrefix(value, sealedMark) {
			value = secret.StoredAs([]byte(value))
		}
		shown[name] = value
	}
	return shown
}

// unseal opens the stored form of a secret value; ok is false for what is none, or cannot be opened.
func (s *Service) unseal(alias, stored string) (value string, ok bool) {
	text, ok := strings.CutPrefix(stored, sealedMark)
	if !ok {
		return "", false
	}
	sealed, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	value, err = s.Keys.Open(sealed, sealPurpose(alias))
	return value, err == nil
}

// problemOf says what keeps a value from being one of a parameter's, as a sentence's end, or nothing.
func problemOf(p db.Parameter, value string) string {
	switch p.Type {
	case db.NumberParameter:
		if _, err := strconv.ParseFloat(value, 64); err != nil || strings.ContainsAny(value, "xXpPnN_") {
			return "this is not a number"
		}
	case db.BooleanParameter:
		if value != "true" && value != "false" {
			return "this is neither true nor false"
		}
	case db.ChoiceParameter:
		if !slices.Contains(p.Choices, value) {
			return "this is none of " + strings.Join(p.Choices, ", ")
		}
	}
	if len(value) > maxValue || !storable(value) {
		return "this is over 64 KiB, or not text"
	}
	return ""
}

// maxValue is the most bytes that the value of a parameter may have.
const maxValue = 64 << 10

// workflowValues merges the values given with a trigger over those stored, and those over the defaults, with secrets in
// their stored form. One that is given and empty is empty. It returns a *MissingParameter for one that is required and
// has none, or that is not of its type.
//
// What a caller sends beside may repeat secrets, so they are replaced there, but for those that are hidden in it
// already.
func (s *Service) workflowValues(parameters []db.Parameter, values map[string]string, hidden []string) error {
	var secrets []string
	for _, p := range parameters {
		value, given := values[p.Alias]
		if !given {
			value = p.Default
		}
		if value == "" {
			if p.Required {
				return &MissingParameter{Name: p.Alias}
			}
			if !given {
				delete(values, p.Alias)
			}
			continue
		}
		if p.Type == db.SecretParameter {
			if !slices.Contains(hidden, value) && !s.storedForm(p.Alias, value) {
				secrets = append(secrets, value)
			}
			values[p.Alias] = s.seal(p.Alias, value)
			continue
		}
		if problem := problemOf(p, value); problem != "" {
			return &MissingParameter{Name: p.Alias, Wrong: problem}
		}
		values[p.Alias] = value
	}
	hideOthers(values, parameters, secrets)
	return nil
}

// OpenValues opens the values of a run of a workflow, each declared parameter among them, and lists its secrets.
func (s *Service) OpenValues(e *db.Execution) (values map[string]string, secrets []string, err error) {
	values = map[string]string{}
	for name, value := range e.Parameters {
		values[name] = value
	}
	for _, p := range e.Snapshot.Parameters {
		value := values[p.Alias]
		if p.Type == db.SecretParameter && value != "" {
			opened, ok := s.unseal(p.Alias, value)
			if !ok {
				return nil, nil, fmt.Errorf("the secret value of $%s cannot be read with this server's secret", p.Alias)
			}
			value = opened
			secrets = append(secrets, value)
		}
		values[p.Alias] = value
	}
	return values, secrets, nil
}

// StoredValues are the values stored with an automation that may be shown, and the names of those that may not.
func StoredValues(a *db.Automation) (plain map[string]string, secret []string) {
	return shown(a.Parameters, nil)
}

// GivenValues are the values with which a run began that may be shown, and the names of those that may not.
func GivenValues(e *db.Execution) (plain map[string]string, secret []string) {
	return shown(e.Parameters, e.Snapshot.Parameters)
}

// shown tells secret values from others: by their stored form, whether or not it can be opened, and by what is
// declared.
func shown(values map[string]string, declared []db.Parameter) (plain map[string]string, secret []string) {
	plain, secret = map[string]string{}, []string{}
	for name, value := range values {
		hidden := strings.HasPrefix(value, sealedMark) || slices.ContainsFunc(declared, func(p db.Parameter) bool {
			return p.Alias == name && p.Type == db.SecretParameter
		})
		if hidden {
			secret = append(secret, name)
		} else {
			plain[name] = value
		}
	}
	slices.Sort(secret)
	return plain, secret
}

// StepName is what a step is called where it has no label of its own.
func StepName(step db.Step) string {
	if step.Label != "" {
		return step.Label
	}
	for _, k := range StepKinds {
		if k.Kind == step.Kind {
			if step.Path != "" {
				return k.Name + " " + step.Path
			}
			return k.Name
		}
	}
	return string(step.Kind)
}

// StepKinds lists the kinds of steps with their names on screen.
var StepKinds = []struct {
	Kind db.StepKind
	Name string
}{
	{db.MessageStep, "Message"}, {db.ClearStep, "Clear Context"}, {db.AssetStep, "Asset"},
	{db.CompleteStep, "Complete Session"},
	{db.InstructionStep, "Generate Instruction File"}, {db.SystemStep, "Send System Message"},
	{db.LoopStep, "Loop block"},
}

// firstStep begins the run of a workflow: its snapshot gets what goes with the first message, and the turn is the first
// step.
func firstStep(e *db.Execution, turn *db.Turn, a *db.Startable, p Provider, payload string) error {
	for _, message := range scripts(e.Snapshot.Steps) {
		if len(ExpandFenced(message.Step.Text, e.Parameters, e.Snapshot)) > MaxPrompt {
			return ErrTooLarge
		}
	}
	if !p.Script {
		after := ""
		if payload != "" { // never expanded: who sends it could ask for a secret by its alias
			after = withPayload("", payload, e.Snapshot.Untrusted)
		}
		e.Snapshot.Steps = afterFirst(e.Snapshot.Steps, instructed(after, a))
	}
	first := Walk(e.Snapshot.Steps, nil)
	if len(first) == 0 {
		return &Unable{Automation: a.Name, Reason: fmt.Sprintf("the workflow %s has no steps", a.WorkflowName)}
	}
	turn.Kind, turn.Label, turn.Prompt = db.StepTurn, first[0].Label(), first[0].Step.Text
	return nil
}

// afterFirst puts a text after the first message among steps, without touching the list given.
func afterFirst(steps []db.Step, after string) []db.Step {
	messages := scripts(steps)
	if len(messages) == 0 || after == "" {
		return steps
	}
	path := messages[0].Path
	steps = slices.Clone(steps)
	if len(path) == 1 {
		steps[path[0]].After = after
		return steps
	}
	steps[path[0]].Steps = slices.Clone(steps[path[0]].Steps)
	steps[path[0]].Steps[path[1]].After = after
	return steps
}

// withoutDefaults are parameters as a run keeps them: a secret's default is among the values, sealed, and only there.
func withoutDefaults(parameters []db.Parameter) []db.Parameter {
	list := slices.Clone(parameters)
	for i := range list {
		if list[i].Type == db.SecretParameter {
			list[i].Default = ""
		}
	}
	return list
}
