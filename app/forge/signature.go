package forge

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Scheme is a way in which senders sign requests.
type Scheme string

const (
	SchemeGitHub   Scheme = "github"   // X-Hub-Signature-256
	SchemeGitLab   Scheme = "gitlab"   // X-Gitlab-Token, or Standard Webhooks with a signing token
	SchemeGitea    Scheme = "gitea"    // X-Gitea-Signature, X-Forgejo-Signature
	SchemeStandard Scheme = "standard" // Standard Webhooks, www.standardwebhooks.com
	SchemeHMAC     Scheme = "hmac"     // any HMAC of the body in a header
)

// Schemes are all schemes, in the order of the form.
func Schemes() []Scheme {
	return []Scheme{SchemeGitHub, SchemeGitLab, SchemeGitea, SchemeStandard, SchemeHMAC}
}

// DefaultTolerance bounds the difference between a signed time and now.
const DefaultTolerance = 5 * time.Minute

// Signature says how requests must be signed. The fields from Header to Prefix are those of SchemeHMAC.
type Signature struct {
	Scheme Scheme
	Secret string

	Header    string // in which the signature stands
	Algorithm string // sha256 or sha512; empty is sha256
	Encoding  string // hex or base64 (with either alphabet, padded or not); empty is whichever it looks like
	Prefix    string // before the signature, as "sha256="; when empty, the algorithm's name and "=" may stand there

	Tolerance time.Duration // of SchemeStandard; zero is DefaultTolerance
}

// Problem gives the problem with s as a sentence for the form; empty: s can be used.
func (s Signature) Problem() string {
	if s.Secret == "" {
		return "A secret is needed."
	}
	switch s.Scheme {
	case SchemeGitHub, SchemeGitLab, SchemeGitea:
	case SchemeStandard:
		if _, ok := standardKey(s.Secret); !ok {
			return "The secret is not one of Standard Webhooks: whsec_ and base64 after it."
		}
	case SchemeHMAC:
		if !httpguts.ValidHeaderFieldName(s.Header) {
			return "Name the header that carries the signature, for example X-Signature."
		}
		if s.Algorithm != "" && s.Algorithm != "sha256" && s.Algorithm != "sha512" {
			return "The algorithm is sha256 or sha512."
		}
		if s.Encoding != "" && s.Encoding != "hex" && s.Encoding != "base64" {
			return "The encoding is hex or base64."
		}
	default:
		return "The scheme is one of github, gitlab, gitea, standard and hmac."
	}
	if s.Tolerance < 0 {
		return "The tolerance cannot be negative."
	}
	return ""
}

// Check verifies the signature of body, exactly as received. Errors: ErrNoSecret, ErrNoSignature, ErrSignature, and
// ErrTimestamp, which is an ErrSignature too. Only signatures of Standard Webhooks include a time, so a repeated
// delivery is recognized by its DeliveryID alone.
func (s Signature) Check(header http.Header, body []byte, now time.Time) error {
	secrets := []string{s.Secret}
	switch s.Scheme {
	case SchemeGitHub:
		return Verify(GitHub, header, body, secrets, now)
	case SchemeGitLab:
		return Verify(GitLab, header, body, secrets, now)
	case SchemeGitea:
		return Verify(Gitea, header, body, secrets, now)
	case SchemeStandard:
		if _, ok := standardKey(s.Secret); !ok {
			return ErrNoSecret
		}
		return standard(header, body, secrets, now, s.Tolerance)
	case SchemeHMAC:
		return s.hmac(header, body)
	}
	return errors.New("check signature: there is no scheme " + strconv.Quote(string(s.Scheme)))
}

// Signed identifies a checked request by the signed content and the secret, independently of the form of the signature.
// Nil: the request contains a secret and no signature, as with GitLab's token.
func (s Signature) Signed(header http.Header, body []byte) []byte {
	covered := [][]byte{body}
	key := []byte(s.Secret)
	switch s.Scheme {
	case SchemeGitLab:
		if len(header.Values("X-Gitlab-Token")) > 0 && oneOf(header.Get("X-Gitlab-Token"), []string{s.Secret}) == nil {
			return nil
		}
		covered = standardCovers(header, body)
	case SchemeStandard:
		covered = standardCovers(header, body)
	}
	mac := hmac.New(sha256.New, append([]byte("signed body\x00"), key...))
	for _, part := range covered {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// standardCovers gives the signed content of Standard Webhooks.
func standardCovers(header http.Header, body []byte) [][]byte {
	prefix := standardPrefix(header)
	return [][]byte{[]byte(header.Get(prefix+"id") + "." + header.Get(prefix+"timestamp") + "."), body}
}

// standardPrefix is the prefix of a request's headers of Standard Webhooks.
func standardPrefix(header http.Header) string {
	if len(header.Values("webhook-signature")) == 0 && len(header.Values("svix-signature")) > 0 {
		return "svix-" // the former prefix, which many senders still use
	}
	return "webhook-"
}

func (s Signature) hmac(header http.Header, body []byte) error {
	if s.Secret == "" {
		return ErrNoSecret
	}
	value, err := single(header, s.Header)
	if err != nil {
		return err
	}
	algorithm, sum := "sha256", sha256.New
	if s.Algorithm == "sha512" {
		algorithm, sum = "sha512", sha512.New
	}
	if s.Prefix != "" {
		rest, found := strings.CutPrefix(value, s.Prefix)
		if !found {
			return ErrSignature
		}
		value = rest
	} else {
		value = strings.TrimPrefix(value, algorithm+"=")
	}
	want := digest(sum, []byte(s.Secret), body)
	if s.Encoding != "base64" {
		if got, err := hex.DecodeString(value); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	if s.Encoding != "hex" {
		if got, ok := anyBase64(value); ok && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}

// standard checks a signature of Standard Webhooks: v1, HMAC-SHA256 over id, time and body. Secrets that are none of
// this standard are passed over.
func standard(header http.Header, body []byte, secrets []string, now time.Time, tolerance time.Duration) error {
	prefix := standardPrefix(header)
	signatures, err := single(header, prefix+"signature")
	if err != nil {
		return err
	}
	if _, err := single(header, prefix+"id"); err != nil {
		return ErrSignature
	}
	stamp, err := single(header, prefix+"timestamp")
	if err != nil {
		return ErrSignature
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || seconds < 0 {
		return ErrSignature
	}
	signed := bytes.Join(standardCovers(header, body), nil)
	valid := false
	for _, secret := range secrets {
		key, ok := standardKey(secret)
		if !ok {
			continue
		}
		want := digest(sha256.New, key, signed)
		for one := range strings.FieldsSeq(signatures) {
			encoded, ok := strings.CutPrefix(one, "v1,")
			if !ok {
				continue
			}
			if got, ok := anyBase64(encoded); ok && hmac.Equal(got, want) {
				valid = true
			}
		}
	}
	if !valid {
		return ErrSignature
	}
	if tolerance <= 0 {
		tolerance = DefaultTolerance
	}
	// Compared in seconds: the difference of far times does not fit in a Duration.
	if off := now.Unix() - seconds; off > int64(tolerance/time.Second) || off < -int64(tolerance/time.Second) {
		return ErrTimestamp
	}
	return nil
}

func standardKey(secret string) ([]byte, bool) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		key, err = base64.RawStdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	}
	return key, err == nil && len(key) > 0
}

// single is the value of a header that must occur once, because of two values the right one is unknown.
func single(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return "", ErrNoSignature
	}
	if len(values) > 1 {
		return "", ErrSignature
	}
	return values[0], nil
}

func digest(sum func() hash.Hash, key, message []byte) []byte {
	mac := hmac.New(sum, key)
	mac.Write(message)
	return mac.Sum(nil)
}

func anyBase64(s string) ([]byte, bool) {
	s = strings.TrimRight(s, "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(s)
	}
	return b, err == nil
}

// equalSecret compares in constant time.
func equalSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// DeliveryID is the sender's id of a delivery, which is the same for a repetition; empty: there is none. For an id that
// is too long or not printable it is a hash.
func DeliveryID(header http.Header) string {
	// Forgejo and Gitea send GitHub's header as well, with the same value.
	for _, name := range []string{"X-GitHub-Delivery", "X-Gitlab-Event-UUID", "X-Gitea-Delivery", "X-Forgejo-Delivery",
		"X-Gogs-Delivery", "Webhook-Id", "Svix-Id", "Idempotency-Key"} {
		id := strings.TrimSpace(header.Get(name))
		if id == "" {
			continue
		}
		if len(id) > 200 || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c > '~' }) {
			sum := sha256.Sum256([]byte(id))
			return "sha256:" + hex.EncodeToString(sum[:])
		}
		return id
	}
	return ""
}
