package settings

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// profilePages are the pages of a person's own account.
type profilePages struct{ *Pages }

func (s profilePages) index(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	return s.Redirect(w, r, views.ProfileURL(), "")
}

func (s profilePages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showOne(w, r, actor, http.StatusOK, nil, nil)
}

// showOne shows a person's own settings. A form that was refused comes with what is wrong, and change puts back
// what was typed into it.
func (s profilePages) showOne(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	bad fault.Invalid,
	change func(p *views.ProfilePage)) error {
	me, err := s.Accounts.Profile(r.Context(), actor)
	if err != nil {
		return err
	}
	p := s.data(r, actor, me)
	if change != nil {
		change(&p)
	}
	// No two of the page's forms have a field of the same name.
	for _, f := range []*views.Field{&p.Name, &p.TimeZone, &p.Theme, &p.Password.Current, &p.Password.New,
		&p.Notices.Email, &p.Notices.Webhook, &p.Notices.Kinds} {
		f.Error = bad[f.Name]
	}
	return s.withSettings(w, r, actor, "Profile", func(page views.Page) error {
		s.Render(w, r, status, views.Profile(page, p))
		return nil
	})
}

// data is a person's settings as they are.
func (s profilePages) data(r *http.Request, actor account.Actor, me *account.Profile) views.ProfilePage {
	z := page.Zone(actor)
	p := views.NewProfilePage()
	p.Now, p.Email = s.Now().In(z), me.Email
	p.Name.Value, p.Theme.Value = me.Name, me.Theme
	p.TimeZone.Value, p.TimeZone.Options = me.TimeZone, zoneChoices(me.TimeZone)
	if !me.HasPassword() {
		p.Password.None = "You sign in without a password here. An administrator can give you one."
	}
	p.Version = account.ProfileVersion(&me.User)
	p.Notices.Version = account.NoticesVersion(me.Notices)
	n := &p.Notices
	n.Email.Checked, n.Email.Hint = me.Notices.Email, "To "+me.Email+"."
	if !s.Accounts.Mail {
		n.Email.Disabled, n.Email.Why = true,
			"This server cannot send e-mail: an administrator sets CARILLON_SMTP_URL and CARILLON_SMTP_FROM."
	}
	n.Webhook.Value, n.HasWebhook = me.Notices.WebhookURL, me.Notices.WebhookURL != ""
	n.EmailState, n.WebhookState = fared(me.LastEmail, p.Now), fared(me.LastHook, p.Now)
	for _, k := range inbox.Kinds {
		n.Of = append(n.Of, views.Field{Label: k.Name, Value: k.Kind, Checked: me.Wants(k.Kind)})
	}
	p.Identities = identityItems(me.Identities, z)
	current, _ := s.LoginID(r)
	for _, l := range me.Logins {
		p.Logins = append(p.Logins, views.LoginItem{
			ID: l.ID.String(), Browser: browserName(l.UserAgent), Address: l.Address, Seen: l.SeenAt.In(z),
			Since: l.CreatedAt.In(z), Current: l.ID == current,
		})
	}
	return p
}

// zoneChoices are the zones to choose from, by continent, and the one chosen even where it is an old name.
func zoneChoices(chosen string) []views.Choice {
	names := cron.Zones()
	if !slices.Contains(names, chosen) {
		names = append(names, chosen)
	}
	var list, others []views.Choice
	for _, name := range names {
		area, city, ok := strings.Cut(name, "/")
		if !ok {
			others = append(others, views.Choice{Value: name, Label: name, Group: "Other"})
			continue
		}
		list = append(list, views.Choice{
			Value: name, Label: strings.NewReplacer("_", " ", "/", ", ").Replace(city), Group: area,
		})
	}
	slices.SortStableFunc(list, func(a, b views.Choice) int { return strings.Compare(a.Group, b.Group) })
	return append(list, others...)
}

// fared says what became of the newest copy by a channel, or nothing when there is none. Why an e-mail failed is the
// administrator's to know, who finds it in the log: it tells of the network inside.
func fared(c *db.Copy, now time.Time) string {
	if c == nil {
		return ""
	}
	why := ""
	if c.Channel == db.WebhookChannel {
		why = ": " + c.LastError
	}
	again := "within a minute"
	if wait := c.NextAttemptAt.Sub(now); wait >= time.Minute {
		again = views.Ago(c.NextAttemptAt.In(now.Location()), now)
	}
	switch c.Status {
	case db.CopySent:
		return "The last one was sent " + views.Ago(c.SentAt.In(now.Location()), now) + "."
	case db.CopyFailed:
		return fmt.Sprintf("The last one failed after %s%s and is not sent again.", form.Count(c.Attempts, "attempt"),
			why)
	}
	return fmt.Sprintf("The last one could not be sent yet%s. It is tried again %s.", why, again)
}

// browserName is a sign-in's program and system in words, as far as its User-Agent gives them away.
func browserName(agent string) string {
	find := func(words ...string) string {
		for i := 0; i < len(words); i += 2 {
			if strings.Contains(agent, words[i]) {
				return words[i+1]
			}
		}
		return ""
	}
	// In this order: each says that it is the ones after it, too.
	program := find("Edg", "Edge", "OPR/", "Opera", "Firefox/", "Firefox", "FxiOS/", "Firefox", "CriOS/", "Chrome",
		"Chrome/", "Chrome", "Safari/", "Safari", "curl/", "curl")
	system := find("Android", "Android", "iPhone", "iOS", "iPad", "iPadOS", "Windows", "Windows", "Mac OS X", "macOS",
		"CrOS", "ChromeOS", "Linux", "Linux")
	switch {
	case program != "" && system != "":
		return program + " on " + system
	case program != "" || system != "":
		return program + system
	case agent != "":
		return present.FirstLine(agent)
	}
	return "Unknown browser"
}

func (s profilePages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := account.ProfileInput{
		Name: r.PostFormValue("name"), TimeZone: r.PostFormValue("time_zone"), Theme: r.PostFormValue("theme"),
		Version: r.PostFormValue(page.VersionField),
	}
	bad, status, err := s.Again(r, actor, s.one, s.Accounts.UpdateProfile(r.Context(), actor, in))
	if err != nil {
		return err
	}
	if status != 0 {
		return s.showOne(w, r, actor, status, bad, func(p *views.ProfilePage) {
			p.Version = r.PostFormValue(page.VersionField)
			p.Name.Value, p.TimeZone.Value, p.Theme.Value = r.PostFormValue("name"), r.PostFormValue("time_zone"),
				r.PostFormValue("theme")
		})
	}
	return s.Redirect(w, r, views.ProfileURL(), "Saved.")
}

func (s profilePages) changePassword(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	current, err := s.LoginID(r)
	if err != nil {
		return err
	}
	err = s.Accounts.ChangePassword(r.Context(), actor, current, r.PostFormValue("current"),
		r.PostFormValue("password"))
	var bad fault.Invalid
	var throttled *account.Throttled
	switch {
	case errors.As(err, &bad):
		return s.showOne(w, r, actor, http.StatusUnprocessableEntity, bad, nil)
	case errors.As(err, &throttled):
		w.Header().Set("Retry-After", "900")
		s.Refuse(w, r, http.StatusTooManyRequests, "Too many attempts",
			"There were too many wrong guesses of your password. Try again in 15 minutes.")
		return nil
	case err != nil:
		return err
	}
	return s.Redirect(w, r, views.ProfileURL(), "The password was changed, and you are signed out everywhere else.")
}

func noticesInput(r *http.Request) account.NoticesInput {
	return account.NoticesInput{
		Email: r.PostFormValue("email") == "true", WebhookURL: r.PostFormValue("webhook"), Kinds: r.PostForm["kinds"],
		Version: r.PostFormValue(page.VersionField),
	}
}

func (s profilePages) updateNotices(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	secret, err := s.Accounts.UpdateNotices(r.Context(), actor, noticesInput(r))
	bad, status, err := s.Again(r, actor, s.one, err)
	switch {
	case status != 0:
		return s.showOne(w, r, actor, status, bad, func(p *views.ProfilePage) { fillNotices(r, &p.Notices) })
	case err != nil:
		return err
	case secret != "":
		return s.showSecret(w, r, actor, secret)
	}
	return s.Redirect(w, r, views.ProfileURL()+"#notices", "Saved.")
}

// fillNotices puts back what was typed.
func fillNotices(r *http.Request, f *views.NoticesForm) {
	in := noticesInput(r)
	f.Version, f.Email.Checked, f.Webhook.Value = in.Version, in.Email, in.WebhookURL
	for i := range f.Of {
		f.Of[i].Checked = slices.Contains(in.Kinds, f.Of[i].Value)
	}
}

// showSecret shows a webhook's secret. It is part of this one answer, since a message kept for the next page would keep
// it in the browser.
func (s profilePages) showSecret(w http.ResponseWriter, r *http.Request, actor account.Actor, secret string) error {
	return s.showOne(w, r, actor, http.StatusOK, nil, func(p *views.ProfilePage) { p.NewSecret = secret })
}

func (s profilePages) renewWebhookSecret(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	secret, err := s.Accounts.RenewWebhookSecret(r.Context(), actor)
	if err != nil {
		return err
	}
	return s.showOne(w, r, actor, http.StatusOK, nil, func(p *views.ProfilePage) {
		p.NewSecret = secret
		if r.PostForm.Has(page.VersionField) { // the button is in the form, of which nothing was saved
			fillNotices(r, &p.Notices)
			page.BringsForm(r, views.ProfileActionURL("notices"))
		}
	})
}

func (s profilePages) endOtherLogins(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	current, err := s.LoginID(r)
	if err != nil {
		return err
	}
	if err := s.Accounts.EndOtherLogins(r.Context(), actor, current); err != nil {
		return err
	}
	return s.Redirect(w, r, views.ProfileURL(), "You are signed out everywhere else.")
}

func (s profilePages) endLogin(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	login, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Accounts.EndLogin(r.Context(), actor, login); err != nil {
		return err
	}
	return s.Redirect(w, r, views.ProfileURL(), "That browser is signed out.")
}
