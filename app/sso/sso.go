// Package sso signs people in at an OpenID Connect provider. It implements the protocol: the address for the browser,
// and the identity of the person who comes back. It knows neither the people of this installation nor their requests.
package sso

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Provider is an OpenID Connect provider, and how this installation is known to it. Its fields are set once.
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret string   // empty for a public client
	Scopes       []string // beside openid, which is always requested
	GroupsClaim  string   // claim with a person's groups; empty: groups are not used
	HTTP         *http.Client
	Now          func() time.Time

	mu     sync.Mutex
	found  *oidc.Provider
	failed time.Time // time of the last failed discovery
	reason error
}

var (
	// ErrDown says that the provider does not answer, or not in the protocol.
	ErrDown = errors.New("the sign-on provider does not answer")
	// ErrRefused says that the provider does not accept the code: it was used, is too old, or belongs to somebody else.
	ErrRefused = errors.New("the sign-on provider did not accept the code")
	// ErrUntrusted says that the provider's token is not valid for this attempt: wrong signature, audience, time or
	// nonce.
	ErrUntrusted = errors.New("the answer of the sign-on provider cannot be trusted")
)

// Timeouts of requests to the provider.
const (
	discoveryTime = 5 * time.Second
	retryAfter    = 3 * time.Second // delay after a provider did not answer
	exchangeTime  = 15 * time.Second
)

// Attempt is one attempt to sign in, which the browser stores until it comes back.
type Attempt struct {
	State    string `json:"state"`    // returned in the address
	Nonce    string `json:"nonce"`    // returned in the token
	Verifier string `json:"verifier"` // of PKCE
}

// NewAttempt makes an attempt with random values.
func NewAttempt() Attempt {
	return Attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier()}
}

func random() string {
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Person is the person who signed in, as the provider reports.
type Person struct {
	Subject       string
	Email         string
	EmailVerified bool
	Name          string
	Groups        []string
	GroupsKnown   bool // the claim exists, possibly empty
}

// URL is the provider's address for the browser. It returns ErrDown when the discovery fails.
func (p *Provider) URL(ctx context.Context, back string, a Attempt) (string, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return p.config(found, back).AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// Exchange exchanges the code that the browser brought back for the person. It returns ErrDown, ErrRefused or
// ErrUntrusted.
func (p *Provider) Exchange(ctx context.Context, back, code string, a Attempt) (*Person, error) {
	found, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.HTTP), exchangeTime)
	defer cancel()
	tokens, err := p.config(found, back).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.Response.StatusCode < 500:
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := found.Verifier(&oidc.Config{ClientID: p.ClientID, Now: p.Now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if a.Nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1 {
		return nil, fmt.Errorf("%w: it belongs to another attempt", ErrUntrusted)
	}
	if party, ok := claims["azp"].(string); (ok || len(token.Audience) > 1) && party != p.ClientID {
		return nil, fmt.Errorf("%w: it was made for %q", ErrUntrusted, party)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
	}
	person := &Person{Subject: token.Subject}
	p.read(person, claims)
	if found.UserInfoEndpoint() == "" || person.EmailVerified && person.Name != "" &&
		(person.GroupsKnown || p.GroupsClaim == "") {
		return person, nil
	}
	// Many providers give the claims of scopes only there.
	info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	if info.Subject != token.Subject {
		return nil, fmt.Errorf("%w: it tells of somebody else", ErrUntrusted)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	p.read(person, more)
	return person, nil
}

// config is the client as the protocol's library knows it.
func (p *Provider) config(found *oidc.Provider, back string) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: back,
		Scopes: []string{oidc.ScopeOpenID},
	}
	for _, scope := range p.Scopes {
		if !slices.Contains(c.Scopes, scope) {
			c.Scopes = append(c.Scopes, scope)
		}
	}
	return c
}

// discover reads the provider's configuration and caches it. After a failure it waits for retryAfter before the next
// request, so that requests do not queue.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if since := p.Now().Sub(p.failed); p.reason != nil && since >= 0 && since < retryAfter {
		return nil, p.reason
	}
	// The context is not that of the request: other requests wait for the same result, and the keys are fetched later
	// with this context's client.
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), p.HTTP), discoveryTime)
	defer cancel()
	found, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		p.failed, p.reason = p.Now(), fmt.Errorf("%w: %w", ErrDown, err)
		return nil, p.reason
	}
	p.found, p.reason = found, nil
	return found, nil
}

// read fills empty fields of the person from claims. An address and its verification are taken from the same claims.
func (p *Provider) read(person *Person, claims map[string]any) {
	if email, _ := claims["email"].(string); email != "" && !person.EmailVerified {
		if verified := isTrue(claims["email_verified"]); verified || person.Email == "" {
			person.Email, person.EmailVerified = email, verified
		}
	}
	name, _ := claims["name"].(string)
	called, _ := claims["preferred_username"].(string)
	person.Name = cmp.Or(person.Name, strings.TrimSpace(name), strings.TrimSpace(called))
	if p.GroupsClaim == "" || person.GroupsKnown {
		return
	}
	switch list := claim(claims, p.GroupsClaim).(type) {
	case string:
		person.Groups, person.GroupsKnown = []string{list}, true
	case []any:
		person.GroupsKnown = true
		for _, g := range list {
			if name, ok := g.(string); ok {
				person.Groups = append(person.Groups, name)
			}
		}
	}
}

// isTrue reads a boolean, which some providers write as text.
func isTrue(v any) bool { return v == true || v == "true" }

// claim finds a claim by its name, or by a path with dots such as realm_access.roles.
func claim(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	inner, is := claims[first].(map[string]any)
	if !ok || !is {
		return nil
	}
	return claim(inner, rest)
}
