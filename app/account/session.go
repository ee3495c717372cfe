package account

import (
	"slices"

	"github.com/google/uuid"

	"carillon/db"
)

// inSession are the permissions of a person that a session acting for this person has too. inAutomating are further
// ones if its automation allows the session to manage automations. A session's actions depend on its prompt and on
// every page that it reads. So permissions that it does not need are left out, above all those for other workspaces.
var (
	inSession    = []Permission{ViewOwn, ViewAll, ManageTickets}
	inAutomating = []Permission{Manage, ManageAll, UseShell}
)

// InSession gives the actor of a session. It sees the session's workspace alone. It has the permissions for tickets,
// and for automations only with automates, that the person and all others on whose behalf the session acts have.
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

// Former gives the actor of a deactivated person on whose behalf a session still acts. The permissions for reading and
// for tickets stay; the session gets no right to manage automations.
func (a Actor) Former() Actor { return a.within(inSession) }

// Restrict limits the actor's permissions to those of a present set.
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

// CoversInSession reports whether the actor has all permissions that a session of a person with a set of permissions
// can have.
func (a Actor) CoversInSession(held []string) bool {
	return !slices.ContainsFunc(slices.Concat(inSession, inAutomating), func(p Permission) bool {
		return Grants(held, p) && !a.Can(p)
	})
}

// within limits the actor's permissions to the given ones.
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

// All reports whether a condition is true for all people on whose behalf the actor acts: for a session all its people,
// each with the own permissions, and otherwise the person alone. It is for permissions for own things, which say
// nothing about the things of others.
func (a Actor) All(holds func(person Actor) bool) bool {
	if len(a.people) == 0 {
		return holds(a)
	}
	return !slices.ContainsFunc(a.people, func(p Actor) bool { return !holds(p) })
}

// People are the ids of the people on whose behalf the actor acts.
func (a Actor) People() db.PeopleIDs {
	people := db.PeopleIDs{a.ID}
	for _, p := range a.people {
		people = people.With(p.ID)
	}
	return people
}

// Principals lists the people on whose behalf the actor acts, the person first.
func (a Actor) Principals() []Actor {
	if len(a.people) == 0 {
		return []Actor{a}
	}
	return slices.Clone(a.people)
}

// Names are the names of the people on whose behalf the actor acts, the person first.
func (a Actor) Names() []string {
	var list []string
	for _, p := range a.Principals() {
		list = append(list, p.Name)
	}
	return list
}

// May lists the actor's permissions, without those that another one of the list implies.
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

// OwnerOfNew is the owner of records that the actor creates: the person, or for a session the owner of its automation.
func (a Actor) OwnerOfNew() uuid.UUID {
	if a.owner != uuid.Nil {
		return a.owner
	}
	return a.ID
}

// OnBehalfOf gives the actor of a session with the owner of its automation.
func (a Actor) OnBehalfOf(owner uuid.UUID) Actor {
	a.owner = owner
	return a
}
