package page

import (
	"net/http"
	"slices"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/db"
	"carillon/views"
)

// ProviderChoice offers a provider, greyed where its program is missing, unless it is the one chosen already.
func (s *Site) ProviderChoice(p agent.Provider, chosen string) views.Choice {
	c := views.Choice{Value: p.ID, Label: p.Name}
	if s.Found == nil {
		return c
	}
	if found, known := s.Found(p.ID); known && found.Problem != "" {
		c.Off = found.Problem
		if p.ID == chosen { // else saving would change it
			c.Label, c.Off = c.Label+" ("+found.Problem+")", ""
		}
	} else if known && found.Version != "" && p.Driver != agent.DriverShell {
		c.Label += " " + found.Version
	}
	return c
}

// ProviderName is a provider's name on screen.
func (s *Site) ProviderName(id string) string {
	for _, p := range s.Providers() {
		if p.ID == id {
			return p.Name
		}
	}
	if id == "" {
		return "–"
	}
	return id
}

// ModelsOf are the models to offer of a provider: those that the agent lists, or those that are known of it.
func (s *Site) ModelsOf(p agent.Provider) []string {
	if s.Workers == nil {
		return p.Models
	}
	var all []string
	for _, w := range s.Workers() {
		for _, model := range w.Providers[p.ID].Models {
			if !slices.Contains(all, model) {
				all = append(all, model)
			}
		}
	}
	if len(all) > 0 {
		return all
	}
	return p.Models
}

// OfferModels puts the models of a provider under a field, in which others can be typed. Those that it refused are
// marked.
func (s *Site) OfferModels(r *http.Request, actor account.Actor, f *views.Field, p agent.Provider) error {
	if f.Suggest = s.ModelsOf(p); len(f.Suggest) == 0 {
		return nil
	}
	f.Hint = "Choose a suggested model or type another. " + p.Name + " checks it when a run starts."
	refused, err := db.RefusedModelsOf(r.Context(), s.DB, p.ID, f.Suggest)
	if err != nil {
		return err
	}
	z := Zone(actor)
	f.Marks = make(map[string]string, len(refused))
	for _, m := range refused {
		f.Marks[m.Model] = views.RefusedOn(m.RefusedAt.In(z), s.Now().In(z))
	}
	return nil
}

// IsScript reports whether a provider runs scripts rather than an agent.
func (s *Site) IsScript(provider string) bool {
	for _, p := range s.ProviderRules.List() {
		if p.ID == provider {
			return p.Script
		}
	}
	return false
}
