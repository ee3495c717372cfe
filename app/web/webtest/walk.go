package webtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/db"
)

// Walk is a site with all of the people, and something of every kind to try them on.
type Walk struct {
	*Site
	Who   map[string]*Browser
	made  int
	lease db.Lease // of the session claimed last
}

// Hush is in the name of everything that outsiders must not learn of.
const Hush = "Hush"

// NewWalk opens a site for a walk over its routes.
func NewWalk(t *testing.T) *Walk { return WalkOn(t, Open(t)) }

// WalkOn prepares a walk over the routes of a site: its people, of whom one has left the workspace and one is
// deactivated.
func WalkOn(t *testing.T, s *Site) *Walk {
	s.Server.Gallery, s.Server.Accounts.Mail = true, true
	s.Server.Settings.Letter = func(context.Context, string, string, string) error { return nil }
	s.Server.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "carillon 1\n")
	})
	s.Routes = s.Compose(s.Server)
	s.HTTP.Config.Handler = s.Server.Handler(s.Routes)
	x := &Walk{Site: s, Who: map[string]*Browser{
		"nobody": s.Nobody(), "viewer": s.As("Viewer", account.RoleMember), "owner": s.As("Owner", account.RoleMember),
		"manager":  s.As("Manager", account.RoleManager),
		"outsider": s.As("Outsider", account.RoleManager), "elsewhere": s.As("Elsewhere", account.RoleManager),
		"admin":       s.As("Admin", account.RoleAdministrator),
		"deactivated": s.As("Deactivated", account.RoleManager), "former": s.As("Former", account.RoleManager),
	}}
	x.leaves("former")
	s.Custom(x.Who["viewer"], "Viewer", account.ViewAll)
	for _, name := range []string{"outsider", "elsewhere"} {
		Check(t, db.RemoveMember(t.Context(), s.Server.DB, uuid.MustParse(s.Workspace), x.Who[name].Actor.ID))
	}
	x.WorkspaceOf("Another", "elsewhere")
	// The sign-in is left in place, so that it is the account that is looked at.
	Check(t, db.SetDeactivated(t.Context(), s.Server.DB, x.Who["deactivated"].Actor.ID, time.Now(), time.Now()))
	return x
}

// leaves ends a person's membership of the workspace, in which they have something of every kind: an automation that
// has run, a ticket that is theirs, a session's pull request, a star. Of all of it they may learn nothing more.
func (x *Walk) leaves(who string) {
	x.T.Helper()
	ctx, b, workspace := x.T.Context(), x.Who[who], uuid.MustParse(x.Workspace)
	for _, trigger := range []string{"manual", "http"} {
		a := x.AutomationIn(workspace, b, trigger)
		if trigger == "manual" {
			_, err := x.Rules.Runs().RunNow(ctx, b.Actor, a.ID, nil)
			Check(x.T, err)
		}
	}
	_, err := x.Server.Tickets.Create(ctx, b.Actor, ticket.Input{
		Workspace: x.Workspace, Title: x.Name("ticket"), Assignee: b.Actor.ID.String(),
	})
	Check(x.T, err)
	_, err = x.Workflows.Create(ctx, b.Actor, workflow.Input{
		Name: x.Name("workflow"), Workspace: x.Workspace,
		Steps: []workflow.StepInput{{Kind: "message", Text: "Look."}},
	})
	Check(x.T, err)
	Check(x.T, db.RemoveMember(ctx, x.Server.DB, workspace, b.Actor.ID))
}

// UnlikeMembers are who tries every route beside people, and whose answers are those of somebody else: the deactivated
// are answered as nobody, and who was a member of the workspace as who never was.
var UnlikeMembers = map[string]string{"deactivated": "nobody", "former": "outsider"}

// Name is a new name for a thing of a kind, which outsiders must not learn of.
func (x *Walk) Name(kind string) string {
	x.made++
	return fmt.Sprintf("%s %s %d", Hush, kind, x.made)
}

// WorkspaceOf makes a workspace with members.
func (x *Walk) WorkspaceOf(name string, members ...string) uuid.UUID {
	x.T.Helper()
	w := &db.Workspace{
		ID: db.NewID(), Name: name, DefaultBranch: "main", Provider: "agent", CreatedAt: time.Now(),
		UpdatedAt: time.Now(), Version: 1,
	}
	Check(x.T, db.InsertWorkspace(x.T.Context(), x.Server.DB, w))
	for _, m := range members {
		Check(x.T, db.AddMember(x.T.Context(), x.Server.DB, w.ID, x.Who[m].Actor.ID))
	}
	return w.ID
}

// AutomationIn makes an automation in a workspace.
func (x *Walk) AutomationIn(workspace uuid.UUID, owner *Browser, trigger string) *db.Automation {
	x.T.Helper()
	a, _, err := x.Rules.Definitions().Create(x.T.Context(), owner.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           x.Name("automation"),
		Workspace:      workspace.String(),
		Trigger:        trigger,
		SessionType:    "develop",
		Prompt:         Hush + ", look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	Check(x.T, err)
	return a
}

// Subjects make what the {id} of a path stands for, each time anew, since a route may use it up.
var Subjects = map[string]func(x *Walk) uuid.UUID{
	"automation": func(x *Walk) uuid.UUID {
		return x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual").ID
	},
	"hook": func(x *Walk) uuid.UUID {
		return x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "http").ID
	},
	"budgeted": func(x *Walk) uuid.UUID { // an automation with a budget
		id := x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual").ID
		x.Who["owner"].Exec(`UPDATE automations SET budget = '{"run": {"turns": 2}}' WHERE id = ?`, id)
		return id
	},
	"offered": func(x *Walk) uuid.UUID { // an automation that the owner offers to the manager
		id := x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual").ID
		_, err := x.Rules.Transfers().Transfer(x.T.Context(), x.Who["owner"].Actor, id, x.Who["manager"].Actor.ID)
		Check(x.T, err)
		return id
	},
	"creator": func(x *Walk) uuid.UUID { // somebody who has an automation
		x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual")
		return x.Who["owner"].Actor.ID
	},
	"execution": func(x *Walk) uuid.UUID { return x.run().Execution.ID },
	"session":   func(x *Walk) uuid.UUID { return x.run().Session.ID },
	"waiting":   func(x *Walk) uuid.UUID { return x.Waiting() }, // a session whose turn is over
	"closed": func(x *Walk) uuid.UUID { // a session that is Done
		id := x.Waiting()
		Check(x.T, x.Rules.Sessions().MarkDone(x.T.Context(), x.Who["owner"].Actor, id))
		return id
	},
	"ticket": func(x *Walk) uuid.UUID { return x.Ticket().ID },
	"workflow": func(x *Walk) uuid.UUID {
		wf, err := x.Workflows.Create(x.T.Context(), x.Who["manager"].Actor, workflow.Input{
			Name: x.Name("workflow"), Workspace: x.Workspace,
			Steps: []workflow.StepInput{{Kind: "message", Text: "Look."}},
		})
		Check(x.T, err)
		return wf.ID
	},
	"notice": func(x *Walk) uuid.UUID {
		n := db.Notification{
			ID: db.NewID(), UserID: x.Who["owner"].Actor.ID, Kind: inbox.Skipped, Title: x.Name("notice"),
			DedupKey: uuid.NewString(), CreatedAt: time.Now(),
		}
		_, err := db.InsertNotifications(x.T.Context(), x.Server.DB, []db.Notification{n})
		Check(x.T, err)
		return n.ID
	},
	"workspace": func(x *Walk) uuid.UUID { return x.WorkspaceOf(x.Name("workspace"), "viewer", "owner", "manager") },
	"bot": func(x *Walk) uuid.UUID {
		b := db.Bot{
			ID: db.NewID(), WorkspaceID: uuid.MustParse(x.Workspace), Name: x.Name("bot"), Instructions: Hush,
			AllowedTools: []string{}, Enabled: true, Version: 1, CreatedAt: time.Now(), UpdatedAt: time.Now(),
		}
		Check(x.T, db.InsertBot(x.T.Context(), x.Server.DB, &b))
		return b.ID
	},
	"user": func(x *Walk) uuid.UUID {
		return x.person().ID
	},
	"invited": func(x *Walk) uuid.UUID {
		u := x.person()
		Check(x.T, db.SavePasswordLink(x.T.Context(), x.Server.DB,
			&db.PasswordLink{
				UserID: u.ID, Hash: append(u.ID[:], u.ID[:]...), Invites: true, CreatedAt: time.Now(),
				ExpiresAt: time.Now().Add(time.Hour),
			}))
		return u.ID
	},
	"readdressed": func(x *Walk) uuid.UUID {
		u := x.person()
		u.EmailChangedAt = time.Now()
		Check(x.T, db.UpdateUser(x.T.Context(), x.Server.DB, u))
		return u.ID
	},
	"linked": func(x *Walk) uuid.UUID {
		u := x.person()
		Check(x.T, db.InsertIdentity(x.T.Context(), x.Server.DB, &db.Identity{
			Issuer: "https://login.example.com", Subject: u.ID.String(), UserID: u.ID, CreatedAt: time.Now(),
			UsedAt: time.Now(),
		}))
		return u.ID
	},
	"gone": func(x *Walk) uuid.UUID {
		u := x.person()
		Check(x.T, db.SetDeactivated(x.T.Context(), x.Server.DB, u.ID, time.Now(), time.Now()))
		return u.ID
	},
	"role": func(x *Walk) uuid.UUID {
		r := db.Role{ID: db.NewID(), Name: x.Name("role"), Permissions: []string{}, CreatedAt: time.Now(), Version: 1}
		Check(x.T, db.InsertRole(x.T.Context(), x.Server.DB, &r))
		return r.ID
	},
	"with token": func(x *Walk) uuid.UUID {
		u := x.person()
		Check(x.T, db.InsertAPIToken(x.T.Context(), x.Server.DB, &db.APIToken{
			ID: db.NewID(), UserID: u.ID, Name: "CI", Hash: append(u.ID[:], u.ID[:]...), Permissions: []string{},
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}))
		return u.ID
	},
	"token":     func(x *Walk) uuid.UUID { return x.token("owner") },
	"own token": func(x *Walk) uuid.UUID { return x.token("admin") },
	"own login": func(x *Walk) uuid.UUID {
		now := time.Now()
		l := db.Login{
			ID: db.NewID(), UserID: x.Who["admin"].Actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
		}
		Check(x.T, db.InsertLogin(x.T.Context(), x.Server.DB, &l))
		return l.ID
	},
	"login": func(x *Walk) uuid.UUID {
		now := time.Now()
		l := db.Login{
			ID: db.NewID(), UserID: x.Who["owner"].Actor.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
		}
		Check(x.T, db.InsertLogin(x.T.Context(), x.Server.DB, &l))
		return l.ID
	},
}

// token is an API token of a person's.
func (x *Walk) token(who string) uuid.UUID {
	x.T.Helper()
	_, err := x.Server.Accounts.CreateToken(x.T.Context(), x.Who[who].Actor,
		account.TokenInput{Name: x.Name("token"), Days: "7"})
	Check(x.T, err)
	list, err := x.Server.Accounts.Tokens(x.T.Context(), x.Who[who].Actor)
	Check(x.T, err)
	return list[0].ID
}

func (x *Walk) run() *automation.Run {
	x.T.Helper()
	a := x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual")
	run, err := x.Rules.Runs().RunNow(x.T.Context(), x.Who["owner"].Actor, a.ID, nil)
	Check(x.T, err)
	return run
}

// Waiting is a session that waits for a reply.
func (x *Walk) Waiting() uuid.UUID {
	x.T.Helper()
	run, ctx := x.run(), x.T.Context()
	Check(x.T, x.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.ClaimSessions(ctx, tx, "test", 1000, time.Now(), time.Now().Add(time.Hour))
		for _, session := range list {
			if session.ID == run.Session.ID {
				x.lease = db.Lease{Session: session.ID, Worker: "test", Fence: session.Fence}
			}
		}
		return err
	}))
	Check(x.T, x.Rules.Runs().Finish(ctx, x.lease, automation.Outcome{Status: db.Succeeded, FilesChanged: true}))
	return run.Session.ID
}

// PullRequest links a pull request to a session of the owner's.
func (x *Walk) PullRequest(session uuid.UUID) (id uuid.UUID) {
	x.T.Helper()
	Check(x.T, x.Rules.PullRequests().Link(x.T.Context(), x.Who["owner"].Actor, session,
		"https://github.com/a/b/pull/1"))
	Check(x.T, x.Server.DB.NewRaw("SELECT id FROM pull_requests WHERE session_id = ?", session).
		Scan(x.T.Context(), &id))
	return id
}

// Linked is a session that works on a ticket.
func (x *Walk) Linked(ticket uuid.UUID) uuid.UUID {
	x.T.Helper()
	session, owner := x.run().Session.ID, x.Who["owner"].Actor
	ticketRow, err := x.Server.Tickets.Find(x.T.Context(), owner, ticket)
	Check(x.T, err)
	Check(x.T, x.Server.Tickets.Link(x.T.Context(), owner, session, ticketRow.Number))
	return session
}

// Ticket makes a ticket.
func (x *Walk) Ticket() *db.Ticket {
	x.T.Helper()
	ticket, err := x.Server.Tickets.Create(x.T.Context(), x.Who["owner"].Actor,
		ticket.Input{Workspace: x.Workspace, Title: x.Name("ticket")})
	Check(x.T, err)
	return ticket
}

func (x *Walk) person() *db.User {
	x.T.Helper()
	x.made++
	now := time.Now()
	u := &db.User{
		ID: db.NewID(), Email: fmt.Sprintf("p%d@example.com", x.made), Name: fmt.Sprintf("Person %d", x.made),
		TimeZone: "UTC", CreatedAt: now, UpdatedAt: now,
	}
	Check(x.T, db.InsertUser(x.T.Context(), x.Server.DB, u, uuid.MustParse(x.RoleID(account.RoleMember))))
	return u
}
