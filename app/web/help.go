package web

import (
	"net/http"

	"carillon/app/account"
	"carillon/app/agent"
	promised "carillon/app/check"
	"carillon/app/fault"
	"carillon/views"
	"carillon/views/gallery"
	"carillon/views/help"
	"carillon/views/markdown"
)

// helpPages are the pages of the help.
type helpPages struct{ *Server }

// list lists the pages of the help to whoever is signed in.
func (s helpPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var topics []views.HelpTopic
	for _, p := range help.Pages() {
		topics = append(topics, views.HelpTopic{Title: p.Title, About: p.About, URL: views.ManualURL(p.Name)})
	}
	return s.With(w, r, actor, "", "Help", func(page views.Page) error {
		return s.Show(w, r, views.Help(page, topics))
	})
}

// manual shows a page of the manual to whoever is signed in.
func (s helpPages) manual(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	p, ok := help.Find(r.PathValue("page"))
	if !ok {
		return fault.ErrNotFound
	}
	return s.With(w, r, actor, "", p.Title, func(page views.Page) error {
		return s.Show(w, r, views.Manual(page, p.Document))
	})
}

// manual is a page of the manual that has a handler of its own.
func manual(name string) *markdown.Document {
	p, _ := help.Find(name)
	return p.Document
}

// promises says what is promised, as carillon check does, and how that is tested.
func (s helpPages) promises(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var list []views.Promise
	for _, p := range promised.List() {
		list = append(list, views.Promise{Name: p.Promise, Sentence: p.Sentence})
	}
	return s.With(w, r, actor, "", "What is promised and how it is tested", func(page views.Page) error {
		return s.Show(w, r, views.Promises(page, manual("promises"), list, s.obediences()))
	})
}

// obediences are what the agents of this installation take from a repository.
func (s helpPages) obediences() []views.Obedience {
	var list []views.Obedience
	for _, p := range s.Providers() {
		if p.Driver == agent.DriverShell { // its script is the person's own
			continue
		}
		o := p.Obedience()
		list = append(list, views.Obedience{
			Agent: p.Name, Reads: o.Reads, Shut: o.Shut, Obeys: o.Obeys, Looks: o.Looks,
		})
	}
	return list
}

// gallery shows the components with sample data, in development.
func (s helpPages) gallery(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.With(w, r, actor, "gallery", "Components", func(page views.Page) error {
		return s.Show(w, r, gallery.Page(page, gallery.Specimens()))
	})
}

// api explains the API, with its operations.
func (s helpPages) api(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.With(w, r, actor, "", "API", func(page views.Page) error {
		return s.Show(w, r, views.APIHelp(page, manual("api"), s.APIHelp()))
	})
}
