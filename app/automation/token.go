package automation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/secret"
	"carillon/db"
)

// HashToken is what is stored of an HTTP trigger's token. ok is false for a text that no token looks like: 43 signs
// of base64url that stand for 32 bytes.
func HashToken(token string) (hash []byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != 32 {
		return nil, false
	}
	sum := sha256.Sum256([]byte(token))
	return sum[:], true
}

// TokenHeader carries the token of a webhook outside of its address. It wins over the address.
const TokenHeader = "Api-Authentication"

// Fingerprint tells tokens apart without giving them away: the first 8 hex digits of the hash.
func Fingerprint(hash []byte) string { return hex.EncodeToString(hash)[:8] }

// RegenerateToken gives an HTTP Trigger automation a new token and returns it, the only time that it can be had. The
// old one stops working when the grace is over: at once, for a grace of zero.
func (s Webhooks) RegenerateToken(ctx context.Context, actor account.Actor, id uuid.UUID,
	grace time.Duration) (string, error) {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return "", err
	}
	var token string
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, actor, err := lockManageable(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		if a.Trigger != db.HTTP {
			return fault.Invalid{"token": "Only an HTTP Trigger has a token."}
		}
		if token, err = s.issueToken(ctx, tx, actor, id, grace); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor.ID, "automation.regenerate", a, ""); err != nil {
			return err
		}
		crash.Here(crash.TokenIssued)
		return notifyChange(ctx, tx, id)
	})
	if err != nil {
		return "", fault.Wrap(err, "regenerate token of automation %s", id)
	}
	return token, nil
}

// issueToken makes the one current token of an automation.
func (s Webhooks) issueToken(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID,
	grace time.Duration) (string, error) {
	now := s.Now()
	if grace <= 0 {
		if err := db.DeleteTokens(ctx, tx, id); err != nil {
			return "", err
		}
	} else if err := db.RetireTokens(ctx, tx, id, now.Add(grace)); err != nil {
		return "", err
	}
	token := secret.Token()
	hash, _ := HashToken(token)
	return token, db.InsertToken(ctx, tx, &db.TriggerToken{
		Hash: hash, AutomationID: id, CreatedBy: actor.ID, CreatedAt: now,
	})
}

// graces are how long the former token may live on when another one is made, by the words of forms and of the API.
var graces = map[string]time.Duration{"": 0, "0": 0, "5m": 5 * time.Minute, "1h": time.Hour}

// GraceOf is how long the former token lives on, by the word that was chosen, and whether there is such a choice.
func GraceOf(choice string) (grace time.Duration, ok bool) {
	grace, ok = graces[choice]
	return grace, ok
}
