package forge

import (
	"net/url"
	"regexp"
	"strings"
)

// Repository says where a repository has its pull requests.
type Repository struct {
	Forge Kind
	Base  string // web address of the forge, as Client.Base wants it
	Name  string // as the forge names it
}

// Detect reads the remote address of a repository, https, ssh or scp-like, on one of the well-known public forges. It
// is not ok for other hosts (see RepositoryAt) and for what is no repository.
func Detect(gitURL string) (Repository, bool) {
	r, ok := parseRemote(gitURL)
	if !ok {
		return Repository{}, false
	}
	var kind Kind
	var base string
	switch host := strings.TrimPrefix(r.host, "www."); {
	case host == "github.com" || host == "ssh.github.com":
		kind, base = GitHub, "https://github.com"
	case strings.HasSuffix(host, ".ghe.com"):
		kind, base = GitHub, "https://"+host
	case host == "gitlab.com" || host == "altssh.gitlab.com":
		kind, base = GitLab, "https://gitlab.com"
	case host == "gitea.com" || host == "codeberg.org":
		kind, base = Gitea, "https://"+host
	case host == "dev.azure.com" || host == "ssh.dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com"):
		kind, base = Azure, "https://dev.azure.com"
	default:
		return Repository{}, false
	}
	name, ok := repositoryIn(kind, r, "")
	if !ok {
		return Repository{}, false
	}
	return Repository{Forge: kind, Base: base, Name: name}, true
}

// RepositoryAt reads the remote address of a repository on a forge of a kind that the caller knows, such as one of
// their own. Base is the forge's web address, with the path under which it is served, if any. An https address must
// be within base; an ssh address may have another host, as many do.
func RepositoryAt(kind Kind, base, gitURL string) (repo string, ok bool) {
	r, ok := parseRemote(gitURL)
	if !ok {
		return "", false
	}
	b, err := url.Parse(base)
	if err != nil || b.Host == "" {
		return "", false
	}
	same := strings.EqualFold(b.Host, r.host+r.port) ||
		kind == Azure && b.Host == "dev.azure.com" && strings.HasSuffix(r.host, ".visualstudio.com")
	if r.web && !same {
		return "", false
	}
	return repositoryIn(kind, r, strings.Trim(b.Path, "/"))
}

// remote is a repository's address in pieces.
type remote struct {
	host, port string // port with its colon, or empty
	path       string // decoded, without slashes at the ends, without .git
	web        bool   // http or https
}

var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9.-]+):([^:].*)$`)

func parseRemote(s string) (remote, bool) {
	s = strings.TrimSpace(s)
	var r remote
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return r, false
		}
		switch u.Scheme {
		case "https", "http":
			r.web = true
		case "ssh", "git", "git+ssh", "ssh+git":
		default:
			return r, false
		}
		r.host, r.path = strings.ToLower(u.Hostname()), u.Path
		if p := u.Port(); p != "" && !(u.Scheme == "https" && p == "443") && !(u.Scheme == "http" && p == "80") {
			r.port = ":" + p
		}
	} else {
		m := scpLike.FindStringSubmatch(s)
		if m == nil {
			return r, false
		}
		r.host, r.path = strings.ToLower(m[1]), m[2]
		// Azure DevOps percent-encodes in this form too; the others have no names in which it would matter.
		if p, err := url.PathUnescape(m[2]); err == nil {
			r.path = p
		}
	}
	r.path = strings.TrimSuffix(strings.Trim(r.path, "/"), ".git")
	return r, r.path != ""
}

// repositoryIn takes the repository out of a remote's path, of which prefix is not part.
func repositoryIn(kind Kind, r remote, prefix string) (string, bool) {
	path := r.path
	if prefix != "" {
		if rest, ok := strings.CutPrefix(path, prefix+"/"); ok {
			path = rest
		} else if r.web {
			return "", false
		}
	}
	if kind == Azure {
		if !r.web {
			if rest, ok := strings.CutPrefix(path, "v3/"); ok {
				return rest, validRepository(Azure, rest)
			}
		}
		_, repo, ok := azurePath(r.host, path)
		return repo, ok
	}
	return path, validRepository(kind, path)
}

// azurePath takes organization (on a server: collection), project and name out of the path of a repository, and hands
// back what stands before them. The organization may be in the host; a project is left out when it is named as the
// repository; DefaultCollection is a name that only old addresses in the cloud carry.
func azurePath(host, path string) (before, repo string, ok bool) {
	head, name, found := strings.Cut(path, "_git/")
	if !found || name == "" || strings.Contains(name, "/") || (head != "" && !strings.HasSuffix(head, "/")) {
		return "", "", false
	}
	var parts []string
	if head != "" {
		parts = strings.Split(strings.Trim(head, "/"), "/")
	}
	cloud := host == "dev.azure.com"
	if organization, found := strings.CutSuffix(host, ".visualstudio.com"); found {
		cloud, parts = true, append([]string{organization}, parts...)
	}
	if cloud && len(parts) > 1 && strings.EqualFold(parts[1], "DefaultCollection") {
		parts = append(parts[:1:1], parts[2:]...)
	}
	switch n := len(parts); {
	case n == 0 || cloud && n > 2:
		return "", "", false
	case n == 1 || !cloud && strings.EqualFold(parts[n-1], "DefaultCollection"):
		before, repo = strings.Join(parts[:n-1], "/"), parts[n-1]+"/"+name+"/"+name
	default:
		before, repo = strings.Join(parts[:n-2], "/"), parts[n-2]+"/"+parts[n-1]+"/"+name
	}
	return before, repo, validRepository(Azure, repo)
}

// validRepository reports whether repo has the form that names of the kind have. What passes can stand in an address,
// each part escaped, without leading elsewhere.
func validRepository(kind Kind, repo string) bool {
	parts := strings.Split(repo, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > 255 || strings.ContainsFunc(p, func(c rune) bool {
			return c < ' ' || c == 0x7f || c == '\\' || c == '?' || c == '#' || c == '\uFFFD'
		}) {
			return false
		}
	}
	switch kind {
	case GitHub, Gitea:
		return len(parts) == 2
	case GitLab:
		return len(parts) >= 2 && len(parts) <= 21 // a top group, 20 levels below it at most, and the project
	case Azure:
		return len(parts) == 3
	}
	return false
}

// escapeRepository is repo as it stands in the path of an address.
func escapeRepository(repo string) string {
	parts := strings.Split(repo, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// webURL is the address of a pull request for people.
func webURL(kind Kind, base, repo string, number string) string {
	base = strings.TrimRight(base, "/")
	switch kind {
	case GitHub:
		return base + "/" + escapeRepository(repo) + "/pull/" + number
	case GitLab:
		return base + "/" + escapeRepository(repo) + "/-/merge_requests/" + number
	case Gitea:
		return base + "/" + escapeRepository(repo) + "/pulls/" + number
	case Azure:
		parts := strings.SplitN(escapeRepository(repo), "/", 3)
		return base + "/" + parts[0] + "/" + parts[1] + "/_git/" + parts[2] + "/pullrequest/" + number
	}
	return ""
}

// safeURL is s when a browser can be sent there, else empty: what a forge tells ends up in links.
func safeURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	u.User = nil
	return u.String()
}
