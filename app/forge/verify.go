package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Verify verifies that a webhook comes from a sender with one of the secrets; several are for a change of the secret.
// body is exactly as received. Empty secrets are ignored.
//
//   - GitHub: X-Hub-Signature-256.
//   - GitLab: X-Gitlab-Token, the secret itself, or Standard Webhooks with a signing token.
//   - Gitea, Forgejo: X-Gitea-Signature, X-Forgejo-Signature or X-Hub-Signature-256.
//   - Azure DevOps does not sign: the secret is the password of basic authentication (any user name), all of
//     "user:password", or the header Api-Authentication that the subscription sends along.
//
// Errors: ErrNoSecret, ErrNoSignature, ErrSignature, and ErrTimestamp, which is an ErrSignature too.
func Verify(kind Kind, header http.Header, body []byte, secrets []string, now time.Time) error {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == "" })
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	switch kind {
	case GitHub:
		return signed(header, "X-Hub-Signature-256", "sha256=", body, secrets)
	case GitLab:
		return verifyGitLab(header, body, secrets, now)
	case Gitea:
		for _, name := range []string{"X-Gitea-Signature", "X-Forgejo-Signature"} {
			// Without a secret of its own, Gitea sends the header empty.
			if header.Get(name) != "" || len(header.Values(name)) > 1 {
				return signed(header, name, "", body, secrets)
			}
		}
		return signed(header, "X-Hub-Signature-256", "sha256=", body, secrets)
	case Azure:
		return verifyAzure(header, secrets)
	}
	return fmt.Errorf("verify webhook: there is no forge %q", kind)
}

// Signed identifies a verified webhook by the signed content and the secret. Nil: the webhook contains the secret and
// no signature, as with Azure DevOps and GitLab's token.
func Signed(kind Kind, header http.Header, body []byte, secret string) []byte {
	if kind == Azure {
		return nil
	}
	return Signature{Scheme: Scheme(kind), Secret: secret}.Signed(header, body)
}

// signed checks the HMAC-SHA256 of body in hex.
func signed(header http.Header, name, prefix string, body []byte, secrets []string) error {
	value, err := single(header, name)
	if err != nil {
		return err
	}
	encoded, found := strings.CutPrefix(value, prefix)
	got, err := hex.DecodeString(encoded)
	if !found || err != nil {
		return ErrSignature
	}
	for _, secret := range secrets {
		if hmac.Equal(got, digest(sha256.New, []byte(secret), body)) {
			return nil
		}
	}
	return ErrSignature
}

func verifyGitLab(header http.Header, body []byte, secrets []string, now time.Time) error {
	token, err := single(header, "X-Gitlab-Token")
	if err == nil {
		err = oneOf(token, secrets)
	}
	// A webhook can have both, and the secret here may be either of them.
	if err != nil && len(header.Values("Webhook-Signature")) > 0 {
		return standard(header, body, secrets, now, DefaultTolerance)
	}
	return err
}

func verifyAzure(header http.Header, secrets []string) error {
	if len(header.Values("Api-Authentication")) > 0 {
		token, err := single(header, "Api-Authentication")
		if err != nil {
			return err
		}
		return oneOf(token, secrets)
	}
	if _, err := single(header, "Authorization"); err != nil {
		return err
	}
	user, password, ok := (&http.Request{Header: header}).BasicAuth()
	if !ok {
		return ErrSignature
	}
	if oneOf(password, secrets) == nil {
		return nil
	}
	return oneOf(user+":"+password, secrets)
}

func oneOf(value string, secrets []string) error {
	for _, secret := range secrets {
		if equalSecret(value, secret) {
			return nil
		}
	}
	return ErrSignature
}
