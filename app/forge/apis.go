package forge

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// githubBase is the address of GitHub's API: a host of its own in the cloud, a path on a server of one's own.
func githubBase(base *url.URL) string {
	host := strings.ToLower(base.Host)
	if host == "github.com" || host == "www.github.com" {
		return "https://api.github.com"
	}
	if strings.HasSuffix(host, ".ghe.com") {
		return base.Scheme + "://api." + host
	}
	return base.String() + "/api/v3"
}

// githubAPI is docs.github.com/rest/pulls/pulls.
type githubAPI struct {
	client             *Client
	pulls, repo, owner string
}

func (g *githubAPI) list(ctx context.Context, branch string) ([]PullRequest, error) {
	query := url.Values{
		"state": {"all"}, "head": {g.owner + ":" + branch}, "sort": {"created"}, "direction": {"desc"},
		"per_page": {"50"},
	}
	var out []hubPullRequest
	if _, err := g.client.call(ctx, http.MethodGet, g.pulls, query, nil, &out); err != nil {
		return nil, err
	}
	return readAll(out, func(h hubPullRequest) (PullRequest, error) { return h.read(GitHub, g.repo) }), nil
}

func (g *githubAPI) one(ctx context.Context, number int64) (PullRequest, error) {
	var out hubPullRequest
	if _, err := g.client.call(ctx, http.MethodGet, g.pulls+"/"+strconv.FormatInt(number, 10), nil, nil,
		&out); err != nil {
		return PullRequest{}, err
	}
	return out.read(GitHub, g.repo)
}

func (g *githubAPI) create(ctx context.Context, n NewPullRequest) (PullRequest, error) {
	in := map[string]any{"title": n.Title, "body": n.Body, "head": n.Branch, "base": n.Base, "draft": n.Draft}
	var out hubPullRequest
	if _, err := g.client.call(ctx, http.MethodPost, g.pulls, nil, in, &out); err != nil {
		return PullRequest{}, err
	}
	return out.read(GitHub, g.repo)
}

// readAll passes over what it cannot read: one odd pull request must not hide the others.
func readAll[T any](in []T, read func(T) (PullRequest, error)) []PullRequest {
	list := make([]PullRequest, 0, len(in))
	for _, one := range in {
		if p, err := read(one); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// gitlabAPI is docs.gitlab.com/api/merge_requests.
type gitlabAPI struct {
	client         *Client
	requests, repo string
}

func (g *gitlabAPI) list(ctx context.Context, branch string) ([]PullRequest, error) {
	query := url.Values{
		"state": {"all"}, "source_branch": {branch}, "order_by": {"created_at"}, "sort": {"desc"}, "per_page": {"50"},
	}
	var out []gitlabMergeRequest
	if _, err := g.client.call(ctx, http.MethodGet, g.requests, query, nil, &out); err != nil {
		return nil, err
	}
	return readAll(out, func(m gitlabMergeRequest) (PullRequest, error) { return m.read(g.repo) }), nil
}

func (g *gitlabAPI) one(ctx context.Context, number int64) (PullRequest, error) {
	var out gitlabMergeRequest
	if _, err := g.client.call(ctx, http.MethodGet, g.requests+"/"+strconv.FormatInt(number, 10), nil, nil,
		&out); err != nil {
		return PullRequest{}, err
	}
	return out.read(g.repo)
}

func (g *gitlabAPI) create(ctx context.Context, n NewPullRequest) (PullRequest, error) {
	if n.Draft {
		n.Title = "Draft: " + n.Title // there is no other way to say so
	}
	in := map[string]any{"title": n.Title, "description": n.Body, "source_branch": n.Branch, "target_branch": n.Base}
	var out gitlabMergeRequest
	if _, err := g.client.call(ctx, http.MethodPost, g.requests, nil, in, &out); err != nil {
		return PullRequest{}, err
	}
	return out.read(g.repo)
}

// giteaAPI is docs.gitea.com/api, and Forgejo's.
type giteaAPI struct {
	client      *Client
	pulls, repo string
}

// Gitea cannot be asked for a branch, so that its pull requests are read page by page: all open ones as far as these
// pages reach, and the closed ones that changed last.
const (
	giteaPage        = "50"
	giteaOpenPages   = 20
	giteaClosedPages = 4
)

func (g *giteaAPI) list(ctx context.Context, branch string) ([]PullRequest, error) {
	open, err := g.pages(ctx, "open", giteaOpenPages, branch)
	if err != nil || len(open) > 0 {
		return open, err
	}
	return g.pages(ctx, "closed", giteaClosedPages, branch)
}

// pages reads until a page has pull requests of the branch.
func (g *giteaAPI) pages(ctx context.Context, state string, limit int, branch string) ([]PullRequest, error) {
	seen := 0
	for page := 1; page <= limit; page++ {
		query := url.Values{
			"state": {state}, "sort": {"recentupdate"}, "page": {strconv.Itoa(page)}, "limit": {giteaPage},
		}
		var out []hubPullRequest
		header, err := g.client.call(ctx, http.MethodGet, g.pulls, query, nil, &out)
		if err != nil {
			return nil, err
		}
		var found []PullRequest
		for _, p := range readAll(out, func(h hubPullRequest) (PullRequest, error) { return h.read(Gitea, g.repo) }) {
			if p.Branch == branch && !p.Fork {
				found = append(found, p)
			}
		}
		seen += len(out)
		// A server may make pages smaller than asked for, so that a short one need not be the last.
		total, err := strconv.Atoi(header.Get("X-Total-Count"))
		if len(found) > 0 || len(out) == 0 || err == nil && seen >= total {
			return found, nil
		}
	}
	return nil, nil
}

func (g *giteaAPI) one(ctx context.Context, number int64) (PullRequest, error) {
	var out hubPullRequest
	if _, err := g.client.call(ctx, http.MethodGet, g.pulls+"/"+strconv.FormatInt(number, 10), nil, nil,
		&out); err != nil {
		return PullRequest{}, err
	}
	return out.read(Gitea, g.repo)
}

func (g *giteaAPI) create(ctx context.Context, n NewPullRequest) (PullRequest, error) {
	if n.Draft {
		n.Title = "WIP: " + n.Title // there is no other way to say so
	}
	in := map[string]any{"title": n.Title, "body": n.Body, "head": n.Branch, "base": n.Base}
	var out hubPullRequest
	if _, err := g.client.call(ctx, http.MethodPost, g.pulls, nil, in, &out); err != nil {
		return PullRequest{}, err
	}
	return out.read(Gitea, g.repo)
}

// azureAPI is learn.microsoft.com/rest/api/azure/devops/git/pull-requests.
type azureAPI struct {
	client            *Client
	pulls, base, repo string
}

// Servers know this version from 2020 on.
const azureVersion = "6.0"

func (a *azureAPI) list(ctx context.Context, branch string) ([]PullRequest, error) {
	query := url.Values{
		"searchCriteria.sourceRefName": {"refs/heads/" + branch}, "searchCriteria.status": {"all"}, "$top": {"50"},
		"api-version": {azureVersion},
	}
	var out struct{ Value []azurePullRequest }
	if _, err := a.client.call(ctx, http.MethodGet, a.pulls, query, nil, &out); err != nil {
		return nil, err
	}
	return readAll(out.Value, func(in azurePullRequest) (PullRequest, error) { return in.read(a.base, a.repo) }), nil
}

func (a *azureAPI) one(ctx context.Context, number int64) (PullRequest, error) {
	var out azurePullRequest
	if _, err := a.client.call(ctx, http.MethodGet, a.pulls+"/"+strconv.FormatInt(number, 10),
		url.Values{"api-version": {azureVersion}}, nil, &out); err != nil {
		return PullRequest{}, err
	}
	return out.read(a.base, a.repo)
}

func (a *azureAPI) create(ctx context.Context, n NewPullRequest) (PullRequest, error) {
	in := map[string]any{
		"title": n.Title, "description": cut(n.Body, longestAzureBody), "isDraft": n.Draft,
		"sourceRefName": "refs/heads/" + n.Branch, "targetRefName": "refs/heads/" + n.Base,
	}
	var out azurePullRequest
	if _, err := a.client.call(ctx, http.MethodPost, a.pulls, url.Values{"api-version": {azureVersion}}, in,
		&out); err != nil {
		return PullRequest{}, err
	}
	return out.read(a.base, a.repo)
}
