package signin_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"carillon/app/account"
	"carillon/app/sso"
	"carillon/app/web/webtest"
)

// identityProvider is a real OpenID Connect provider of another maker, with people and a way to sign in there.
type identityProvider struct {
	*storage.Storage
	t    *testing.T
	http *httptest.Server

	mu     sync.Mutex
	people map[string]*member // by user name
	bare   bool               // the groups are left out
}

// member is somebody whom the provider knows.
type member struct {
	storage.User
	groups []string
}

func (p *identityProvider) GetUserByID(id string) *storage.User {
	if m := p.member(id); m != nil {
		return &m.User
	}
	return nil
}

func (p *identityProvider) GetUserByUsername(name string) *storage.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.people[name]; m != nil {
		u := m.User
		return &u
	}
	return nil
}

func (p *identityProvider) ExampleClientID() string { return "service" }

func (p *identityProvider) member(id string) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.people {
		if m.ID == id {
			found := *m
			return &found
		}
	}
	return nil
}

// set makes or changes somebody. Their password is their user name.
func (p *identityProvider) set(m member) {
	m.Password = m.Username
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people[m.Username] = &m
}

func (p *identityProvider) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest,
	scopes []string) error {
	if err := p.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	p.tellGroups(info, token.GetSubject())
	return nil
}

func (p *identityProvider) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject,
	origin string) error {
	if err := p.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin); err != nil {
		return err
	}
	p.tellGroups(info, subject)
	return nil
}

func (p *identityProvider) tellGroups(info *oidc.UserInfo, subject string) {
	p.mu.Lock()
	bare := p.bare
	p.mu.Unlock()
	if m := p.member(subject); m != nil && !bare {
		groups := m.groups
		if groups == nil {
			groups = []string{}
		}
		info.AppendClaims("groups", groups)
	}
}

const (
	clientID     = "carillon"
	clientSecret = "known to both"
)

// withProvider gives a site single sign-on at a provider of its own, where Mira has an account.
func withProvider(t *testing.T, signOn account.SignOn) (*webtest.Site, *identityProvider) {
	t.Helper()
	s := webtest.Open(t)
	p := &identityProvider{t: t, people: map[string]*member{}}
	mux := http.NewServeMux()
	p.http = httptest.NewServer(mux)
	t.Cleanup(p.http.Close)
	p.Storage = storage.NewStorageWithClients(p, map[string]*storage.Client{clientID: storage.WebClient(clientID,
		clientSecret, s.HTTP.URL+"/login/sso/callback")})
	config := &op.Config{CodeMethodS256: true, AuthMethodPost: true}
	rand.Read(config.CryptoKey[:]) //nolint:errcheck // never fails, by its documentation
	server, err := op.NewProvider(config, p, op.StaticIssuer(p.http.URL), op.WithAllowInsecure(),
		op.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	webtest.Check(t, err)
	// The page on which people sign in there is the provider's operator's to write.
	mux.Handle("POST /login/username", op.NewIssuerInterceptor(server.IssuerFromRequest).
		HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := p.CheckUsernamePassword(r.PostFormValue("username"), r.PostFormValue("password"),
				r.PostFormValue("id")); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			http.Redirect(w, r, op.AuthCallbackURL(server)(r.Context(), r.PostFormValue("id")), http.StatusFound)
		}))
	mux.Handle("/", server)
	p.set(member{User: storage.User{
		ID: "m-1", Username: "mira", FirstName: "Mira", LastName: "Okafor", Email: "mira@example.com",
		EmailVerified: true,
	}})

	s.Server.SignIn.SignOn = &sso.Provider{
		Issuer: p.http.URL, ClientID: clientID, ClientSecret: clientSecret, Scopes: []string{"profile", "email"},
		HTTP: p.http.Client(), Now: time.Now,
	}
	if len(signOn.Roles) > 0 {
		s.Server.SignIn.SignOn.GroupsClaim = "groups"
	}
	s.Server.SignIn.SignOnName = "Sign in with Acme"
	s.Server.Accounts.SignOn = signOn
	return s, p
}

// visit goes to any address, of the site or of the provider.
func visit(b *webtest.Browser, address string) *webtest.Answer {
	b.T.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	webtest.Check(b.T, err)
	return b.Do(req)
}

// identify begins at the site, signs in at the provider, and returns the address to which the provider sends the
// browser back, not visited yet.
func identify(b *webtest.Browser, p *identityProvider, username, next string) string {
	b.T.Helper()
	address := "/login/sso"
	if next != "" {
		address += "?next=" + url.QueryEscape(next)
	}
	to := b.Get(address)
	if to.StatusCode != http.StatusSeeOther {
		b.T.Fatalf("the sign-on answered %d %.300s; want to be sent to the provider", to.StatusCode, to.Text)
	}
	page, err := visit(b, to.Header.Get("Location")).Location()
	webtest.Check(b.T, err)
	form := url.Values{"username": {username}, "password": {username}, "id": {page.Query().Get("authRequestID")}}
	res, err := b.Client.PostForm(p.http.URL+"/login/username", form)
	webtest.Check(b.T, err)
	webtest.Check(b.T, res.Body.Close())
	there, err := res.Location()
	webtest.Check(b.T, err)
	return visit(b, there.String()).Header.Get("Location")
}

// signOn goes the whole way.
func signOn(b *webtest.Browser, p *identityProvider, username, next string) *webtest.Answer {
	b.T.Helper()
	return visit(b, identify(b, p, username, next))
}
