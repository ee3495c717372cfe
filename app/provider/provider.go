// Package provider holds the rules of providers, the ways to run an agent: what an administrator changes of them, which
// agents are added, and for how long one is left alone that fails for trouble of its own. It knows rows. It knows
// neither runs nor agents as processes.
package provider

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// Provider is what the rules need to know of a way to run an agent.
type Provider struct {
	ID, Name string
	Script   bool     // the prompt is a shell script, so it needs the permission shell.use
	Unpriced bool     // it never tells what it costs
	Models   []string // the models it is known to have; empty: any name may be given
	Keys     []string // variables by which it signs in; a name ending in * is a prefix
	Off      bool     // an administrator lets nothing use it
}

// Service carries out what people ask for. Its fields are set once, in main.
type Service struct {
	DB  bun.IDB
	Now func() time.Time // the instant of every rule

	// List lists the ways to run an agent that this installation has.
	List func() []Provider
	// Changed takes over what was saved of the providers; nil where nobody has to know.
	Changed func(ctx context.Context) error
}

// Find finds a provider by its id.
func (s *Service) Find(id string) (Provider, bool) {
	for _, p := range s.List() {
		if p.ID == id {
			return p, true
		}
	}
	return Provider{}, false
}

// RunsScripts reports whether a provider runs prompts and steps as shell scripts.
func (s *Service) RunsScripts(id string) bool {
	p, _ := s.Find(id)
	return p.Script
}

// MayUse reports whether a person may run agents by a provider: whoever may not run commands on a worker may not use
// one that runs scripts. It returns fault.ErrForbidden then.
func (s *Service) MayUse(actor account.Actor, id string) error {
	if s.RunsScripts(id) && !actor.Can(account.UseShell) {
		return fault.ErrForbidden
	}
	return nil
}

// States is what Carillon keeps of the providers, beside the catalogue.
type States struct {
	Settings db.ProviderSettings
	Trials   map[string]db.ProviderTrial
	Pauses   map[string]db.ProviderPause   // of the server's account
	Own      map[string][]db.ProviderPause // of workspaces' own
	Refused  map[string][]db.RefusedModel  // models that the server's account does not get
}

// States reads what is kept of the providers. Everybody who can sign in may: it holds no secret.
func (s *Service) States(ctx context.Context) (*States, error) {
	st := &States{
		Trials: map[string]db.ProviderTrial{}, Pauses: map[string]db.ProviderPause{},
		Own: map[string][]db.ProviderPause{}, Refused: map[string][]db.RefusedModel{},
	}
	var err error
	if st.Settings, err = db.Providers(ctx, s.DB); err != nil {
		return nil, err
	}
	trials, err := db.ProviderTrials(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	for _, t := range trials {
		st.Trials[t.Provider] = t
	}
	pauses, err := db.ProviderPauses(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	for _, p := range pauses {
		if p.WorkspaceID != uuid.Nil {
			st.Own[p.Provider] = append(st.Own[p.Provider], p)
			continue
		}
		st.Pauses[p.Provider] = p
	}
	refused, err := db.RefusedModels(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	for _, m := range refused {
		st.Refused[m.Provider] = append(st.Refused[m.Provider], m)
	}
	return st, nil
}

// SetEnabled lets a provider be used, or nothing use it. What is at work with it ends as it would.
func (s *Service) SetEnabled(ctx context.Context, actor account.Actor, id string, on bool) error {
	action := "provider.disable"
	if on {
		action = "provider.enable"
	}
	err := s.change(ctx, actor, id, action, func(_ account.Actor, p *db.ProviderSettings) error {
		p.Disabled = slices.DeleteFunc(p.Disabled, func(d string) bool { return d == id })
		if !on {
			p.Disabled = append(p.Disabled, id)
		}
		return nil
	})
	if err == nil && !on {
		err = s.endPausesOfGone(ctx, id)
	}
	return err
}

// endPausesOfGone ends the pauses of a provider that cannot be used any more. The sessions that wait for it then fail
// with that as the reason.
func (s *Service) endPausesOfGone(ctx context.Context, id string) error {
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return endPauses(ctx, tx, id) })
}

// SaveModels sets the models that are suggested for a provider that cannot list its own, one a line. None: those that
// Carillon knows.
func (s *Service) SaveModels(ctx context.Context, actor account.Actor, id, lines, version string) error {
	bad := fault.Invalid{}
	var models []string
	seen := form.Seen{}
	for line := range strings.Lines(lines) {
		if model := form.Line(bad, "models", "", line, 200, false); model != "" && seen.Add(model) {
			models = append(models, model)
		}
	}
	if len(models) > 200 {
		bad["models"] = form.TooMany(len(models), "models", 200)
	}
	if len(bad) > 0 {
		return bad
	}
	return s.change(ctx, actor, id, "provider.models", func(_ account.Actor, p *db.ProviderSettings) error {
		if version != "" && version != ModelsVersion(*p, id) {
			return fault.ErrStale
		}
		if p.Models == nil {
			p.Models = map[string][]string{}
		}
		if p.Models[id] = models; len(models) == 0 {
			delete(p.Models, id)
		}
		return nil
	})
}

// ModelsVersion tells whether the models that were saved for a provider are still what they were.
func ModelsVersion(p db.ProviderSettings, id string) string { return db.Fingerprint(p.Models[id]) }

// change lets change decide on the settings of the providers, which nobody else changes meanwhile, with the
// actor as of now. A provider that is named must exist.
func (s *Service) change(ctx context.Context, actor account.Actor, id, action string,
	change func(actor account.Actor, p *db.ProviderSettings) error) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	name := id
	if id != "" {
		known, ok := s.Find(id)
		if !ok {
			return fault.ErrNotFound
		}
		name = known.Name
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		p, err := db.LockProviders(ctx, tx)
		if err != nil {
			return err
		}
		actor, err := account.StillMay(ctx, tx, actor, account.ManageSettings, uuid.Nil)
		if err != nil {
			return err
		}
		var before map[string]any
		if id != "" { // else it is a new one
			before = described(&p, id, name)
		}
		if err := change(actor, &p); err != nil {
			return err
		}
		if id == "" && len(p.Own) > 0 {
			name = p.Own[len(p.Own)-1].Name
		}
		if err := db.SaveProviders(ctx, tx, p, s.Now()); err != nil {
			return err
		}
		after := described(&p, id, name)
		if action == "provider.delete" {
			after = nil
		}
		if err := s.audit(ctx, tx, actor.ID, action, name, "", before, after); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "providers", uuid.Nil)
	})
	if err == nil && s.Changed != nil {
		err = s.Changed(ctx)
	}
	return fault.Wrap(err, "change provider %s", id)
}

// described is what the audit log keeps of a provider. Commands are in it: they run on the workers.
func described(p *db.ProviderSettings, id, name string) map[string]any {
	m := map[string]any{"enabled": !slices.Contains(p.Disabled, id), "models": strings.Join(p.Models[id], ", ")}
	for _, o := range p.Own {
		if o.ID == id || id == "" && o.Name == name {
			m["command"], m["keys"] = strings.Join(o.Command, " "), strings.Join(o.Keys, " ")
			m["obeys"] = strings.Join(o.Obeys, ", ")
		}
	}
	return m
}

func (s *Service) audit(ctx context.Context, q bun.IDB, actor uuid.UUID, action, name, reason string, before,
	after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "provider", SubjectName: name,
		Reason: reason, Before: before, After: after,
	})
}

// trialStale is when a trial that nobody took or that never ended is given up.
const trialStale = 10 * time.Minute

// Try asks a worker to run one real turn with a provider, in a folder that is thrown away. While one is under
// way it does nothing.
func (s *Service) Try(ctx context.Context, actor account.Actor, id string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	p, ok := s.Find(id)
	if !ok {
		return fault.ErrNotFound
	}
	if err := s.MayUse(actor, id); err != nil {
		return err
	}
	now := s.Now()
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		asked, err := db.RequestTrial(ctx, tx, id, actor.ID, now, now.Add(-trialStale))
		if err != nil || !asked {
			return err
		}
		if err := s.audit(ctx, tx, actor.ID, "provider.test", p.Name, "", nil, nil); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "queue", uuid.Nil)
	})
	return fault.Wrap(err, "try provider %s", id)
}
