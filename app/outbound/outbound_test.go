package outbound

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const patience = 10 * time.Minute

func TestOnlyThePublicInternetIsPublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"93.184.215.14": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true,
		"100.128.0.1":          true,
		"2606:4700:4700::1111": true, "2a00:1450:4001:800::200e": true, "64:ff9b::101:101": true,
		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false,
		"172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false,
		"192.0.0.8": false, "192.0.2.1": false,
		"198.18.0.1": false, "198.19.255.255": false, "198.51.100.7": false, "203.0.113.9": false, "192.88.99.1": false,
		"224.0.0.1":       false,
		"239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:1.1.1.1": false,
		"fe80::1": false, "fe80::1%eth0": false,
		"fec0::1": false, "fc00::1": false, "fd12:3456::1": false, "ff02::1": false, "2001:db8::1": false,
		"2001::1": false, "2002:7f00:1::": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "100::1": false, "3fff::1": false,
		"5f00::1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("Public(%s) = %v; want %v", address, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address at all counts as public")
	}
}

// server counts the connections that reach it.
func server(t *testing.T, h http.HandlerFunc) (address string, connections *atomic.Int64) {
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

func TestNoConnectionIsMadeToThisMachine(t *testing.T) {
	t.Parallel()
	address, connections := server(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	client := Policy{}.Client(patience)
	for _, host := range []string{"127.0.0.1", "localhost", "127.1.2.3", "0.0.0.0", "[::1]", "[::]",
		"[::ffff:127.0.0.1]"} {
		res, err := client.Get("http://" + host + ":" + port)
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was reached", host)
			continue
		}
		// Where the machine has no IPv6 at all, connecting fails before it is refused.
		if refused := (*Refused)(nil); !errors.As(err, &refused) && !strings.Contains(host, ":") {
			t.Errorf("%s: %v; want a refusal", host, err)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections reached the server", n)
	}
}

// The name is looked up by the dialer, so a name that leads here is refused as the address is.
func TestAnAddressBehindANameIsRefused(t *testing.T) {
	t.Parallel()
	address, connections := server(t, func(http.ResponseWriter, *http.Request) {})
	_, err := Policy{}.Client(patience).Get(strings.Replace(address, "127.0.0.1", "localhost", 1))
	var refused *Refused
	if !errors.As(err, &refused) || !refused.Address.IsLoopback() || connections.Load() != 0 {
		t.Errorf("got %v with %d connections; want the loopback address refused", err, connections.Load())
	}
}

func TestPrivateAddressesAreReachedWhereTheyAreAllowed(t *testing.T) {
	t.Parallel()
	address, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") })
	res, err := Policy{Private: true}.Client(patience).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "here" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	target, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	address, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	})
	res, err := Policy{Private: true}.Client(patience).Post(address, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || reached.Load() != 0 {
		t.Errorf("got %d, and %d connections to where it points; want the redirect itself and none", res.StatusCode,
			reached.Load())
	}
}

func TestConnectionsAreNotKept(t *testing.T) {
	t.Parallel()
	address, connections := server(t, func(http.ResponseWriter, *http.Request) {})
	client := Policy{Private: true}.Client(patience)
	for range 2 {
		res, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("two requests took %d connections; want one each, so that each is checked", n)
	}
}

func TestAServerThatNeverAnswersIsLeft(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	address, _ := server(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) }) // before the server is closed, which waits for its handlers
	if _, err := (Policy{Private: true}).Client(50 * time.Millisecond).Get(address); err == nil {
		t.Error("it answered")
	}
}

func TestAddressesAsTyped(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://example.com/hook?x=1": "", "http://93.184.215.14:8080": "", "https://[2606:4700:4700::1111]/": "",
		"": "Write an address", "example.com/hook": "Write an address", "ftp://example.com": "Write an address",
		"https://": "Write an address", "javascript:alert(1)": "Write an address",
		"http:example.com":                "Write an address",
		"https://example.com/\r\nHost: x": "Write an address", "https://me:pass@example.com": "Leave out the user",
		"https://example.com/#x": "Leave out what",
		"http://localhost:8080/": "may not call itself", "http://LOCALHOST.": "may not call itself",
		"http://a.localhost": "may not call itself",
		"http://127.0.0.1":   "not on the public", "http://[::1]:80/": "not on the public",
		"http://169.254.169.254/latest":                      "not on the public",
		"https://example.com/" + strings.Repeat("x", maxURL): "at most",
	} {
		got := Policy{}.CheckURL(address)
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("CheckURL(%.60q) says %q; want %q", address, got, want)
		}
	}
	if got := (Policy{Private: true}).CheckURL("http://127.0.0.1:9000/hook"); got != "" {
		t.Errorf("where private addresses are allowed: %s", got)
	}
}

func TestOnlyAllowedAddressesOfANameAreReturned(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		leads           []string
		public, private string
	}{
		{"public", []string{"93.184.215.14"}, "[93.184.215.14]", "[93.184.215.14]"},
		{"this machine", []string{"127.0.0.1"}, "[]", "[127.0.0.1]"},
		{"both", []string{"10.0.0.1", "93.184.215.14"}, "[93.184.215.14]", "[10.0.0.1 93.184.215.14]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resolver := nameServer(t, func(int64) (found []netip.Addr) {
				for _, a := range tt.leads {
					found = append(found, netip.MustParseAddr(a))
				}
				return found
			})
			for policy, want := range map[Policy]string{{}: tt.public, {Private: true}: tt.private} {
				got, err := policy.reach(t.Context(), resolver, "git.example.test")
				slices.SortFunc(got, netip.Addr.Compare)
				if fmt.Sprint(got) != want {
					t.Errorf("with %+v the name leads to %v; want %s", policy, got, want)
				}
				if refused := (*Refused)(nil); errors.As(err, &refused) != (want == "[]") {
					t.Errorf("with %+v: got %v", policy, err)
				}
			}
		})
	}
}
