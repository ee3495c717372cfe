package workspace

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/shell"
	"carillon/db"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// apply puts what a person typed into a workspace, or says what is wrong with it.
func (s *Service) apply(ctx context.Context, actor account.Actor, w *db.Workspace, stored []db.Variable,
	in Input) ([]db.Variable, error) {
	bad := fault.Invalid{}
	formerURL := w.GitURL
	before := tokenHosts(w)
	w.Name = form.Name(bad, "name", "Give the workspace a name.", in.Name, 100)
	w.Provider = form.Line(bad, "provider", "", in.Provider, 100, false)
	w.Model = form.Line(bad, "model", "", in.Model, 200, false)
	w.Sandbox, w.Offline = in.Sandbox, in.Sandbox && in.Offline
	s.applyShows(actor, w, in.Shows, bad)
	w.IdleDays = form.Whole(bad, "idle_days", in.IdleDays, 0, 1, 3650)
	if _, ok := s.Providers.Find(w.Provider); !ok && w.Provider != "" {
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
	case w.TokenSealed != nil && newHosts(before, tokenHosts(w)) != "":
		bad["token"] = fmt.Sprintf("The stored token was not meant for %s. Type the one for there, or remove it.",
			newHosts(before, tokenHosts(w)))
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

// stillApplies asks once more for what apply asked of the actor, since the repository's server was waited
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

// tokenHosts lists the servers that get the access token of a workspace. A stored one goes to no other: who may change
// the address of a repository does not thereby learn the token that somebody else has typed.
func tokenHosts(w *db.Workspace) []string {
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

// newHosts names the servers that are in a list and were not in another.
func newHosts(before, now []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(now), func(o string) bool {
		return slices.Contains(before, o)
	}), " and ")
}

// mostVariables is how many variables a workspace has at most.
const mostVariables = 500

// applyVariables makes a workspace's variables of what a person typed. Those that steer programs are set and changed by
// who may run commands; others leave them as they are, or take them out.
func (s *Service) applyVariables(actor account.Actor, workspace uuid.UUID, stored []db.Variable, in []Variable,
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
