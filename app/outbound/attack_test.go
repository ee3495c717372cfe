package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Browsers, curl and C libraries read all of these as 127.0.0.1 or 169.254.169.254. Some are refused as typed, the
// others at the latest when the connection is made.
func TestNoSpellingOfAnAddressLeadsInside(t *testing.T) {
	t.Parallel()
	address, connections := server(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	client := Policy{}.Client(patience)
	for _, host := range []string{
		"2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0", "127.0.0.1.",
		"127.000.000.001", "①②⑦.⓪.⓪.①", "127。0。0。1",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[::1]", "[0000::1]",
		"[::1%25lo]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
		"[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]", "[fd00:ec2::254]", "localhost", "LocalHost",
		"localhost.", "ip6-localhost", "169.254.169.254", "2852039166",
	} {
		res, err := client.Get("http://" + host + ":" + port + "/")
		if err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	for _, host := range []string{"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[fd00:ec2::254]",
		"[::1%25lo]", "127.0.0.1.", "localhost.", "x.localhost", "[64:ff9b::a9fe:a9fe]"} {
		if problem := (Policy{}).CheckURL("http://" + host + ":" + port + "/"); problem == "" {
			t.Errorf("%s may be typed", host)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections reached the server", n)
	}
}

// nameServer answers every question for an address with what a test says: of IPv4 by four bytes, of IPv6 by sixteen.
func nameServer(t *testing.T, answers func(asked int64) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int64
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			q := m.Questions[0]
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
			for _, a := range answers(asked.Add(1)) {
				switch {
				case a.Is4() && q.Type == dnsmessage.TypeA:
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: head, Body: &dnsmessage.AResource{A: a.As4()},
					})
				case a.Is6() && q.Type == dnsmessage.TypeAAAA:
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()},
					})
				}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	var dialer net.Dialer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// A name is judged by the address that is connected to, at each connection, so it does not help it to have been
// harmless when it was typed, or to have a harmless address beside the other.
func TestANameThatChangesItsAddressLeadsNotInside(t *testing.T) {
	t.Parallel()
	address, connections := server(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	const typed = "http://hooks.example.test"
	if problem := (Policy{}).CheckURL(typed); problem != "" {
		t.Fatal(problem)
	}
	for name, list := range map[string][]string{
		"this machine": {"127.0.0.1"}, "this machine by IPv6": {"::1"}, "mapped": {"::ffff:127.0.0.1"},
		"several": {"10.0.0.1", "127.0.0.1", "169.254.169.254"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resolver := nameServer(t, func(int64) (found []netip.Addr) {
				for _, a := range list {
					found = append(found, netip.MustParseAddr(a))
				}
				return found
			})
			client := Policy{}.client(&net.Dialer{Resolver: resolver}, patience)
			for range 2 {
				res, err := client.Get(typed + ":" + port)
				if err == nil {
					_ = res.Body.Close()
				}
				if refused := (*Refused)(nil); !errors.As(err, &refused) {
					t.Errorf("got %v; want a refusal", err)
				}
			}
			// The name leads there: where private addresses are allowed, it is reached.
			if name == "this machine" {
				res, err := Policy{Private: true}.client(&net.Dialer{Resolver: resolver}, patience).
					Get(typed + ":" + port)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
			}
		})
	}
	t.Cleanup(func() {
		if n := connections.Load(); n != 1 {
			t.Errorf("%d connections reached the server; want the one that was allowed", n)
		}
	})
}

// What a public server answers cannot send the request inside: redirects are not followed, whatever their kind.
func TestNoRedirectLeadsInside(t *testing.T) {
	t.Parallel()
	target, reached := server(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		address, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", target)
			w.Header().Set("Refresh", "0;url="+target)
			w.WriteHeader(status)
		})
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := Policy{Private: true}.Client(patience).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != status {
				t.Errorf("%s got %d; want the redirect %d itself", method, res.StatusCode, status)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached where the redirects point", n)
	}
}
