package account

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/secret"
	"carillon/db"
)

// TokenPrefix is the prefix of API tokens. Scanners of repositories and logs recognize tokens by such a prefix.
const TokenPrefix = "carillon_api_"

// maxTokens bounds the tokens of a person.
const maxTokens = 50

// TokenDays are the allowed lifetimes of a token, in days. No token is valid for ever, so a forgotten one expires.
var TokenDays = []int{7, 30, 90, 365}

// DefaultTokenDays is the default lifetime of a token, in days.
const DefaultTokenDays = 90

// TokenInput is the input for a new token.
type TokenInput struct {
	Name string
	Days string // one of TokenDays
	// Narrowed limits the token to those of Permissions that its owner has. Otherwise the token may do everything that
	// its owner may do.
	Narrowed    bool
	Permissions []string
}

// Tokens lists the actor's API tokens, the newest first, also those that expired.
func (s *Service) Tokens(ctx context.Context, actor Actor) ([]db.APIToken, error) {
	if actor.byProgram() {
		return nil, fault.ErrForbidden
	}
	return db.APITokensOf(ctx, s.DB, actor.ID)
}

// CreateToken creates an API token of the actor and returns it. It cannot be read again later. It returns fault.Invalid
// for bad input, by the fields name, days, scope and permissions, and fault.ErrForbidden for a request with a token.
func (s *Service) CreateToken(ctx context.Context, actor Actor, in TokenInput) (token string, err error) {
	now := s.Now()
	t := &db.APIToken{ID: db.NewID(), UserID: actor.ID, Narrowed: in.Narrowed, Permissions: []string{}, CreatedAt: now}
	bad := fault.Invalid{}
	t.Name = form.Name(bad, "name", "Give the token a name, such as that of the program that uses it.", in.Name, 100)
	if days, err := strconv.Atoi(in.Days); err == nil && slices.Contains(TokenDays, days) {
		t.ExpiresAt = now.AddDate(0, 0, days)
	} else {
		bad["days"] = "Choose how long the token is good."
	}
	if in.Narrowed {
		for _, p := range Permissions { // in the order of Permissions, each once
			if slices.Contains(in.Permissions, string(p.Permission)) && actor.Can(p.Permission) {
				t.Permissions = append(t.Permissions, string(p.Permission))
			}
		}
		for _, p := range in.Permissions {
			if !slices.Contains(t.Permissions, p) {
				bad["permissions"] = fmt.Sprintf("You do not hold the permission %s.", db.Printable(p, 100))
			}
		}
		if len(in.Permissions) == 0 {
			bad["permissions"] = "Tick what the token may do."
		}
	} else if len(in.Permissions) > 0 {
		// An unrestricted token in its place would have more rights than the chosen ones.
		bad["scope"] = "Permissions are ticked below: choose “Only the selected permissions”, or untick them."
	}
	if len(bad) > 0 {
		return "", bad
	}
	token = TokenPrefix + secret.Token()
	t.Hash = tokenHash(token)
	err = s.own(ctx, actor, "token.create", func(ctx context.Context, tx bun.Tx, _ *db.User) error {
		list, err := db.APITokensOf(ctx, tx, actor.ID)
		if err != nil {
			return err
		}
		if len(list) >= maxTokens {
			return fault.Invalid{"name": fmt.Sprintf("You have %d tokens. Revoke one that is not needed first.",
				len(list))}
		}
		if err := db.InsertAPIToken(ctx, tx, t); err != nil {
			return err
		}
		return s.auditToken(ctx, tx, actor, "token.create", nil, t)
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// RevokeToken ends one of the actor's API tokens. It returns fault.ErrNotFound if the actor has no such token, and
// fault.ErrForbidden for a request with a token.
func (s *Service) RevokeToken(ctx context.Context, actor Actor, token uuid.UUID) error {
	return s.own(ctx, actor, "token.revoke", func(ctx context.Context, tx bun.Tx, _ *db.User) error {
		t, err := Found(db.DeleteAPIToken(ctx, tx, actor.ID, token))
		if err != nil {
			return err
		}
		return s.auditToken(ctx, tx, actor, "token.revoke", t, nil)
	})
}

// RevokeTokensOf ends all API tokens of a person. A nil actor is the command line. It returns fault.ErrForbidden also
// for a person who may do more than the actor.
func (s *Service) RevokeTokensOf(ctx context.Context, actor *Actor, user uuid.UUID) error {
	return s.changeOther(ctx, actor, user, "user.revoke_tokens", func(ctx context.Context, tx bun.Tx, _ *db.User,
		_ time.Time) (change, error) {
		list, err := db.APITokensOf(ctx, tx, user)
		if err != nil || len(list) == 0 {
			return change{quiet: true}, err
		}
		names := make([]string, len(list))
		for i, t := range list {
			names[i] = t.Name
		}
		_, err = db.DeleteAPITokens(ctx, tx, user)
		return change{before: map[string]any{"tokens": names}}, err
	})
}

func (s *Service) auditToken(ctx context.Context, tx bun.Tx, actor Actor, action string, before,
	after *db.APIToken) error {
	describe := func(t *db.APIToken) map[string]any {
		if t == nil {
			return nil
		}
		may := any("all that its owner may")
		if t.Narrowed {
			may = t.Permissions
		}
		return map[string]any{"name": t.Name, "expires": t.ExpiresAt.UTC().Format(time.RFC3339), "may": may}
	}
	subject := after
	if subject == nil {
		subject = before
	}
	return db.AddAudit(ctx, tx, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "token", SubjectID: subject.ID,
		SubjectName: subject.Name,
		Before:      describe(before), After: describe(after),
	})
}

// ActorByToken finds the person of an API token, with those of the person's present permissions that the token has. It
// returns fault.ErrNotFound for a token that is unknown, expired or revoked, and for a token of a deactivated person.
func (s *Service) ActorByToken(ctx context.Context, token string) (Actor, error) {
	if !strings.HasPrefix(token, TokenPrefix) {
		return Actor{}, fault.ErrNotFound
	}
	now := s.Now()
	h, err := Found(db.TokenHolderByHash(ctx, s.DB, tokenHash(token), now))
	if err != nil {
		return Actor{}, err
	}
	if now.Sub(h.TokenUsedAt) >= time.Minute {
		if err := db.TouchAPIToken(ctx, s.DB, h.Token, now); err != nil {
			return Actor{}, err
		}
	}
	a := ActorOf(&h.User)
	a.Token, a.TokenName = h.Token, h.TokenName
	if h.Narrowed {
		held := []string{}
		for _, p := range Permissions {
			// one by one: the owner may have only a part of the permissions that one implies
			if Grants(h.NarrowedTo, p.Permission) && a.Can(p.Permission) {
				held = append(held, string(p.Permission))
			}
		}
		a.held = held
	}
	return a, nil
}

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// endAccess ends all of a person's sign-ins and API tokens, because whoever had the account may have created them.
func endAccess(ctx context.Context, tx bun.Tx, user uuid.UUID) error {
	if _, err := db.DeleteAPITokens(ctx, tx, user); err != nil {
		return err
	}
	return db.DeleteLogins(ctx, tx, user, uuid.Nil)
}
