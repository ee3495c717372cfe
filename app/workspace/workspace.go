// Package workspace holds the rules of workspaces: who may see and change them and their members, what is a mistake in
// one, and what the sessions of one get. It knows rows. It knows neither Git, which looks at repositories for it, nor
// runs.
package workspace

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/db"
)

// Remote is a Git repository to look at: the address, an access token or none, and a branch or none. Anywhere is that
// of the workspace.
type Remote struct {
	URL, Token, Branch string
	Anywhere           bool
}

// Service carries out what people ask for. Its fields are set once, in main.
type Service struct {
	DB        bun.IDB          // a *db.DB, or the transaction of In
	Now       func() time.Time // the instant of every rule
	Keys      *secret.Keys     // seals tokens and secret variables
	Providers *provider.Service

	// Probe looks at a Git repository: its default branch, or what is wrong by the names of Input's fields.
	Probe func(ctx context.Context, r Remote) (branch string, problems fault.Invalid)
	// LocalRepositories are folders below which whoever manages workspaces may name a repository; elsewhere
	// administrators alone.
	LocalRepositories []string
	// Sandboxed reports whether a new workspace begins with a sandbox for its agents; nil: it begins without.
	Sandboxed func(ctx context.Context) bool
	// Conceals tells why no sandbox shows a path of this machine; empty: one may. Other machines decide by themselves.
	// nil: all may be shown.
	Conceals func(path string) string
}

// In is the service bound to a transaction: its operations read and write there, and the transaction of each is a
// savepoint.
func (s *Service) In(tx bun.Tx) *Service {
	bound := *s
	bound.DB = tx
	return &bound
}

// Input is a workspace as a person typed it.
type Input struct {
	Name              string `form:"name"`
	GitURL            string `form:"url"`
	DefaultBranch     string `form:"branch"` // empty: the repository's own
	Token             string `form:"token"`  // empty: the one stored stays
	ForgetToken       bool   `form:"forget_token"`
	Forge             string `form:"forge"`        // empty: known by the repository's address
	ForgeBase         string `form:"forge_base"`   // empty: by the repository's address
	ForgeSecret       string `form:"forge_secret"` // empty: the one stored stays
	ForgetForgeSecret bool   `form:"forget_forge_secret"`
	Provider          string `form:"provider"`
	Model             string `form:"model"`
	Sandbox           bool   `form:"sandbox"` // agents are confined by bubblewrap
	Offline           bool   `form:"offline"` // and have no network there
	// paths of the machine that the sandbox shows, one a line; for ManageSettings alone
	Shows string `form:"shows"`
	// after how many days without work open sessions are closed; empty: never
	IdleDays  string     `form:"idle_days"`
	Variables []Variable `form:"variables"`
	Version   int64      `form:"version"`
}

// Typed is a workspace as it is, for somebody who changes it.
func Typed(d *Detail) Input {
	in := Input{
		Name: d.Name, GitURL: d.GitURL, DefaultBranch: d.DefaultBranch, Provider: d.Provider, Model: d.Model,
		Version: d.Version, Sandbox: d.Sandbox, Offline: d.Offline, Shows: d.Shows, Forge: d.Forge,
		ForgeBase: d.ForgeBase,
	}
	if d.IdleDays != 0 {
		in.IdleDays = strconv.Itoa(d.IdleDays)
	}
	for _, v := range d.Variables {
		in.Variables = append(in.Variables, Variable{Name: v.Name, Value: v.Value, Secret: v.Secret})
	}
	return in
}

// New is what the form of a new workspace begins with.
func (s *Service) New(ctx context.Context) Input {
	return Input{Sandbox: s.Sandboxed != nil && s.Sandboxed(ctx)}
}

// Variable is one variable as a person typed it. The value of a secret that stays empty is the one stored.
type Variable struct {
	Name, Value string
	Secret      bool
}

// ScratchName is the workspace that every newcomer starts with.
const ScratchName = "Scratch"

// EnsureScratch makes the workspace Scratch if there is none, and never was.
func (s *Service) EnsureScratch(ctx context.Context) error {
	sandbox := s.New(ctx).Sandbox
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.LockKey(ctx, tx, uuid.Nil); err != nil { // several servers may start at once
			return err
		}
		any, err := db.AnyWorkspace(ctx, tx)
		if err != nil || any {
			return err
		}
		now := s.Now()
		err = db.InsertWorkspace(ctx, tx, &db.Workspace{
			ID: db.NewID(), Name: ScratchName, DefaultBranch: "main", Provider: "shell", CreatedAt: now, UpdatedAt: now,
			Version: 1,
			Sandbox: sandbox,
		})
		crash.Here(crash.ScratchMade)
		return err
	})
	return fault.Wrap(err, "make the workspace %s", ScratchName)
}

// JoinScratch makes a new person a member of Scratch.
func (s *Service) JoinScratch(ctx context.Context, tx bun.Tx, user uuid.UUID) error {
	joined, err := db.JoinNamed(ctx, tx, ScratchName, user)
	if err != nil || joined == uuid.Nil {
		return err
	}
	u, err := db.UserByID(ctx, tx, user)
	if err != nil {
		return err
	}
	return db.AddAudit(ctx, tx, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), Action: "workspace.add_member", SubjectKind: "workspace", SubjectID: joined,
		SubjectName: ScratchName,
		WorkspaceID: joined, Reason: "everybody begins there",
		After: map[string]any{"member": u.Name, "user_id": user.String()},
	})
}

// List lists the workspaces that a person is a member of; an administrator's are all.
func (s *Service) List(ctx context.Context, actor account.Actor) ([]db.Workspace, error) {
	member := actor.ID
	if actor.Can(account.Admin) {
		member = uuid.Nil
	}
	return db.Workspaces(ctx, s.DB, member)
}

// Detail is a workspace with what belongs to it. Secret values are not in it.
type Detail struct {
	db.Workspace
	Variables []db.Variable
	Members   []db.User
	HasToken  bool
}

// Find finds a workspace that a person is a member of.
func (s *Service) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*Detail, error) {
	w, err := account.MemberWorkspace(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	d := &Detail{Workspace: *w, HasToken: w.TokenSealed != nil}
	if d.Variables, err = db.VariablesOf(ctx, s.DB, id); err != nil {
		return nil, err
	}
	d.Members, err = db.MembersOf(ctx, s.DB, id)
	return d, err
}

// Create makes a workspace, after looking at its repository. The actor becomes a member.
func (s *Service) Create(ctx context.Context, actor account.Actor, in Input) (*db.Workspace, error) {
	if !actor.Can(account.ManageWorkspaces) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	w := &db.Workspace{ID: db.NewID(), CreatedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1}
	variables, err := s.apply(ctx, actor, w, nil, in)
	if err != nil {
		return nil, err
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		actor, err := account.StillMay(ctx, tx, actor, account.ManageWorkspaces, uuid.Nil)
		if err != nil {
			return err
		}
		if err := s.stillApplies(actor, &db.Workspace{}, w, nil, variables); err != nil {
			return err
		}
		if err := db.InsertWorkspace(ctx, tx, w); err != nil {
			return nameTaken(err)
		}
		if err := db.SaveVariables(ctx, tx, w.ID, variables); err != nil {
			return err
		}
		if err := db.AddMember(ctx, tx, w.ID, actor.ID); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "workspace.create", w, nil, described(w, variables))
	})
	return w, fault.Wrap(err, "create workspace")
}

// Update changes a workspace. It returns fault.ErrStale when someone else saved it meanwhile.
func (s *Service) Update(ctx context.Context, actor account.Actor, id uuid.UUID, in Input) error {
	seen, err := s.Find(ctx, actor, id)
	if err != nil {
		return err
	}
	if !actor.Can(account.ManageWorkspaces) {
		return fault.ErrForbidden
	}
	if seen.Version != in.Version {
		return fault.ErrStale
	}
	w := seen.Workspace
	variables, err := s.apply(ctx, actor, &w, seen.Variables, in)
	if err != nil {
		return err
	}
	w.Version, w.UpdatedAt = w.Version+1, s.Now()
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		actor, err := account.StillMay(ctx, tx, actor, account.ManageWorkspaces, id)
		if err != nil {
			return err
		}
		if err := s.stillApplies(actor, &seen.Workspace, &w, seen.Variables, variables); err != nil {
			return err
		}
		saved, err := db.SaveWorkspace(ctx, tx, &w, in.Version)
		if err != nil {
			return nameTaken(err)
		}
		if !saved {
			return fault.ErrStale
		}
		if err := db.SaveVariables(ctx, tx, id, variables); err != nil {
			return err
		}
		was, is := described(&seen.Workspace, seen.Variables), described(&w, variables)
		account.Differences(was, is)
		return s.audit(ctx, tx, actor, "workspace.update", &w, was, is)
	})
	return fault.Wrap(err, "update workspace %s", id)
}

// Remove takes a workspace out of use. Its automations stay, and their runs fail saying so.
func (s *Service) Remove(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	w, err := account.MemberWorkspace(ctx, s.DB, actor, id)
	if err != nil {
		return err
	}
	if !actor.Can(account.ManageWorkspaces) {
		return fault.ErrForbidden
	}
	variables, err := db.VariablesOf(ctx, s.DB, id)
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := account.StillMay(ctx, tx, actor, account.ManageWorkspaces, id); err != nil {
			return err
		}
		if err := db.MarkWorkspaceRemoved(ctx, tx, id, s.Now()); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "workspace.remove", w, described(w, variables), nil)
	})
	return fault.Wrap(err, "remove workspace %s", id)
}

func nameTaken(err error) error {
	if db.Conflict(err) == "workspaces_name" {
		return fault.Invalid{"name": "There is a workspace of this name already."}
	}
	return err
}

func (s *Service) audit(ctx context.Context, q bun.IDB, actor account.Actor, action string, w *db.Workspace,
	before, after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "workspace", SubjectID: w.ID,
		SubjectName: w.Name,
		WorkspaceID: w.ID, Before: before, After: after,
	})
}

// described is what the audit log keeps of a workspace. Of secrets it is a fingerprint of what is sealed: it
// says that one was changed, and nothing of what it is.
func described(w *db.Workspace, variables []db.Variable) map[string]any {
	sealed := func(b []byte) string {
		if b == nil {
			return ""
		}
		return secret.StoredAs(b)
	}
	names := map[string]any{}
	for _, v := range variables {
		names[v.Name] = v.Value
		if v.Secret {
			names[v.Name] = sealed(v.Sealed)
		}
	}
	return map[string]any{
		"name": w.Name, "git_url": redactedURL(w.GitURL), "default_branch": w.DefaultBranch, "forge": w.Forge,
		"forge_base": w.ForgeBase, "provider": w.Provider, "model": w.Model, "sandbox": w.Sandbox, "offline": w.Offline,
		"shows": w.Shows, "idle_days": w.IdleDays,
		"token": sealed(w.TokenSealed), "forge_secret": sealed(w.ForgeSecret), "variables": names,
	}
}

// redactedURL is an address without the password in it, if there is one.
func redactedURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}

// AddMember lets a person see and use a workspace.
func (s *Service) AddMember(ctx context.Context, actor account.Actor, id, person uuid.UUID) error {
	return s.changeMembers(ctx, actor, id, person, "workspace.add_member", db.AddMember)
}

// RemoveMember takes a person's access to a workspace away. Their automations there fail from then on, saying so.
func (s *Service) RemoveMember(ctx context.Context, actor account.Actor, id, person uuid.UUID) error {
	return s.changeMembers(ctx, actor, id, person, "workspace.remove_member", db.RemoveMember)
}

func (s *Service) changeMembers(ctx context.Context, actor account.Actor, id, person uuid.UUID, action string,
	change func(context.Context, bun.IDB, uuid.UUID, uuid.UUID) error) error {
	w, err := account.MemberWorkspace(ctx, s.DB, actor, id)
	if err != nil {
		return err
	}
	if !actor.Can(account.ManageWorkspaces) {
		return fault.ErrForbidden
	}
	u, err := db.UserByID(ctx, s.DB, person)
	if db.IsNotFound(err) {
		return fault.Invalid{"user": "Choose a person from the list."}
	}
	if err != nil {
		return err
	}
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := account.StillMay(ctx, tx, actor, account.ManageWorkspaces, id); err != nil {
			return err
		}
		if err := change(ctx, tx, id, person); err != nil {
			return err
		}
		event := db.AuditEvent{
			ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "workspace", SubjectID: id,
			SubjectName: w.Name,
			WorkspaceID: id, After: map[string]any{"member": u.Name, "user_id": person.String()},
		}
		if action == "workspace.remove_member" {
			event.Before, event.After = event.After, nil
		}
		return db.AddAudit(ctx, tx, event)
	})
}

// Check looks at a workspace's repository now. It returns what is wrong, or nothing.
func (s *Service) Check(ctx context.Context, actor account.Actor, id uuid.UUID) (string, error) {
	w, err := account.MemberWorkspace(ctx, s.DB, actor, id)
	if err != nil {
		return "", err
	}
	if !actor.Can(account.ManageWorkspaces) {
		return "", fault.ErrForbidden
	}
	if w.GitURL == "" {
		return "", nil
	}
	e, err := s.Environment(ctx, w)
	if err != nil {
		return "", err
	}
	_, problems := s.Probe(ctx, Remote{URL: w.GitURL, Token: e.Token, Branch: w.DefaultBranch, Anywhere: w.Anywhere})
	return strings.Join(slices.Sorted(maps.Values(problems)), " "), nil
}
