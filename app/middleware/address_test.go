package middleware

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestTheAddressIsTheNearestHopThatIsNoTrustedProxy(t *testing.T) {
	t.Parallel()
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"no proxy", "203.0.113.9:1234", nil, "203.0.113.9"},
		{"a stranger's claim", "203.0.113.9:1234", []string{"127.0.0.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:1234", []string{"203.0.113.9"}, "203.0.113.9"},
		{"one proxy, and a claim before it", "10.0.0.1:1234", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1:1234", []string{"198.51.100.1, 203.0.113.9, 10.2.3.4"}, "203.0.113.9"},
		{"in two lines", "10.0.0.1:1234", []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		{"rubbish", "10.0.0.1:1234", []string{"rubbish"}, "10.0.0.1"},
		{"IPv4 in IPv6", "10.0.0.1:1234", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"IPv6", "[fd00::1]:1234", []string{"2001:db8::7"}, "2001:db8::7"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: http.Header{"X-Forwarded-For": tt.forwarded}}
		if got := proxies.Address(r); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}
