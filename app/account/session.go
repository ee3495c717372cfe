package account

import "github.com/google/uuid"

// inSession are the permissions of a person that a session of theirs has too, and inAutomating those that it has besides
// where its automation lets it manage automations. Whoever writes the prompt decides what a session does, and so does every
// page that it reads: what is not needed for its work is left out, above all what reaches other workspaces.
var (
	inSession    = []Permission{ViewOwn, ViewAll, ManageTickets}
	inAutomating = []Permission{Manage, ManageAll, UseShell}
)

// InSession is the person as whom a session asks: it sees its own workspace and no other, whatever the person sees, and may
// do what the person may do with tickets; with automations only where automates says so.
func (a Actor) InSession(session, workspace uuid.UUID, automates bool) Actor {
	allowed := inSession
	if automates {
		allowed = append(allowed[:len(allowed):len(allowed)], inAutomating...)
	}
	var held []string
	for _, p := range allowed {
		if a.Can(p) {
			held = append(held, string(p))
		}
	}
	a.held, a.Session, a.Workspace = held, session, workspace
	return a
}
