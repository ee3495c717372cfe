package forge

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxPayload bounds a webhook's body for Parse, in bytes. Callers must not read more from the network.
const MaxPayload = 4 << 20

// EventKind is the kind of a webhook's event.
type EventKind string

const (
	Ping      EventKind = "ping"     // a test of the connection
	Opened    EventKind = "opened"   // a pull request
	Updated   EventKind = "updated"  // any other change: commits, title, labels, reviewers
	WasMerged EventKind = "merged"   // it was merged
	WasClosed EventKind = "closed"   // it was closed without having been merged
	Reopened  EventKind = "reopened" // it was closed and is open again
	Ignored   EventKind = "ignored"  // about something else
)

// Bounds of texts from a forge, in bytes.
const (
	maxTitle   = 1000
	maxRefName = 1000
)

// Event is a parsed webhook.
type Event struct {
	Kind     EventKind
	Name     string // the forge's own, with its action: "pull_request.closed", "Merge Request Hook.merge"
	Delivery string // see DeliveryID; Azure DevOps has it in the body
	// PullRequest is the state after the event; zero for Ping and Ignored.
	PullRequest PullRequest
}

// Parse parses a verified webhook. An event about anything but pull requests is Ignored, without an error. Error:
// ErrPayload for a body that is not JSON, too large, or lacks required fields of a pull request.
func Parse(kind Kind, header http.Header, body []byte) (Event, error) {
	if len(body) > MaxPayload {
		return Event{}, fmt.Errorf("%w: it is larger than %d bytes", ErrPayload, MaxPayload)
	}
	body, err := payload(header, body)
	if err != nil {
		return Event{}, err
	}
	if !json.Valid(body) {
		return Event{}, fmt.Errorf("%w: it is not JSON", ErrPayload)
	}
	var e Event
	switch kind {
	case GitHub:
		e, err = parseHub(GitHub, firstOf(header, "X-GitHub-Event"), body)
	case GitLab:
		e, err = parseGitLab(firstOf(header, "X-Gitlab-Event"), body)
	case Gitea:
		e, err = parseHub(Gitea, firstOf(header, "X-Gitea-Event", "X-Forgejo-Event", "X-Gogs-Event", "X-GitHub-Event"),
			body)
	case Azure:
		e, err = parseAzure(body)
	default:
		return Event{}, fmt.Errorf("read webhook: there is no forge %q", kind)
	}
	if err != nil {
		return Event{}, err
	}
	e.Name = clip(e.Name, 200)
	if e.Delivery == "" {
		e.Delivery = DeliveryID(header)
	}
	return e, nil
}

// payload is the JSON of a body that may be a form around it.
func payload(header http.Header, body []byte) ([]byte, error) {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return body, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("payload") {
		return nil, fmt.Errorf("%w: the form has no payload", ErrPayload)
	}
	return []byte(form.Get("payload")), nil
}

type hubPayload struct {
	Action      string
	Number      int64
	PullRequest *hubPullRequest `json:"pull_request"`
	Repository  struct {
		FullName string `json:"full_name"`
	}
}

// parseHub reads the webhooks of GitHub, and of Gitea, which has taken its format from there.
func parseHub(kind Kind, event string, body []byte) (Event, error) {
	switch event {
	case "":
		return Event{}, fmt.Errorf("%w: no header names the event", ErrPayload)
	case "ping":
		return Event{Kind: Ping, Name: event}, nil
	case "pull_request":
	case "pull_request_sync", "pull_request_label", "pull_request_assign", "pull_request_milestone",
		"pull_request_review_request":
		if kind != Gitea {
			return Event{Kind: Ignored, Name: event}, nil
		}
	default:
		return Event{Kind: Ignored, Name: event}, nil
	}
	var in hubPayload
	if err := json.Unmarshal(body, &in); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrPayload, clip(err.Error(), 200))
	}
	e := Event{Kind: Updated, Name: event + "." + in.Action}
	if in.PullRequest == nil {
		return Event{}, fmt.Errorf("%w: it has no pull request", ErrPayload)
	}
	if in.PullRequest.Number == 0 {
		in.PullRequest.Number = in.Number
	}
	p, err := in.PullRequest.read(kind, in.Repository.FullName)
	if err != nil {
		return Event{}, err
	}
	e.PullRequest = p
	switch in.Action {
	case "opened":
		e.Kind = Opened
	case "reopened":
		e.Kind = Reopened
	case "closed":
		if e.Kind = WasClosed; p.State == Merged {
			e.Kind = WasMerged
		}
	}
	return e, nil
}

// hubPullRequest is a pull request in the webhooks and the API of GitHub and Gitea.
type hubPullRequest struct {
	Number    int64
	HTMLURL   string `json:"html_url"`
	Title     string
	State     string
	Draft     bool
	Merged    bool
	MergedAt  *time.Time `json:"merged_at"` // GitHub's lists have only this
	CreatedAt *time.Time `json:"created_at"`
	UpdatedAt *time.Time `json:"updated_at"`
	Head      hubBranch
	Base      hubBranch
}

type hubBranch struct {
	Ref    string
	Label  string
	RepoID int64 `json:"repo_id"`
	Repo   *struct {
		FullName string `json:"full_name"`
	}
}

func (h hubPullRequest) read(kind Kind, repo string) (PullRequest, error) {
	if h.Base.Repo != nil && h.Base.Repo.FullName != "" {
		repo = h.Base.Repo.FullName
	}
	p := PullRequest{
		Forge: kind, Repository: repo, Number: h.Number, URL: safeURL(h.HTMLURL),
		Title: clip(h.Title, maxTitle), Draft: h.Draft,
		Branch: branch(h.Head.Ref), Base: branch(h.Base.Ref),
		// The repository of the head is null when it was deleted: then it was a fork.
		Fork: h.Head.Repo == nil || !strings.EqualFold(h.Head.Repo.FullName, repo),
	}
	if kind == Gitea {
		// Once the branch is deleted, ref is refs/pull/7/head, and only label has the name.
		if strings.HasPrefix(h.Head.Ref, "refs/pull/") && h.Head.Label != "" {
			p.Branch = branch(h.Head.Label)
		}
		if h.Head.Repo == nil && h.Head.RepoID > 0 {
			p.Fork = h.Head.RepoID != h.Base.RepoID
		}
	}
	switch {
	case h.State == "open": // whatever else it says: what is merged is closed
		p.State = Open
	case h.Merged || h.MergedAt != nil && !h.MergedAt.IsZero():
		p.State = Merged
	case h.State == "closed":
		p.State = Closed
	}
	if h.CreatedAt != nil {
		p.Created = h.CreatedAt.UTC()
	}
	if h.UpdatedAt != nil {
		p.Updated = h.UpdatedAt.UTC()
	}
	return p, p.complete()
}

func parseGitLab(event string, body []byte) (Event, error) {
	// A body that is no object is no merge request, and who else sends it does not matter.
	var about struct {
		ObjectKind string `json:"object_kind"`
	}
	if err := json.Unmarshal(body, &about); err != nil || about.ObjectKind != "merge_request" {
		if event == "" {
			event = about.ObjectKind
		}
		if event == "" {
			return Event{}, fmt.Errorf("%w: nothing names the event", ErrPayload)
		}
		return Event{Kind: Ignored, Name: event}, nil
	}
	var in struct {
		Project struct {
			Path   string `json:"path_with_namespace"`
			WebURL string `json:"web_url"`
		}
		Attributes struct {
			gitlabMergeRequest
			URL    string
			Action string
			Target struct {
				Path string `json:"path_with_namespace"`
			}
		} `json:"object_attributes"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrPayload, clip(err.Error(), 200))
	}
	a := in.Attributes
	repo := in.Project.Path
	if repo == "" {
		repo = a.Target.Path
	}
	m := a.gitlabMergeRequest
	m.WebURL = a.URL
	if safeURL(m.WebURL) == "" && in.Project.WebURL != "" {
		m.WebURL = in.Project.WebURL + "/-/merge_requests/" + strconv.FormatInt(m.IID, 10)
	}
	p, err := m.read(repo)
	if err != nil {
		return Event{}, err
	}
	if event == "" {
		event = about.ObjectKind
	}
	e := Event{Kind: Updated, Name: event + "." + a.Action, PullRequest: p}
	switch {
	case a.Action == "open":
		e.Kind = Opened
	case a.Action == "reopen":
		e.Kind = Reopened
	// What GitLab does by itself comes without an action.
	case a.Action == "merge", a.Action == "" && p.State == Merged:
		e.Kind = WasMerged
	case a.Action == "close", a.Action == "" && p.State == Closed:
		e.Kind = WasClosed
	}
	return e, nil
}

// gitlabMergeRequest is a merge request in GitLab's webhooks and API.
type gitlabMergeRequest struct {
	IID       int64
	WebURL    string `json:"web_url"`
	Title     string
	State     string
	Draft     bool
	WIP       bool   `json:"work_in_progress"`
	Source    string `json:"source_branch"`
	Target    string `json:"target_branch"`
	SourceID  int64  `json:"source_project_id"`
	TargetID  int64  `json:"target_project_id"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

func (m gitlabMergeRequest) read(repo string) (PullRequest, error) {
	p := PullRequest{
		Forge: GitLab, Repository: repo, Number: m.IID, URL: safeURL(m.WebURL),
		Title: clip(m.Title, maxTitle), Draft: m.Draft || m.WIP,
		Branch: branch(m.Source), Base: branch(m.Target),
		Fork: m.SourceID != m.TargetID,
	}
	switch m.State {
	case "opened", "locked": // locked is while it is being merged
		p.State = Open
	case "merged":
		p.State = Merged
	case "closed":
		p.State = Closed
	}
	p.Created, p.Updated = gitlabTime(m.CreatedAt), gitlabTime(m.UpdatedAt)
	return p, p.complete()
}

// gitlabTime reads the API's form of a time and the one in webhooks; zero is neither.
func gitlabTime(s string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 MST"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func parseAzure(body []byte) (Event, error) {
	var about struct {
		ID        string
		EventType string
	}
	if err := json.Unmarshal(body, &about); err != nil || about.EventType == "" {
		return Event{}, fmt.Errorf("%w: nothing names the event", ErrPayload)
	}
	e := Event{Kind: Ignored, Name: about.EventType, Delivery: DeliveryID(http.Header{"Webhook-Id": {about.ID}})}
	switch about.EventType {
	case "git.pullrequest.created", "git.pullrequest.updated", "git.pullrequest.merged":
	default:
		return e, nil
	}
	var in struct {
		Resource    azurePullRequest
		CreatedDate *time.Time
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Event{}, fmt.Errorf("%w: %s", ErrPayload, clip(err.Error(), 200))
	}
	p, err := in.Resource.read("", "")
	if err != nil {
		return Event{}, err
	}
	if in.CreatedDate != nil {
		p.Updated = in.CreatedDate.UTC()
	}
	// The event "merged" only says that a merge was tried, for an open pull request too. The status tells what came of
	// it.
	e.PullRequest = p
	switch {
	case p.State == Merged:
		e.Kind = WasMerged
	case p.State == Closed:
		e.Kind = WasClosed
	case about.EventType == "git.pullrequest.created":
		e.Kind = Opened
	default:
		e.Kind = Updated
	}
	return e, nil
}

// azurePullRequest is a pull request in the webhooks and the API of Azure DevOps.
type azurePullRequest struct {
	PullRequestID int64
	Status        string
	Title         string
	SourceRefName string
	TargetRefName string
	IsDraft       bool
	CreationDate  *time.Time
	ClosedDate    *time.Time
	ForkSource    *struct{}
	Repository    struct {
		Name      string
		RemoteURL string
		WebURL    string
		Project   struct{ Name string }
	}
}

// read takes repository and base from the payload's own addresses where the caller does not know them.
func (a azurePullRequest) read(base, repo string) (PullRequest, error) {
	for _, address := range []string{a.Repository.WebURL, a.Repository.RemoteURL} {
		if repo != "" {
			break
		}
		u, err := url.Parse(address)
		if err != nil || safeURL(address) == "" {
			continue
		}
		host := strings.ToLower(u.Hostname())
		before, found, ok := azurePath(host, strings.Trim(u.Path, "/"))
		if !ok {
			continue
		}
		repo, base = found, u.Scheme+"://"+strings.ToLower(u.Host)
		if strings.HasSuffix(host, ".visualstudio.com") {
			base = "https://dev.azure.com"
		}
		if before != "" {
			base += "/" + escapeRepository(before)
		}
	}
	p := PullRequest{
		Forge: Azure, Repository: repo, Number: a.PullRequestID, Title: clip(a.Title, maxTitle), Draft: a.IsDraft,
		Branch: branch(a.SourceRefName), Base: branch(a.TargetRefName), Fork: a.ForkSource != nil,
	}
	switch a.Status {
	case "active":
		p.State = Open
	case "completed":
		p.State = Merged
	case "abandoned":
		p.State = Closed
	}
	if a.CreationDate != nil {
		p.Created = a.CreationDate.UTC()
	}
	if a.ClosedDate != nil {
		p.Updated = a.ClosedDate.UTC()
	}
	if err := p.complete(); err != nil {
		return PullRequest{}, err
	}
	p.URL = webURL(Azure, base, repo, strconv.FormatInt(p.Number, 10))
	return p, nil
}

// complete returns an error if a pull request lacks a field that identifies it.
func (p PullRequest) complete() error {
	switch {
	case p.Number <= 0:
		return fmt.Errorf("%w: the pull request has no number", ErrPayload)
	case !validRepository(p.Forge, p.Repository):
		return fmt.Errorf("%w: the repository has no name", ErrPayload)
	case p.State == "":
		return fmt.Errorf("%w: the pull request's state is not one that is known", ErrPayload)
	}
	return nil
}

func branch(ref string) string { return clip(strings.TrimPrefix(ref, "refs/heads/"), maxRefName) }

func firstOf(header http.Header, names ...string) string {
	for _, name := range names {
		if v := header.Get(name); v != "" {
			return v
		}
	}
	return ""
}

// clip is s on one line, of whole characters, at most limit bytes long.
func clip(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
