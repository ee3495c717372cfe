package automation

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
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/manifest"
	"carillon/app/spec"
	"carillon/db"
)

// ManifestInput is a manifest that somebody wants to have applied.
type ManifestInput struct {
	Files       []manifest.File
	Environment map[string]string // values for what the files take from the caller's environment
	// Prune deletes what the files lack, within the workspaces that they name, as far as the actor may change it.
	Prune bool
}

// What a plan does to a thing.
const (
	PlanCreate    = "create"
	PlanUpdate    = "update"
	PlanDelete    = "delete"
	PlanUnchanged = "unchanged"
)

// ManifestPlan is what applying a manifest does.
type ManifestPlan struct {
	// Fingerprint stands for the plan and for what it is based on: only this very plan is applied by it.
	Fingerprint string
	Changes     []ManifestChange // in the order of the documents; deletions last
	Tokens      []IssuedToken    // of an applied plan alone: the only time that they can be had
}

// ManifestChange is what happens to one automation, workflow or bot. Values of secrets are not in it.
type ManifestChange struct {
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

// RefusedManifest is all that keeps a manifest from being applied. Where something in it is not allowed, it is
// fault.ErrForbidden, too.
type RefusedManifest struct {
	Mistakes  manifest.Mistakes
	Forbidden bool
}

func (r *RefusedManifest) Error() string { return r.Mistakes.Error() }

// Is makes a refusal fault.ErrForbidden where something is not allowed.
func (r *RefusedManifest) Is(target error) bool { return r.Forbidden && target == fault.ErrForbidden }

// errPlanned takes a plan back that was carried out to see what it does.
var errPlanned = errors.New("planned")

// PlanManifest says what applying a manifest would do, and does nothing. It returns *RefusedManifest with every
// mistake, each with the file and the line.
func (s *Service) PlanManifest(ctx context.Context, actor account.Actor, in ManifestInput) (*ManifestPlan, error) {
	p, err := s.runManifest(ctx, actor, in, func(*ManifestPlan) error { return errPlanned })
	if !errors.Is(err, errPlanned) {
		return nil, err
	}
	p.Tokens = nil
	for i := range p.Changes {
		if p.Changes[i].Action == PlanCreate {
			p.Changes[i].ID = uuid.Nil
		}
	}
	return p, nil
}

// ApplyManifest applies a manifest, all of it or nothing. It returns fault.ErrStale when that would do anything else
// than the plan of the fingerprint, and the errors of PlanManifest.
func (s *Service) ApplyManifest(ctx context.Context, actor account.Actor, in ManifestInput,
	fingerprint string) (*ManifestPlan, error) {
	return s.runManifest(ctx, actor, in, func(p *ManifestPlan) error {
		if p.Fingerprint != fingerprint {
			return fault.ErrStale
		}
		return nil
	})
}

// runManifest carries a manifest out in one transaction, which stays only if decide agrees to what it did: so a plan is
// what the operations themselves do and refuse, and not a guess at it.
func (s *Service) runManifest(ctx context.Context, actor account.Actor, in ManifestInput,
	decide func(*ManifestPlan) error) (*ManifestPlan, error) {
	documents, err := manifest.Read(in.Files, in.Environment)
	var mistakes manifest.Mistakes
	if errors.As(err, &mistakes) {
		return nil, &RefusedManifest{Mistakes: mistakes}
	}
	if err != nil {
		return nil, err
	}
	var p *ManifestPlan
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		// One at a time: two that create the same must not both find nothing.
		if err := db.LockText(ctx, tx, "manifest"); err != nil {
			return err
		}
		m := &manifestRun{Service: s, tx: tx, actor: actor, in: in, now: s.Now()}
		var err error
		if p, err = m.run(ctx, documents); err != nil {
			return err
		}
		return decide(p)
	})
	return p, fault.Wrap(err, "apply manifest")
}

// manifestRun is one run over a manifest.
type manifestRun struct {
	*Service
	tx    bun.Tx
	actor account.Actor
	in    ManifestInput
	now   time.Time

	inventory
	entries   []*manifestEntry
	pruned    map[uuid.UUID]bool
	mistakes  manifest.Mistakes
	forbidden bool
	tokens    []IssuedToken
}

// manifestEntry is a document with what it is about.
type manifestEntry struct {
	doc       *manifest.Document
	workspace uuid.UUID // zero: for all
	name      string
	row       uuid.UUID // zero: none yet
	nowhere   bool      // its workspace is not known
	failed    bool
	told      map[string]bool // fields with a mistake
	change    ManifestChange
}

func (m *manifestRun) run(ctx context.Context, documents []*manifest.Document) (*ManifestPlan, error) {
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
		carry func(context.Context, *manifestEntry) error
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
	var deleted []ManifestChange
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
		return nil, &RefusedManifest{Mistakes: m.mistakes, Forbidden: m.forbidden}
	}
	p := &ManifestPlan{Tokens: m.tokens}
	for _, e := range m.entries {
		p.Changes = append(p.Changes, e.change)
	}
	p.Changes = append(p.Changes, deleted...)
	var err error
	p.Fingerprint, err = fingerprintOf(p.Changes)
	return p, err
}

func (m *manifestRun) fileIndex(name string) int {
	return slices.IndexFunc(m.in.Files, func(f manifest.File) bool { return f.Name == name })
}

// fingerprintOf stands for changes and for the versions of what they change. What stays unchanged is in it by name
// alone.
func fingerprintOf(changes []ManifestChange) (string, error) {
	type printed struct {
		ManifestChange
		Version int64
	}
	list := make([]printed, len(changes))
	for i, c := range changes {
		list[i] = printed{c, c.version}
		if c.Action == PlanCreate {
			list[i].ID = uuid.Nil // new each time
		}
		if c.Action == PlanUnchanged {
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
func (m *manifestRun) wrong(e *manifestEntry, field, text string) {
	e.failed = true
	if e.told[field] {
		return
	}
	if e.told == nil {
		e.told = map[string]bool{}
	}
	e.told[field] = true
	m.mistakes = append(m.mistakes, e.doc.Mistake(field, text))
}

// refuse notes that a document asks for what the actor may not do.
func (m *manifestRun) refuse(ctx context.Context, e *manifestEntry, text string) {
	account.RecordRefusal(ctx, m.actor, "lacks the permission")
	m.forbidden = true
	m.wrong(e, "", text)
}

// collect notes what an operation found fault with. Other errors are returned.
func (m *manifestRun) collect(ctx context.Context, e *manifestEntry, err error, place func(key string) string) error {
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

// lost finds fault with what a document says and the rules have dropped, since it does not go with the rest.
func (m *manifestRun) lost(e *manifestEntry, said, kept any) {
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

// faults notes what was found wrong in a document that could be read.
func (m *manifestRun) faults(e *manifestEntry) {
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
func (m *manifestRun) deletePruned(ctx context.Context) ([]ManifestChange, error) {
	var list []ManifestChange
	for _, k := range m.things {
		if !m.pruned[k.id] {
			continue
		}
		c := ManifestChange{
			Action: PlanDelete, Kind: k.kind, Workspace: m.workspaceName(k.workspace), Name: k.name, ID: k.id,
			version: k.version,
		}
		var err error
		switch k.kind {
		case manifest.KindAutomation:
			err = m.In(m.tx).Delete(ctx, m.actor, k.id)
		case manifest.KindWorkflow:
			var users []db.Automation
			if users, err = db.LockWorkflowUsers(ctx, m.tx, k.id); err == nil {
				c.Note = switchesOff(users)
				err = m.removeWorkflow(ctx, m.tx, m.actor, k.id)
			}
		case manifest.KindBot:
			var users []db.Automation
			if users, err = db.LockBotUsers(ctx, m.tx, k.id); err == nil {
				c.Note = switchesOff(users)
				err = m.removeBot(ctx, m.tx, m.actor, k.id)
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
