package forge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Client is a client for the API of one forge.
type Client struct {
	Kind Kind
	// web address, as https://git.example.org or https://example.org/gitlab; empty is the kind's public forge (Gitea
	// has none)
	Base  string
	Token string // personal, project or application token; empty: without authentication
	HTTP  *http.Client
	Now   func() time.Time // nil is time.Now
}

// NewPullRequest is a pull request to create.
type NewPullRequest struct {
	Title  string // cut to the bound of the forge, as is Body
	Body   string // Markdown
	Branch string // pushed already
	Base   string
	Draft  bool
}

// Limits of the forges, in characters, and of what is read from them, in bytes.
const (
	longestTitle     = 255 // GitLab's, the shortest
	longestBody      = 65000
	longestAzureBody = 4000
	maxAnswer        = 16 << 20
	answerTime       = 30 * time.Second
	maxRedirects     = 3
)

// Find returns the pull request of a branch of the repository: the open one, or else the newest; nil when there is
// none. It ignores pull requests from branches of the same name in forks. Errors: ErrCredentials, ErrNotFound,
// *RateLimit, *Refused.
func (c *Client) Find(ctx context.Context, repo, branch string) (*PullRequest, error) {
	list, err := c.ofBranch(ctx, repo, branch)
	if err != nil {
		return nil, fmt.Errorf("find pull request: %w", err)
	}
	return newest(list), nil
}

// State returns the present state of a pull request. It uses Forge, Repository and Number of p. Errors: those of Find,
// and ErrElsewhere for one that is not on this forge.
func (c *Client) State(ctx context.Context, p PullRequest) (PullRequest, error) {
	if p.Forge != c.Kind || p.URL != "" && !c.hosts(p.URL) {
		return PullRequest{}, fmt.Errorf("ask state of pull request: %w", ErrElsewhere)
	}
	a, err := c.api(p.Repository)
	if err == nil && p.Number <= 0 {
		err = ErrNotFound
	}
	if err != nil {
		return PullRequest{}, fmt.Errorf("ask state of pull request: %w", err)
	}
	now, err := a.one(ctx, p.Number)
	if err != nil {
		return PullRequest{}, fmt.Errorf("ask state of pull request: %w", err)
	}
	return c.withForgeAddress(now), nil
}

// Create opens a pull request. When the branch has an open one already, that one is returned. Errors: those of Find;
// a *Refused has the forge's reason, such as that the branch has no commits of its own.
func (c *Client) Create(ctx context.Context, repo string, n NewPullRequest) (*PullRequest, error) {
	a, err := c.api(repo)
	if err != nil {
		return nil, fmt.Errorf("create pull request: %w", err)
	}
	n.Title = cut(clip(n.Title, 4*longestTitle), longestTitle-len("Draft: "))
	if n.Title == "" {
		n.Title = n.Branch
	}
	n.Body = cut(strings.ToValidUTF8(n.Body, "\uFFFD"), longestBody)
	p, err := a.create(ctx, n)
	if err == nil {
		p = c.withForgeAddress(p)
		return &p, nil
	}
	// GitHub answers 422, the others 409. They all use these words.
	var refused *Refused
	if errors.As(err, &refused) && (refused.Status == http.StatusConflict ||
		strings.Contains(strings.ToLower(refused.Message), "already exists")) {
		if existing := c.existing(ctx, repo, n); existing != nil {
			return existing, nil
		}
	}
	return nil, fmt.Errorf("create pull request: %w", err)
}

// existing is the open pull request of a branch, the one to the same base before others.
func (c *Client) existing(ctx context.Context, repo string, n NewPullRequest) *PullRequest {
	list, err := c.ofBranch(ctx, repo, n.Branch)
	if err != nil {
		return nil
	}
	var same []PullRequest
	for _, p := range list {
		if p.Base == n.Base {
			same = append(same, p)
		}
	}
	for _, of := range [][]PullRequest{same, list} {
		if p := newest(of); p != nil && p.State == Open {
			return p
		}
	}
	return nil
}

// ofBranch lists the pull requests of a branch.
func (c *Client) ofBranch(ctx context.Context, repo, branch string) ([]PullRequest, error) {
	a, err := c.api(repo)
	if err != nil {
		return nil, err
	}
	if branch == "" {
		return nil, nil
	}
	all, err := a.list(ctx, branch)
	if err != nil {
		return nil, err
	}
	var list []PullRequest
	for _, p := range all {
		// Checked here for all forges, because a forge ignores a filter that it does not know.
		if p.Branch == branch && !p.Fork {
			list = append(list, c.withForgeAddress(p))
		}
	}
	return list, nil
}

// withForgeAddress gives p with an address on this forge, because a server without the right configuration reports
// other hosts.
func (c *Client) withForgeAddress(p PullRequest) PullRequest {
	if base, err := c.base(); err == nil && !c.hosts(p.URL) {
		p.URL = webURL(c.Kind, base.String(), p.Repository, strconv.FormatInt(p.Number, 10))
	}
	return p
}

// api is what the forges do differently, for one repository.
type api interface {
	// list are pull requests among which are those of the branch, if there are any.
	list(ctx context.Context, branch string) ([]PullRequest, error)
	one(ctx context.Context, number int64) (PullRequest, error)
	create(ctx context.Context, n NewPullRequest) (PullRequest, error)
}

func (c *Client) api(repo string) (api, error) {
	if !validRepository(c.Kind, repo) {
		return nil, fmt.Errorf("%w: %q is no name of a repository there", ErrNotFound, clip(repo, 100))
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	path := escapeRepository(repo)
	switch c.Kind {
	case GitHub:
		owner, _, _ := strings.Cut(repo, "/")
		return &githubAPI{c, githubBase(base) + "/repos/" + path + "/pulls", repo, owner}, nil
	case GitLab:
		return &gitlabAPI{c, base.String() + "/api/v4/projects/" + url.PathEscape(repo) + "/merge_requests", repo}, nil
	case Gitea:
		return &giteaAPI{c, base.String() + "/api/v1/repos/" + path + "/pulls", repo}, nil
	default:
		parts := strings.SplitN(path, "/", 3)
		return &azureAPI{c, base.String() + "/" + parts[0] + "/" + parts[1] + "/_apis/git/repositories/" + parts[2] +
			"/pullrequests", base.String(), repo}, nil
	}
}

// base is the forge's web address, without user, query and a slash at its end.
func (c *Client) base() (*url.URL, error) {
	base := c.Base
	if base == "" {
		base = map[Kind]string{
			GitHub: "https://github.com", GitLab: "https://gitlab.com", Azure: "https://dev.azure.com",
		}[c.Kind]
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the forge's address is not one of the web") // not quoted: it could carry a password
	}
	host := strings.ToLower(u.Host)
	if c.Kind == Azure && (host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")) {
		return &url.URL{Scheme: "https", Host: "dev.azure.com"}, nil // the organization is part of the repository
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// hosts reports whether an address is on this forge.
func (c *Client) hosts(address string) bool {
	base, err := c.base()
	if err != nil {
		return false
	}
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	return strings.EqualFold(u.Host, base.Host) ||
		c.Kind == Azure && base.Host == "dev.azure.com" && strings.HasSuffix(strings.ToLower(u.Hostname()),
			".visualstudio.com")
}

func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// call asks the API and reads the answer into out. It hands back the answer's header.
func (c *Client) call(ctx context.Context, method, address string, query url.Values, in, out any) (http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, errors.New("the forge's address is not one of the web")
	}
	if err := c.sign(req); err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Carillon") // GitHub refuses requests without this header
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Kind == GitHub {
		req.Header.Set("Accept", "application/vnd.github+json")
		req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	}
	res, err := c.client().Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which contains the name of the branch
		}
		return nil, fmt.Errorf("%s %s: %w", method, req.URL.Host, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	if err := c.answerError(res, answer); err != nil {
		return nil, err
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", req.URL.Host, maxAnswer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, &Refused{Status: res.StatusCode, Message: "not the API's answer: " + clip(err.Error(), 200)}
	}
	return res.Header, nil
}

func (c *Client) sign(req *http.Request) error {
	if c.Token == "" {
		return nil
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: it has characters that no token has", ErrCredentials)
	}
	// Credentials are in Authorization alone, which net/http removes when a redirect leads to another host.
	switch {
	case c.Kind == Gitea:
		req.Header.Set("Authorization", "token "+c.Token)
	case c.Kind == Azure && strings.Count(c.Token, ".") != 2: // not a JWT of Entra ID, so a personal token
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+c.Token)))
	default:
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return nil
}

// client follows the redirect of a renamed repository. It refuses redirects to another host or without encryption, and
// those that change the method.
func (c *Client) client() *http.Client {
	h := http.Client{}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		first := via[0]
		if len(via) > maxRedirects || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme ||
			req.Method != first.Method {
			return http.ErrUseLastResponse
		}
		return nil
	}
	h.Jar = nil
	return &h
}

// answerError gives the error of an answer; nil: a success.
func (c *Client) answerError(res *http.Response, body []byte) error {
	status, h := res.StatusCode, res.Header
	switch {
	case status == http.StatusTooManyRequests,
		(status == http.StatusForbidden || status == http.StatusServiceUnavailable) && h.Get("Retry-After") != "",
		status == http.StatusForbidden && (h.Get("X-RateLimit-Remaining") == "0" ||
			strings.Contains(string(body), "rate limit")):
		return &RateLimit{Until: c.retryTime(h)}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrCredentials, c.message(status, body))
	// Azure DevOps answers with a page for signing in if the token is not valid.
	case c.Kind == Azure && (status == http.StatusNonAuthoritativeInfo || status == http.StatusFound):
		return fmt.Errorf("%w: it asks to sign in", ErrCredentials)
	case status == http.StatusNotFound, status == http.StatusGone:
		return fmt.Errorf("%w: %s", ErrNotFound, c.message(status, body))
	case status < 200 || status > 299:
		return &Refused{Status: status, Message: c.message(status, body)}
	}
	return nil
}

// retryTime reads the time of the next request: a minute from now if the answer has none, a day from now at most.
func (c *Client) retryTime(h http.Header) time.Time {
	now := c.now()
	at := now.Add(time.Minute)
	if s := h.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			at = now.Add(time.Duration(min(n, 24*60*60)) * time.Second)
		} else if t, err := http.ParseTime(s); err == nil {
			at = t
		}
	} else if s := firstOf(h, "X-RateLimit-Reset", "RateLimit-Reset"); s != "" {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			at = time.Unix(n, 0)
		}
	}
	if at.Before(now) {
		return now
	}
	if latest := now.Add(24 * time.Hour); at.After(latest) {
		return latest
	}
	return at
}

// message is the forge's message, short and without the token.
func (c *Client) message(status int, body []byte) string {
	var said struct {
		Message any // a text; GitLab also sends lists and objects
		Error   any
		Errors  []struct{ Message string }
	}
	text := http.StatusText(status)
	if json.Unmarshal(body, &said) == nil || said.Message != nil || said.Error != nil {
		var parts []string
		for _, v := range []any{said.Message, said.Error} {
			if s := flat(v); s != "" {
				parts = append(parts, s)
			}
		}
		for _, e := range said.Errors {
			if e.Message != "" {
				parts = append(parts, e.Message)
			}
		}
		if len(parts) > 0 {
			text = strings.Join(parts, ": ")
		}
	}
	if c.Token != "" {
		text = strings.ReplaceAll(text, c.Token, "…")
	}
	return clip(text, 400)
}

// flat is a text, or a list of texts in one, or any other value as JSON.
func flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, one := range v {
			parts = append(parts, flat(one))
		}
		return strings.Join(parts, ", ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// cut is s with at most limit characters, the last of them … when some are missing.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
