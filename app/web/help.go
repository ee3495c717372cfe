package web

import (
	"net/http"

	"carillon/app/account"
	"carillon/app/agent"
	promised "carillon/app/check"
	"carillon/views"
)

// help lists the pages of the help to whoever is signed in.
func (s *Server) help(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.with(w, r, actor, "", "Help", func(page views.Page) error { return s.show(w, r, views.Help(page)) })
}

// promises says what is promised, as carillon check does, and how that is tested.
func (s *Server) promises(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var list []views.Promise
	for _, p := range promised.List() {
		list = append(list, views.Promise{Name: p.Promise, Sentence: p.Sentence})
	}
	return s.with(w, r, actor, "", "What is promised and how it is tested", func(page views.Page) error {
		return s.show(w, r, views.Promises(page, list, s.obediences()))
	})
}

// obediences are what the agents of this installation take from a repository.
func (s *Server) obediences() []views.Obedience {
	var list []views.Obedience
	for _, p := range s.Providers() {
		if p.Driver == agent.DriverShell { // its script is the person's own
			continue
		}
		o := p.Obedience()
		list = append(list, views.Obedience{Agent: p.Name, Reads: o.Reads, Shut: o.Shut, Obeys: o.Obeys, Looks: o.Looks})
	}
	return list
}
