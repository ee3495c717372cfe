package account

import (
	"slices"

	"github.com/google/uuid"

	"carillon/db"
)

// inSession are the permissions of a person that a session of theirs has too, and inAutomating those that it has
// besides where its automation lets it manage automations. Whoever writes the prompt decides what a session does, and
// so does every page that it reads: what is not needed for its work is left out, above all what reaches other
// workspaces.
var (
	inSession    = []Permission{ViewOwn, ViewAll, ManageTickets}
	inAutomating = []Permission{Manage, ManageAll, UseShell}
)

// InSession is the person as whom a session asks: it sees its own workspace and no other, whatever the person sees, and
// may do what the person and everybody else who had a word in it may do, with tickets, and with automations only where
// automates says so.
func (a Actor) InSession(session, workspace uuid.UUID, automates bool, others ...Actor) Actor {
	allowed := inSession
	if automates {
		allowed = append(allowed[:len(allowed):len(allowed)], inAutomating...)
	}
	a.people = []Actor{a.within(allowed)}
	for _, o := range others {
		if o.ID != a.ID {
			a.people = append(a.people, o.within(allowed))
		}
	}
	a.held = nil
	for _, p := range allowed {
		if a.All(func(person Actor) bool { return person.Can(p) }) {
			a.held = append(a.held, string(p))
		}
	}
	a.Session, a.Workspace = session, workspace
	return a
}

// Former is somebody who cannot ask for anything any more, as the author of words that are still acted on: what their
// roles say of reading and of tickets stays, and they leave nobody a right to manage automations.
func (a Actor) Former() Actor { return a.within(inSession) }

// Restrict is the actor with what of their permissions is among those held now.
func (a Actor) Restrict(held []string) Actor {
	var left []string
	for _, p := range Permissions {
		if a.Can(p.Permission) && Grants(held, p.Permission) {
			left = append(left, string(p.Permission))
		}
	}
	a.held = left
	return a
}

// CoversInSession reports whether the actor may do all that a session of somebody with a set of permissions may do at
// most.
func (a Actor) CoversInSession(held []string) bool {
	return !slices.ContainsFunc(slices.Concat(inSession, inAutomating), func(p Permission) bool {
		return Grants(held, p) && !a.Can(p)
	})
}

// within is the person with no more than the permissions given.
func (a Actor) within(allowed []Permission) Actor {
	var held []string
	for _, p := range allowed {
		if a.Can(p) {
			held = append(held, string(p))
		}
	}
	a.held, a.people = held, nil
	return a
}

// All reports whether something holds for everybody on whose words the actor acts: of a session all who had a word in
// it, each with what they may do, else the person alone. What belongs to one of them is decided by it, since a
// permission for one's own says nothing of what belongs to another.
func (a Actor) All(holds func(person Actor) bool) bool {
	if len(a.people) == 0 {
		return holds(a)
	}
	return !slices.ContainsFunc(a.people, func(p Actor) bool { return !holds(p) })
}

// People are the ids of those on whose words the actor acts.
func (a Actor) People() db.PeopleIDs {
	people := db.PeopleIDs{a.ID}
	for _, p := range a.people {
		people = people.With(p.ID)
	}
	return people
}

// Principals lists those on whose words the actor acts, the person themselves first.
func (a Actor) Principals() []Actor {
	if len(a.people) == 0 {
		return []Actor{a}
	}
	return slices.Clone(a.people)
}

// Names are the names of those on whose words the actor acts, the person themselves first.
func (a Actor) Names() []string {
	var list []string
	for _, p := range a.Principals() {
		list = append(list, p.Name)
	}
	return list
}

// May lists what the actor may do, without what comes with another permission of the list.
func (a Actor) May() []Permission {
	var list []Permission
	for _, p := range Permissions {
		implied := slices.ContainsFunc(Permissions, func(other struct {
			Permission Permission
			Capability string
			Implies    []Permission
		}) bool {
			return a.Can(other.Permission) && slices.Contains(other.Implies, p.Permission)
		})
		if a.Can(p.Permission) && !implied {
			list = append(list, p.Permission)
		}
	}
	return list
}

// OwnerOfNew is who owns what the actor creates: the person, and for a session the owner of its automation.
func (a Actor) OwnerOfNew() uuid.UUID {
	if a.owner != uuid.Nil {
		return a.owner
	}
	return a.ID
}

// OnBehalfOf is the session's actor whose automation somebody owns.
func (a Actor) OnBehalfOf(owner uuid.UUID) Actor {
	a.owner = owner
	return a
}
