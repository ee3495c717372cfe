// Package forge is a client for GitHub, GitLab, Gitea (and Forgejo) and Azure DevOps: it verifies and parses their
// webhooks, finds, creates and follows pull requests through their APIs, and finds the addresses of pull requests in
// text. It knows nothing of sessions: it gets headers, bytes, branches and tokens, and returns pull requests.
package forge

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of a forge, as it stands in addresses and in rows.
type Kind string

const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea" // Forgejo too: it has the same payloads and the same API
	Azure  Kind = "azure"
)

// Kinds are all kinds, in the order of the form.
func Kinds() []Kind { return []Kind{GitHub, GitLab, Gitea, Azure} }

// Valid reports whether k is a kind that this package knows.
func (k Kind) Valid() bool { return k == GitHub || k == GitLab || k == Gitea || k == Azure }

// Name is the forge's name as its makers write it.
func (k Kind) Name() string {
	switch k {
	case GitHub:
		return "GitHub"
	case GitLab:
		return "GitLab"
	case Gitea:
		return "Gitea or Forgejo"
	case Azure:
		return "Azure DevOps"
	}
	return string(k)
}

// State is the state of a pull request.
type State string

const (
	Open   State = "open"
	Merged State = "merged"
	Closed State = "closed" // without having been merged
)

// PullRequest is a pull request (at GitLab: a merge request). One that was found in text has Forge, Repository, Number
// and URL alone.
type PullRequest struct {
	Forge      Kind
	Repository string // owner/name; GitLab: group/…/name; Azure DevOps: organization/project/name
	Number     int64  // within the repository
	URL        string // for people, http or https
	Title      string
	State      State
	Draft      bool
	Branch     string // the source, without refs/heads/
	Base       string // the target, without refs/heads/
	// Fork says that Branch is in another repository, and so is not the branch of the same name in Repository.
	Fork bool
	// Created is when it was opened, and Updated when it was last changed; zero: the forge does not report it.
	Created, Updated time.Time
}

// Key identifies the pull request, in whatever form its address is written: host, repository and number in lower case.
// It is empty without an address, which has the host.
func (p PullRequest) Key() string {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || p.Number <= 0 {
		return ""
	}
	host := strings.ToLower(u.Host)
	if organization, ok := strings.CutSuffix(host, ".visualstudio.com"); ok && p.Forge == Azure && organization != "" {
		host = "dev.azure.com"
	}
	return host + "/" + strings.ToLower(p.Repository) + "#" + strconv.FormatInt(p.Number, 10)
}

// newest picks the most relevant pull request of a branch: an open one before others, then the highest number. It
// returns nil for an empty list.
func newest(list []PullRequest) *PullRequest {
	var best *PullRequest
	for i := range list {
		p := &list[i]
		if best == nil || better(*p, *best) {
			best = p
		}
	}
	return best
}

func better(p, than PullRequest) bool {
	if (p.State == Open) != (than.State == Open) {
		return p.State == Open
	}
	return p.Number > than.Number
}

var (
	// ErrNoSecret says that there is no secret to verify a webhook with, so that no webhook is accepted.
	ErrNoSecret = errors.New("no webhook secret is set")
	// ErrNoSignature says that a webhook came without signature or secret.
	ErrNoSignature = errors.New("the webhook is not signed")
	// ErrSignature says that a webhook's signature or secret is wrong.
	ErrSignature = errors.New("the webhook's signature is wrong")
	// ErrTimestamp says that a webhook was signed too long ago or too far ahead. It is an ErrSignature too.
	ErrTimestamp error = staleSignature{}
	// ErrPayload says that a webhook's body, or an answer, has not the format of the forge.
	ErrPayload = errors.New("this is not what the forge sends")

	// ErrCredentials says that the forge refuses the token, or what the token may do.
	ErrCredentials = errors.New("the forge refuses the token")
	// ErrNotFound says that the forge has no such repository or pull request, or none that the token may see.
	ErrNotFound = errors.New("the forge does not know the repository or pull request")
	// ErrElsewhere says that a pull request is on another forge than the client's.
	ErrElsewhere = errors.New("the pull request is on another forge")
)

type staleSignature struct{}

func (staleSignature) Error() string {
	return "the webhook was signed too long ago or by a wrong clock"
}
func (staleSignature) Unwrap() error { return ErrSignature }

// RateLimit says that the forge limits requests until a time.
type RateLimit struct {
	Until time.Time
}

func (r *RateLimit) Error() string {
	return "the forge limits requests until " + r.Until.UTC().Format(time.RFC3339)
}

// Refused is any other answer that is not a success, with the forge's message, shortened and without line breaks.
type Refused struct {
	Status  int // of HTTP
	Message string
}

func (r *Refused) Error() string {
	if r.Message == "" {
		return "the forge answered " + strconv.Itoa(r.Status)
	}
	return "the forge answered " + strconv.Itoa(r.Status) + ": " + r.Message
}
