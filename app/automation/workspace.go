package automation

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/secret"
	"carillon/app/shell"
	"carillon/db"
)

// Remote is a Git repository to look at: the address, an access token or none, and a branch or none. Anywhere is that
// of the workspace.
type Remote struct {
	URL, Token, Branch string
	Anywhere           bool
}

// WorkspaceInput is a workspace as a person typed it.
type WorkspaceInput struct {
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
	IdleDays  string          `form:"idle_days"`
	Variables []VariableInput `form:"variables"`
	Version   int64           `form:"version"`
}

// TypedWorkspace is a workspace as it is, for somebody who changes it.
func TypedWorkspace(d *WorkspaceDetail) WorkspaceInput {
	in := WorkspaceInput{
		Name: d.Name, GitURL: d.GitURL, DefaultBranch: d.DefaultBranch, Provider: d.Provider, Model: d.Model,
		Version: d.Version, Sandbox: d.Sandbox, Offline: d.Offline, Shows: d.Shows, Forge: d.Forge,
		ForgeBase: d.ForgeBase,
	}
	if d.IdleDays != 0 {
		in.IdleDays = strconv.Itoa(d.IdleDays)
	}
	for _, v := range d.Variables {
		in.Variables = append(in.Variables, VariableInput{Name: v.Name, Value: v.Value, Secret: v.Secret})
	}
	return in
}

// NewWorkspace is what the form of a new workspace begins with.
func (s *Service) NewWorkspace(ctx context.Context) WorkspaceInput {
	return WorkspaceInput{Sandbox: s.Sandboxed != nil && s.Sandboxed(ctx)}
}

// VariableInput is one variable as a person typed it. The value of a secret that stays empty is the one stored.
type VariableInput struct {
	Name, Value string
	Secret      bool
}

// ScratchName is the workspace that every newcomer starts with.
const ScratchName = "Scratch"

// EnsureScratch makes the workspace Scratch if there is none, and never was.
func (s *Service) EnsureScratch(ctx context.Context) error {
	sandbox := s.NewWorkspace(ctx).Sandbox
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

// Workspaces lists the workspaces that a person is a member of; an administrator's are all.
func (s *Service) Workspaces(ctx context.Context, actor account.Actor) ([]db.Workspace, error) {
	member := actor.ID
	if actor.Can(account.Admin) {
		member = uuid.Nil
	}
	return db.Workspaces(ctx, s.DB, member)
}

// WorkspaceDetail is a workspace with what belongs to it. Secret values are not in it.
type WorkspaceDetail struct {
	db.Workspace
	Variables []db.Variable
	Members   []db.User
	HasToken  bool
}

// Workspace finds a workspace that a person is a member of.
func (s *Service) Workspace(ctx context.Context, actor account.Actor, id uuid.UUID) (*WorkspaceDetail, error) {
	w, err := account.MemberWorkspace(ctx, s.DB, actor, id)
	if err != nil {
		return nil, err
	}
	d := &WorkspaceDetail{Workspace: *w, HasToken: w.TokenSealed != nil}
	if d.Variables, err = db.VariablesOf(ctx, s.DB, id); err != nil {
		return nil, err
	}
	d.Members, err = db.MembersOf(ctx, s.DB, id)
	return d, err
}

// CreateWorkspace makes a workspace, after looking at its repository. The actor becomes a member.
func (s *Service) CreateWorkspace(ctx context.Context, actor account.Actor, in WorkspaceInput) (*db.Workspace, error) {
	if !actor.Can(account.ManageWorkspaces) {
		return nil, fault.ErrForbidden
	}
	now := s.Now()
	w := &db.Workspace{ID: db.NewID(), CreatedBy: actor.ID, CreatedAt: now, UpdatedAt: now, Version: 1}
	variables, err := s.applyWorkspaceInput(ctx, actor, w, nil, in)
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
		return s.auditWorkspace(ctx, tx, actor, "workspace.create", w, nil, describedWorkspace(w, variables))
	})
	return w, fault.Wrap(err, "create workspace")
}

// UpdateWorkspace changes a workspace. It returns fault.ErrStale when someone else saved it meanwhile.
func (s *Service) UpdateWorkspace(ctx context.Context, actor account.Actor, id uuid.UUID, in WorkspaceInput) error {
	seen, err := s.Workspace(ctx, actor, id)
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
	variables, err := s.applyWorkspaceInput(ctx, actor, &w, seen.Variables, in)
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
		was, is := describedWorkspace(&seen.Workspace, seen.Variables), describedWorkspace(&w, variables)
		account.Differences(was, is)
		return s.auditWorkspace(ctx, tx, actor, "workspace.update", &w, was, is)
	})
	return fault.Wrap(err, "update workspace %s", id)
}

// RemoveWorkspace takes a workspace out of use. Its automations stay, and their runs fail saying so.
func (s *Service) RemoveWorkspace(ctx context.Context, actor account.Actor, id uuid.UUID) error {
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
		return s.auditWorkspace(ctx, tx, actor, "workspace.remove", w, describedWorkspace(w, variables), nil)
	})
	return fault.Wrap(err, "remove workspace %s", id)
}

func nameTaken(err error) error {
	if db.Conflict(err) == "workspaces_name" {
		return fault.Invalid{"name": "There is a workspace of this name already."}
	}
	return err
}

func (s *Service) auditWorkspace(ctx context.Context, q bun.IDB, actor account.Actor, action string, w *db.Workspace,
	before, after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "workspace", SubjectID: w.ID,
		SubjectName: w.Name,
		WorkspaceID: w.ID, Before: before, After: after,
	})
}

// describedWorkspace is what the audit log keeps of a workspace. Of secrets it is a fingerprint of what is sealed: it
// says that one was changed, and nothing of what it is.
func describedWorkspace(w *db.Workspace, variables []db.Variable) map[string]any {
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

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// applyWorkspaceInput puts what a person typed into a workspace, or says what is wrong with it.
func (s *Service) applyWorkspaceInput(ctx context.Context, actor account.Actor, w *db.Workspace, stored []db.Variable,
	in WorkspaceInput) ([]db.Variable, error) {
	bad := fault.Invalid{}
	formerURL := w.GitURL
	before := tokenGoesTo(w)
	w.Name = form.Name(bad, "name", "Give the workspace a name.", in.Name, 100)
	w.Provider = form.Line(bad, "provider", "", in.Provider, 100, false)
	w.Model = form.Line(bad, "model", "", in.Model, 200, false)
	w.Sandbox, w.Offline = in.Sandbox, in.Sandbox && in.Offline
	s.applyShows(actor, w, in.Shows, bad)
	w.IdleDays = form.Whole(bad, "idle_days", in.IdleDays, 0, 1, 3650)
	if _, ok := s.provider(w.Provider); !ok && w.Provider != "" {
		bad["provider"] = fmt.Sprintf("There is no provider %s here.", w.Provider)
	}
	variables := s.applyVariables(actor, w.ID, stored, in.Variables, bad)

	own := w.DefaultBranch != "" && w.GitURL == "" // a saved one whose repository Carillon makes itself
	w.GitURL = form.Line(bad, "url", "Write where the repository is.", in.GitURL, 2000, !own)
	if w.GitURL != formerURL {
		w.Anywhere = false
		if s.needsAdmin(w) && !actor.Can(account.Admin) {
			bad["url"] = notShared
		}
	}
	w.DefaultBranch = form.Line(bad, "branch", "", in.DefaultBranch, 250, false)
	s.applyForge(w, in, bad)
	token := strings.TrimSpace(in.Token)
	switch {
	case in.ForgetToken:
		w.TokenSealed = nil
	case token != "":
		w.TokenSealed = s.Keys.Seal(token, "token "+w.ID.String())
	case w.TokenSealed != nil && strangers(before, tokenGoesTo(w)) != "":
		bad["token"] = fmt.Sprintf("The stored token was not meant for %s. Type the one for there, or remove it.",
			strangers(before, tokenGoesTo(w)))
	case w.TokenSealed != nil:
		var err error
		if token, err = s.Keys.Open(w.TokenSealed, "token "+w.ID.String()); err != nil {
			bad["token"] = "The stored token cannot be read with this server's secret. Type it again."
		}
	}
	if w.GitURL == "" {
		if w.DefaultBranch == "" {
			w.DefaultBranch = "main"
		}
	} else if len(bad) == 0 {
		branch, problems := s.Probe(ctx, Remote{
			URL: w.GitURL, Token: token, Branch: w.DefaultBranch, Anywhere: w.Anywhere,
		})
		for field, problem := range problems {
			bad[field] = problem
		}
		if w.DefaultBranch == "" {
			w.DefaultBranch = branch
		}
	}
	if len(bad) > 0 {
		return nil, bad
	}
	return variables, nil
}

// stillApplies asks once more for what applyWorkspaceInput asked of the actor, since the repository's server was waited
// for meanwhile.
func (s *Service) stillApplies(actor account.Actor, before, w *db.Workspace, stored, variables []db.Variable) error {
	bad := fault.Invalid{}
	if w.GitURL != before.GitURL && s.needsAdmin(w) && !actor.Can(account.Admin) {
		bad["url"] = notShared
	}
	if w.Shows != before.Shows && !actor.Can(account.ManageSettings) {
		bad["shows"] = showsNeeds
	}
	for i, v := range variables {
		if !maySet(actor, stored, v) {
			bad[fmt.Sprintf("variables.%d", i)] = v.Name + steering
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// needsAdmin reports whether a workspace's repository is a folder of the server that administrators alone may name.
func (s *Service) needsAdmin(w *db.Workspace) bool {
	folder := localFolder(w.GitURL)
	return folder != "" && !s.sharedFolder(folder)
}

// What a workspace may be shown of the machine, at most.
const (
	mostShows   = 30  // paths
	longestShow = 500 // bytes of one
)

// showsNeeds says why paths of the machine are refused, whatever they are.
const showsNeeds = "What sandboxes show of the machine is set by who may change the installation’s settings."

// applyShows puts the paths of the machine into a workspace that its sandbox shows. They may be anything that the
// server's user can read, so they are set by who may change the settings of the installation. Others leave them as they
// are.
func (s *Service) applyShows(actor account.Actor, w *db.Workspace, typed string, bad fault.Invalid) {
	var list []string
	seen := form.Seen{}
	for line := range strings.Lines(typed) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		clean := path.Clean(line)
		switch {
		case !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) || len(line) > longestShow:
			bad["shows"] = fmt.Sprintf("A path is over %d bytes long, or has characters that cannot be shown.",
				longestShow)
		case clean == "~" || clean == "/" || !path.IsAbs(clean) && !strings.HasPrefix(clean, "~/"):
			bad["shows"] = line + " is no path below / or ~/. Write one such as ~/.npmrc or /opt/tools."
		case s.Conceals != nil && s.Conceals(clean) != "":
			bad["shows"] = fmt.Sprintf("%s cannot be shown: %s.", line, s.Conceals(clean))
		case seen.Add(clean):
			list = append(list, clean)
		}
	}
	if len(list) > mostShows {
		bad["shows"] = form.TooMany(len(list), "paths", mostShows)
	}
	text := strings.Join(list, "\n")
	switch {
	case actor.Can(account.ManageSettings):
		w.Shows = text
	case text != "" && text != w.Shows:
		bad["shows"] = showsNeeds
	}
}

// notShared says why a folder is refused, whether or not it is there.
const notShared = "A folder of the server is given by administrators alone, except below those that " +
	"CARILLON_LOCAL_REPOSITORIES names."

// localFolder is the folder of the server that a repository's address names, or "" where it names none.
func localFolder(address string) string {
	if strings.HasPrefix(address, "/") {
		return address
	}
	if !strings.HasPrefix(strings.ToLower(address), "file:") {
		return ""
	}
	if u, err := url.Parse(address); err == nil && u.Path != "" {
		return u.Path
	}
	return address // which is no address, and no shared folder
}

// sharedFolder reports whether a folder lies below one that everybody who manages workspaces may name, where links lead
// in both.
func (s *Service) sharedFolder(folder string) bool {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.LocalRepositories, func(shared string) bool {
		root, err := filepath.EvalSymlinks(shared)
		below, relErr := filepath.Rel(root, real)
		return err == nil && relErr == nil && below != "." && filepath.IsLocal(below)
	})
}

// tokenGoesTo lists the servers that get the access token of a workspace. A stored one goes to no other: who may change
// the address of a repository does not thereby learn the token that somebody else has typed.
func tokenGoesTo(w *db.Workspace) []string {
	var list []string
	if u, err := url.Parse(w.GitURL); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		list = append(list, u.Scheme+"://"+strings.ToLower(u.Host))
	}
	if f, ok := ForgeOf(w); ok {
		if u, err := url.Parse(f.Base); err == nil {
			list = append(list, u.Scheme+"://"+strings.ToLower(u.Host))
		}
	}
	return list
}

// strangers names the servers that are in a list and were not in another.
func strangers(before, now []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(now), func(o string) bool {
		return slices.Contains(before, o)
	}), " and ")
}

// mostVariables is how many variables a workspace has at most.
const mostVariables = 500

// applyVariables makes a workspace's variables of what a person typed. Those that steer programs are set and changed by
// who may run commands; others leave them as they are, or take them out.
func (s *Service) applyVariables(actor account.Actor, workspace uuid.UUID, stored []db.Variable, in []VariableInput,
	bad fault.Invalid) []db.Variable {
	var list []db.Variable
	if len(in) > mostVariables && len(in) > len(stored) {
		bad[fmt.Sprintf("variables.%d", mostVariables)] = form.TooMany(len(in), "variables", mostVariables)
		return nil
	}
	seen := form.Seen{}
	for i, v := range in {
		name := strings.TrimSpace(v.Name)
		if name == "" && v.Value == "" {
			continue
		}
		field := fmt.Sprintf("variables.%d", i)
		row := db.Variable{WorkspaceID: workspace, Name: name, Secret: v.Secret}
		switch {
		case !variableName.MatchString(name):
			bad[field] = "A name has letters, digits and underscores, and does not begin with a digit."
		case shell.Own(name):
			bad[field] = name + " is set by Carillon itself. Choose another name."
		case !seen.Add(name):
			bad[field] = name + " is there twice."
		case len(v.Value) > 64<<10 || strings.ContainsRune(v.Value, 0) || !utf8.ValidString(v.Value):
			bad[field] = "The value is over 64 KiB, or not text."
		case !v.Secret:
			row.Value = v.Value
		case v.Value != "":
			row.Sealed = s.Keys.Seal(v.Value, "variable "+workspace.String()+" "+name)
		default:
			j := slices.IndexFunc(stored, func(o db.Variable) bool { return o.Name == name && o.Secret })
			if j < 0 {
				bad[field] = "Write the secret's value."
				break
			}
			row.Sealed = stored[j].Sealed
		}
		if bad[field] == "" && !maySet(actor, stored, row) {
			bad[field] = name + steering
		}
		list = append(list, row)
	}
	return list
}

// steering says why a variable is refused.
const steering = " decides which code runs, or to whom agents give their keys. To set it takes the permission " +
	"shell.use."

// maySet reports whether the actor may have a variable saved as it is.
func maySet(actor account.Actor, stored []db.Variable, v db.Variable) bool {
	return !shell.Steers(v.Name) || actor.Can(account.UseShell) || keeps(stored, v)
}

// keeps reports whether a variable is stored as it is. Of a secret that was typed again it cannot tell.
func keeps(stored []db.Variable, v db.Variable) bool {
	return slices.ContainsFunc(stored, func(o db.Variable) bool {
		return o.Name == v.Name && o.Secret == v.Secret && o.Value == v.Value && bytes.Equal(o.Sealed, v.Sealed)
	})
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

// CheckWorkspace looks at a workspace's repository now. It returns what is wrong, or nothing.
func (s *Service) CheckWorkspace(ctx context.Context, actor account.Actor, id uuid.UUID) (string, error) {
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

// Environment is what a session of a workspace gets, opened.
type Environment struct {
	Variables []string // NAME=value
	Secrets   []string // the values to keep out of what is shown
	Token     string   // for Git over https
}

// Environment opens the variables and the token of a workspace for a run.
func (s *Service) Environment(ctx context.Context, w *db.Workspace) (Environment, error) {
	var e Environment
	if w.TokenSealed != nil {
		token, err := s.Keys.Open(w.TokenSealed, "token "+w.ID.String())
		if err != nil {
			return e, fmt.Errorf("open the access token of workspace %s: %w", w.Name, err)
		}
		e.Token, e.Secrets = token, append(e.Secrets, token)
	}
	list, err := db.VariablesOf(ctx, s.DB, w.ID)
	if err != nil {
		return e, err
	}
	for _, v := range list {
		value := v.Value
		if v.Secret {
			if value, err = s.Keys.Open(v.Sealed, "variable "+w.ID.String()+" "+v.Name); err != nil {
				return e, fmt.Errorf("open the variable %s of workspace %s: %w", v.Name, w.Name, err)
			}
			e.Secrets = append(e.Secrets, value)
		}
		e.Variables = append(e.Variables, v.Name+"="+value)
	}
	return e, nil
}
