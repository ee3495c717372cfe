// Package account has the rules about people: their accounts, sign-ins, roles and permissions.
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

// Service has the operations on people and their accounts. Its fields are set once, in main.
type Service struct {
	DB   *db.DB
	Now  func() time.Time
	Keys *secret.Keys // seals the secrets of people's webhooks
	Log  *slog.Logger
	// Outbound is the policy for the addresses of people's webhooks.
	Outbound outbound.Policy
	// Mail says that there is a mail server, so that copies of notices can be sent by e-mail.
	Mail bool
	// NoticeKinds are the kinds of notices that people can get copies of.
	NoticeKinds []string
	// SignOn are the settings of single sign-on.
	SignOn SignOn
	// PasswordMemory is the memory for hashing a password, in KiB. Servers use 0, the recommended memory; only tests
	// use less.
	PasswordMemory uint32
	// Joined runs in the transaction that adds a person, such as to make them a member of Scratch.
	Joined func(ctx context.Context, tx bun.Tx, user uuid.UUID) error
}

// LoginLifetime is the lifetime of a sign-in.
const LoginLifetime = 14 * 24 * time.Hour

var (
	// ErrWrongCredentials is the same error for a wrong address, a wrong password and a deactivated account.
	ErrWrongCredentials = errors.New("the e-mail address or the password is wrong")
	// ErrSetUp says that there is an administrator already.
	ErrSetUp = errors.New("there is an administrator already")
)

// Throttled says that there were too many failed attempts to sign in.
type Throttled struct{ Until time.Time }

func (t *Throttled) Error() string { return "too many attempts" }

// EnsureRoles creates the built-in roles and sets their permissions to those of this version.
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

// NewUser is the input for a new person.
type NewUser struct {
	Email, Name, Password string
	Role                  string // key of a built-in role
	TimeZone              string // IANA name; empty is UTC
}

// Setup creates the first administrator. It returns ErrSetUp when a person exists, and fault.Invalid for bad input.
func (s *Service) Setup(ctx context.Context, in NewUser) (*db.User, error) {
	in.Role = RoleAdministrator
	return s.addUser(ctx, nil, addition{NewUser: in, first: true})
}

// Add creates a person. A nil actor is the command line. It returns fault.Invalid for bad input, and fault.ErrForbidden
// also for a role with permissions that the actor does not have.
func (s *Service) Add(ctx context.Context, actor *Actor, in NewUser) (*db.User, error) {
	return s.addUser(ctx, actor, addition{NewUser: in})
}

// addition is the input of addUser.
type addition struct {
	NewUser
	first  bool        // is refused when a person exists
	roles  []uuid.UUID // in place of Role
	invite *Link       // receives the link by which the person chooses a password
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
		if err := lockPeople(ctx, tx, actor); err != nil {
			return err
		}
		if in.first { // of two people with the link, the first one succeeds
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

// cleanEmail gives the stored form of an address, or the problem with it. It accepts ASCII alone, because look-alike
// letters of other scripts would allow two people with the same visible address.
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

// SetPassword sets a person's password and ends all their sign-ins and API tokens. A nil actor is the command line. It
// returns fault.ErrForbidden also for the actor's own account (see ChangePassword), and for a person who may do more
// than the actor or is a member of a workspace of which the actor is not: otherwise the actor could sign in as this
// person.
func (s *Service) SetPassword(ctx context.Context, actor *Actor, user uuid.UUID, password string) error {
	if actor != nil && (actor.ID == user || !actor.Can(ManageUsers)) {
		return fault.ErrForbidden
	}
	if reason := checkPassword(password); reason != "" {
		return fault.Invalid{"password": reason}
	}
	stored := s.hash(password)
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := lockPeople(ctx, tx, actor); err != nil {
			return err
		}
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
	attemptsPerPair    = 10  // of one person from one network; attempts of others do not count
	attemptsPerAddress = 50  // from one network, for any account
	attemptsPerEmail   = 100 // of one person from all networks; networks with a sign-in of the person are exempt
)

// SignIn checks a password and creates a login. It returns ErrWrongCredentials or *Throttled. Its duration is the same
// whether the person exists or not.
func (s *Service) SignIn(ctx context.Context, email, password, address, userAgent string) (*db.Login, error) {
	// the precision of the database, so that the attempt can be found again
	now := s.Now().Truncate(time.Microsecond)
	email = norm.NFKC.String(strings.TrimSpace(email)) // the form of cleanEmail
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
	if outdated { // before the transaction, because hashing may wait
		anew = s.hash(password)
	}
	login := &db.Login{
		ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LoginLifetime),
		Address: address, UserAgent: db.Printable(userAgent, 300),
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// The password may have been reset or the person deactivated while the password was checked. This has ended the
		// existing logins, and must prevent this one too.
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

// attemptKeySet has the keys by which an attempt to sign in is counted.
type attemptKeySet struct{ pair, email, address []byte }

func attemptKeys(email, address string) attemptKeySet {
	email, from := strings.ToLower(email), network(address)
	return attemptKeySet{
		pair: attemptKey("email from", email+" "+from), email: attemptKey("email", email),
		address: attemptKey("address", from),
	}
}

// countAttempt counts an attempt as failed before the password is checked, so that concurrent attempts cannot exceed a
// limit together. A successful attempt is uncounted later. It returns *Throttled when a limit is reached.
//
// The first limit is for a pair of a person and a network: with a limit for the person alone, anybody who knows an
// address could lock its owner out. Another limit bounds guesses from many networks, and exempts networks with a
// sign-in of the person.
func (s *Service) countAttempt(ctx context.Context, now time.Time, email, address string, keys attemptKeySet) error {
	if err := db.AddSignInFailure(ctx, s.DB, now, keys.pair, keys.email, keys.address); err != nil {
		return err
	}
	for _, limit := range []struct {
		key  []byte
		most int
	}{{keys.pair, attemptsPerPair}, {keys.address, attemptsPerAddress}, {keys.email, attemptsPerEmail}} {
		// the first is this attempt
		at, err := db.NthFailure(ctx, s.DB, limit.key, now.Add(-attemptWindow), limit.most+1)
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
		// A refused attempt does not count. Otherwise repeated attempts would lock the person out for ever.
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

// network is the unit by which addresses are counted: for IPv6 the first half, because one subscriber has all addresses
// of the second half.
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

// SignOut ends a login. Its cookie is invalid afterwards.
func (s *Service) SignOut(ctx context.Context, login uuid.UUID) error {
	return db.DeleteLogin(ctx, s.DB, login)
}

// Actor finds the person of a login. It returns fault.ErrNotFound when the login has ended.
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

// IsSetUp reports whether a person exists.
func (s *Service) IsSetUp(ctx context.Context) (bool, error) { return db.HasUsers(ctx, s.DB) }

// SetTheme sets the theme of a person's pages: light, dark, or that of the system.
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
