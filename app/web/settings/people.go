package settings

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// makeLink makes a link for a person and shows it, or says beside the person why there is none.
func (s userPages) makeLink(w http.ResponseWriter, r *http.Request, actor account.Actor,
	link func(ctx context.Context, actor account.Actor, user uuid.UUID) (account.Link, error), what string) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	made, err := link(r.Context(), actor, user)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.showOne(w, r, actor, user, http.StatusUnprocessableEntity, func(p *views.UserPage) {
			p.Problem = page.Sentences(bad)
		})
	}
	if err != nil {
		return err
	}
	return s.showLink(w, r, actor, user, made, what)
}

// change activates or deactivates a person, or says beside them why not.
func (s userPages) change(w http.ResponseWriter, r *http.Request, actor account.Actor,
	do func(ctx context.Context, actor *account.Actor, user uuid.UUID) error, message string) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	err = do(r.Context(), &actor, user)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.showOne(w, r, actor, user, http.StatusUnprocessableEntity, func(p *views.UserPage) {
			p.Problem = page.Sentences(bad)
		})
	}
	return s.changed(w, r, user, err, message)
}

// changeMembership adds a person to a workspace, or takes them out of it.
func (s userPages) changeMembership(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	if _, err := s.Accounts.Person(r.Context(), actor, user); err != nil {
		return err
	}
	change, message := s.Workspaces.AddMember, "Added."
	if r.PostFormValue("do") == "remove" {
		change, message = s.Workspaces.RemoveMember, "Removed."
	}
	return s.changed(w, r, user, change(r.Context(), actor, form.OptionalID(r.PostFormValue("workspace")), user),
		message)
}

// userPages are the pages on which administrators deal with people's accounts.
type userPages struct{ *Pages }

func (s userPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	f := db.PersonFilter{
		Search: strings.TrimSpace(r.FormValue("q")), Status: db.PersonStatus(r.FormValue("status")),
		Role:  form.OptionalID(r.FormValue("role")),
		After: form.OptionalID(r.FormValue("after")), Before: form.OptionalID(r.FormValue("before")),
		Limit: page.Rows + 1,
	}
	list, err := s.Accounts.People(r.Context(), actor, f)
	if err != nil {
		return err
	}
	roles, err := s.Accounts.Roles(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.UsersPage{
		Now: s.Now(), Search: f.Search, Filtered: r.URL.RawQuery != "",
		Status: views.Field{Name: "status", Label: "Status", Value: string(f.Status), Options: []views.Choice{
			{Value: "active", Label: "Active"}, {Value: "invited", Label: "Invited"},
			{Value: "deactivated", Label: "Deactivated"}}},
		Role: views.Field{Name: "role", Label: "Role", Value: r.FormValue("role")},
	}
	for _, role := range roles {
		p.Role.Options = append(p.Role.Options, views.Choice{Value: role.ID.String(), Label: role.Name})
	}
	p.Pager = page.Pager(r, &list, f.After, f.Before, f.Limit, func(u db.Person) string {
		return u.ID.String()
	}, "before", "after")
	p.Pager.Named = true
	for i := range list {
		p.Rows = append(p.Rows, s.item(actor, &list[i]))
	}
	return s.withSettings(w, r, actor, "Users", func(page views.Page) error {
		return s.Show(w, r, views.Users(page, p))
	})
}

func (s userPages) item(actor account.Actor, u *db.Person) views.PersonItem {
	return views.PersonItem{
		ID: u.ID.String(), Name: u.Name, Email: u.Email, Roles: u.RoleName, Status: string(u.Status()),
		Expired: u.InvitedUntil.Before(s.Now()),
		Seen:    u.SeenAt.In(page.Zone(actor)), Workspaces: int(u.Workspaces), Automations: int(u.Automations),
		You: u.ID == actor.ID,
	}
}

// roleChoices are the roles to give, with those of a list ticked.
func (s userPages) roleChoices(r *http.Request, actor account.Actor, chosen []uuid.UUID,
	problem string) (views.RoleChoices, error) {
	c := views.RoleChoices{Error: problem}
	roles, err := s.Accounts.Roles(r.Context(), actor)
	if err != nil {
		return c, err
	}
	for _, role := range roles {
		item := views.RoleChoice{
			ID: role.ID.String(), Name: role.Name, May: may(role.Permissions),
			Checked: slices.Contains(chosen, role.ID),
		}
		if !actor.Covers(role.Permissions) {
			item.Off = "This role has permissions that you do not have, so you cannot assign it."
		}
		c.List = append(c.List, item)
	}
	return c, nil
}

// may says in words what a set of permissions allows.
func may(held []string) string {
	var list []string
	for _, p := range account.Permissions {
		if slices.Contains(held, string(p.Permission)) {
			list = append(list, p.Capability)
		}
	}
	if len(list) == 0 {
		return "Nothing."
	}
	return strings.Join(list, ". ") + "."
}

// chosenRoles reads the ids of roles; one that is none stands for a role that is not there.
func chosenRoles(r *http.Request) []uuid.UUID {
	var list []uuid.UUID
	for _, text := range r.PostForm["roles"] {
		list = append(list, form.OptionalID(text))
	}
	return list
}

func (s userPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageUsers) {
		return fault.ErrForbidden
	}
	var member []uuid.UUID
	role, err := db.RoleByKey(r.Context(), s.DB, account.RoleMember)
	if err != nil {
		return err
	}
	if actor.Covers(role.Permissions) {
		member = append(member, role.ID)
	}
	return s.inviteForm(w, r, actor, http.StatusOK, account.Invitation{Roles: member}, nil)
}

func (s userPages) inviteForm(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	in account.Invitation, bad fault.Invalid) error {
	f := views.NewInviteForm()
	f.Email.Value, f.Email.Error = in.Email, bad["email"]
	f.Name.Value, f.Name.Error = in.Name, bad["name"]
	f.Password.Error = bad["password"]
	var err error
	if f.Roles, err = s.roleChoices(r, actor, in.Roles, bad["roles"]); err != nil {
		return err
	}
	return s.withSettings(w, r, actor, "Invite a person", func(page views.Page) error {
		s.Render(w, r, status, views.Invite(page, f))
		return nil
	})
}

func (s userPages) invite(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := account.Invitation{
		Email: r.PostFormValue("email"), Name: r.PostFormValue("name"), Password: r.PostFormValue("password"),
		Roles: chosenRoles(r),
	}
	u, link, err := s.Accounts.Invite(r.Context(), actor, in)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.inviteForm(w, r, actor, http.StatusUnprocessableEntity, in, bad)
	}
	if err != nil {
		return err
	}
	if link.Token == "" {
		return s.Redirect(w, r, views.UserURL(u.ID.String()), u.Name+" can sign in now.")
	}
	return s.showLink(w, r, actor, u.ID, link, "invitation")
}

// showLink sends a link and shows it once, or says that it went by e-mail alone. It is part of this one answer, since a
// message kept for the next page would keep it in the browser.
func (s userPages) showLink(w http.ResponseWriter, r *http.Request, actor account.Actor, user uuid.UUID,
	made account.Link, what string) error {
	link, lifetime := s.PublicURL.JoinPath("join", made.Token).String(), account.InvitationLifetime
	if what == "reset" {
		lifetime = account.ResetLifetime
	}
	until := s.Now().Add(lifetime).In(page.Zone(actor))
	mailed := s.mailLink(r, actor, user, link, what, until)
	if made.Mailed && !mailed {
		return s.showOne(w, r, actor, user, http.StatusBadGateway, func(p *views.UserPage) {
			p.Problem = "The e-mail with the link could not be sent. Try again in a moment."
		})
	}
	if made.Mailed {
		return s.showOne(w, r, actor, user, http.StatusOK, func(p *views.UserPage) {
			p.LinkFor, p.LinkUntil, p.Mailed = what, until, true
		})
	}
	return s.showOne(w, r, actor, user, http.StatusOK, func(p *views.UserPage) {
		p.NewLink, p.LinkFor, p.LinkUntil, p.Mailed = link, what, until, mailed
	})
}

// mailLink sends a link to its person where there is a mail server, and reports whether it went out. Where it does not,
// the actor has the link all the same.
func (s userPages) mailLink(r *http.Request, actor account.Actor, user uuid.UUID, link, what string,
	until time.Time) bool {
	if s.Letter == nil {
		return false
	}
	u, err := db.UserByID(r.Context(), s.DB, user)
	if err == nil {
		subject, text := "Join Carillon", actor.Name+" invites you to Carillon. Choose a name and a password here:"
		switch what {
		case "reset":
			subject, text = "Choose a new password for Carillon",
				actor.Name+" reset your password for Carillon. Choose a new password here:"
		case "address":
			subject, text = "Confirm your address for Carillon", actor.Name+" gave this address to the account of “"+
				u.Name+
				"” in Carillon. Confirm it only if that account is yours; otherwise leave this mail unanswered. "+
				"Confirm it here:"
		}
		text += "\n\n" + link + "\n\nThe link works once, until " + views.Exact(until) + ".\n"
		err = s.Letter(r.Context(), u.Email, subject, text)
	}
	if err != nil {
		s.Log.Warn("send a link by e-mail", "user", user, "request", middleware.RequestID(r), "err", err)
	}
	return err == nil
}

// mailFormer tells the former address of an account, where there is a mail server, that the account has another.
func (s userPages) mailFormer(r *http.Request, actor account.Actor, before *db.User, now string) {
	if s.Letter == nil {
		return
	}
	err := s.Letter(r.Context(), before.Email, "Your address for Carillon was changed",
		actor.Name+" gave the account of “"+before.Name+
			"” in Carillon another address: "+now+
			". Mail of Carillon goes there once it is confirmed. If you did not ask for it, ask them why.\n")
	if err != nil {
		s.Log.Warn("tell the former address of an account", "user", before.ID, "request", middleware.RequestID(r),
			"err", err)
	}
}

func (s userPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, user, http.StatusOK, nil)
}

// showOne shows one person. change puts onto the page what came of a form.
func (s userPages) showOne(w http.ResponseWriter, r *http.Request, actor account.Actor, user uuid.UUID, status int,
	change func(p *views.UserPage)) error {
	d, err := s.Accounts.Person(r.Context(), actor, user)
	if err != nil {
		return err
	}
	z := page.Zone(actor)
	p := views.NewUserPage()
	p.Now, p.Person, p.CanChange = s.Now(), s.item(actor, &d.Person), !d.Beyond
	if d.Beyond {
		p.Why = d.Name + " has permissions that you do not have, so you cannot change the account."
	}
	p.Name.Value, p.Email.Value = d.Name, d.Email
	p.Unconfirmed, p.Mails = !d.EmailChangedAt.IsZero(), s.Letter != nil
	p.Facts = userFacts(d, p, z)
	p.Identities = identityItems(d.Identities, z)
	for _, t := range d.Tokens {
		p.Tokens = append(p.Tokens, tokenItem(&t, "Everything that the person may do", p.Now, z))
	}
	var chosen []uuid.UUID
	for _, role := range d.Roles {
		chosen = append(chosen, role.ID)
	}
	if p.Roles, err = s.roleChoices(r, actor, chosen, ""); err != nil {
		return err
	}
	if err := s.workspaces(r, actor, d, &p); err != nil {
		return err
	}
	if err := s.handoverField(r, actor, d, &p); err != nil {
		return err
	}
	if err := s.events(r, actor, d, &p); err != nil {
		return err
	}
	p.Version = account.PersonVersion(&d.User)
	p.RolesVersion = account.RolesVersion(chosen)
	if change != nil {
		change(&p)
	}
	return s.withSettings(w, r, actor, d.Name, func(page views.Page) error {
		s.Render(w, r, status, views.UserDetail(page, p))
		return nil
	})
}

func userFacts(d *account.PersonDetail, p views.UserPage, z *time.Location) []views.Fact {
	status := map[db.PersonStatus]string{
		db.Active: "Active", db.Invited: "Invited", db.Deactivated: "Deactivated",
	}[d.Status()]
	switch {
	case d.Status() == db.Deactivated:
		status += " " + views.Ago(d.DeactivatedAt.In(z), p.Now)
	case d.Status() == db.Invited && p.Person.Expired:
		status = "Invitation expired " + views.Ago(d.InvitedUntil.In(z), p.Now)
	case d.Status() == db.Invited:
		status = "Invited, the link holds until " + views.Exact(d.InvitedUntil.In(z))
	}
	email := d.Email
	if !d.EmailChangedAt.IsZero() {
		email += ", not confirmed"
	}
	seen := "Not signed in"
	if !d.SeenAt.IsZero() {
		seen = views.Ago(d.SeenAt.In(z), p.Now)
	}
	return []views.Fact{
		{Label: "Email", Value: email}, {Label: "Status", Value: status}, {Label: "Last seen", Value: seen},
		{Label: "Signed in", Value: form.Count(len(d.Logins), "browser")},
		{Label: "Added", Value: views.Ago(d.CreatedAt.In(z), p.Now)},
	}
}

// workspaces shows memberships of those workspaces alone that the reader sees.
func (s userPages) workspaces(r *http.Request, actor account.Actor, d *account.PersonDetail,
	p *views.UserPage) error {
	mine, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	p.CanMove = actor.Can(account.ManageWorkspaces)
	for _, ws := range mine {
		choice := views.Choice{Value: ws.ID.String(), Label: ws.Name}
		if slices.ContainsFunc(d.Workspaces, func(o db.Workspace) bool { return o.ID == ws.ID }) {
			p.Workspaces = append(p.Workspaces, choice)
		} else {
			p.Join.Options = append(p.Join.Options, choice)
		}
	}
	return nil
}

func (s userPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	before, err := db.UserByID(r.Context(), s.DB, user)
	if err != nil && !db.IsNotFound(err) {
		return err
	}
	link, err := s.Accounts.UpdatePerson(r.Context(), actor, user, r.PostFormValue("email"), r.PostFormValue("name"),
		r.PostFormValue(page.VersionField))
	bad, status, err := s.Again(r, actor, s.one, err)
	if status != 0 {
		return s.showOne(w, r, actor, user, status, func(p *views.UserPage) {
			p.Version = r.PostFormValue(page.VersionField)
			p.Email.Value, p.Email.Error, p.Name.Value, p.Name.Error = r.PostFormValue("email"), bad["email"],
				r.PostFormValue("name"), bad["name"]
		})
	}
	if err == nil && link.Token != "" {
		s.mailFormer(r, actor, before, strings.TrimSpace(r.PostFormValue("email")))
		return s.showLink(w, r, actor, user, link, "address")
	}
	return s.changed(w, r, user, err, "Saved.")
}

// changed leads back to a person's page, unless the change failed.
func (s userPages) changed(w http.ResponseWriter, r *http.Request, user uuid.UUID, err error, message string) error {
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.UserURL(user.String()), message)
}

func (s userPages) setRoles(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	err = s.Accounts.SetRoles(r.Context(), &actor, user, chosenRoles(r), r.PostFormValue(page.VersionField))
	bad, status, err := s.Again(r, actor, s.one, err)
	if status != 0 {
		choices, err := s.roleChoices(r, actor, chosenRoles(r), bad["roles"])
		if err != nil {
			return err
		}
		return s.showOne(w, r, actor, user, status, func(p *views.UserPage) {
			p.RolesVersion, p.Roles = r.PostFormValue(page.VersionField), choices
		})
	}
	if err == nil && user == actor.ID {
		return s.Redirect(w, r, "/settings", "Saved.") // who gave up managing people sees the page no more
	}
	return s.changed(w, r, user, err, "Saved.")
}

func (s userPages) renewInvitation(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.makeLink(w, r, actor, s.Accounts.RenewInvitation, "invitation")
}

func (s userPages) resetPassword(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.makeLink(w, r, actor, s.Accounts.ResetPassword, "reset")
}

func (s userPages) renewAddressLink(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.makeLink(w, r, actor, s.Accounts.RenewAddressLink, "address")
}

func (s userPages) deactivate(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, actor, s.Accounts.Deactivate, "Deactivated. Every sign-in ended.")
}

func (s userPages) activate(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, actor, s.Accounts.Activate, "Activated.")
}

// identityItems are accounts as pages show them.
func identityItems(list []db.Identity, z *time.Location) []views.IdentityItem {
	var items []views.IdentityItem
	for _, i := range list {
		items = append(items, views.IdentityItem{
			Provider: hostOf(i.Issuer), Email: i.Email, Since: i.CreatedAt.In(z), Used: i.UsedAt.In(z),
		})
	}
	return items
}

func (s userPages) unlink(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, actor, s.Accounts.Unlink, "Unlinked. Every sign-in ended.")
}

func (s userPages) revokeTokens(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, actor, s.Accounts.RevokeTokensOf,
		"Revoked. Programs with these tokens are refused from now on.")
}

// hostOf is what people call a provider: its host, where its address has one.
func hostOf(issuer string) string {
	if u, err := url.Parse(issuer); err == nil && u.Host != "" {
		return u.Host
	}
	return issuer
}

// handoverField offers to give a person's automations to somebody else.
func (s userPages) handoverField(r *http.Request, actor account.Actor, d *account.PersonDetail,
	p *views.UserPage) error {
	if d.Automations == 0 || !actor.Can(account.ManageAll) {
		return nil
	}
	people, err := db.Users(r.Context(), s.DB)
	if err != nil {
		return err
	}
	for _, u := range people {
		if u.ID != d.ID && u.DeactivatedAt.IsZero() && account.Grants(u.Permissions, account.Manage) {
			p.Transfer.Options = append(p.Transfer.Options, views.Choice{Value: u.ID.String(), Label: u.Name})
		}
	}
	return nil
}

// handOver gives all automations of a person to somebody else.
func (s userPages) handOver(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	user, err := page.ID(r)
	if err != nil {
		return err
	}
	if !actor.Can(account.ManageUsers) { // the page that this is on
		return fault.ErrForbidden
	}
	var result automation.BulkResult
	if result, err = s.Rules.Transfers().HandOver(r.Context(), actor, user,
		form.OptionalID(r.PostFormValue("to"))); err != nil {
		return err
	}
	return s.changed(w, r, user, nil, result.String())
}
