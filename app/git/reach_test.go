package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"carillon/app/outbound"
)

// counted is a server that counts the connections that reach it.
func counted(t *testing.T, h http.Handler) (address string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections
}

func TestGitGoesWhereThePolicyAllowsAlone(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	s.Reach = outbound.Policy{}.Reach
	address, connections := counted(t, http.NotFoundHandler())
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{
		address + "/x.git", "http://localhost:" + u.Port() + "/x.git", "http://[::ffff:127.0.0.1]:" + u.Port() +
			"/x.git", "https://10.1.2.3/x.git",
		"http://169.254.169.254/latest", "ssh://git@127.0.0.1:" + u.Port() + "/x.git", "git@127.0.0.1:x.git",
		"git@[::1]:x.git", "git@localhost:x.git",
		"http://①②⑦.⓪.⓪.①:" + u.Port() + "/x.git",
	} {
		_, _, err := s.Probe(t.Context(), Remote{URL: at})
		var bad BadURL
		if !errors.As(err, &bad) {
			t.Errorf("%s: got %v; want a refusal before Git is asked", at, err)
		}
		if err := s.Sync(t.Context(), "w", Remote{URL: at}); err == nil {
			t.Errorf("%s was mirrored", at)
		}
	}
	for _, at := range []string{"http://2130706433:" + u.Port() + "/x.git", "http://0x7f000001:" + u.Port() + "/x.git",
		"git@2130706433:x.git"} {
		if _, _, err := s.Probe(t.Context(), Remote{URL: at}); err == nil {
			t.Errorf("%s was asked", at)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections reached the server", n)
	}
	// A remote that was there before the policy goes on.
	if _, _, err := s.Probe(t.Context(), Remote{URL: address + "/x.git", Anywhere: true}); !errors.Is(err,
		ErrNotRepository) || connections.Load() == 0 {
		t.Errorf("got %v after %d connections; want the server's own answer", err, connections.Load())
	}
}

// A name may lead elsewhere when Git looks it up a moment later, so Git does not look it up.
func TestGitConnectsToTheAddressThatWasJudged(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	asked := 0
	s.Reach = func(_ context.Context, host string) ([]netip.Addr, error) {
		if asked++; host != "git.example.test" {
			return nil, fmt.Errorf("asked for %s", host)
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	locked := serve(t, "ada:right-token")
	u, err := url.Parse(locked.URL)
	if err != nil {
		t.Fatal(err)
	}
	remote := Remote{URL: "http://git.example.test:" + u.Port() + u.Path, Token: "ada:right-token", Branch: "main"}
	if err := s.Sync(t.Context(), "w", remote); err != nil {
		t.Fatal(err)
	}
	w, err := s.Add(t.Context(), "w", "s1", "main", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, w.Dir, "x", "x")
	if _, err := s.Commit(t.Context(), w, "Add x", "", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Push(t.Context(), w, remote, ""); err != nil {
		t.Error(err)
	}
	if asked < 3 {
		t.Errorf("the host was judged %d times; want it judged before each call of Git", asked)
	}
}

func TestGitFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	target, reached := counted(t, http.NotFoundHandler())
	moved, _ := counted(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target+r.URL.RequestURI(), http.StatusFound)
	}))
	if _, _, err := s.Probe(t.Context(), Remote{URL: moved + "/x.git"}); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v; want ErrMoved", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached where the redirect points", n)
	}
}

// What a name leads to is a moment's matter: where nobody knows it, the remote is tried again later.
func TestAHostThatIsNotFoundIsUnreachable(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	s.Reach = func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, fmt.Errorf("look up %s: %w", host, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
	}
	for _, at := range []string{"git@git.example.test:x.git", "ssh://git.example.test/x.git"} {
		if _, _, err := s.Probe(t.Context(), Remote{URL: at}); !errors.Is(err, ErrUnreachable) ||
			!strings.Contains(err.Error(), "git.example.test") {
			t.Errorf("%s: got %v; want ErrUnreachable with the host", at, err)
		}
	}
}
