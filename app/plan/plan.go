// Package plan plans, applies and exports manifests over the rules of automations, workflows and bots. A plan is what
// their operations do in a transaction that is taken back.
package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/manifest"
	"carillon/app/secret"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// Service carries out what people ask for. Its fields are set once, in main.
type Service struct {
	DB          bun.IDB // a *db.DB, or the transaction of In
	Keys        *secret.Keys
	Automations *automation.Service
	Workflows   *workflow.Service
	Bots        *bot.Service
}

// In is the service bound to a transaction, with the operations that it calls.
func (s *Service) In(tx bun.Tx) *Service {
	return &Service{
		DB: tx, Keys: s.Keys, Automations: s.Automations.In(tx), Workflows: s.Workflows.In(tx), Bots: s.Bots.In(tx),
	}
}

// Input is a manifest that somebody wants to have applied.
type Input struct {
	Files       []manifest.File
	Environment map[string]string // values for what the files take from the caller's environment
	// Prune deletes what the files lack, within the workspaces that they name, as far as the actor may change it.
	Prune bool
}

// What a plan does to a thing.
const (
	ActionCreate    = "create"
	ActionUpdate    = "update"
	ActionDelete    = "delete"
	ActionUnchanged = "unchanged"
)

// Plan is what applying a manifest does.
type Plan struct {
	// Fingerprint stands for the plan and for what it is based on: only this very plan is applied by it.
	Fingerprint string
	Changes     []Change      // in the order of the documents; deletions last
	Tokens      []IssuedToken // of an applied plan alone: the only time that they can be had
}

// Change is what happens to one automation, workflow or bot. Values of secrets are not in it.
type Change struct {
	Action    string
	Kind      manifest.Kind
	Workspace string    // empty: for all workspaces
	Name      string    // as it becomes
	ID        uuid.UUID // zero for one that a plan is to create
	Fields    []spec.Difference
	Note      string // what else comes of it, as a sentence

	version int64
}

// IssuedToken is the new token of an HTTP Trigger.
type IssuedToken struct {
	Automation uuid.UUID
	Name       string
	Token      string
}

// Refused is all that keeps a manifest from being applied. Where something in it is not allowed, it is
// fault.ErrForbidden, too.
type Refused struct {
	Mistakes  manifest.Mistakes
	Forbidden bool
}

func (r *Refused) Error() string { return r.Mistakes.Error() }

// Is makes a refusal fault.ErrForbidden where something is not allowed.
func (r *Refused) Is(target error) bool { return r.Forbidden && target == fault.ErrForbidden }

// errPlanned takes a plan back that was carried out to see what it does.
var errPlanned = errors.New("planned")

// Plan says what applying a manifest would do, and does nothing. It returns *Refused with every
// mistake, each with the file and the line.
func (s *Service) Plan(ctx context.Context, actor account.Actor, in Input) (*Plan, error) {
	p, err := s.carryOut(ctx, actor, in, func(*Plan) error { return errPlanned })
	if !errors.Is(err, errPlanned) {
		return nil, err
	}
	p.Tokens = nil
	for i := range p.Changes {
		if p.Changes[i].Action == ActionCreate {
			p.Changes[i].ID = uuid.Nil
		}
	}
	return p, nil
}

// Apply applies a manifest, all of it or nothing. It returns fault.ErrStale when that would do anything else
// than the plan of the fingerprint, and the errors of Plan.
func (s *Service) Apply(ctx context.Context, actor account.Actor, in Input,
	fingerprint string) (*Plan, error) {
	return s.carryOut(ctx, actor, in, func(p *Plan) error {
		if p.Fingerprint != fingerprint {
			return fault.ErrStale
		}
		return nil
	})
}

// carryOut carries a manifest out in one transaction, which stays only if decide agrees to what it did: so a plan is
// what the operations themselves do and refuse, and not a guess at it.
func (s *Service) carryOut(ctx context.Context, actor account.Actor, in Input,
	decide func(*Plan) error) (*Plan, error) {
	documents, err := manifest.Read(in.Files, in.Environment)
	var mistakes manifest.Mistakes
	if errors.As(err, &mistakes) {
		return nil, &Refused{Mistakes: mistakes}
	}
	if err != nil {
		return nil, err
	}
	var p *Plan
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		// One at a time: two that create the same must not both find nothing.
		if err := db.LockText(ctx, tx, "manifest"); err != nil {
			return err
		}
		m := &run{Service: s.In(tx), tx: tx, actor: actor, in: in}
		var err error
		if p, err = m.all(ctx, documents); err != nil {
			return err
		}
		return decide(p)
	})
	return p, fault.Wrap(err, "apply manifest")
}

// run is one run over a manifest.
type run struct {
	*Service
	tx    bun.Tx
	actor account.Actor
	in    Input

	inventory
	entries   []*entry
	pruned    map[uuid.UUID]bool
	mistakes  manifest.Mistakes
	forbidden bool
	tokens    []IssuedToken
}

// entry is a document with what it is about.
type entry struct {
	doc       *manifest.Document
	workspace uuid.UUID // zero: for all
	name      string
	row       uuid.UUID // zero: none yet
	nowhere   bool      // its workspace is not known
	failed    bool
	mistaken  map[string]bool // fields with a mistake
	change    Change
}

func (m *run) all(ctx context.Context, documents []*manifest.Document) (*Plan, error) {
	named := m.namedWorkspaces(documents)
	if err := m.read(ctx, m.tx, m.actor, named); err != nil {
		return nil, err
	}
	m.match(documents)
	if err := m.noteHidden(ctx, named); err != nil {
		return nil, err
	}
	m.prune()
	for _, step := range []struct {
		kind  manifest.Kind
		carry func(context.Context, *entry) error
	}{{manifest.KindBot, m.bot}, {manifest.KindWorkflow, m.workflow}, {manifest.KindAutomation, m.automation}} {
		for _, e := range m.entries { // automations last: they name the others
			if e.doc.Kind != step.kind || e.nowhere {
				continue
			}
			if err := step.carry(ctx, e); err != nil {
				return nil, err
			}
		}
	}
	var deleted []Change
	if len(m.mistakes) == 0 {
		var err error
		if deleted, err = m.deletePruned(ctx); err != nil {
			return nil, err
		}
	}
	if len(m.mistakes) > 0 {
		slices.SortStableFunc(m.mistakes, func(a, b manifest.Mistake) int {
			if a.File != b.File {
				return m.fileIndex(a.File) - m.fileIndex(b.File)
			}
			return a.Line - b.Line
		})
		return nil, &Refused{Mistakes: m.mistakes, Forbidden: m.forbidden}
	}
	p := &Plan{Tokens: m.tokens}
	for _, e := range m.entries {
		p.Changes = append(p.Changes, e.change)
	}
	p.Changes = append(p.Changes, deleted...)
	var err error
	p.Fingerprint, err = fingerprintOf(p.Changes)
	return p, err
}

func (m *run) fileIndex(name string) int {
	return slices.IndexFunc(m.in.Files, func(f manifest.File) bool { return f.Name == name })
}

// fingerprintOf stands for changes and for the versions of what they change. What stays unchanged is in it by name
// alone.
func fingerprintOf(changes []Change) (string, error) {
	type printed struct {
		Change
		Version int64
	}
	list := make([]printed, len(changes))
	for i, c := range changes {
		list[i] = printed{c, c.version}
		if c.Action == ActionCreate {
			list[i].ID = uuid.Nil // new each time
		}
		if c.Action == ActionUnchanged {
			list[i].Version = 0
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return "", fmt.Errorf("print a plan: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// wrong notes a mistake of a document, the first of each field.
func (m *run) wrong(e *entry, field, text string) {
	e.failed = true
	if e.mistaken[field] {
		return
	}
	if e.mistaken == nil {
		e.mistaken = map[string]bool{}
	}
	e.mistaken[field] = true
	m.mistakes = append(m.mistakes, e.doc.Mistake(field, text))
}

// refuse notes that a document asks for what the actor may not do.
func (m *run) refuse(ctx context.Context, e *entry, text string) {
	account.RecordRefusal(ctx, m.actor, "lacks the permission")
	m.forbidden = true
	m.wrong(e, "", text)
}

// collect notes what an operation found fault with. Other errors are returned.
func (m *run) collect(ctx context.Context, e *entry, err error, place func(key string) string) error {
	var bad fault.Invalid
	switch {
	case err == nil:
	case errors.As(err, &bad):
		for _, key := range slices.Sorted(maps.Keys(bad)) {
			m.wrong(e, place(key), bad[key])
		}
	case errors.Is(err, fault.ErrForbidden):
		m.refuse(ctx, e, "You may not do this.")
	case errors.Is(err, fault.ErrNotFound), db.IsNotFound(err):
		return fault.ErrStale // it was there a moment ago
	default:
		return err
	}
	return nil
}

// rowField is what the rules call a field of a row of a workflow.
var rowField = regexp.MustCompile(`^(steps|parameters)\.(\d+)\.(\w+)$`)

// workflowField is the field that the rules mean: steps are the paths of the steps by their rows.
func workflowField(want *spec.Workflow, steps []string, key string) string {
	found := rowField.FindStringSubmatch(key)
	if found == nil {
		return spec.FieldOf(want, key)
	}
	i, _ := strconv.Atoi(found[2])
	var at, inner string
	if found[1] == "steps" && i < len(steps) {
		at, inner = steps[i], spec.FieldOf(&spec.Step{}, found[3])
	} else {
		at, inner = fmt.Sprintf("parameters[%d]", i), spec.FieldOf(&spec.Parameter{}, found[3])
	}
	if inner == "" {
		return at
	}
	return at + "." + inner
}

// refuseDropped finds fault with the fields that a document sets and the rules have dropped, since they do not go with
// the others.
func (m *run) refuseDropped(e *entry, said, kept any) {
	have := map[string]bool{}
	for _, f := range spec.Fields(kept) {
		have[f.Path] = !f.Usual
	}
	for _, f := range spec.Fields(said) {
		if !f.Usual && !have[f.Path] {
			text := "This has no effect together with the rest. Leave it out."
			if name, is := strings.CutPrefix(f.Path, "parameters."); is && !strings.Contains(name, "[") {
				text = "There is nothing here that takes a value for " + name + ". Leave it out."
			}
			m.wrong(e, f.Path, text)
		}
	}
}

// noteFaults notes what was found wrong in a document that could be read.
func (m *run) noteFaults(e *entry) {
	for _, f := range e.doc.Faults {
		m.wrong(e, f.Field, f.Text)
	}
}

// hidden is what a plan shows of a secret.
const hidden = "(secret)"

// secretChange is a secret that is to be set.
func secretChange(field string, stored bool) spec.Difference {
	d := spec.Difference{Field: field, After: hidden}
	if stored {
		d.Before = hidden
	}
	return d
}

// deletePruned deletes what the files lack. Automations first, so that none of them is told of a workflow or bot that
// goes.
func (m *run) deletePruned(ctx context.Context) ([]Change, error) {
	var list []Change
	for _, k := range m.things {
		if !m.pruned[k.id] {
			continue
		}
		c := Change{
			Action: ActionDelete, Kind: k.kind, Workspace: m.workspaceName(k.workspace), Name: k.name, ID: k.id,
			version: k.version,
		}
		var err error
		switch k.kind {
		case manifest.KindAutomation:
			err = m.Automations.Definitions().Delete(ctx, m.actor, k.id)
		case manifest.KindWorkflow:
			var users []db.Automation
			if users, err = db.LockWorkflowUsers(ctx, m.tx, k.id); err == nil {
				c.Note = switchesOff(users)
				err = m.Workflows.Remove(ctx, m.actor, k.id)
			}
		case manifest.KindBot:
			var users []db.Automation
			if users, err = db.LockBotUsers(ctx, m.tx, k.id); err == nil {
				c.Note = switchesOff(users)
				err = m.Bots.Remove(ctx, m.actor, k.id)
			}
		}
		var bad fault.Invalid
		switch {
		case errors.As(err, &bad):
			for _, key := range slices.Sorted(maps.Keys(bad)) {
				text := fmt.Sprintf("%s “%s” cannot be deleted. %s", k.kind, k.name, bad[key])
				m.mistakes = append(m.mistakes, manifest.Mistake{
					Kind: k.kind, Workspace: c.Workspace, Name: k.name, Text: text,
				})
			}
			continue
		case errors.Is(err, fault.ErrNotFound):
			return nil, fault.ErrStale
		case err != nil:
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// switchesOff says what becomes of the automations that lose their workflow or bot.
func switchesOff(users []db.Automation) string {
	n := 0
	for i := range users {
		if users[i].Scheduled() && users[i].Enabled {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("This switches off %s that use it.", form.Count(n, "automation"))
}
