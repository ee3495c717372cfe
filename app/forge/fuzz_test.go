package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzSignatures checks calls with headers as anybody may send them. What is taken for signed holds the secret, or a
// MAC that only who has the secret can make.
func FuzzSignatures(f *testing.F) {
	const secret = "It's a Secret to Everybody"
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("{}"))
	sum := hex.EncodeToString(mac.Sum(nil))
	names := []string{
		"X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature", "X-Gitlab-Token", "Webhook-Signature",
		"Webhook-Id", "Webhook-Timestamp",
		"Svix-Signature", "Authorization", "Api-Authentication", "X-Signature",
	}
	f.Add(uint8(0), uint8(0), "sha256="+sum, uint8(0), "", []byte("{}"))
	f.Add(uint8(1), uint8(3), secret, uint8(4), "v1,AAAA v1a,BBBB", []byte("{}"))
	f.Add(uint8(3), uint8(8), "Basic OkEgU2VjcmV0", uint8(8), "Bearer x", []byte(nil))
	f.Add(uint8(4), uint8(4), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", uint8(6), "1614265330",
		[]byte(`{"test": 2432232314}`))
	f.Add(uint8(5), uint8(10), "sha512="+strings.Repeat("ab", 64), uint8(10), sum, []byte("x"))
	f.Fuzz(func(t *testing.T, scheme, first uint8, value string, second uint8, other string, body []byte) {
		header := http.Header{}
		header.Add(names[int(first)%len(names)], value)
		header.Add(names[int(second)%len(names)], other)
		now := time.Unix(1614265330, 0)
		err := error(nil)
		if all := []Scheme{SchemeGitHub, SchemeGitLab, SchemeGitea, SchemeStandard, SchemeHMAC}; int(scheme)%6 == 5 {
			err = Verify(Azure, header, body, []string{secret}, now)
		} else {
			err = Signature{Scheme: all[int(scheme)%6], Secret: secret, Header: "X-Signature"}.Check(header, body, now)
		}
		if err == nil && !holdsProof(value+" "+other, secret, body) {
			t.Errorf("%v is taken for signed", header)
		}
	})
}

// holdsProof reports whether a text has a secret, or its MAC of a body, in any of the forms that senders use.
func holdsProof(text, secret string, body []byte) bool {
	list := []string{secret, base64.StdEncoding.EncodeToString([]byte(":" + secret))}
	for _, sum := range []func() []byte{
		func() []byte { m := hmac.New(sha256.New, []byte(secret)); m.Write(body); return m.Sum(nil) },
		func() []byte { m := hmac.New(sha512.New, []byte(secret)); m.Write(body); return m.Sum(nil) },
	} {
		list = append(list, hex.EncodeToString(sum()), strings.TrimRight(base64.StdEncoding.EncodeToString(sum()), "="))
	}
	for _, proof := range list {
		if strings.Contains(strings.ToLower(text), strings.ToLower(proof)) {
			return true
		}
	}
	// its user and password may be packed in any way; the secret is compared whole
	return strings.HasPrefix(text, "Basic ")
}

// FuzzRefusals reads answers of forges that are none: when to ask again lies between now and a day from now, and what
// is said is short text without the token.
func FuzzRefusals(f *testing.F) {
	f.Add(uint8(0), 429, "Retry-After", "120", []byte(`{"message":"slow down"}`))
	f.Add(uint8(1), 403, "X-RateLimit-Reset", "1893456000", []byte(`{"message":{"a":["b"]}}`))
	f.Add(uint8(2), 403, "Retry-After", "Wed, 21 Oct 2099 07:28:00 GMT", []byte(`rate limit`))
	f.Add(uint8(3), 503, "Retry-After", "99999999999999999999", []byte(`{"errors":[{"message":"x"}]}`))
	f.Add(uint8(0), 500, "RateLimit-Reset", "-1", []byte("\xff\x00 secret-token"))
	f.Fuzz(func(t *testing.T, n uint8, status int, name, value string, body []byte) {
		now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		c := &Client{Kind: Kinds()[int(n)%len(Kinds())], Token: "secret-token", Now: func() time.Time { return now }}
		h := http.Header{"X-Ratelimit-Remaining": {"0"}}
		h.Add(name, value)
		err := c.answerError(&http.Response{StatusCode: status, Header: h}, body)
		if limit, ok := err.(*RateLimit); ok && (limit.Until.Before(now) || limit.Until.After(now.Add(24*time.Hour))) {
			t.Errorf("%s %q is until %s", name, value, limit.Until)
		}
		if err != nil && (len(err.Error()) > 2000 || !utf8.ValidString(err.Error()) ||
			strings.Contains(err.Error(), "secret-token")) {
			t.Errorf("it says %q", err)
		}
	})
}

// FuzzRemotes reads addresses of repositories as people type them. What is read is a repository of its forge.
func FuzzRemotes(f *testing.F) {
	for _, address := range []string{
		"https://github.com/acme/app.git", "git@gitlab.com:group/sub/app.git", "ssh://git@gitea.example:2222/a/b",
		"https://dev.azure.com/org/project/_git/repo",
		"git@ssh.dev.azure.com:v3/org/project/repo", "https://user:pass@example.com:443/x/y/", "C:\\repo",
		"file:///tmp/x", "::", "https://[::1]:99/a/b",
	} {
		f.Add(address, "https://forge.example/base/")
	}
	f.Fuzz(func(t *testing.T, address, base string) {
		r, ok := parseRemote(address)
		if ok && (r.path == "" || strings.HasPrefix(r.path, "/")) {
			t.Errorf("%q is %+v", address, r)
		}
		for _, kind := range Kinds() {
			if repo, ok := repositoryIn(kind, r, ""); ok && !validRepository(kind, repo) {
				t.Errorf("%q is the repository %q of %s", address, repo, kind)
			}
		}
	})
}
