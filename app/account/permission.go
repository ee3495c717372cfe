package account

import (
	"slices"

	"github.com/google/uuid"

	"carillon/db"
)

// Permission is the right to do something. Roles are sets of permissions.
type Permission string

// The permissions. The first four are the specification's.
const (
	ViewOwn          Permission = "automations.view_own"
	ViewAll          Permission = "automations.view_all"
	Manage           Permission = "automations.manage"
	ManageAll        Permission = "automations.manage_all"
	ManageWorkflows  Permission = "workflows.manage"
	ManageBots       Permission = "bots.manage"
	ManageTickets    Permission = "tickets.manage"
	ManageWorkspaces Permission = "workspaces.manage"
	ManageUsers      Permission = "users.manage"
	ManageSettings   Permission = "settings.manage"
	ViewAudit        Permission = "audit.view"
	UseShell         Permission = "shell.use"
	Admin            Permission = "admin"
)

// Permissions describes every permission, in the order of the matrix of roles.
var Permissions = []struct {
	Permission Permission
	Capability string       // what it allows
	Implies    []Permission // permissions that it includes
}{
	{ViewOwn, "See your own automations", nil},
	{ViewAll, "See everyone's automations", nil},
	{Manage, "Create, edit and delete your own automations", []Permission{ViewOwn}},
	{ManageAll, "Manage anyone's automations", []Permission{ViewAll, ViewOwn, Manage}},
	{ManageWorkflows, "Create, edit and delete workflows", nil},
	{ManageBots, "Create, edit and delete bots", nil},
	{ManageTickets, "Create and edit tickets", nil},
	{ManageWorkspaces, "Add, edit and remove workspaces and their members", nil},
	{ManageUsers, "Invite, change and deactivate people, and edit roles", nil},
	{ManageSettings, "Change the settings of this installation", nil},
	{ViewAudit, "Read the audit log", nil},
	{UseShell, "Use the Shell provider: run commands on a worker, and outside of a sandbox with all that " +
		"the user of CARILLON_AGENT_USER may do there, and without that setting Carillon’s own user", nil},
	{Admin, "Everything, in every workspace", nil}, // Can handles its implications
}

// Grants reports whether a set of permissions contains or implies one. admin implies all.
func Grants(held []string, wanted Permission) bool {
	for _, p := range Permissions {
		if slices.Contains(held, string(p.Permission)) &&
			(p.Permission == wanted || p.Permission == Admin || slices.Contains(p.Implies, wanted)) {
			return true
		}
	}
	return false
}

// Actor is a person who calls an operation, with the person's permissions.
type Actor struct {
	ID       uuid.UUID
	Name     string
	Email    string
	TimeZone string
	Theme    string
	Role     string // names of their roles
	held     []string
	people   []Actor   // of a session: the people on whose behalf it acts, see InSession
	owner    uuid.UUID // of a session: the owner of its automation

	// Session and Workspace are set if a session acts on behalf of the person, see InSession.
	Session, Workspace uuid.UUID
	// Token is the API token of a program that acts on behalf of the person, see Service.ActorByToken; zero: there is
	// none.
	Token     uuid.UUID
	TokenName string
}

// ActorOf makes an actor of a person. The row must have the person's permissions.
func ActorOf(u *db.User) Actor {
	return Actor{
		ID: u.ID, Name: u.Name, Email: u.Email, TimeZone: u.TimeZone, Theme: u.Theme, Role: u.RoleName,
		held: u.Permissions,
	}
}

// byProgram reports whether the request came with a token. Such a request may not change how the person signs in: a
// stolen token must not give more access than it has.
func (a Actor) byProgram() bool { return a.Token != uuid.Nil || a.Session != uuid.Nil }

// Can reports whether the actor has a permission.
func (a Actor) Can(p Permission) bool { return Grants(a.held, p) }

// Covers reports whether the actor has all permissions of a set. Assigning a role and taking over an account require
// this; otherwise the right to manage people would give any permission.
func (a Actor) Covers(held []string) bool {
	return !slices.ContainsFunc(held, func(p string) bool { return !a.Can(Permission(p)) })
}

// Access says what the actor may see in lists. A session sees what all people see on whose behalf it acts: if one of
// them sees only the own things, those of this person; if two do, nothing.
func (a Actor) Access() db.Access {
	access := db.Access{
		User: a.ID, All: a.Can(ViewAll), Own: a.Can(ViewOwn), Everywhere: a.Can(Admin), Only: a.Workspace,
	}
	if access.All || !access.Own {
		return access
	}
	narrow := 0
	for _, p := range a.people {
		if !p.Can(ViewAll) {
			narrow++
			access.User = p.ID
		}
	}
	access.Own = narrow <= 1
	return access
}

// The keys of the built-in roles.
const (
	RoleAdministrator = "administrator"
	RoleManager       = "manager"
	RoleMember        = "member"
)

// builtIn are the roles that every installation has.
var builtIn = []struct {
	key, name   string
	permissions []Permission
}{
	{RoleAdministrator, "Administrator", []Permission{Admin}},
	{RoleManager, "Manager", []Permission{ManageAll, ManageWorkflows, ManageBots, ManageTickets, UseShell}},
	{RoleMember, "Member", []Permission{Manage, ManageTickets, UseShell}},
}

// BuiltInRole is a role that every installation has.
type BuiltInRole struct {
	Key, Name   string
	Permissions []string
}

// BuiltIn lists the built-in roles, the one with most permissions first.
func BuiltIn() []BuiltInRole {
	var list []BuiltInRole
	for _, r := range builtIn {
		role := BuiltInRole{Key: r.key, Name: r.name}
		for _, p := range r.permissions {
			role.Permissions = append(role.Permissions, string(p))
		}
		list = append(list, role)
	}
	return list
}
