// Package account holds the rules about people: who they are, how they sign in, and what they may do.
package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/text/unicode/norm"

	"carillon/app/crash"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/outbound"
	"carillon/app/secret"
	"carillon/db"
)

// Service carries out what concerns people. Its fields are set once, in main.
type Service struct {
	DB   *db.DB
	Now  func() time.Time
	Keys *secret.Keys // seals the secrets of people's webhooks
	Log  *slog.Logger
	// Outbound says where webhooks of people may lead.
	Outbound outbound.Policy
	// Mail reports that there is a mail server, so that notices can be had by e-mail.
	Mail bool
	// NoticeKinds are the kinds of notices of which people may want copies.
	NoticeKinds []string
	// SignOn is what a single sign-on means for people here.
	SignOn SignOn
	// PasswordMemory is the memory in KiB that hashing a password takes. 0 stands for the memory that keeps passwords
	// safe, which every server uses; only tests take less.
	PasswordMemory uint32
	// Joined runs in the transaction that adds a person, such as to make them a member of Scratch.
	Joined func(ctx context.Context, tx bun.Tx, user uuid.UUID) error
}

// LoginLifetime is how long a sign-in holds without signing in again.
const LoginLifetime = 14 * 24 * time.Hour

var (
	// ErrWrongCredentials is the one answer to a wrong address, a wrong password and a deactivated account.
	ErrWrongCredentials = errors.New("the e-mail address or the password is wrong")
	// ErrSetUp says that there is an administrator already.
	ErrSetUp = errors.New("there is an administrator already")
)

// Throttled says that there were too many failed attempts to sign in.
type Throttled struct{ Until time.Time }

func (t *Throttled) Error() string { return "too many attempts" }

// EnsureRoles makes the roles built in, and brings their permissions to those of this version.
func EnsureRoles(ctx context.Context, q bun.IDB, now time.Time) error {
	for _, r := range BuiltIn() {
		role := db.Role{
			ID: db.NewID(), Name: r.Name, Key: r.Key, Permissions: r.Permissions, CreatedAt: now, Version: 1,
		}
		if err := db.EnsureRole(ctx, q, &role); err != nil {
			return err
		}
	}
	return nil
}

// NewUser is a person as someone typed them.
type NewUser struct {
	Email, Name, Password string
	Role                  string // key of a role built in
	TimeZone              string // IANA name; empty is UTC
}

// Setup makes the first administrator. It returns ErrSetUp when anybody exists, fault.Invalid for bad input.
func (s *Service) Setup(ctx context.Context, in NewUser) (*db.User, error) {
	in.Role = RoleAdministrator
	return s.addUser(ctx, nil, addition{NewUser: in, first: true})
}

// Add makes a person. A nil actor is the command line. It returns fault.Invalid for bad input, and fault.ErrForbidden
// also for a role that may do more than the actor.
func (s *Service) Add(ctx context.Context, actor *Actor, in NewUser) (*db.User, error) {
	return s.addUser(ctx, actor, addition{NewUser: in})
}

// addition is somebody to add.
type addition struct {
	NewUser
	first  bool        // refused when anybody exists
	roles  []uuid.UUID // in place of Role
	invite *Link       // takes a link, by which the person chooses a password
}

func (s *Service) addUser(ctx context.Context, actor *Actor, in addition) (*db.User, error) {
	by := uuid.Nil
	if actor != nil {
		if !actor.Can(ManageUsers) {
			return nil, fault.ErrForbidden
		}
		by = actor.ID
	}
	bad := fault.Invalid{}
	now := s.Now()
	u := &db.User{ID: db.NewID(), Name: form.NameOf(in.Name), TimeZone: in.TimeZone, CreatedAt: now, UpdatedAt: now}
	if u.TimeZone == "" {
		u.TimeZone = "UTC"
	} else if _, err := cron.Zone(u.TimeZone); err != nil {
		bad["time_zone"] = fault.Sentence(err.Error())
	}
	var reason string
	if u.Email, reason = cleanEmail(in.Email); reason != "" {
		bad["email"] = reason
	}
	if reason := checkName(u.Name); reason != "" {
		bad["name"] = reason
	}
	if reason := checkPassword(in.Password); reason != "" && in.invite == nil {
		bad["password"] = reason
	}
	if in.Role == "" && len(in.roles) == 0 {
		bad["roles"] = "Choose at least one role."
	}
	if len(bad) > 0 {
		return nil, bad
	}
	if in.invite == nil {
		u.PasswordHash = s.hash(in.Password)
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if in.first {
			if err := db.LockKey(ctx, tx, uuid.Nil); err != nil { // two people with the link: the first is it
				return err
			}
			exists, err := db.HasUsers(ctx, tx)
			if err != nil {
				return err
			}
			if exists {
				return ErrSetUp
			}
		}
		wanted := in.roles
		if in.Role != "" {
			role, err := db.RoleByKey(ctx, tx, in.Role)
			if db.IsNotFound(err) {
				return fault.Invalid{"role": "There is no such role."}
			}
			if err != nil {
				return err
			}
			wanted = []uuid.UUID{role.ID}
		}
		roles, err := s.grantable(ctx, tx, actor, wanted)
		if err != nil {
			return err
		}
		if err := db.InsertUser(ctx, tx, u, ids(roles)...); err != nil {
			if db.Conflict(err) == "users_email" {
				return fault.Invalid{"email": "Somebody has this address already."}
			}
			return err
		}
		if s.Joined != nil {
			if err := s.Joined(ctx, tx, u.ID); err != nil {
				return err
			}
		}
		if in.first {
			crash.Here(crash.AdministratorMade)
		}
		if in.invite != nil {
			if *in.invite, err = s.link(ctx, tx, *actor, u, true, now); err != nil {
				return err
			}
		}
		return db.AddAudit(ctx, tx, db.AuditEvent{
			ID: db.NewID(), At: now, ActorID: by, Action: "user.create", SubjectKind: "user", SubjectID: u.ID,
			SubjectName: u.Name,
			After: map[string]any{
				"email": u.Email, "name": u.Name, "roles": names(roles), "invited": in.invite != nil,
			},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("add user: %w", err)
	}
	return u, nil
}

// cleanEmail is an address as it is stored, or what is wrong with it. Only ASCII is taken: a look-alike letter of
// another script makes another person of the same face.
func cleanEmail(text string) (email, problem string) {
	email = norm.NFKC.String(strings.TrimSpace(text))
	if email == "" {
		return "", "Write an e-mail address."
	}
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || len(email) > 254 {
		return "", "This is not an e-mail address."
	}
	for i := range len(email) {
		if email[i] >= 0x80 || email[i] <= ' ' {
			return "", "Use an address of plain letters, digits and signs."
		}
	}
	return email, ""
}

// SetPassword gives a person a new password and ends all their sign-ins and API tokens. A nil actor is the command
// line. It returns fault.ErrForbidden also for the actor's own, which ChangePassword changes by the current one, and
// for that of somebody who may do more than the actor or is in a workspace where the actor is not: it would be the way
// to become them.
func (s *Service) SetPassword(ctx context.Context, actor *Actor, user uuid.UUID, password string) error {
	if actor != nil && (actor.ID == user || !actor.Can(ManageUsers)) {
		return fault.ErrForbidden
	}
	if reason := checkPassword(password); reason != "" {
		return fault.Invalid{"password": reason}
	}
	stored := s.hash(password)
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		u, err := Found(db.UserByID(ctx, tx, user))
		if err != nil {
			return err
		}
		if actor != nil {
			reaches, err := s.mayHoldLink(ctx, tx, *actor, user)
			if err != nil {
				return err
			}
			if !reaches || !actor.Covers(u.Permissions) {
				return fault.ErrForbidden
			}
		}
		if err := db.SetPasswordHash(ctx, tx, user, stored, s.Now()); err != nil {
			return err
		}
		if err := endAccess(ctx, tx, user); err != nil {
			return err
		}
		if err := s.notifyReset(ctx, tx, actor, user, s.Now()); err != nil {
			return err
		}
		event := db.AuditEvent{
			ID: db.NewID(), At: s.Now(), Action: "user.reset_password", SubjectKind: "user", SubjectID: user,
			SubjectName: u.Name,
		}
		if actor != nil {
			event.ActorID = actor.ID
		}
		return db.AddAudit(ctx, tx, event)
	})
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

// Limits of failed attempts within attemptWindow.
const (
	attemptWindow      = 15 * time.Minute
	attemptsPerPair    = 10  // of one person from one network: anybody else's are not in the person's way
	attemptsPerAddress = 50  // of whomever from one network
	attemptsPerEmail   = 100 // of one person from everywhere; networks in which they are signed in are let through
)

// SignIn checks a password and makes a login. It returns ErrWrongCredentials or *Throttled; both cost the caller the
// same whether the person exists or not.
func (s *Service) SignIn(ctx context.Context, email, password, address, userAgent string) (*db.Login, error) {
	now := s.Now().Truncate(time.Microsecond)          // as the database keeps it, so that an attempt is found again
	email = norm.NFKC.String(strings.TrimSpace(email)) // as cleanEmail stored it
	keys := attemptKeys(email, address)
	if err := s.countAttempt(ctx, now, email, address, keys); err != nil {
		return nil, err
	}
	u, err := db.UserByEmail(ctx, s.DB, email)
	if err != nil && !db.IsNotFound(err) {
		return nil, err
	}
	nobody := s.dummyHash()
	stored := nobody
	if err == nil && u.PasswordHash != "" && u.DeactivatedAt.IsZero() {
		stored = u.PasswordHash
	}
	if len(password) > maxPassword {
		password, stored = "", nobody
	}
	ok, outdated, err := s.checkHash(stored, password)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	if !ok || stored == nobody {
		return nil, ErrWrongCredentials
	}
	anew := ""
	if outdated { // before the transaction, since hashing waits for its turn
		anew = s.hash(password)
	}
	login := &db.Login{
		ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LoginLifetime),
		Address: address, UserAgent: db.Printable(userAgent, 300),
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// A password reset or a deactivation may have come while the password was checked. It ended the logins that
		// there were, and this one must not outlive it.
		locked, err := db.LockUser(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if !locked.DeactivatedAt.IsZero() {
			return ErrWrongCredentials
		}
		if locked.PasswordHash != stored {
			if ok, _, _ := s.checkHash(locked.PasswordHash, password); !ok {
				return ErrWrongCredentials
			}
		} else if anew != "" {
			if err := db.SetPasswordHash(ctx, tx, u.ID, anew, now); err != nil {
				return err
			}
		}
		if err := db.ClearSignInFailures(ctx, tx, keys.pair); err != nil {
			return err
		}
		if err := db.DeleteSignInFailure(ctx, tx, now, keys.email, keys.address); err != nil {
			return err
		}
		return db.InsertLogin(ctx, tx, login)
	})
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return login, nil
}

// attemptKeySet is what an attempt to sign in is counted by.
type attemptKeySet struct{ pair, email, address []byte }

func attemptKeys(email, address string) attemptKeySet {
	email, from := strings.ToLower(email), network(address)
	return attemptKeySet{
		pair: attemptKey("email from", email+" "+from), email: attemptKey("email", email),
		address: attemptKey("address", from),
	}
}

// countAttempt counts an attempt as failed before it is made, so that many at once cannot pass a limit together; one
// that succeeds is taken back. It returns *Throttled when a limit is reached.
//
// What counts first is the pair of a person and a network: by the person alone, anybody who knows an address could keep
// its owner out. Guessing from many networks is bounded too, and that bound does not hold where the person is signed
// in.
func (s *Service) countAttempt(ctx context.Context, now time.Time, email, address string, keys attemptKeySet) error {
	if err := db.AddSignInFailure(ctx, s.DB, now, keys.pair, keys.email, keys.address); err != nil {
		return err
	}
	for _, limit := range []struct {
		key  []byte
		most int
	}{{keys.pair, attemptsPerPair}, {keys.address, attemptsPerAddress}, {keys.email, attemptsPerEmail}} {
		at, err := db.NthFailure(ctx, s.DB, limit.key, now.Add(-attemptWindow), limit.most+1) // this one is the first
		if err != nil {
			return err
		}
		if at.IsZero() {
			continue
		}
		if limit.most == attemptsPerEmail {
			known, err := s.signedInFrom(ctx, email, address, now)
			if err != nil {
				return err
			}
			if known {
				continue
			}
		}
		// A refused attempt does not count, or whoever keeps trying would keep the person out for ever.
		if err := db.DeleteSignInFailure(ctx, s.DB, now, keys.pair, keys.email, keys.address); err != nil {
			return err
		}
		return &Throttled{Until: at.Add(attemptWindow)}
	}
	return nil
}

// signedInFrom reports whether a person has a sign-in from a network.
func (s *Service) signedInFrom(ctx context.Context, email, address string, now time.Time) (bool, error) {
	list, err := db.LoginAddresses(ctx, s.DB, email, now)
	from := network(address)
	return slices.ContainsFunc(list, func(a string) bool { return network(a) == from }), err
}

func attemptKey(kind, value string) []byte {
	sum := sha256.Sum256([]byte(kind + " " + value))
	return sum[:]
}

// network is what counts as one address: of IPv6 the first half, since a single subscriber has all of the second.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// SignOut ends a login: its cookie is worth nothing afterwards.
func (s *Service) SignOut(ctx context.Context, login uuid.UUID) error {
	return db.DeleteLogin(ctx, s.DB, login)
}

// Actor finds the person signed in by a login. It returns fault.ErrNotFound when the login is over.
func (s *Service) Actor(ctx context.Context, login uuid.UUID) (Actor, error) {
	now := s.Now()
	u, err := Found(db.UserByLogin(ctx, s.DB, login, now))
	if err != nil {
		return Actor{}, err
	}
	if err := db.TouchLogin(ctx, s.DB, login, now); err != nil {
		return Actor{}, err
	}
	return ActorOf(u), nil
}

// IsSetUp reports whether anybody exists.
func (s *Service) IsSetUp(ctx context.Context) (bool, error) { return db.HasUsers(ctx, s.DB) }

// SetTheme keeps how the pages look for a person: light, dark, or as the system says.
func (s *Service) SetTheme(ctx context.Context, actor Actor, theme string) error {
	if theme != "" && theme != "light" && theme != "dark" {
		return fault.Invalid{"theme": "Choose light or dark."}
	}
	return s.change(ctx, actor, "user.update_profile",
		func(ctx context.Context, tx bun.Tx, u *db.User) (before, after map[string]any, err error) {
			return map[string]any{"theme": u.Theme}, map[string]any{"theme": theme},
				db.SetTheme(ctx, tx, actor.ID, theme)
		})
}
