package settings

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/form"
	"carillon/app/isolation"
	"carillon/app/web/page"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/views"
)

// isolationPages are the pages on what keeps agents from the rest of a machine.
type isolationPages struct{ *Pages }

// list is the page that says what keeps agents from the rest of each machine, and what does not.
func (s isolationPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	f := db.UnconfinedFilter{
		After: form.OptionalID(r.FormValue("after")), Before: form.OptionalID(r.FormValue("before")),
		Limit: page.Rows + 1,
	}
	d, err := s.Workspaces.Isolation(r.Context(), actor, f)
	if err != nil {
		return err
	}
	p := views.IsolationPage{Now: s.Now()}
	p.Pager = page.Pager(r, &d.Unconfined, f.After, f.Before, f.Limit, func(w db.Workspace) string {
		return w.ID.String()
	}, "before", "after")
	p.Pager.Named = true
	for _, ws := range d.Unconfined {
		p.Unconfined = append(p.Unconfined, views.Link{Text: ws.Name, URL: views.WorkspaceURL(ws.ID.String())})
	}
	p.Count = form.Count(d.Count, "workspace")
	if d.Count == workspace.MostUnconfined {
		p.Count = fmt.Sprintf("%d workspaces or more", d.Count)
	}
	p.None = d.Count == 0
	if s.Workers != nil {
		for _, w := range s.Workers() {
			p.Machines = append(p.Machines, s.machine(w))
		}
	}
	for _, o := range d.Servers {
		p.Machines = append(p.Machines, views.Machine{
			ID: o.ID, Name: o.Name, Roles: roles(o.Machine), Statements: statements(o.Machine),
		})
	}
	return s.withSettings(w, r, actor, "Isolation", func(page views.Page) error {
		return s.Show(w, r, views.Isolation(page, p))
	})
}

func (s isolationPages) machine(w db.Worker) views.Machine {
	m := views.Machine{ID: w.ID, Name: w.Name, Roles: roles(w.Machine), Statements: statements(w.Machine), Runs: true}
	for _, p := range s.Providers() {
		if p.Driver == agent.DriverShell || !w.Has(p.ID) {
			continue
		}
		m.Agents = append(m.Agents, views.MachineAgent{
			Name: p.Name, Version: w.Providers[p.ID].Version, Looks: p.Obedience().Looks,
		})
	}
	return m
}

// roles are what a process does, in words.
func roles(m db.Machine) string {
	var list []string
	for _, r := range []struct{ role, word string }{{"worker", "runs agents"}, {"web", "serves " +
		"pages"}, {"scheduler", "keeps schedules"}} {
		if slices.Contains(m.Roles, r.role) {
			list = append(list, r.word)
		}
	}
	return strings.Join(list, ", ")
}

// statements are what a process found, in the words of its log at its start. None: it has not looked.
func statements(m db.Machine) []views.Statement {
	if len(m.Roles) == 0 {
		return nil
	}
	var list []views.Statement
	for _, st := range isolation.Statements(m) {
		list = append(list, views.Statement{Name: st.Name, Kind: string(st.Kind), Text: st.Text, Do: st.Do})
	}
	return list
}
