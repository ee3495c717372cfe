package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// botPages are the pages of bots.
type botPages struct{ *Server }

func (s botPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	list, err := s.Bots.List(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.BotsPage{CanManage: actor.Can(account.ManageBots)}
	for i := range list {
		p.Cards = append(p.Cards, s.card(&list[i]))
	}
	return s.With(w, r, actor, "bots", "Bots", func(page views.Page) error { return s.Show(w, r, views.Bots(page, p)) })
}

func (s botPages) card(b *db.Bot) views.BotCard {
	c := views.BotCard{
		ID: b.ID.String(), Name: b.Name, About: present.FirstLine(b.Instructions), Uses: b.Uses, Enabled: b.Enabled,
		ReadOnly: b.ReadOnly, Locked: b.LocksAgent, Where: "All workspaces",
	}
	if b.Workspace != nil {
		c.Where = b.Workspace.Name
	}
	if b.Provider != "" {
		c.Agent = s.ProviderName(b.Provider)
		if b.Model != "" {
			c.Agent += ", " + b.Model
		}
	}
	return c
}

func (s botPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	botID, err := page.ID(r)
	if err != nil {
		return err
	}
	b, users, err := s.Bots.Find(r.Context(), actor, botID)
	if err != nil {
		return err
	}
	p := views.BotPage{
		BotCard: s.card(b), Instructions: b.Instructions, Tools: b.AllowedTools,
		CanManage: actor.Can(account.ManageBots),
	}
	for _, a := range users {
		p.UsedBy = append(p.UsedBy, views.Link{Text: a.Name, URL: views.AutomationURL(a.ID.String())})
	}
	p.Hidden = b.Uses - len(users)
	p.Warning = "No automation uses it."
	if b.Uses > 0 {
		p.Warning = form.Count(b.Uses, "automation") +
			" with it stay without a bot. Those that a schedule starts are disabled at once, and their creators are " +
			"told; runs of the others fail until another bot is chosen."
	}
	return s.With(w, r, actor, "bots", b.Name, func(page views.Page) error { return s.Show(w, r, views.Bot(page, p)) })
}

// botInput reads the form of a bot.
func botInput(r *http.Request) bot.Input {
	var in bot.Input
	in.Version, _ = strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	form.Read(r.PostForm, &in.Bot)
	return in
}

func (s botPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.ManageBots) {
		return fault.ErrForbidden
	}
	in := bot.Input{Bot: spec.New[spec.Bot]()}
	in.Workspace = s.ChosenWorkspace(r)
	return s.form(w, r, actor, http.StatusOK, nil, in, nil)
}

func (s botPages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	botID, err := page.ID(r)
	if err != nil {
		return err
	}
	b, err := s.Bots.Editable(r.Context(), actor, botID)
	if err != nil {
		return err
	}
	return s.form(w, r, actor, http.StatusOK, b, bot.Typed(b), nil)
}

func (s botPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := botInput(r)
	b, err := s.Bots.Create(r.Context(), actor, in)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, nil, in, invalid)
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.BotURL(b.ID.String()), "Saved.")
}

func (s botPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	botID, err := page.ID(r)
	if err != nil {
		return err
	}
	in := botInput(r)
	b, err := s.Bots.Update(r.Context(), actor, botID, in)
	invalid, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status == 0 {
		return s.Redirect(w, r, views.BotURL(b.ID.String()), "Saved.")
	}
	stored, err := s.Bots.Editable(r.Context(), actor, botID)
	if err != nil {
		return err
	}
	return s.form(w, r, actor, status, stored, botInput(r), invalid)
}

func (s botPages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int, b *db.Bot,
	in bot.Input, bad fault.Invalid) error {
	f := views.NewBotForm()
	title := "New bot"
	if b != nil {
		f.ID, f.Was, title = b.ID.String(), b.Name, "Edit "+b.Name
	}
	f.Version = strconv.FormatInt(in.Version, 10)
	page.FillFields(&f, &in.Bot, form.Write(&in.Bot), bad)
	f.Tools.Value = strings.Join(in.AllowedTools, "\n")
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, ws := range list {
		f.Workspace.Options = append(f.Workspace.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	for _, p := range s.Providers() {
		if !s.IsScript(p.ID) {
			f.Provider.Options = append(f.Provider.Options, s.ProviderChoice(p, in.Provider))
		}
		if p.ID == in.Provider {
			if err := s.OfferModels(r, actor, &f.Model, p); err != nil {
				return err
			}
		}
	}
	return s.With(w, r, actor, "bots", title, func(page views.Page) error {
		s.Render(w, r, status, views.EditBot(page, f))
		return nil
	})
}

func (s botPages) remove(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	botID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Bots.Remove(r.Context(), actor, botID); err != nil {
		return err
	}
	return s.Redirect(w, r, "/bots", "Removed.")
}

// botField fills in the choice of a bot in the editor of an automation. One that decides about the agent hides those
// fields.
func (s automationPages) botField(r *http.Request, actor account.Actor, f *views.AutomationForm, in automation.Input,
	bad fault.Invalid) error {
	f.Bot.Value, f.Bot.Error = in.Bot, bad["bot"]
	f.Bot.Options = []views.Choice{{Label: "Choose a bot"}}
	list, err := s.Bots.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, b := range list {
		c := views.Choice{Value: b.ID.String(), Label: b.Name, Locks: b.LocksAgent}
		if b.Workspace != nil {
			c.Label += " (" + b.Workspace.Name + ")"
		}
		if !b.Enabled && c.Value != in.Bot {
			c.Off = "It is switched off"
		}
		f.Bot.Options = append(f.Bot.Options, c)
	}
	if len(list) == 0 {
		f.Bot.Hint = "There is no bot yet. Create one under Bots."
	}
	return nil
}
