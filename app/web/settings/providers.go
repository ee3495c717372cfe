package settings

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/fault"
	"carillon/app/provider"
	"carillon/app/transcript"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// providerPages are the pages of providers, those of the program and those that people added.
type providerPages struct{ *Pages }

func (s providerPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showList(w, r, actor, http.StatusOK, nil)
}

// showList shows the list; change puts back what was typed and refused.
func (s providerPages) showList(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	change func(i *views.ProviderItem)) error {
	states, err := s.states(r)
	if err != nil {
		return err
	}
	p := views.ProvidersPage{
		CanManage: actor.Can(account.ManageSettings), CanAdd: actor.Can(account.ManageSettings) &&
			actor.Can(account.UseShell),
	}
	for _, provider := range s.Providers() {
		i := s.item(actor, provider, states)
		if change != nil {
			change(&i)
		}
		p.Rows = append(p.Rows, i)
	}
	return s.withSettings(w, r, actor, "Providers", func(page views.Page) error {
		s.Render(w, r, status, views.Providers(page, p))
		return nil
	})
}

// providerStates is what is kept of the providers, with the sessions that wait for each.
type providerStates struct {
	*provider.States
	waiting map[string]int
}

func (s providerPages) states(r *http.Request) (*providerStates, error) {
	states, err := s.ProviderRules.States(r.Context())
	if err != nil {
		return nil, err
	}
	all := &providerStates{States: states}
	if len(states.Pauses)+len(states.Own) > 0 {
		all.waiting, err = db.WaitingForProviders(r.Context(), s.DB)
	}
	return all, err
}

// trialTaken is how soon a worker takes a test, if there is one.
const trialTaken = 20 * time.Second

func (s providerPages) item(actor account.Actor, p agent.Provider, states *providerStates) views.ProviderItem {
	z, now := page.Zone(actor), s.Now()
	i := views.ProviderItem{
		ID: p.ID, Name: p.Name, Driver: driverWord(p.Driver), On: !slices.Contains(states.Settings.Disabled, p.ID),
		Experimental: p.Experimental,
		Install:      p.Install, SignIn: p.SignIn, Models: p.Models, CanManage: actor.Can(account.ManageSettings),
		State: "found", Now: now.In(z),
		Own: slices.ContainsFunc(states.Settings.Own, func(o db.OwnProvider) bool { return o.ID == p.ID }),
	}
	s.addWorkers(&i, p)
	i.ModelsVersion = provider.ModelsVersion(states.Settings, p.ID)
	if !i.Listed && p.Driver != agent.DriverShell {
		i.ModelsField = views.Field{Name: "models", ID: "models-" + p.ID, Label: "Models", Mono: true, Rows: 4,
			Value: strings.Join(p.Models, "\n"),
			Hint: "One model per line. They are suggested where a model is chosen. Other models can be typed, and " +
				"the agent checks them."}
	}
	if pause, ok := states.Pauses[p.ID]; ok {
		i.Pause = &views.ProviderPause{
			Since: present.In(pause.Since, z), Until: present.In(pause.Until, z),
			Kind:   views.FailureWord(pause.ErrorClass),
			Reason: pause.Reason, Waiting: states.waiting[p.ID],
		}
	}
	if actor.Can(account.ManageSettings) { // it names workspaces that the others may not see
		for _, pause := range states.Own[p.ID] {
			i.OwnPauses = append(i.OwnPauses, views.ProviderPause{
				Workspace: pause.Workspace, Since: present.In(pause.Since, z), Until: present.In(pause.Until, z),
				Kind: views.FailureWord(pause.ErrorClass), Reason: pause.Reason,
			})
		}
	}
	for _, m := range states.Refused[p.ID] {
		i.Refused = append(i.Refused,
			views.RefusedModel{Name: m.Model, Reason: m.Reason, At: present.In(m.RefusedAt, z)})
	}
	if t, ok := states.Trials[p.ID]; ok {
		i.Trial = &views.ProviderTrial{
			Going: t.FinishedAt.IsZero(), OK: t.ErrorClass == "", At: present.In(t.FinishedAt, z),
			Kind: cmp.Or(views.FailureWord(t.ErrorClass), t.ErrorClass), Reason: t.Reason, Answer: t.Answer,
			Usage: usageWords(t.Usage), NobodyTakes: t.StartedAt.IsZero() && now.Sub(t.RequestedAt) > trialTaken,
		}
		if !i.Trial.Going {
			i.Trial.Took = views.Took(t.FinishedAt.Sub(t.StartedAt))
		}
	}
	return i
}

func driverWord(driver string) string {
	switch driver {
	case agent.DriverShell:
		return "A shell script, run by bash"
	case agent.DriverACP:
		return "Agent Client Protocol"
	case agent.DriverClaude:
		return "Claude Code’s own stream"
	case agent.DriverCodex:
		return "Codex’s own stream"
	}
	return driver
}

// addWorkers puts what the workers found of a provider on its card.
func (s providerPages) addWorkers(i *views.ProviderItem, p agent.Provider) {
	if s.Workers == nil {
		return
	}
	i.State = "nowhere"
	var set []string
	for _, w := range s.Workers() {
		found, looked := w.Providers[p.ID]
		row := views.ProviderWorker{Name: w.Name, Path: found.Path, Version: found.Version, Problem: found.Problem,
			ListProblem: found.ListProblem, Looking: !looked,
			SignedIn: found.SignedIn, TellsSignIn: agent.KnowsSignIn(p)}
		i.Workers = append(i.Workers, row)
		switch {
		case looked && found.Problem == "":
			i.State = "found"
		case i.State == "found":
		case !looked:
			i.State = "unknown"
		case i.State == "nowhere":
			i.State = "missing"
		}
		set = append(set, found.Keys...)
		i.Listed = i.Listed || len(found.Models) > 0
	}
	i.Keys = providerKeys(p.Keys, set)
	i.Models = s.ModelsOf(p)
}

// providerKeys says which of the variables of a provider any worker has.
func providerKeys(keys, set []string) []views.ProviderKey {
	var list []views.ProviderKey
	set = slices.Compact(slices.Sorted(slices.Values(set)))
	for _, key := range keys {
		prefix, open := strings.CutSuffix(key, "*")
		n := len(list)
		for _, name := range set {
			if name == key || open && strings.HasPrefix(name, prefix) {
				list = append(list, views.ProviderKey{Name: name, Set: true})
			}
		}
		if len(list) == n {
			list = append(list, views.ProviderKey{Name: key})
		}
	}
	return list
}

// usageWords is a stored usage in words; nothing where the agent did not tell.
func usageWords(raw json.RawMessage) string {
	var u transcript.Usage
	if len(raw) == 0 || json.Unmarshal(raw, &u) != nil {
		return ""
	}
	return present.Used(&u)
}

// named finds the provider of a path.
func (s providerPages) named(r *http.Request) (agent.Provider, error) {
	for _, p := range s.Providers() {
		if p.ID == r.PathValue("provider") {
			return p, nil
		}
	}
	return agent.Provider{}, fault.ErrNotFound
}

// one answers a card that fetches itself again.
func (s providerPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, err := s.named(r)
	if err != nil {
		return err
	}
	if !page.IsFragment(r) {
		return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+p.ID, "")
	}
	states, err := s.states(r)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.ProviderCard(s.item(actor, p, states)))
}

// change carries out a change of a provider and goes back to it.
func (s providerPages) change(w http.ResponseWriter, r *http.Request, message string,
	change func(id string) error) error {
	id := r.PathValue("provider")
	if err := change(id); err != nil {
		return err
	}
	return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+id, message)
}

func (s providerPages) enable(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	on := r.PostFormValue("enabled") == "true"
	return s.change(w, r, map[bool]string{
		true: "Enabled.", false: "Switched off. Runs that need this provider fail.",
	}[on], func(id string) error {
		return s.ProviderRules.SetEnabled(r.Context(), actor, id, on)
	})
}

func (s providerPages) try(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "", func(id string) error { return s.ProviderRules.Try(r.Context(), actor, id) })
}

func (s providerPages) resume(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Its sessions start again.", func(id string) error {
		return s.ProviderRules.Resume(r.Context(), actor, id)
	})
}

func (s providerPages) delete(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if err := s.ProviderRules.Remove(r.Context(), actor, r.PathValue("provider")); err != nil {
		return err
	}
	return s.Redirect(w, r, views.ProvidersURL(), "Removed.")
}

func (s providerPages) saveModels(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	id := r.PathValue("provider")
	if p, err := s.named(r); err == nil && actor.Can(account.ManageSettings) &&
		strings.TrimSpace(r.PostFormValue("models")) == strings.Join(p.Models, "\n") {
		// those that are offered anyhow are not written down
		return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+id, "Saved.")
	}
	err := s.ProviderRules.SaveModels(r.Context(), actor, id, r.PostFormValue("models"),
		r.PostFormValue(page.VersionField))
	bad, status, err := s.Again(r, actor, s.list, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.showList(w, r, actor, status, func(i *views.ProviderItem) {
			if i.ID == id {
				i.ModelsField.Value, i.ModelsField.Error = r.PostFormValue("models"), bad["models"]
				i.ModelsVersion, i.ModelsOpen = r.PostFormValue(page.VersionField), true
			}
		})
	}
	return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+id, "Saved.")
}

func ownProviderInput(r *http.Request) provider.Input {
	f := r.PostForm
	return provider.Input{
		Version: f.Get(page.VersionField), Name: f.Get("name"), Command: f.Get("command"), Keys: f.Get("keys"),
		State: f.Get("state"), Obeys: f.Get("obeys"), AutoMode: f.Get("auto_mode"), ReadMode: f.Get("read_mode"),
	}
}

func (s providerPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageSettings) || !actor.Can(account.UseShell) {
		return fault.ErrForbidden
	}
	return s.form(w, r, actor, http.StatusOK, "", "", provider.Input{}, nil)
}

func (s providerPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := ownProviderInput(r)
	id, err := s.ProviderRules.Add(r.Context(), actor, in)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, "", "", in, bad)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+id, "Added. Run a test to check it.")
}

// own finds an agent that was added here, for its form.
func (s providerPages) own(r *http.Request, actor account.Actor) (*db.OwnProvider, error) {
	if !actor.Can(account.ManageSettings) || !actor.Can(account.UseShell) {
		return nil, fault.ErrForbidden
	}
	states, err := s.ProviderRules.States(r.Context())
	if err != nil {
		return nil, err
	}
	for _, o := range states.Settings.Own {
		if o.ID == r.PathValue("provider") {
			return &o, nil
		}
	}
	return nil, fault.ErrNotFound
}

func (s providerPages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	o, err := s.own(r, actor)
	if err != nil {
		return err
	}
	in := provider.Input{
		Version: provider.OwnVersion(*o), Name: o.Name, Command: commandLine(o.Command),
		Keys: strings.Join(o.Keys, ", "), State: strings.Join(o.State, "\n"), Obeys: strings.Join(o.Obeys, "\n"),
		AutoMode: o.AutoMode, ReadMode: o.ReadMode,
	}
	return s.form(w, r, actor, http.StatusOK, o.ID, o.Name, in, nil)
}

func (s providerPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	o, err := s.own(r, actor)
	if err != nil {
		return err
	}
	err = s.ProviderRules.Update(r.Context(), actor, o.ID, ownProviderInput(r))
	bad, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.form(w, r, actor, status, o.ID, o.Name, ownProviderInput(r), bad)
	}
	return s.Redirect(w, r, views.ProvidersURL()+"#provider-"+o.ID, "Saved.")
}

func (s providerPages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int, id, was string,
	in provider.Input, bad fault.Invalid) error {
	f := views.NewProviderForm()
	f.ID, f.Was, f.Version = id, was, in.Version
	for field, value := range map[*views.Field]string{
		&f.Name: in.Name, &f.Command: in.Command, &f.Keys: in.Keys, &f.State: in.State, &f.Obeys: in.Obeys,
		&f.AutoMode: in.AutoMode, &f.ReadMode: in.ReadMode,
	} {
		field.Value, field.Error = value, bad[field.Name]
	}
	title := "Add agent"
	if id != "" {
		title = "Edit " + was
	}
	return s.withSettings(w, r, actor, title, func(page views.Page) error {
		s.Render(w, r, status, views.EditProvider(page, f))
		return nil
	})
}

// commandLine writes a command so that it is read again as the same words.
func commandLine(command []string) string {
	list := make([]string, len(command))
	for i, word := range command {
		list[i] = word
		if word == "" || strings.ContainsAny(word, " \t'\"\\") {
			list[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(list, " ")
}
