package forge

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of FindURLs: of the text that is read, from its end, of an address, and of the returned pull requests.
const (
	maxText    = 4 << 20
	maxAddress = 2000
	maxFound   = 100
)

// FindURLs finds the addresses of pull requests in text, such as the output of an agent: of GitHub, GitLab, Gitea and
// Azure DevOps, also on self-hosted servers. Each is returned once, the last mentioned first. Addresses have the form
// of the forge, without user, query and fragment. It reads the last 4 MiB of a longer text. The caller must select the
// repositories, because agents also quote other pull requests.
func FindURLs(text string) []PullRequest {
	if len(text) > maxText {
		text = text[len(text)-maxText:]
	}
	text = plain(text)
	if !strings.Contains(text, "/pull") && !strings.Contains(text, "/merge_requests/") {
		return nil // most output has none, and regular expressions are slow
	}
	found := webAddress.FindAllString(text, -1)
	seen := map[string]bool{}
	var list []PullRequest
	for _, address := range slices.Backward(found) {
		p, ok := parseURL(address)
		if !ok || seen[p.Key()] {
			continue
		}
		seen[p.Key()] = true
		if list = append(list, p); len(list) == maxFound {
			break
		}
	}
	return list
}

var (
	// A link of a terminal (OSC 8) carries its address inside the escape sequence.
	terminalLink    = regexp.MustCompile(`\x1b\]8;[^;\x07\x1b]*;([^\x07\x1b]*)(?:\x07|\x1b\\)`)
	terminalCommand = regexp.MustCompile(`\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]`)

	webAddress = regexp.MustCompile(
		`(?i)https?://(?:[A-Za-z0-9._~%:-]*@)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/[A-Za-z0-9._~%+@/-]+`)

	githubPath = regexp.MustCompile(`^/([^/]+/[^/]+)/pull/([0-9]{1,18})(?:[^0-9A-Za-z_%-]|[_-]*$)`)
	gitlabPath = regexp.MustCompile(`^/((?:[^/]+/)+[^/]+)/merge_requests/([0-9]{1,18})(?:[^0-9A-Za-z_%-]|[_-]*$)`)
	giteaPath  = regexp.MustCompile(`^((?:/[^/]+)*)/([^/]+/[^/]+)/pulls/([0-9]{1,18})(?:[^0-9A-Za-z_%-]|[_-]*$)`)
	azureFind  = regexp.MustCompile(`(?i)^/((?:[^/]+/)*_git/[^/]+)/pullrequest/([0-9]{1,18})(?:[^0-9A-Za-z_%-]|[_-]*$)`)
)

// plain removes control sequences of terminals and unescapes slashes of JSON.
func plain(text string) string {
	text = strings.ReplaceAll(text, `\/`, "/")
	if !strings.Contains(text, "\x1b") {
		return text
	}
	text = terminalLink.ReplaceAllString(text, " $1 ")
	return terminalCommand.ReplaceAllString(text, "")
}

// parseURL reads the address of a pull request and of what lies beneath it (files, commits).
func parseURL(address string) (PullRequest, bool) {
	if len(address) > maxAddress {
		return PullRequest{}, false
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return PullRequest{}, false
	}
	host := strings.ToLower(u.Hostname())
	path := u.EscapedPath()
	public, known := publicKind(host)
	for _, kind := range Kinds() {
		if known && kind != public {
			continue
		}
		found, ok := splitPath(kind, host, path)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(found.number, 10, 64)
		if err != nil || n <= 0 {
			return PullRequest{}, false
		}
		base := u.Scheme + "://" + strings.ToLower(u.Host)
		if known {
			base = "https://" + host
		}
		if kind == Azure && strings.HasSuffix(host, ".visualstudio.com") {
			base = "https://dev.azure.com"
		}
		if found.before != "" {
			base += "/" + escapeRepository(found.before)
		}
		return PullRequest{
			Forge: kind, Repository: found.repo, Number: n,
			URL: webURL(kind, base, found.repo, strconv.FormatInt(n, 10)),
		}, true
	}
	return PullRequest{}, false
}

// publicKind is the kind of a well-known public host.
func publicKind(host string) (Kind, bool) {
	switch {
	case host == "github.com" || strings.HasSuffix(host, ".ghe.com"):
		return GitHub, true
	case host == "gitlab.com":
		return GitLab, true
	case host == "gitea.com" || host == "codeberg.org":
		return Gitea, true
	case host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com"):
		return Azure, true
	}
	return "", false
}

// pullPath is the path of a pull request's address in parts.
type pullPath struct {
	// before is the path under which the forge itself is served. At GitLab it cannot be told from the group and is
	// taken for a part of it.
	before       string
	repo, number string
}

// splitPath takes an address's path apart, if it is the path of a pull request on a forge of the kind.
func splitPath(kind Kind, host, path string) (pullPath, bool) {
	var m []string
	before := ""
	switch kind {
	case GitHub:
		m = githubPath.FindStringSubmatch(path)
	case GitLab:
		if m = gitlabPath.FindStringSubmatch(path); m != nil {
			m[1] = strings.TrimSuffix(m[1], "/-") // addresses of before 2019 lack it
			if strings.Contains("/"+m[1], "/api/v4/projects/") {
				return pullPath{}, false
			}
		}
	case Gitea:
		if m = giteaPath.FindStringSubmatch(path); m != nil {
			// The addresses of an API end alike: https://api.github.com/repos/o/r/pulls/1,
			// https://…/api/v1/repos/o/r/pulls/1.
			if m[1] == "/repos" || strings.HasSuffix(m[1], "/repos") {
				return pullPath{}, false
			}
			before, m = strings.Trim(m[1], "/"), m[1:]
		}
	case Azure:
		m = azureFind.FindStringSubmatch(path)
	}
	if m == nil {
		return pullPath{}, false
	}
	repo, err := url.PathUnescape(m[1])
	if err != nil {
		return pullPath{}, false
	}
	ok := validRepository(kind, repo)
	if kind == Azure {
		before, repo, ok = azurePath(host, repo)
	}
	return pullPath{before, repo, m[2]}, ok
}
