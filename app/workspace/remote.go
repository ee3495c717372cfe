package workspace

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Remote is the repository that a workspace mirrors.
type Remote struct {
	// URL is what CheckURL accepts.
	URL string
	// Token is for http and https: an access token, or "user:password" where a forge wants a name with it.
	Token string
	// Branch is the default branch of the workspace. Empty: the remote's own.
	Branch string
}

var (
	// ErrUnreachable says that the remote gave no answer, or none that makes sense.
	ErrUnreachable = errors.New("the repository cannot be reached")
	// ErrCredentials says that the remote wants a token or key, or refuses the one it got.
	ErrCredentials = errors.New("the repository refuses the credentials")
	// ErrNotRepository says that there is no repository at the URL, or none that these credentials may see.
	ErrNotRepository = errors.New("there is no repository at this URL")
	// ErrMoved says that the remote answers with a redirect, which is not followed with a token at hand.
	ErrMoved = errors.New("the repository has moved to another URL")
	// ErrRejected says that the remote did not take a push: its branch has other commits, or a rule forbids it.
	ErrRejected = errors.New("the repository did not take the push")
)

// NoBranch says that a repository has no branch of that name.
type NoBranch struct {
	// Repository is the repository's short name, for a person; may be empty.
	Repository string
	Branch     string
	// Near is the branch that was probably meant; may be empty.
	Near string
}

func (e *NoBranch) Error() string {
	name := e.Repository
	if name == "" {
		name = "The repository"
	}
	text := fmt.Sprintf("%s has no branch “%s”.", name, e.Branch)
	if e.Near != "" {
		text += fmt.Sprintf(" Did you mean %s?", e.Near)
	}
	return text
}

// scpLike is git@host:path, the form that forges show.
var scpLike = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([^:].*)$`)

// BadURL is what is wrong with a repository's URL: whole sentences for a person, never with a secret in them.
type BadURL string

func (e BadURL) Error() string { return string(e) }

// CheckURL says what is wrong with a repository's URL; the error is a BadURL. It accepts https, http and
// ssh URLs, git@host:path, and the absolute path of a folder on the server, also as a file URL.
func CheckURL(raw string) error {
	switch {
	case raw == "":
		return BadURL("Give the repository's URL.")
	case strings.TrimSpace(raw) != raw:
		return BadURL("The URL starts or ends with a space.")
	case len(raw) > 2000:
		return BadURL("The URL is too long.")
	case strings.IndexFunc(raw, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) >= 0:
		return BadURL("The URL has a control character in it.")
	case strings.HasPrefix(raw, "-"):
		return BadURL("A URL cannot start with a dash.")
	case strings.HasPrefix(raw, "/"):
		return nil
	}
	scheme, _, hasScheme := strings.Cut(raw, "://")
	if before, _, ok := strings.Cut(raw, "::"); ok && !strings.ContainsAny(before, "/@[") {
		return BadURL(fmt.Sprintf("“%s::” would run a program. Use an https or ssh URL.", before))
	}
	if !hasScheme {
		if m := scpLike.FindStringSubmatch(raw); m != nil {
			if strings.HasPrefix(m[1], "-") || strings.HasPrefix(m[3], "-") {
				return BadURL("Neither the user nor the path can start with a dash.")
			}
			if before, _, _ := strings.Cut(m[3], "/"); m[1] == "" && strings.Contains(before, "@") {
				return BadURL("The URL has a password in it. Remove it: ssh signs in with the server's key.")
			}
			return nil
		}
		return BadURL("Write a whole URL, such as https://example.com/team/project.git, git@example.com:team/project.git, or an absolute path on the server.")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return BadURL("That is not a URL. It looks like https://example.com/team/project.git.")
	}
	switch strings.ToLower(scheme) {
	case "http", "https":
		if u.User != nil {
			return BadURL("The URL has a user or password in it. Remove it, and put the token in its own field.")
		}
		if u.RawQuery != "" || u.Fragment != "" {
			return BadURL("The URL of a repository has no “?” or “#”.")
		}
	case "ssh":
		if _, has := u.User.Password(); has {
			return BadURL("The URL has a password in it. Remove it: ssh signs in with the server's key.")
		}
		if strings.HasPrefix(u.User.Username(), "-") {
			return BadURL("The user cannot start with a dash.")
		}
	case "file":
		if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return BadURL("A file URL has three slashes and an absolute path: file:///srv/git/project.git.")
		}
		return nil
	default:
		return BadURL(fmt.Sprintf("Repositories are reached by https, http, ssh or a path, not by “%s”.", scheme))
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return BadURL("The URL names no host.")
	}
	if strings.Trim(u.Path, "/") == "" {
		return BadURL("The URL names a host and no repository.")
	}
	return nil
}

// Probe asks a remote for its branches, for a form. Default is the branch that its HEAD names, empty when it
// has none. Errors to tell apart: ErrUnreachable, ErrCredentials, ErrNotRepository, ErrMoved, and *NoBranch when
// r.Branch is given and not there (the branches are returned with it). An empty repository has no branches.
func (s *Store) Probe(ctx context.Context, r Remote) (string, []string, error) {
	refs, err := s.ask(ctx, r)
	if err != nil {
		return "", nil, err
	}
	return refs.standard, refs.names(), refs.want(r)
}

// remoteRefs are the branches of a remote.
type remoteRefs struct {
	heads    map[string]string // branch to commit
	standard string            // the branch that HEAD names; empty when detached or unborn
	detached string            // the commit of a HEAD that is on no branch
	url      string            // the URL that answered
}

func (r *remoteRefs) names() []string {
	names := make([]string, 0, len(r.heads))
	for name := range r.heads {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// want is *NoBranch when the remote lacks the branch that its workspace names. An empty repository lacks none.
func (r *remoteRefs) want(remote Remote) error {
	if remote.Branch == "" || len(r.heads) == 0 && r.detached == "" || r.heads[remote.Branch] != "" {
		return nil
	}
	return &NoBranch{Repository: remote.name(), Branch: remote.Branch, Near: near(remote.Branch, r.standard, r.names())}
}

func (s *Store) ask(ctx context.Context, r Remote) (*remoteRefs, error) {
	at, err := s.locate(r)
	if err != nil {
		return nil, err
	}
	list := func(at string) ([]byte, error) {
		return s.git(ctx, call{
			args:    []string{"ls-remote", "--quiet", "--symref", "--", at, "HEAD", "refs/heads/*"},
			env:     r.credentials(),
			secrets: r.secrets(),
		})
	}
	out, err := list(at)
	if err = remoteError(err); errors.Is(err, ErrMoved) && !strings.HasSuffix(at, ".git") {
		// Some forges redirect from the short form of the URL, on the same host.
		if again, err2 := list(at + ".git"); err2 == nil {
			at, out, err = at+".git", again, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for its branches: %w", r.name(), err)
	}
	refs := &remoteRefs{heads: map[string]string{}, url: at}
	headSHA := ""
	for line := range strings.Lines(cleanText(string(out))) {
		value, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch target, symbolic := strings.CutPrefix(value, "ref: refs/heads/"); {
		case symbolic && name == "HEAD":
			refs.standard = target
		case name == "HEAD" && isSHA(value):
			headSHA = value
		case strings.HasPrefix(name, "refs/heads/") && isSHA(value) && name != "refs/heads/HEAD":
			refs.heads[strings.TrimPrefix(name, "refs/heads/")] = value
		}
	}
	if refs.standard != "" && refs.heads[refs.standard] == "" {
		refs.standard = ""
	}
	if refs.standard == "" && headSHA != "" {
		refs.detached = headSHA
	}
	return refs, nil
}

// locate checks the URL and refuses the data folder: it holds other people's workspaces.
func (s *Store) locate(r Remote) (string, error) {
	if err := CheckURL(r.URL); err != nil {
		return "", err
	}
	folder := ""
	if strings.HasPrefix(r.URL, "/") {
		folder = r.URL
	} else if strings.HasPrefix(strings.ToLower(r.URL), "file:") {
		u, err := url.Parse(r.URL)
		if err != nil {
			return "", err
		}
		folder = u.Path
	}
	if folder == "" {
		return r.URL, nil
	}
	real, root := filepath.Clean(folder), s.root()
	if resolved, err := filepath.EvalSymlinks(real); err == nil {
		real = resolved
	}
	if resolved, err := filepath.EvalSymlinks(root); err == nil {
		root = resolved
	}
	if real == root || strings.HasPrefix(real, root+string(filepath.Separator)) {
		return "", fmt.Errorf("%w: Carillon keeps its own data in that folder", ErrNotRepository)
	}
	return r.URL, nil
}

// name is the repository's short name: the last part of its URL.
func (r Remote) name() string {
	at := strings.TrimRight(r.URL, "/")
	at = at[strings.LastIndexAny(at, "/:")+1:]
	if name := strings.TrimSuffix(at, ".git"); name != "" {
		return name
	}
	return path.Base(path.Dir(r.URL))
}

// web is whether the remote is reached by http or https, where a token can be sent.
func (r Remote) web() bool {
	scheme, _, ok := strings.Cut(strings.ToLower(r.URL), "://")
	return ok && (scheme == "http" || scheme == "https")
}

// credentials hands the token to git by its environment: an argument shows in the list of processes, and a
// file stays behind. The header is for the remote's host alone, and redirects are not followed, because git
// would send the header along to wherever it is redirected.
func (r Remote) credentials() []string {
	if r.Token == "" || !r.web() {
		return nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil
	}
	return []string{
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=http." + u.Scheme + "://" + u.Host + "/.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic " + r.basic(),
		"GIT_CONFIG_KEY_1=http.followRedirects",
		"GIT_CONFIG_VALUE_1=false",
	}
}

func (r Remote) basic() string {
	login := r.Token
	if !strings.Contains(login, ":") {
		login = "x-access-token:" + login // forges that take a bare token ignore the name beside it
	}
	return base64.StdEncoding.EncodeToString([]byte(login))
}

func (r Remote) secrets() []string {
	if r.Token == "" {
		return nil
	}
	_, password, _ := strings.Cut(r.Token, ":")
	return []string{r.basic(), r.Token, password}
}

// symptoms are git's words by which a remote's failure is known, in the order of asking.
var symptoms = []struct {
	kind  error
	words []string
}{
	{ErrCredentials, []string{
		"authentication failed", "could not read username", "could not read password", "terminal prompts disabled",
		"permission denied (", "returned error: 401", "returned error: 403", "access denied", "invalid username or",
		"permission to ", "invalid credentials",
	}},
	{ErrMoved, []string{"returned error: 301", "returned error: 302", "returned error: 303", "returned error: 307", "returned error: 308"}},
	{ErrNotRepository, []string{
		"not found", "does not appear to be a git repository", "not a git repository", "is this a git repository",
		"does not exist", "returned error: 404", "returned error: 410", "could not be found", "no such file or directory",
	}},
	{ErrRejected, []string{"[rejected]", "[remote rejected]", "non-fast-forward", "failed to push some refs", "pre-receive hook declined"}},
	{ErrUnreachable, []string{
		"could not resolve", "unable to access", "unable to connect", "connection refused", "connection reset", "connection closed",
		"timed out", "timeout", "no route to host", "network is unreachable", "host key verification failed",
		"could not read from remote repository", "the remote end hung up", "early eof", "unexpected disconnect", "expected flush",
		"invalid server response", "unable to look up", "protocol error",
	}},
}

// remoteError names the kind of a failure at a remote and keeps git's own words. Nil stays nil.
func remoteError(err error) error {
	var f *failure
	if !errors.As(err, &f) || errors.Is(err, ErrDiskFull) || errors.Is(err, ErrKilled) || errors.Is(err, ErrLocked) || f.said == "" {
		return err
	}
	words := strings.ToLower(f.said)
	for _, s := range symptoms {
		for _, w := range s.words {
			if strings.Contains(words, w) {
				return fmt.Errorf("%w: %s", s.kind, f.words)
			}
		}
	}
	return err
}

// near is the branch that a person who wrote name probably meant.
func near(name, standard string, names []string) string {
	best, distance := "", max(1, min(3, len(name)/2))+1
	for _, n := range names {
		d := edits(strings.ToLower(name), strings.ToLower(n))
		if d < distance || d == distance && n == standard {
			best, distance = n, d
		}
	}
	if best == "" && (name == "main" || name == "master") {
		best = standard
	}
	return best
}

// edits is how many letters must be put in, left out or changed to get from a to b, two swapped ones counting
// once.
func edits(a, b string) int {
	if len(a) > 200 || len(b) > 200 {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
