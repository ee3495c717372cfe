// Package outbound makes HTTP requests to addresses that people type in. The server stands where they do not, inside a
// private network, so it must not lend them its place: what is not on the public internet is refused when the
// connection is made, after names were looked up, so that neither a redirect nor a name that changes its address leads
// in.
package outbound

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Policy says where requests may go. The zero Policy is the public internet alone.
type Policy struct {
	// Private lets requests go anywhere, for an installation whose webhooks are in its own network.
	Private bool
}

// Refused says that an address is not on the public internet.
type Refused struct{ Address netip.Addr }

func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not an address of the public internet", r.Address)
}

// maxURL is the most bytes of an address that someone types.
const maxURL = 2000

// CheckURL says, as a sentence, what is wrong with an address as typed, or "". A name is not looked up: what it means
// may change until it is used, and the client asks then.
func (p Policy) CheckURL(text string) (problem string) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return "Write an address such as https://example.com/hook."
	case len(text) > maxURL:
		return fmt.Sprintf("Use at most %d bytes.", maxURL)
	case u.User != nil:
		return "Leave out the user and the password: what is sent is signed instead."
	case u.Fragment != "":
		return "Leave out what follows the #: it is never sent."
	}
	if p.Private {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "This server may not call itself."
	}
	if addr, err := netip.ParseAddr(host); err == nil && !Public(addr) {
		return "This address is not on the public internet."
	}
	return ""
}

// Client is an HTTP client for addresses that people type in: each request is bounded by a time, follows no redirect,
// passes no proxy, and opens a connection of its own, so that every one of them is checked. Answers come as they were
// sent, never unpacked. The error of a forbidden address is a *Refused.
func (p Policy) Client(timeout time.Duration) *http.Client {
	return p.client(&net.Dialer{}, timeout)
}

func (p Policy) client(dialer *net.Dialer, timeout time.Duration) *http.Client {
	dialer.Timeout = timeout
	if !p.Private {
		dialer.ControlContext = control
	}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reach looks up the addresses of a host to which p lets a program connect that makes its connections itself, such as
// Git. Of the addresses of a name only those that are allowed are returned. The error is a *Refused where none is; of a
// name that is not found it is what the look-up says.
func (p Policy) Reach(ctx context.Context, host string) ([]netip.Addr, error) {
	return p.reach(ctx, net.DefaultResolver, host)
}

func (p Policy) reach(ctx context.Context, resolver *net.Resolver, host string) ([]netip.Addr, error) {
	found, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	var allowed []netip.Addr
	var refused error
	for _, a := range found {
		if a = a.Unmap(); p.Private || Public(a) {
			allowed = append(allowed, a)
		} else {
			refused = &Refused{a}
		}
	}
	if len(allowed) == 0 {
		return nil, refused
	}
	return allowed, nil
}

// control sees the address that a connection is about to be made to.
func control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	if !Public(to.Addr()) {
		return &Refused{to.Addr()}
	}
	return nil
}

// Public reports whether an address is on the public internet, by the registries of special-purpose addresses. An IPv4
// address written as IPv6 (::ffff:192.0.2.1) never is; one that a network translates (64:ff9b::/96) is what it stands
// for.
func Public(addr netip.Addr) bool {
	if addr.Is4In6() || addr.Zone() != "" {
		return false
	}
	if translated.Contains(addr) {
		raw := addr.As16()
		addr = netip.AddrFrom4([4]byte(raw[12:]))
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return addr.IsValid()
}

var (
	globalUnicast = netip.MustParsePrefix("2000::/3") // of IPv6, all else is special
	translated    = netip.MustParsePrefix("64:ff9b::/96")
)

// special are the networks that are not the public internet: IANA's registries of 2025 for IPv4 and, within 2000::/3,
// IPv6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network; 0.0.0.0 is this machine
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local: the metadata of clouds
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/4"),     // multicast
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4: holds an IPv4 address
	netip.MustParsePrefix("3fff::/20"),       // documentation
}
