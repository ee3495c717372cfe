package sso

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// rogue is a provider that hands out whatever a test tells it to.
type rogue struct {
	*httptest.Server
	claims   map[string]any // of the token
	info     map[string]any // of the second place to ask
	key      any            // signs
	alg      jose.SignatureAlgorithm
	raw      string // in place of a token
	status   int    // of the token endpoint
	verifier string // as it came
	found    atomic.Int32
}

var shared = func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}()

func newRogue(t *testing.T) *rogue {
	t.Helper()
	p := &rogue{key: shared, alg: jose.RS256, status: http.StatusOK}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.found.Add(1)
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/auth",
			"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
			Key: shared.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig",
		}}})
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" || p.info == nil {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		answer(w, p.info)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.verifier = r.PostFormValue("code_verifier")
		if p.status != http.StatusOK {
			w.WriteHeader(p.status)
			answer(w, map[string]string{"error": "invalid_grant"})
			return
		}
		raw := p.raw
		if raw == "" {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: p.alg, Key: p.key}, (&jose.SignerOptions{}).
				WithHeader("kid", "k"))
			if err == nil {
				raw, err = jwt.Signed(signer).Claims(p.claims).Serialize()
			}
			if err != nil {
				t.Error(err)
			}
		}
		answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": raw})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *rogue) client() *Provider {
	return &Provider{
		Issuer: p.URL, ClientID: "carillon", ClientSecret: "s", GroupsClaim: "groups", HTTP: p.Client(), Now: time.Now,
	}
}

// good are the claims of a token that is as it should be.
func (p *rogue) good(a Attempt) map[string]any {
	return map[string]any{
		"iss": p.URL, "sub": "1", "aud": "carillon", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"nonce": a.Nonce,
		"email": "mira@example.com", "email_verified": true, "name": "Mira", "groups": []string{"ops"},
	}
}

const back = "https://carillon.example.com/login/sso/callback"

func TestATokenForAnotherIsNotTrusted(t *testing.T) {
	t.Parallel()
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(p *rogue)
		want   error
	}{
		{"as it should be", func(*rogue) {}, nil},
		{"the nonce of another attempt", func(p *rogue) { p.claims["nonce"] = "another" }, ErrUntrusted},
		{"no nonce", func(p *rogue) { delete(p.claims, "nonce") }, ErrUntrusted},
		{"for another client", func(p *rogue) { p.claims["aud"] = "another" }, ErrUntrusted},
		{"for two clients, made for the other", func(p *rogue) {
			p.claims["aud"], p.claims["azp"] = []string{"carillon", "another"}, "another"
		}, ErrUntrusted},
		{"for two clients, made for nobody", func(p *rogue) {
			p.claims["aud"] = []string{"carillon", "another"}
		}, ErrUntrusted},
		{"for two clients, made for this one", func(p *rogue) {
			p.claims["aud"], p.claims["azp"] = []string{"carillon", "another"}, "carillon"
		}, nil},
		{"by another issuer", func(p *rogue) { p.claims["iss"] = "https://evil.example" }, ErrUntrusted},
		{"expired", func(p *rogue) { p.claims["exp"] = time.Now().Add(-time.Hour).Unix() }, ErrUntrusted},
		{"signed by another key", func(p *rogue) { p.key = stranger }, ErrUntrusted},
		{"signed by what everybody knows", func(p *rogue) {
			p.key, p.alg = shared.N.Bytes(), jose.HS256
		}, ErrUntrusted},
		{"not signed", func(p *rogue) { p.raw = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0." }, ErrUntrusted},
		{"no token", func(p *rogue) { p.raw = " " }, ErrUntrusted},
		{"with the hash of another access token", func(p *rogue) {
			p.claims["at_hash"] = "MTIzNDU2Nzg5MGFiY2RlZg"
		}, ErrUntrusted},
		{"a code that was used", func(p *rogue) { p.status = http.StatusBadRequest }, ErrRefused},
		{"a provider in trouble", func(p *rogue) { p.status = http.StatusInternalServerError }, ErrDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, a := newRogue(t), NewAttempt()
			p.claims = p.good(a)
			tt.change(p)
			who, err := p.client().Exchange(t.Context(), back, "code", a)
			if !errors.Is(err, tt.want) || (err == nil) != (who != nil) {
				t.Fatalf("got %+v, %v; want %v", who, err, tt.want)
			}
			if tt.want == nil && (who.Subject != "1" || who.Email != "mira@example.com" || !who.EmailVerified ||
				!reflect.DeepEqual(who.Groups, []string{"ops"})) {
				t.Errorf("got %+v; want Mira", who)
			}
			if p.verifier != a.Verifier {
				t.Errorf("sent the verifier %q; want %q", p.verifier, a.Verifier)
			}
		})
	}
}

func TestWhatTheTokenLacksIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		token     map[string]any // changes; nil removes
		info      map[string]any
		groups    string // of the setting
		want      Person
		wantError error
	}{
		{"all in the token", nil, nil, "groups", Person{
			Subject: "1", Email: "mira@example.com", EmailVerified: true, Name: "Mira", Groups: []string{"ops"},
			GroupsKnown: true,
		}, nil},
		{"nothing in the token", map[string]any{"email": nil, "email_verified": nil, "name": nil, "groups": nil},
			map[string]any{
				"sub": "1", "email": "m@example.com", "email_verified": "true", "preferred_username": "mira",
				"groups": []string{},
			}, "groups",
			Person{Subject: "1", Email: "m@example.com", EmailVerified: true, Name: "mira", GroupsKnown: true}, nil},
		{"an address verified there is not the one here", map[string]any{"email_verified": nil},
			map[string]any{"sub": "1", "email": "m@example.com", "email_verified": true}, "",
			Person{Subject: "1", Email: "m@example.com", EmailVerified: true, Name: "Mira"}, nil},
		{"verified, of no address", map[string]any{"email_verified": nil},
			map[string]any{"sub": "1", "email_verified": true}, "",
			Person{Subject: "1", Email: "mira@example.com", Name: "Mira"}, nil},
		{"not verified anywhere", map[string]any{"email_verified": false},
			map[string]any{"sub": "1", "email": "x@example.com"}, "",
			Person{Subject: "1", Email: "mira@example.com", Name: "Mira"}, nil},
		{"of somebody else", map[string]any{"groups": nil}, map[string]any{"sub": "2", "groups": []string{"admins"}},
			"groups", Person{}, ErrUntrusted},
		{"refused", map[string]any{"groups": nil}, nil, "groups", Person{}, ErrDown},
		{"groups by a path", map[string]any{"realm_access": map[string]any{"roles": []any{"dev", 7, "ops"}}}, nil,
			"realm_access.roles",
			Person{
				Subject: "1", Email: "mira@example.com", EmailVerified: true, Name: "Mira",
				Groups: []string{"dev", "ops"}, GroupsKnown: true,
			}, nil},
		{"groups by an address", map[string]any{"https://acme.example/groups": "dev"}, nil,
			"https://acme.example/groups",
			Person{
				Subject: "1", Email: "mira@example.com", EmailVerified: true, Name: "Mira", Groups: []string{"dev"},
				GroupsKnown: true,
			}, nil},
		{"no groups anywhere", map[string]any{"groups": nil}, map[string]any{"sub": "1"}, "groups",
			Person{Subject: "1", Email: "mira@example.com", EmailVerified: true, Name: "Mira"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, a := newRogue(t), NewAttempt()
			p.claims, p.info = p.good(a), tt.info
			for name, value := range tt.token {
				if p.claims[name] = value; value == nil {
					delete(p.claims, name)
				}
			}
			c := p.client()
			c.GroupsClaim = tt.groups
			who, err := c.Exchange(t.Context(), back, "code", a)
			if !errors.Is(err, tt.wantError) {
				t.Fatalf("got %v; want %v", err, tt.wantError)
			}
			if err == nil && !reflect.DeepEqual(*who, tt.want) {
				t.Errorf("got %+v; want %+v", *who, tt.want)
			}
		})
	}
}

func TestTheBrowserIsSentWithAllThatBindsTheAttempt(t *testing.T) {
	t.Parallel()
	p := newRogue(t)
	c := p.client()
	c.Scopes = []string{"profile", "openid", "email"}
	a, b := NewAttempt(), NewAttempt()
	if a.State == b.State || a.Nonce == b.Nonce || a.Verifier == b.Verifier || a.State == a.Nonce {
		t.Errorf("attempts share something: %+v and %+v", a, b)
	}
	text, err := c.URL(t.Context(), back, a)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "carillon", "redirect_uri": back, "state": a.State, "nonce": a.Nonce,
		"code_challenge_method": "S256", "scope": "openid profile email",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(text, p.URL+"/auth?") || q.Get("code_challenge") == "" || strings.Contains(text, a.Verifier) {
		t.Errorf("got %s; want the provider's page with a challenge, and without the verifier", text)
	}
}

func TestAProviderThatIsDownIsLookedForNowAndThen(t *testing.T) {
	t.Parallel()
	p := newRogue(t)
	c := p.client()
	now := time.Now()
	c.Now = func() time.Time { return now }
	c.Issuer = p.URL + "/another" // answers 404
	for range 3 {
		if _, err := c.URL(t.Context(), back, NewAttempt()); !errors.Is(err, ErrDown) {
			t.Fatalf("got %v; want %v", err, ErrDown)
		}
	}
	c.Issuer = p.URL
	if _, err := c.URL(t.Context(), back, NewAttempt()); !errors.Is(err, ErrDown) || p.found.Load() != 0 {
		t.Errorf("got %v after %d questions; want no question so soon", err, p.found.Load())
	}
	now = now.Add(retryAfter)
	for range 3 {
		if _, err := c.URL(t.Context(), back, NewAttempt()); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.found.Load(); n != 1 {
		t.Errorf("asked %d times; want once", n)
	}
}

func TestAProviderThatCallsItselfOtherwiseIsNone(t *testing.T) {
	t.Parallel()
	p := newRogue(t)
	c := p.client()
	c.Issuer = p.URL + "/" // answers, under the name without the slash
	if _, err := c.URL(t.Context(), back, NewAttempt()); !errors.Is(err, ErrDown) {
		t.Errorf("got %v; want %v", err, ErrDown)
	}
}
