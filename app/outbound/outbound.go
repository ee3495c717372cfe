// Package outbound makes HTTP requests to addresses that people type in. The server may be inside a private network,
// which people must not reach through it. An address that is not on the public internet is refused when the connection
// is made, after the name was resolved, so that neither a redirect nor a name that changes its address leads into the
// network.
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

// Policy says which addresses are allowed. The zero Policy allows the public internet alone.
type Policy struct {
	// Private allows all addresses, for an installation with webhooks in its own network.
	Private bool
}

// Refused says that an address is not on the public internet.
type Refused struct{ Address netip.Addr }

func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not an address of the public internet", r.Address)
}

// maxURL bounds a typed address, in bytes.
const maxURL = 2000

// CheckURL gives the problem with a typed address as a sentence, or "". It does not resolve names, because a name may
// change until it is used; the client checks it then.
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

// Client makes an HTTP client for addresses that people type in. Each request has a timeout, follows no redirect, uses
// no proxy, and opens a connection of its own, so that every address is checked. Answers are not decompressed. The
// error of a forbidden address is a *Refused.
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

// Reach resolves a host and returns its allowed addresses, for a program that makes its connections itself, such as
// Git. The error is a *Refused if no address is allowed, or the resolver's error.
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

// control checks the address of a connection before it is made.
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

// Public reports whether an address is on the public internet, by the registries of special-purpose addresses. An
// IPv4-mapped IPv6 address (::ffff:192.0.2.1) is not; an address that a network translates (64:ff9b::/96) counts as its
// IPv4 address.
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
	globalUnicast = netip.MustParsePrefix("2000::/3") // all other IPv6 addresses are special
	translated    = netip.MustParsePrefix("64:ff9b::/96")
)

// special are the networks that are not on the public internet. Source: IANA's registries of 2025 for IPv4 and, within
// 2000::/3, IPv6.
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
