// Package forge speaks with GitHub, GitLab, Gitea (and Forgejo) and Azure DevOps: it verifies and reads their webhooks,
// finds, creates and follows pull requests through their APIs, and finds the addresses of pull requests in text. It
// knows nothing of sessions: it is given headers, bytes, branches and tokens, and it hands back pull requests.
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

// Kinds are all kinds, in the order in which people are offered them.
func Kinds() []Kind { return []Kind{GitHub, GitLab, Gitea, Azure} }

// Valid says whether k is a kind that this package knows.
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

// State is where a pull request stands.
type State string

const (
	Open   State = "open"
	Merged State = "merged"
	Closed State = "closed" // without having been merged
)

// PullRequest is a pull request (at GitLab: a merge request) as far as its forge told. One found in text knows its
// Forge, Repository, Number and URL alone.
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
	// Fork says that Branch lives in another repository, so that it is not the branch of the same name in Repository.
	Fork bool
	// Created is when it was opened, and Updated when the forge last saw a change; zero where it does not say.
	Created, Updated time.Time
}

// Key names the pull request, equal for equal ones however their addresses are written: host, repository and number in
// small letters. It is empty when there is no address to take the host from.
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

// Newest picks the pull request that a branch is best known by: an open one before others, then the highest number.
// It returns nil for none.
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
	// ErrNoSecret says that there is no secret to check a webhook with, so that none can be believed.
	ErrNoSecret = errors.New("no webhook secret is set")
	// ErrNoSignature says that a webhook came without signature or secret.
	ErrNoSignature = errors.New("the webhook is not signed")
	// ErrSignature says that a webhook's signature or secret is wrong.
	ErrSignature = errors.New("the webhook's signature is wrong")
	// ErrTimestamp says that a webhook was signed too long ago or too far ahead. It is an ErrSignature too.
	ErrTimestamp error = staleSignature{}
	// ErrPayload says that a webhook's body, or an answer, is not what a forge sends.
	ErrPayload = errors.New("this is not what the forge sends")

	// ErrCredentials says that the forge refuses the token, or what the token may do.
	ErrCredentials = errors.New("the forge refuses the token")
	// ErrNotFound says that the forge has no such repository or pull request, or none that the token may see.
	ErrNotFound = errors.New("the forge does not know the repository or pull request")
	// ErrElsewhere says that a pull request lives on another forge than the one that was to be asked.
	ErrElsewhere = errors.New("the pull request is on another forge")
)

type staleSignature struct{}

func (staleSignature) Error() string {
	return "the webhook was signed too long ago or by a wrong clock"
}
func (staleSignature) Unwrap() error { return ErrSignature }

// RateLimit says that the forge wants to be asked again only later.
type RateLimit struct {
	Until time.Time
}

func (r *RateLimit) Error() string {
	return "the forge limits requests until " + r.Until.UTC().Format(time.RFC3339)
}

// Refused is any other answer that is not a success, with what the forge said, shortened and without line ends.
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
