package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// SignOn are the settings of single sign-on. With the zero value only existing people can sign in.
type SignOn struct {
	AutoCreate bool // adds people at their first sign-in
	// Roles assigns roles by groups. The roles in it follow a person's groups at each sign-in; other roles stay. Empty:
	// groups assign no roles.
	Roles []GroupRole
}

// GroupRole gives the members of a provider's group a role, by its name.
type GroupRole struct{ Group, Role string }

// ExternalIdentity is a person's identity at a provider of single sign-on.
type ExternalIdentity struct {
	Issuer, Subject string // together a permanent id of one account
	Email           string
	EmailVerified   bool // the provider has verified the address
	Name            string
	Groups          []string
	GroupsKnown     bool // the provider reported the groups, possibly none
}

// NotAdmitted is the reason for which a person with a valid identity may not sign in, as a sentence for the person.
type NotAdmitted struct{ Reason string }

func (n *NotAdmitted) Error() string { return n.Reason }

// SignInExternal creates a login for an identity of a provider. A linked identity finds its person. At the first
// sign-in a verified address finds the person, or a new person is added if AutoCreate is set. An existing account then
// loses its former password, sign-ins and tokens (see dropFormerAccess). It returns *NotAdmitted.
func (s *Service) SignInExternal(ctx context.Context, who ExternalIdentity, address,
	userAgent string) (*db.Login, error) {
	now := s.Now().Truncate(time.Microsecond)
	var login *db.Login
	var refused *NotAdmitted
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// The lock serializes all changes of administrators, and two concurrent first sign-ins.
		if err := db.LockKey(ctx, tx, uuid.Nil); err != nil {
			return err
		}
		a := &admission{s: s, tx: tx, who: who, now: now, address: address}
		u, err := a.person(ctx)
		if err != nil {
			return err
		}
		if !u.DeactivatedAt.IsZero() {
			return &NotAdmitted{"Your account here is deactivated. Ask an administrator."}
		}
		if err := db.EndInvitation(ctx, tx, u.ID); err != nil { // the person does not need the link any more
			return err
		}
		// The removal of roles is committed even if the sign-in is refused.
		if refused, err = a.roles(ctx, u); err != nil || refused != nil {
			return err
		}
		login = &db.Login{
			ID: db.NewID(), UserID: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LoginLifetime),
			Address: address, UserAgent: db.Printable(userAgent, 300),
		}
		return db.InsertLogin(ctx, tx, login)
	})
	if err != nil {
		return nil, fmt.Errorf("sign in from outside: %w", err)
	}
	if refused != nil {
		return nil, fmt.Errorf("sign in from outside: %w", refused)
	}
	return login, nil
}

// admission is one sign-in in its transaction.
type admission struct {
	s       *Service
	tx      bun.Tx
	who     ExternalIdentity
	now     time.Time
	address string
	added   bool // the person was created by this sign-in
}

// person finds or adds the person, and locks the row.
func (a *admission) person(ctx context.Context) (*db.User, error) {
	i, err := db.IdentityBySubject(ctx, a.tx, a.who.Issuer, a.who.Subject)
	if err == nil {
		i.Email, i.UsedAt = db.Printable(a.who.Email, 254), a.now
		if err := db.TouchIdentity(ctx, a.tx, i); err != nil {
			return nil, err
		}
		return db.LockUser(ctx, a.tx, i.UserID)
	}
	if !db.IsNotFound(err) {
		return nil, err
	}
	if a.who.Subject == "" || len(a.who.Subject) > 255 {
		return nil, &NotAdmitted{"The provider names your account in a way that cannot be kept."}
	}
	email, problem := cleanEmail(a.who.Email)
	switch {
	case a.who.Email == "":
		return nil, &NotAdmitted{"The provider did not tell your e-mail address, by which you are known here."}
	case problem != "":
		return nil, &NotAdmitted{"The address that the provider told cannot be used here."}
	case !a.who.EmailVerified:
		return nil, &NotAdmitted{"The provider has not verified that " + email +
			" is your address. Verify it there, then sign in again."}
	}
	found, err := db.UserByEmail(ctx, a.tx, email)
	switch {
	case db.IsNotFound(err) && a.s.SignOn.AutoCreate:
		if found, err = a.addUser(ctx, email); err != nil {
			return nil, err
		}
	case db.IsNotFound(err):
		return nil, &NotAdmitted{"Nobody here has the address " + email + ". Ask an administrator to add you."}
	case err != nil:
		return nil, err
	}
	u, err := db.LockUser(ctx, a.tx, found.ID)
	if err != nil || !u.DeactivatedAt.IsZero() {
		return u, err
	}
	if !u.EmailChangedAt.IsZero() {
		return nil, &NotAdmitted{"Somebody gave the address " + email +
			" to an account here, and nobody has confirmed it. " +
			"Open the link in the mail that was sent to it if the account is yours, or ask an administrator."}
	}
	link := &db.Identity{
		Issuer: a.who.Issuer, Subject: a.who.Subject, UserID: u.ID, Email: email, CreatedAt: a.now, UsedAt: a.now,
	}
	if err := db.InsertIdentity(ctx, a.tx, link); err != nil {
		if db.Conflict(err) == "user_identities_one" {
			// The provider may have assigned the address to another person, who must not get the account.
			return nil, &NotAdmitted{"The address " + email +
				" belongs to somebody who signs in with another account of the provider. Ask an administrator."}
		}
		return nil, err
	}
	var taken map[string]any
	if !a.added {
		if taken, err = a.dropFormerAccess(ctx, u, link.Issuer); err != nil {
			return nil, err
		}
	}
	return u, a.audit(ctx, u, "user.link_identity", taken,
		map[string]any{"issuer": link.Issuer, "subject": link.Subject, "email": email})
}

// dropFormerAccess removes everything by which somebody else could use an account that existed before its owner's first
// single sign-on: the password and links to choose one, the sign-ins, the API tokens, and the webhook for copies of
// notices. It notifies the owner, and returns the removed values for the audit log.
func (a *admission) dropFormerAccess(ctx context.Context, u *db.User, issuer string) (had map[string]any, err error) {
	logins, err := db.Logins(ctx, a.tx, u.ID, a.now)
	if err != nil {
		return nil, err
	}
	had = map[string]any{"password": u.PasswordHash != "", "sign_ins": len(logins)}
	tokens, err := db.DeleteAPITokens(ctx, a.tx, u.ID)
	if err != nil {
		return nil, err
	}
	had["api_tokens"] = tokens
	if err := db.DeleteLogins(ctx, a.tx, u.ID, uuid.Nil); err != nil {
		return nil, err
	}
	if u.PasswordHash != "" {
		if err := db.SetPasswordHash(ctx, a.tx, u.ID, "", a.now); err != nil {
			return nil, err
		}
	}
	if _, err := db.TakePasswordLink(ctx, a.tx, u.ID, nil); err != nil {
		return nil, err
	}
	notices, err := db.NoticePreferencesOf(ctx, a.tx, u.ID)
	if err != nil {
		return nil, err
	}
	if had["webhook"] = notices.WebhookURL != ""; notices.WebhookURL != "" {
		notices.WebhookURL, notices.WebhookSecret, notices.UpdatedAt = "", nil, a.now
		if err := db.SaveNoticePreferences(ctx, a.tx, notices); err != nil {
			return nil, err
		}
		if err := db.DeleteQueuedCopies(ctx, a.tx, u.ID, db.WebhookChannel); err != nil {
			return nil, err
		}
	}
	return had, notifyOwn(ctx, a.tx, u.ID, a.now, "You sign in by single sign-on from now on",
		"The account here that has your address belongs to "+issuer+
			" now. Its password, its sign-ins, its API tokens and the webhook of its "+
			"notices ended, since somebody else may have had them. Look through the automations that it owns: they "+
			"act with your rights.")
}

// addUser creates a person without a password, with the roles of the groups, or with the role Member if groups assign
// no roles.
func (a *admission) addUser(ctx context.Context, email string) (*db.User, error) {
	local, _, _ := strings.Cut(email, "@")
	name := form.NameOf(db.Printable(a.who.Name, 200))
	if checkName(name) != "" {
		name = local
	}
	u := &db.User{ID: db.NewID(), Email: email, Name: name, TimeZone: "UTC", CreatedAt: a.now, UpdatedAt: a.now}
	if len(a.s.SignOn.Roles) > 0 {
		groups, err := a.groupRoles(ctx)
		switch {
		case err != nil:
			return nil, err
		case len(groups.held) == 0:
			return nil, &NotAdmitted{"None of your groups is let in here. Ask an administrator."}
		}
	}
	if err := db.InsertUser(ctx, a.tx, u); err != nil {
		if db.Conflict(err) == "users_email" {
			return nil, &NotAdmitted{"Somebody was added with your address just now. Sign in again."}
		}
		return nil, err
	}
	after := map[string]any{"email": email}
	if len(a.s.SignOn.Roles) == 0 { // otherwise the groups assign the roles right after this
		member, err := db.RoleByKey(ctx, a.tx, RoleMember)
		if err != nil {
			return nil, err
		}
		if err := db.SetRoles(ctx, a.tx, u.ID, []uuid.UUID{member.ID}); err != nil {
			return nil, err
		}
		after["role"] = member.Name
	}
	if a.s.Joined != nil {
		if err := a.s.Joined(ctx, a.tx, u.ID); err != nil {
			return nil, err
		}
	}
	a.added = true
	return u, a.audit(ctx, u, "user.create", nil, after)
}

// groupRoles are the roles that groups assign.
type groupRoles struct {
	held    []db.Role // those of the person's groups
	managed []db.Role // those of any group
}

// groupRoles finds the roles that groups assign. It returns *NotAdmitted if the provider tells no groups.
func (a *admission) groupRoles(ctx context.Context) (groupRoles, error) {
	if !a.who.GroupsKnown {
		return groupRoles{}, &NotAdmitted{"The provider did not tell your groups, which decide what you may do here. " +
			"Ask an administrator."}
	}
	var names []string
	for _, r := range a.s.SignOn.Roles {
		names = append(names, r.Role)
	}
	managed, err := db.RolesNamed(ctx, a.tx, names)
	if err != nil {
		return groupRoles{}, err
	}
	found := groupRoles{managed: managed}
	for _, r := range a.s.SignOn.Roles {
		i := slices.IndexFunc(managed, func(role db.Role) bool { return strings.EqualFold(role.Name, r.Role) })
		switch {
		case i < 0:
			a.s.Log.Warn("the setting names a role that does not exist", "setting", "CARILLON_OIDC_ROLES", "role",
				r.Role)
		case slices.Contains(a.who.Groups, r.Group) && !holds(found.held, managed[i].ID):
			found.held = append(found.held, managed[i])
		}
	}
	return found, nil
}

func holds(list []db.Role, id uuid.UUID) bool {
	return slices.ContainsFunc(list, func(r db.Role) bool { return r.ID == id })
}

// roles sets the roles by the groups. It refuses a person without any role.
func (a *admission) roles(ctx context.Context, u *db.User) (*NotAdmitted, error) {
	if len(a.s.SignOn.Roles) == 0 {
		return nil, nil
	}
	groups, err := a.groupRoles(ctx)
	if refused := (*NotAdmitted)(nil); errors.As(err, &refused) {
		return refused, nil
	}
	if err != nil {
		return nil, err
	}
	held, err := db.RolesOf(ctx, a.tx, u.ID)
	if err != nil {
		return nil, err
	}
	after := slices.Clone(groups.held)
	for _, r := range held {
		if !holds(groups.managed, r.ID) {
			after = append(after, r)
		}
	}
	inOrder := func() {
		slices.SortFunc(after, func(a, b db.Role) int {
			return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		})
	}
	inOrder()
	if names(after) == names(held) {
		return nil, nil
	}
	if err := db.SetRoles(ctx, a.tx, u.ID, ids(after)); err != nil {
		return nil, err
	}
	if administers(held) && !administers(after) {
		left, err := db.CanAdminister(ctx, a.tx, string(Admin))
		if err != nil {
			return nil, err
		}
		if !left { // somebody must be able to correct the settings
			a.s.Log.Warn("the last administrator keeps the role that no group gives", "user", u.ID)
			after = append(after, slices.DeleteFunc(slices.Clone(held), func(r db.Role) bool {
				return !administers([]db.Role{r})
			})...)
			inOrder()
			if err := db.SetRoles(ctx, a.tx, u.ID, ids(after)); err != nil {
				return nil, err
			}
		}
	}
	if names(after) != names(held) {
		if err := a.audit(ctx, u, "user.set_roles", map[string]any{"roles": names(held)},
			map[string]any{"roles": names(after)}); err != nil {
			return nil, err
		}
	}
	if len(after) > 0 {
		return nil, nil
	}
	if err := endAccess(ctx, a.tx, u.ID); err != nil {
		return nil, err
	}
	return &NotAdmitted{"None of your groups is let in here any more. Ask an administrator."}, nil
}

// administers reports whether roles have the permission admin.
func administers(list []db.Role) bool {
	return slices.ContainsFunc(list, func(r db.Role) bool { return slices.Contains(r.Permissions, string(Admin)) })
}

// audit writes the changes of a sign-in into the audit log. The person is the actor.
func (a *admission) audit(ctx context.Context, u *db.User, action string, before, after map[string]any) error {
	return db.AddAudit(ctx, a.tx, db.AuditEvent{
		ID: db.NewID(), At: a.now, ActorID: u.ID, Action: action, SubjectKind: "user", SubjectID: u.ID,
		SubjectName: u.Name,
		Reason:      "single sign-on", Before: before, After: after, Address: a.address,
	})
}

// Unlink removes a person's identities at providers of single sign-on, and ends their sign-ins and API tokens. At the
// next sign-in a verified address links the person again, such as with another account of the provider. A nil actor is
// the command line. It returns fault.ErrForbidden also for a person who may do more than the actor, and fault.Invalid,
// by the field user, if the person has no identity.
func (s *Service) Unlink(ctx context.Context, actor *Actor, user uuid.UUID) error {
	return s.changeOther(ctx, actor, user, "user.unlink_identities", func(ctx context.Context, tx bun.Tx, _ *db.User,
		_ time.Time) (change, error) {
		list, err := db.Identities(ctx, tx, user)
		if err != nil {
			return change{}, err
		}
		if len(list) == 0 {
			return change{}, fault.Invalid{"user": "There is no account of a single sign-on to unlink."}
		}
		if err := db.DeleteIdentities(ctx, tx, user); err != nil {
			return change{}, err
		}
		was := map[string]any{}
		for _, i := range list {
			was[i.Issuer] = i.Subject
		}
		return change{before: was}, endAccess(ctx, tx, user)
	})
}
