package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const secret = "It's a Secret to Everybody"

func TestPublishedSignaturesAreJudgedAsPublished(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(string(read(t, "hmac.tsv"))), "\n")[1:]
	if len(lines) != 7 {
		t.Fatalf("%d vectors; want 7", len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, "\t")
		name := f[0]
		key := f[2]
		message := f[3]
		header := f[4]
		value := f[5]
		verdict := f[6]
		h, now := http.Header{}, time.Time{}
		h.Set(header, value)
		s := Signature{Scheme: SchemeGitHub, Secret: key}
		if header == "webhook-signature" {
			s = Signature{Scheme: SchemeStandard, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
			if !strings.HasPrefix(key, s.Secret) {
				t.Fatalf("the vector's secret is now %q", key)
			}
			h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
			h.Set("webhook-timestamp", "1614265330")
			now = time.Unix(1614265330, 0)
		}
		if err := s.Check(h, []byte(message), now); (err == nil) != (verdict == "accept") {
			t.Errorf("%s: %v; want %s", name, err, verdict)
		}
	}
}

func TestWebhooksOfEveryForgeAreVerified(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":1}`)
	now := time.Unix(1_700_000_000, 0)
	mac := hexMAC(sha256.New, secret, body)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	standardHeader := standardHeaders("whsec_"+base64.StdEncoding.EncodeToString([]byte("signing token of 24 bytes")),
		"id", now, body)
	for _, tt := range []struct {
		name   string
		kind   Kind
		header http.Header
		secret string
		want   error
	}{
		{"GitHub's signature", GitHub, http.Header{"X-Hub-Signature-256": {"sha256=" + mac}}, secret, nil},
		{"GitHub's signature in capitals", GitHub,
			http.Header{"X-Hub-Signature-256": {"sha256=" + strings.ToUpper(mac)}}, secret, nil},
		{"another secret", GitHub, http.Header{"X-Hub-Signature-256": {"sha256=" + mac}}, "other", ErrSignature},
		{"no signature", GitHub, http.Header{}, secret, ErrNoSignature},
		{"SHA-1 alone", GitHub, http.Header{"X-Hub-Signature": {"sha1=" + mac[:40]}}, secret, ErrNoSignature},
		{"without the prefix", GitHub, http.Header{"X-Hub-Signature-256": {mac}}, secret, ErrSignature},
		{"two signatures", GitHub, http.Header{"X-Hub-Signature-256": {"sha256=" + mac, "sha256=" + mac}}, secret,
			ErrSignature},
		{"a signature followed by more", GitHub, http.Header{"X-Hub-Signature-256": {"sha256=" + mac + "\r\nX-A: 1"}},
			secret, ErrSignature},
		{"no secret is set", GitHub, http.Header{"X-Hub-Signature-256": {"sha256=" + hexMAC(sha256.New, "", body)}}, "",
			ErrNoSecret},

		{"GitLab's token", GitLab, http.Header{"X-Gitlab-Token": {secret}}, secret, nil},
		{"a wrong token", GitLab, http.Header{"X-Gitlab-Token": {secret + "x"}}, secret, ErrSignature},
		{"an empty token", GitLab, http.Header{"X-Gitlab-Token": {""}}, secret, ErrNoSignature},
		{"an empty token and no secret", GitLab, http.Header{"X-Gitlab-Token": {""}}, "", ErrNoSecret},
		{"two tokens, one right", GitLab, http.Header{"X-Gitlab-Token": {"x", secret}}, secret, ErrSignature},
		{"GitLab's signing token", GitLab, standardHeader,
			"whsec_" + base64.StdEncoding.EncodeToString([]byte("signing token of 24 bytes")), nil},
		{"another signing token", GitLab, standardHeader,
			"whsec_" + base64.StdEncoding.EncodeToString([]byte("another token of 24 bytes")), ErrSignature},

		{"Gitea's signature", Gitea, http.Header{"X-Gitea-Signature": {mac}}, secret, nil},
		{"Forgejo's signature", Gitea, http.Header{"X-Forgejo-Signature": {mac}}, secret, nil},
		{"GitHub's signature from Gitea", Gitea, http.Header{
			"X-Gitea-Signature": {""}, "X-Hub-Signature-256": {"sha256=" + mac},
		}, secret, nil},
		{"Gitea's wrong signature beside a right one", Gitea, http.Header{
			"X-Gitea-Signature": {mac[2:] + "00"}, "X-Hub-Signature-256": {"sha256=" + mac},
		}, secret, ErrSignature},
		{"an empty signature", Gitea, http.Header{"X-Gitea-Signature": {""}}, secret, ErrNoSignature},

		{"Azure's password", Azure, http.Header{"Authorization": {basic("anyone:" + secret)}}, secret, nil},
		{"Azure's user and password", Azure, http.Header{"Authorization": {basic("hook:pw")}}, "hook:pw", nil},
		{"a wrong password", Azure, http.Header{"Authorization": {basic("hook:no")}}, "hook:pw", ErrSignature},
		{"the password of another user", Azure, http.Header{"Authorization": {basic("else:pw")}}, "hook:pw",
			ErrSignature},
		{"no basic authentication", Azure, http.Header{"Authorization": {"Bearer " + secret}}, secret, ErrSignature},
		{"a header of the subscription", Azure, http.Header{"Api-Authentication": {secret}}, secret, nil},
		{"a wrong header of the subscription", Azure,
			http.Header{"Api-Authentication": {"x"}, "Authorization": {basic("a:" + secret)}}, secret, ErrSignature},
		{"nothing from Azure", Azure, http.Header{}, secret, ErrNoSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := Verify(tt.kind, tt.header, body, []string{"", tt.secret}, now)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("answered %v; want %v", err, tt.want)
			}
			if err != nil && tt.secret != "" && strings.Contains(err.Error(), tt.secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestAnyOfSeveralSecretsWillDo(t *testing.T) {
	t.Parallel()
	body := []byte("x")
	h := http.Header{"X-Hub-Signature-256": {"sha256=" + hexMAC(sha256.New, "old", body)}}
	if err := Verify(GitHub, h, body, []string{"new", "old"}, time.Time{}); err != nil {
		t.Error(err)
	}
	if err := Verify("other", h, body, []string{"old"}, time.Time{}); err == nil {
		t.Error("a forge that nobody knows was verified")
	}
}

func TestHeadersOfRealSendersNameTheDelivery(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-Gitlab-Event-UUID": "<uuid>",
	}
	for line := range strings.Lines(string(read(t, "headers.tsv"))) {
		f := strings.Split(line, "\t")
		h := http.Header{}
		h.Set(f[1], f[2])
		if got := DeliveryID(h); got != want[f[1]] {
			t.Errorf("%s: %s names the delivery %q; want %q", f[1], f[2], got, want[f[1]])
		}
	}
}

func TestDeliveryIDsAreShortAndPrintable(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"X-GitHub-Delivery", "X-Gitlab-Event-UUID", "X-Gitea-Delivery", "webhook-id",
		"svix-id", "Idempotency-Key"} {
		h := http.Header{}
		h.Set(name, " a-1 ")
		if got := DeliveryID(h); got != "a-1" {
			t.Errorf("%s: %q", name, got)
		}
		for _, bad := range []string{strings.Repeat("x", 5000), "a\r\nX: 1", "é", "\x00"} {
			h.Set(name, bad)
			if got := DeliveryID(h); len(got) > 100 || !strings.HasPrefix(got, "sha256:") {
				t.Errorf("%s: %.20q gave %q", name, bad, got)
			}
		}
	}
	if got := DeliveryID(http.Header{}); got != "" {
		t.Errorf("no header gave %q", got)
	}
}

func TestStandardWebhooksCoverIDTimeAndBody(t *testing.T) {
	t.Parallel()
	key := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	now := time.Unix(1_700_000_000, 0)
	body := []byte(`{"x":1}`)
	good := standardHeaders(key, "msg_1", now, body)
	signature := good.Get("webhook-signature")
	for _, tt := range []struct {
		name   string
		change func(http.Header)
		now    time.Time
		want   error
	}{
		{"as signed", nil, now, nil},
		{"five minutes later", nil, now.Add(5 * time.Minute), nil},
		{"repeated after that", nil, now.Add(5*time.Minute + time.Second), ErrTimestamp},
		{"by a clock five minutes ahead", nil, now.Add(-5 * time.Minute), nil},
		{"by a clock further ahead", nil, now.Add(-5*time.Minute - time.Second), ErrTimestamp},
		{"with a newer time than signed", func(h http.Header) {
			h.Set("webhook-timestamp", "1700000100")
		}, now, ErrSignature},
		{"with another id", func(h http.Header) { h.Set("webhook-id", "msg_2") }, now, ErrSignature},
		{"without an id", func(h http.Header) { h.Del("webhook-id") }, now, ErrSignature},
		{"without a time", func(h http.Header) { h.Del("webhook-timestamp") }, now, ErrSignature},
		{"without a signature", func(h http.Header) { h.Del("webhook-signature") }, now, ErrNoSignature},
		{"with two ids", func(h http.Header) { h.Add("webhook-id", "msg_1") }, now, ErrSignature},
		{"with a time that is no number", func(h http.Header) { h.Set("webhook-timestamp", "1e9") }, now, ErrSignature},
		{"with a time beyond all", func(h http.Header) {
			h.Set("webhook-timestamp", "9223372036854775807")
		}, now, ErrSignature},
		{"with a right one among several", func(h http.Header) {
			h.Set("webhook-signature", "v1,AAAA v1a,"+strings.TrimPrefix(signature, "v1,")+" junk  "+signature)
		}, now, nil},
		{"with another version alone", func(h http.Header) {
			h.Set("webhook-signature", "v2,"+strings.TrimPrefix(signature, "v1,"))
		}, now, ErrSignature},
		{"under the older names", func(h http.Header) {
			for _, name := range []string{"id", "timestamp", "signature"} {
				h.Set("svix-"+name, h.Get("webhook-"+name))
				h.Del("webhook-" + name)
			}
		}, now, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := good.Clone()
			if tt.change != nil {
				tt.change(h)
			}
			err := Signature{Scheme: SchemeStandard, Secret: key}.Check(h, body, tt.now)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("answered %v; want %v", err, tt.want)
			}
			if errors.Is(tt.want, ErrTimestamp) && !errors.Is(err, ErrSignature) {
				t.Error("a wrong time is not a wrong signature")
			}
		})
	}
	if err := (Signature{Scheme: SchemeStandard, Secret: key, Tolerance: time.Hour}).
		Check(good, body, now.Add(59*time.Minute)); err != nil {
		t.Errorf("within a tolerance of an hour: %v", err)
	}
	far := standardHeaders(key, "m", time.Unix(1<<62, 0), body)
	if err := (Signature{Scheme: SchemeStandard, Secret: key}).Check(far, body, now); !errors.Is(err, ErrTimestamp) {
		t.Errorf("signed in the farthest future: %v", err)
	}
}

func TestGenericHMACTakesWhatSendersSend(t *testing.T) {
	t.Parallel()
	body := []byte("body")
	raw256, _ := hex.DecodeString(hexMAC(sha256.New, secret, body))
	raw512, _ := hex.DecodeString(hexMAC(sha512.New, secret, body))
	for _, tt := range []struct {
		name  string
		s     Signature
		value string
		want  error
	}{
		{"hex", Signature{}, hex.EncodeToString(raw256), nil},
		{"hex with the algorithm before it", Signature{}, "sha256=" + hex.EncodeToString(raw256), nil},
		{"base64", Signature{}, base64.StdEncoding.EncodeToString(raw256), nil},
		{"base64 for addresses, not padded", Signature{Encoding: "base64"},
			base64.RawURLEncoding.EncodeToString(raw256), nil},
		{"SHA-512", Signature{Algorithm: "sha512", Encoding: "hex"}, "sha512=" + hex.EncodeToString(raw512), nil},
		{"SHA-512 for SHA-256", Signature{}, hex.EncodeToString(raw512), ErrSignature},
		{"a prefix", Signature{Prefix: "v0="}, "v0=" + hex.EncodeToString(raw256), nil},
		{"a missing prefix", Signature{Prefix: "v0="}, hex.EncodeToString(raw256), ErrSignature},
		{"hex where base64 is set", Signature{Encoding: "base64"}, hex.EncodeToString(raw256), ErrSignature},
		{"base64 where hex is set", Signature{Encoding: "hex"}, base64.StdEncoding.EncodeToString(raw256),
			ErrSignature},
		{"half of it", Signature{}, hex.EncodeToString(raw256[:16]), ErrSignature},
		{"nothing", Signature{}, "", ErrNoSignature},
		{"the prefix alone", Signature{}, "sha256=", ErrSignature},
		{"100 KB", Signature{}, strings.Repeat("ab", 50000), ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tt.s
			s.Scheme, s.Header, s.Secret = SchemeHMAC, "x-signature", secret
			if problem := s.Problem(); problem != "" {
				t.Fatal(problem)
			}
			err := s.Check(http.Header{"X-Signature": {tt.value}}, body, time.Time{})
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("answered %v; want %v", err, tt.want)
			}
		})
	}
}

func TestSignaturesThatCannotWorkAreNamedWhenSet(t *testing.T) {
	t.Parallel()
	for _, s := range []Signature{
		{}, {Scheme: SchemeGitHub}, {Scheme: "odd", Secret: "x"}, {Scheme: SchemeStandard, Secret: "whsec_!"},
		{Scheme: SchemeStandard, Secret: "whsec_"},
		{Scheme: SchemeHMAC, Secret: "x"}, {Scheme: SchemeHMAC, Secret: "x", Header: "A: b\r\nC"},
		{Scheme: SchemeHMAC, Secret: "x", Header: "X-A", Algorithm: "sha1"},
		{Scheme: SchemeHMAC, Secret: "x", Header: "X-A", Encoding: "hexx"},
		{Scheme: SchemeGitHub, Secret: "x", Tolerance: -1},
	} {
		if s.Problem() == "" {
			t.Errorf("nothing is wrong with %+v", s)
		}
		if err := s.Check(http.Header{}, nil, time.Time{}); err == nil {
			t.Errorf("%+v let an unsigned request pass", s)
		}
	}
	for _, scheme := range Schemes() {
		s := Signature{Scheme: scheme, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Header: "X-A"}
		if problem := s.Problem(); problem != "" {
			t.Errorf("%s: %s", scheme, problem)
		}
		if err := s.Check(http.Header{}, nil, time.Time{}); !errors.Is(err, ErrNoSignature) {
			t.Errorf("%s: an unsigned request gave %v", scheme, err)
		}
	}
}

func hexMAC(sum func() hash.Hash, key string, body []byte) string {
	mac := hmac.New(sum, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func standardHeaders(key, id string, at time.Time, body []byte) http.Header {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_"))
	if err != nil {
		panic(err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte(id + "." + stamp + "." + string(body)))
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}
