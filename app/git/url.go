package git

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

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
		return checkSCP(raw)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return BadURL("That is not a URL. It looks like https://example.com/team/project.git.")
	}
	return checkParts(scheme, u)
}

// checkSCP is CheckURL for git@host:path.
func checkSCP(raw string) error {
	m := scpLike.FindStringSubmatch(raw)
	if m == nil {
		return BadURL(
			"Write a whole URL, such as https://example.com/team/project.git, git@example.com:team/project.git, or " +
				"an absolute path on the server.")
	}
	if strings.HasPrefix(m[1], "-") || strings.HasPrefix(m[3], "-") {
		return BadURL("Neither the user nor the path can start with a dash.")
	}
	if before, _, _ := strings.Cut(m[3], "/"); m[1] == "" && strings.Contains(before, "@") {
		return BadURL("The URL has a password in it. Remove it: ssh signs in with the server's key.")
	}
	return nil
}

// checkParts is CheckURL for a URL with a scheme.
func checkParts(scheme string, u *url.URL) error {
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

// folderOf is the folder of the server that a URL names, or "" where it names none.
func folderOf(raw string) string {
	if strings.HasPrefix(raw, "/") {
		return raw
	}
	if !strings.HasPrefix(strings.ToLower(raw), "file:") {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Path
}
