package workspace

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/form"
	"carillon/db"
)

// Forge is where a workspace's repository has its pull requests.
type Forge struct {
	Kind       forge.Kind
	Base       string // web address, as forge.Client wants it
	Repository string // as the forge names it
}

// ForgeOf finds the forge of a workspace, by its settings and by its repository's address. It is not ok for a
// repository that is on no forge that is known, such as a folder.
func ForgeOf(w *db.Workspace) (Forge, bool) {
	public, ok := forge.Detect(w.GitURL)
	if ok && w.ForgeBase == "" && (w.Forge == "" || forge.Kind(w.Forge) == public.Forge) {
		return Forge{public.Forge, public.Base, public.Name}, true
	}
	if w.Forge == "" {
		return Forge{}, false
	}
	f := Forge{Kind: forge.Kind(w.Forge), Base: w.ForgeBase}
	if f.Base == "" {
		f.Base = hostOf(w.GitURL)
	}
	f.Repository, ok = forge.RepositoryAt(f.Kind, f.Base, w.GitURL)
	return f, ok
}

// hostOf is the web address of the host of a repository, also of one reached by ssh.
func hostOf(gitURL string) string {
	if u, err := url.Parse(gitURL); err == nil && u.Host != "" {
		if u.Scheme == "http" || u.Scheme == "https" {
			return u.Scheme + "://" + u.Host
		}
		return "https://" + u.Hostname()
	}
	host, _, ok := strings.Cut(gitURL, ":")
	if !ok || strings.Contains(host, "/") {
		return ""
	}
	return "https://" + host[strings.LastIndex(host, "@")+1:]
}

// Has reports whether a pull request whose address was read from text is on this forge, and hands it back with the
// repository's name as this forge has it.
func (f Forge) Has(p forge.PullRequest) (forge.PullRequest, bool) {
	base, err := url.Parse(f.Base)
	if err != nil {
		return p, false
	}
	at, err := url.Parse(p.URL)
	if err != nil || p.Forge != f.Kind || !strings.EqualFold(at.Host, base.Host) {
		return p, false
	}
	if folder := strings.Trim(base.Path, "/"); folder != "" && f.Kind == forge.GitLab {
		// which text cannot tell from a group
		rest, ok := strings.CutPrefix(p.Repository, folder+"/")
		if !ok {
			return p, false
		}
		p.Repository = rest
	}
	return p, true
}

// Owns reports whether a pull request is of the workspace's own repository, by its name alone.
func (f Forge) Owns(p forge.PullRequest) bool {
	return p.Forge == f.Kind && strings.EqualFold(p.Repository, f.Repository)
}

// Key names a pull request of the workspace's own repository, whatever the forge calls its own host.
func (f Forge) Key(p forge.PullRequest) string {
	if f.Owns(p) {
		p.URL = f.Base
	}
	return p.Key()
}

// PullRequestProblem says what keeps Carillon from opening pull requests in a workspace, as a sentence, or nothing.
func PullRequestProblem(w *db.Workspace) string {
	if _, ok := ForgeOf(w); !ok {
		return "Carillon does not know on which forge the repository of this workspace is. Choose it in the " +
			"workspace’s settings."
	}
	if w.TokenSealed == nil {
		return "The workspace has no access token, which the forge’s API wants. Add one in the workspace’s settings."
	}
	return ""
}

// minForgeSecret is the fewest characters of a webhook secret.
const minForgeSecret = 16

// applyForge puts what a person typed about the forge into a workspace.
func (s *Service) applyForge(w *db.Workspace, in Input, bad fault.Invalid) {
	w.Forge = strings.TrimSpace(in.Forge)
	w.ForgeBase = strings.TrimRight(form.Line(bad, "forge_base", "", in.ForgeBase, 500, false), "/")
	kind := forge.Kind(w.Forge)
	switch base, err := url.Parse(w.ForgeBase); {
	case w.Forge != "" && !kind.Valid():
		bad["forge"] = "Choose a forge from the list."
	case w.ForgeBase == "":
	case w.Forge == "":
		bad["forge"] = "Choose which forge is at this address."
	case err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil ||
		base.RawQuery != "" || base.Fragment != "":
		bad["forge_base"] = "Write the forge's web address, such as https://git.example.com."
	}
	if _, ok := ForgeOf(w); !ok && w.Forge != "" && bad["forge"] == "" && bad["forge_base"] == "" && bad["url"] == "" {
		bad["forge"] = fmt.Sprintf(
			"The repository's address does not look like one of %s. Check it, or the forge's address.", kind.Name())
	}
	secret := strings.TrimSpace(in.ForgeSecret)
	switch {
	case in.ForgetForgeSecret:
		w.ForgeSecret = nil
	case secret == "":
	case utf8.RuneCountInString(secret) < minForgeSecret || len(secret) > 500:
		bad["forge_secret"] = fmt.Sprintf(
			"Use at least %d characters, and at most 500: whoever has it can close sessions.", minForgeSecret)
	default:
		w.ForgeSecret = s.Keys.Seal(secret, "forge secret "+w.ID.String())
	}
}

// ForgeHook finds a workspace for a webhook of its forge, with the secret to verify it by, which is empty when there is
// none. It returns fault.ErrNotFound for one that is not there or was removed.
func (s *Service) ForgeHook(ctx context.Context, id uuid.UUID) (*db.Workspace, string, error) {
	w, err := db.WorkspaceByID(ctx, s.DB, id)
	if db.IsNotFound(err) || err == nil && !w.RemovedAt.IsZero() {
		return nil, "", fault.ErrNotFound
	}
	if err != nil || w.ForgeSecret == nil {
		return w, "", err
	}
	secret, err := s.Keys.Open(w.ForgeSecret, "forge secret "+id.String())
	return w, secret, fault.Wrap(err, "open the webhook secret of workspace %s", id)
}
