package automation

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// ProviderStates is what Carillon keeps of the providers, beside the catalogue.
type ProviderStates struct {
	Settings db.ProviderSettings
	Trials   map[string]db.ProviderTrial
	Pauses   map[string]db.ProviderPause   // of the server's account
	Own      map[string][]db.ProviderPause // of workspaces' own
	Refused  map[string][]db.RefusedModel  // models that the server's account does not get
}

// ProviderStates reads what is kept of the providers. Everybody who can sign in may: it holds no secret.
func (s *Service) ProviderStates(ctx context.Context) (*ProviderStates, error) {
	st := &ProviderStates{
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

// SetProviderEnabled lets a provider be used, or nothing use it. What is at work with it ends as it would.
func (s *Service) SetProviderEnabled(ctx context.Context, actor account.Actor, id string, on bool) error {
	action := "provider.disable"
	if on {
		action = "provider.enable"
	}
	err := s.changeProviders(ctx, actor, id, action, func(_ account.Actor, p *db.ProviderSettings) error {
		p.Disabled = slices.DeleteFunc(p.Disabled, func(d string) bool { return d == id })
		if !on {
			p.Disabled = append(p.Disabled, id)
		}
		return nil
	})
	if err == nil && !on {
		err = s.release(ctx, id)
	}
	return err
}

// release lets what waits for a provider that is gone fail, saying so, rather than wait on.
func (s *Service) release(ctx context.Context, id string) error {
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return s.endPauses(ctx, tx, id) })
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
	return s.changeProviders(ctx, actor, id, "provider.models", func(_ account.Actor, p *db.ProviderSettings) error {
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

// OwnVersion tells whether an agent that was added is still what it was.
func OwnVersion(own db.OwnProvider) string { return db.Fingerprint(own) }

// OwnProviderInput is an agent as a person typed it.
type OwnProviderInput struct {
	Version  string // OwnVersion of what the person saw; empty is not compared
	Name     string `form:"name"`
	Command  string `form:"command"` // the program and its arguments, quoted as in a shell
	Keys     string `form:"keys"`    // names of variables, with spaces or commas between
	State    string `form:"state"`   // paths below the home folder, one a line
	Obeys    string `form:"obeys"`   // paths in a repository, one a line
	AutoMode string `form:"auto_mode"`
	ReadMode string `form:"read_mode"`
}

// AddProvider adds an agent that speaks the Agent Client Protocol, and returns its id. Its command runs on the workers,
// so the actor must be allowed to run commands, too.
func (s *Service) AddProvider(ctx context.Context, actor account.Actor, in OwnProviderInput) (string, error) {
	if err := mayAddProviders(actor); err != nil {
		return "", err
	}
	own, err := ownProvider(in)
	if err != nil {
		return "", err
	}
	own.ID = slug(own.Name)
	err = s.changeProviders(ctx, actor, "", "provider.create", func(actor account.Actor, p *db.ProviderSettings) error {
		if err := mayAddProviders(actor); err != nil {
			return err
		}
		taken := func(id string) bool { _, known := s.provider(id); return known || ownIndex(p, id) >= 0 }
		for n, base := 2, own.ID; taken(own.ID); n++ {
			own.ID = fmt.Sprintf("%s-%d", base, n)
		}
		if err := nameOfItsOwn(p, s.Providers(), own); err != nil {
			return err
		}
		p.Own = append(p.Own, own)
		return nil
	})
	return own.ID, err
}

// UpdateProvider changes an agent that was added.
func (s *Service) UpdateProvider(ctx context.Context, actor account.Actor, id string, in OwnProviderInput) error {
	if err := mayAddProviders(actor); err != nil {
		return err
	}
	own, err := ownProvider(in)
	if err != nil {
		return err
	}
	own.ID = id
	return s.changeProviders(ctx, actor, id, "provider.update",
		func(actor account.Actor, p *db.ProviderSettings) error {
			if err := mayAddProviders(actor); err != nil {
				return err
			}
			i := ownIndex(p, id)
			if i < 0 {
				return fault.ErrNotFound
			}
			if in.Version != "" && in.Version != OwnVersion(p.Own[i]) {
				return fault.ErrStale
			}
			if err := nameOfItsOwn(p, s.Providers(), own); err != nil {
				return err
			}
			p.Own[i] = own
			return nil
		})
}

// RemoveProvider removes an agent that was added. Automations that use it fail from then on, saying so.
func (s *Service) RemoveProvider(ctx context.Context, actor account.Actor, id string) error {
	err := s.changeProviders(ctx, actor, id, "provider.delete", func(_ account.Actor, p *db.ProviderSettings) error {
		i := ownIndex(p, id)
		if i < 0 {
			return fault.ErrNotFound
		}
		p.Own = slices.Delete(p.Own, i, i+1)
		p.Disabled = slices.DeleteFunc(p.Disabled, func(d string) bool { return d == id })
		delete(p.Models, id)
		return nil
	})
	if err != nil {
		return err
	}
	if err := db.DeleteTrial(ctx, s.DB, id); err != nil {
		return err
	}
	return s.release(ctx, id)
}

// mayAddProviders refuses who may not say which commands run on the workers.
func mayAddProviders(actor account.Actor) error {
	if !actor.Can(account.ManageSettings) || !actor.Can(account.UseShell) {
		return fault.ErrForbidden
	}
	return nil
}

func ownIndex(p *db.ProviderSettings, id string) int {
	return slices.IndexFunc(p.Own, func(o db.OwnProvider) bool { return o.ID == id })
}

// nameOfItsOwn refuses a name that another provider has.
func nameOfItsOwn(p *db.ProviderSettings, all []Provider, own db.OwnProvider) error {
	same := slices.ContainsFunc(p.Own, func(o db.OwnProvider) bool {
		return o.ID != own.ID && strings.EqualFold(o.Name, own.Name)
	}) ||
		slices.ContainsFunc(all, func(o Provider) bool { return o.ID != own.ID && strings.EqualFold(o.Name, own.Name) })
	if same {
		return fault.Invalid{"name": "There is a provider of this name already."}
	}
	return nil
}

// changeProviders lets change decide on the settings of the providers, which nobody else changes meanwhile, with the
// actor as of now. A provider that is named must exist.
func (s *Service) changeProviders(ctx context.Context, actor account.Actor, id, action string,
	change func(actor account.Actor, p *db.ProviderSettings) error) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	name := id
	if id != "" {
		known, ok := s.provider(id)
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
			before = describedProvider(&p, id, name)
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
		after := describedProvider(&p, id, name)
		if action == "provider.delete" {
			after = nil
		}
		if err := s.auditProvider(ctx, tx, actor.ID, action, name, "", before, after); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "providers", uuid.Nil)
	})
	if err == nil && s.ProvidersChanged != nil {
		err = s.ProvidersChanged(ctx)
	}
	return fault.Wrap(err, "change provider %s", id)
}

// describedProvider is what the audit log keeps of a provider. Commands are in it: they run on the workers.
func describedProvider(p *db.ProviderSettings, id, name string) map[string]any {
	m := map[string]any{"enabled": !slices.Contains(p.Disabled, id), "models": strings.Join(p.Models[id], ", ")}
	for _, o := range p.Own {
		if o.ID == id || id == "" && o.Name == name {
			m["command"], m["keys"] = strings.Join(o.Command, " "), strings.Join(o.Keys, " ")
			m["obeys"] = strings.Join(o.Obeys, ", ")
		}
	}
	return m
}

func (s *Service) auditProvider(ctx context.Context, q bun.IDB, actor uuid.UUID, action, name, reason string, before,
	after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "provider", SubjectName: name,
		Reason: reason, Before: before, After: after,
	})
}

// trialStale is when a trial that nobody took or that never ended is given up.
const trialStale = 10 * time.Minute

// TryProvider asks a worker to run one real turn with a provider, in a folder that is thrown away. While one is under
// way it does nothing.
func (s *Service) TryProvider(ctx context.Context, actor account.Actor, id string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	p, ok := s.provider(id)
	if !ok {
		return fault.ErrNotFound
	}
	if err := s.canUseProvider(actor, id); err != nil {
		return err
	}
	now := s.Now()
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		asked, err := db.RequestTrial(ctx, tx, id, actor.ID, now, now.Add(-trialStale))
		if err != nil || !asked {
			return err
		}
		if err := s.auditProvider(ctx, tx, actor.ID, "provider.test", p.Name, "", nil, nil); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "queue", uuid.Nil)
	})
	return fault.Wrap(err, "try provider %s", id)
}

// mostOfOwn is how many variables, and how many paths, an agent that was added has at most.
const mostOfOwn = 100

// ownProvider checks an agent as typed.
func ownProvider(in OwnProviderInput) (db.OwnProvider, error) {
	bad := fault.Invalid{}
	own := db.OwnProvider{
		Name:     form.Name(bad, "name", "Give the agent a name.", in.Name, 60),
		AutoMode: form.Line(bad, "auto_mode", "", in.AutoMode, 100, false),
		ReadMode: form.Line(bad, "read_mode", "", in.ReadMode, 100, false),
	}
	command := form.Line(bad, "command", "Write the command that starts the agent.", in.Command, 2000, true)
	if bad["command"] == "" {
		var err error
		if own.Command, err = words(command); err != nil {
			bad["command"] = fault.Sentence(err.Error())
		}
	}
	for _, key := range strings.FieldsFunc(in.Keys, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		switch {
		case !keyName.MatchString(key):
			bad["keys"] = fmt.Sprintf(
				"%s is no name of a variable. A name has letters, digits and underscores; a * at its end stands for "+
					"any rest.", key)
		case strings.HasPrefix(key, "CARILLON_") || strings.HasPrefix(key, "DATABASE_URL"):
			bad["keys"] = key + " is a secret of Carillon itself, which no agent gets."
		default:
			own.Keys = append(own.Keys, key)
		}
	}
	for line := range strings.Lines(in.State) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "~/")
		if line == "" {
			continue
		}
		if clean := path.Clean(line); clean == "." || path.IsAbs(clean) || strings.HasPrefix(clean, "..") ||
			len(clean) > 200 {
			bad["state"] = line + " does not lie below the home folder. Write a path such as .config/agent."
		} else {
			own.State = append(own.State, clean)
		}
	}
	if len(own.Keys) > mostOfOwn {
		bad["keys"] = form.TooMany(len(own.Keys), "variables", mostOfOwn)
	}
	if len(own.State) > mostOfOwn {
		bad["state"] = form.TooMany(len(own.State), "paths", mostOfOwn)
	}
	own.Obeys = obeyed(in.Obeys, bad)
	if len(bad) > 0 {
		return own, bad
	}
	return own, nil
}

// mostObeyed is how many files and folders of a repository an agent that was added may have hidden.
const mostObeyed = 50

// obeyed reads the files and folders of a repository that steer an agent, one a line.
func obeyed(typed string, bad fault.Invalid) []string {
	var list []string
	seen := form.Seen{}
	for line := range strings.Lines(typed) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		clean := path.Clean(strings.TrimPrefix(line, "/"))
		switch {
		case !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) || len(line) > 200:
			bad["obeys"] = "A path is over 200 bytes long, or has characters that cannot be shown."
		case clean == "." || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(clean, "*?["):
			bad["obeys"] = line +
				" is no path in a repository. Write one such as .agent/hooks.json, without signs that stand for others."
		case clean == ".git" || strings.HasPrefix(clean, ".git/"):
			bad["obeys"] = line + " belongs to Git, which the agent needs."
		case seen.Add(clean):
			list = append(list, clean)
		}
	}
	if len(list) > mostObeyed {
		bad["obeys"] = form.TooMany(len(list), "paths", mostObeyed)
	}
	return list
}

var keyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{1,99}\*?$`)

// words splits a command as a shell does, with quotes and backslashes and nothing else: no shell ever sees it.
func words(command string) ([]string, error) {
	var list []string
	var word strings.Builder
	quote, in, escaped := rune(0), false, false
	for _, r := range command {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case unicode.IsSpace(r):
			if in {
				list = append(list, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("a quotation mark or a backslash is left open")
	}
	if in {
		list = append(list, word.String())
	}
	if len(list) == 0 || list[0] == "" {
		return nil, fmt.Errorf("the command names no program")
	}
	return list, nil
}

// slug makes an id of a name.
func slug(name string) string {
	id := strings.Trim(notID.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(id) > 40 {
		id = strings.Trim(id[:40], "-")
	}
	if id == "" {
		return "agent"
	}
	return id
}

var notID = regexp.MustCompile(`[^a-z0-9]+`)
