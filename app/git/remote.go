package git

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Remote is the repository that a workspace mirrors.
type Remote struct {
	// URL is what CheckURL accepts.
	URL string
	// Token is for http and https: an access token, or "user:password" where a forge wants a name with it.
	Token string
	// Anywhere lets Git go wherever the URL and redirects without a token lead: Store.Reach is not asked.
	Anywhere bool
	// Branch is the default branch of the workspace. Empty: the remote's own.
	Branch string
}

var (
	// ErrUnreachable says that the remote gave no answer, or no valid one.
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

// Probe asks a remote for its branches, for a form. Default is the branch that its HEAD names, empty when it
// has none. Errors to tell apart: ErrUnreachable, ErrCredentials, ErrNotRepository, ErrMoved, and *NoBranch when
// r.Branch is given and not there (the branches are returned with it). An empty repository has no branches.
func (s *Store) Probe(ctx context.Context, r Remote) (string, []string, error) {
	refs, err := s.runner().listRemote(ctx, r)
	if err != nil {
		return "", nil, err
	}
	return refs.defaultBranch, refs.names(), refs.checkBranch(r)
}

// remoteRefs are the branches of a remote.
type remoteRefs struct {
	heads         map[string]string // branch to commit
	defaultBranch string            // the branch that HEAD names; empty when detached or unborn
	detached      string            // the commit of a HEAD that is on no branch
	url           string            // the URL that answered
}

func (r *remoteRefs) names() []string {
	names := make([]string, 0, len(r.heads))
	for name := range r.heads {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// checkBranch returns *NoBranch when the remote lacks the branch that its workspace names. An empty repository lacks
// none.
func (r *remoteRefs) checkBranch(remote Remote) error {
	if remote.Branch == "" || len(r.heads) == 0 && r.detached == "" || r.heads[remote.Branch] != "" {
		return nil
	}
	near := similarBranch(remote.Branch, r.defaultBranch, r.names())
	return &NoBranch{Repository: remote.name(), Branch: remote.Branch, Near: near}
}

func (g *runner) listRemote(ctx context.Context, r Remote) (*remoteRefs, error) {
	at, err := g.remoteURL(r)
	if err != nil {
		return nil, err
	}
	env, err := g.remoteEnv(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its branches: %w", r.name(), err)
	}
	list := func(at string) ([]byte, error) {
		return g.run(ctx, call{
			args:    []string{"ls-remote", "--quiet", "--symref", "--", at, "HEAD", "refs/heads/*"},
			env:     env,
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
			refs.defaultBranch = target
		case name == "HEAD" && isSHA(value):
			headSHA = value
		case strings.HasPrefix(name, "refs/heads/") && isSHA(value) && name != "refs/heads/HEAD":
			refs.heads[strings.TrimPrefix(name, "refs/heads/")] = value
		}
	}
	if refs.defaultBranch != "" && refs.heads[refs.defaultBranch] == "" {
		refs.defaultBranch = ""
	}
	if refs.defaultBranch == "" && headSHA != "" {
		refs.detached = headSHA
	}
	return refs, nil
}

// remoteURL checks the URL and refuses the data folder: it holds other people's workspaces.
func (l layout) remoteURL(r Remote) (string, error) {
	if err := CheckURL(r.URL); err != nil {
		return "", err
	}
	folder := folderOf(r.URL)
	if folder == "" {
		return r.URL, nil
	}
	real, root := filepath.Clean(folder), l.root
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

// isHTTP is whether the remote is reached by http or https, where a token can be sent.
func (r Remote) isHTTP() bool {
	scheme, _, ok := strings.Cut(strings.ToLower(r.URL), "://")
	return ok && (scheme == "http" || scheme == "https")
}

// remoteEnv is the environment with which Git reaches a remote. It holds the token, because an argument would show in
// the list of processes and a file would stay behind; Git sends the token to the remote's host alone. Redirects are not
// followed: they lead to addresses that nobody typed, and Git would send the token there. Store.Reach checks the host
// first. By http and https Git then connects to the addresses that were found, also where the name has other addresses
// by then (http.curloptResolve, Git 2.37; an older Git resolves the name again, and so do ssh and a proxy of the
// server's environment). Errors: a BadURL, ErrUnreachable.
func (g *runner) remoteEnv(ctx context.Context, r Remote) ([]string, error) {
	addresses, err := g.resolveHost(ctx, r)
	if err != nil || !r.isHTTP() {
		return nil, err
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	var settings []string
	add := func(key, value string) {
		n := len(settings) / 2
		settings = append(settings, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, key),
			fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
	}
	if r.Token != "" {
		add("http."+u.Scheme+"://"+u.Host+"/.extraHeader", "Authorization: Basic "+r.basic())
	}
	if r.Token != "" || !r.Anywhere {
		add("http.followRedirects", "false")
	}
	if len(addresses) > 0 {
		var list []string
		for _, a := range addresses {
			if a.Is6() {
				list = append(list, "["+a.String()+"]")
			} else {
				list = append(list, a.String())
			}
		}
		port := map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
		add("http.curloptResolve", u.Hostname()+":"+cmp.Or(u.Port(), port)+":"+strings.Join(list, ","))
	}
	return append(settings, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)/2)), nil
}

// resolveHost checks whether Git may connect to the host of a remote, and returns the addresses of its name; none for
// an address, a folder, and a host that is not checked.
func (g *runner) resolveHost(ctx context.Context, r Remote) ([]netip.Addr, error) {
	host := r.host()
	if host == "" || g.reach == nil || r.Anywhere {
		return nil, nil
	}
	if strings.IndexFunc(host, func(c rune) bool { return c > '~' }) >= 0 {
		// curl and Carillon could read it differently
		return nil, BadURL("Write the name of the host in ASCII: xn-- and what follows.")
	}
	addresses, err := g.reach(ctx, host)
	var unknown *net.DNSError
	switch _, literal := netip.ParseAddr(host); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &unknown) && r.isHTTP() && usesProxy():
		return nil, nil // only the proxy can resolve the name
	case errors.As(err, &unknown):
		return nil, fmt.Errorf("%w: could not resolve host %s", ErrUnreachable, host)
	case err != nil:
		return nil, BadURL(fmt.Sprintf("%s may not be reached from here: %v. CARILLON_OUTBOUND_PRIVATE=on allows it.",
			host, err))
	case literal == nil:
		return nil, nil
	}
	return addresses, nil
}

// usesProxy is whether Git goes through a proxy of the server's environment.
func usesProxy() bool {
	return slices.ContainsFunc(inheritedVariables, func(name string) bool {
		return strings.HasSuffix(strings.ToLower(name), "_proxy") && !strings.EqualFold(name, "no_proxy") &&
			os.Getenv(name) != ""
	})
}

// host is the server of a remote, by name or address; empty for a folder.
func (r Remote) host() string {
	if folderOf(r.URL) != "" {
		return ""
	}
	if strings.Contains(r.URL, "://") {
		u, err := url.Parse(r.URL)
		if err != nil {
			return ""
		}
		return u.Hostname()
	}
	if m := scpLike.FindStringSubmatch(r.URL); m != nil {
		return strings.Trim(m[2], "[]")
	}
	return ""
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

// errorPatterns are parts of Git's messages by which the kind of a remote's failure is known. The first match counts.
var errorPatterns = []struct {
	kind     error
	patterns []string
}{
	{ErrCredentials, []string{
		"authentication failed", "could not read username", "could not read password", "terminal prompts disabled",
		"permission denied (", "returned error: 401", "returned error: 403", "access denied", "invalid username or",
		"permission to ", "invalid credentials",
	}},
	{ErrMoved, []string{"returned error: 301", "returned error: 302", "returned error: 303", "returned error: 307",
		"returned error: 308"}},
	{ErrNotRepository, []string{
		"not found", "does not appear to be a git repository", "not a git repository", "is this a git repository",
		"does not exist", "returned error: 404", "returned error: 410", "could not be found",
		"no such file or directory",
	}},
	{ErrRejected, []string{"[rejected]", "[remote rejected]", "non-fast-forward", "failed to push some refs",
		"pre-receive hook declined"}},
	{ErrUnreachable, []string{
		"could not resolve", "unable to access", "unable to connect", "connection refused", "connection reset",
		"connection closed",
		"timed out", "timeout", "no route to host", "network is unreachable", "host key verification failed",
		"could not read from remote repository", "the remote end hung up", "early eof", "unexpected disconnect",
		"expected flush",
		"invalid server response", "unable to look up", "protocol error",
	}},
}

// remoteError makes a failure at a remote an error of its kind, with Git's message. Other errors stay as they are.
func remoteError(err error) error {
	var f *failure
	if !errors.As(err, &f) || errors.Is(err, ErrDiskFull) || errors.Is(err, ErrKilled) || errors.Is(err, ErrLocked) ||
		f.stderr == "" {
		return err
	}
	stderr := strings.ToLower(f.stderr)
	for _, s := range errorPatterns {
		for _, pattern := range s.patterns {
			if strings.Contains(stderr, pattern) {
				return fmt.Errorf("%w: %s", s.kind, f.message)
			}
		}
	}
	return err
}

// similarBranch is the branch that a person who wrote name probably meant.
func similarBranch(name, defaultBranch string, names []string) string {
	best, distance := "", max(1, min(3, len(name)/2))+1
	for _, n := range names {
		d := editDistance(strings.ToLower(name), strings.ToLower(n))
		if d < distance || d == distance && n == defaultBranch {
			best, distance = n, d
		}
	}
	if best == "" && (name == "main" || name == "master") {
		best = defaultBranch
	}
	return best
}

// editDistance is how many letters must be inserted, deleted, changed or swapped with their neighbour to get from a to
// b.
func editDistance(a, b string) int {
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
