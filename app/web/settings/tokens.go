package settings

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// tokenPages are the pages of a person's API tokens.
type tokenPages struct{ *Pages }

func (s tokenPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showList(w, r, actor, http.StatusOK, account.TokenInput{Days: strconv.Itoa(account.DefaultTokenDays)},
		nil, "")
}

// showList shows a person's tokens and the form of a new one, as typed. A token that was just made is part of this
// one answer, since a message kept for the next page would keep it in the browser.
func (s tokenPages) showList(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	in account.TokenInput, bad fault.Invalid, made string) error {
	list, err := s.Accounts.Tokens(r.Context(), actor)
	if err != nil {
		return err
	}
	z := page.Zone(actor)
	p := views.NewTokensPage()
	p.Now, p.Made = s.Now().In(z), made
	for _, t := range list {
		p.Rows = append(p.Rows, tokenItem(&t, "Everything that you may do", p.Now, z))
	}
	p.Name.Value, p.Days.Value = in.Name, in.Days
	for _, days := range account.TokenDays {
		label := fmt.Sprintf("%d days", days)
		if days == 365 {
			label = "One year"
		}
		p.Days.Options = append(p.Days.Options, views.Choice{Value: strconv.Itoa(days), Label: label})
	}
	if in.Narrowed {
		p.Scope.Value = "only"
	}
	for _, of := range account.Permissions {
		if actor.Can(of.Permission) {
			p.Boxes = append(p.Boxes, views.PermissionBox{
				Permission: string(of.Permission), Capability: of.Capability,
				Implies: implied(of.Permission, of.Implies),
				Checked: slices.Contains(in.Permissions, string(of.Permission)),
			})
		}
	}
	p.Name.Error, p.Days.Error, p.Scope.Error, p.Error = bad["name"], bad["days"], bad["scope"], bad["permissions"]
	return s.withSettings(w, r, actor, "API tokens", func(page views.Page) error {
		s.Render(w, r, status, views.Tokens(page, p))
		return nil
	})
}

// tokenItem is a token as a page shows it. All says what one may do that is not narrowed.
func tokenItem(t *db.APIToken, all string, now time.Time, z *time.Location) views.TokenItem {
	item := views.TokenItem{
		ID: t.ID.String(), Name: t.Name, May: all, Created: t.CreatedAt.In(z), Expires: t.ExpiresAt.In(z),
		UsedFrom: t.UsedFrom,
		Expired:  !t.ExpiresAt.After(now),
	}
	if t.Narrowed {
		item.May = strings.Join(t.Permissions, ", ")
	}
	if !t.UsedAt.IsZero() {
		item.Used = t.UsedAt.In(z)
	}
	return item
}

func (s tokenPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := account.TokenInput{
		Name: r.PostFormValue("name"), Days: r.PostFormValue("days"), Narrowed: r.PostFormValue("scope") == "only",
		Permissions: r.PostForm["permissions"],
	}
	token, err := s.Accounts.CreateToken(r.Context(), actor, in)
	var bad fault.Invalid
	if errors.As(err, &bad) {
		return s.showList(w, r, actor, http.StatusUnprocessableEntity, in, bad, "")
	}
	if err != nil {
		return err
	}
	return s.showList(w, r, actor, http.StatusOK, account.TokenInput{Days: strconv.Itoa(account.DefaultTokenDays)},
		nil, token)
}

func (s tokenPages) revoke(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	token, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Accounts.RevokeToken(r.Context(), actor, token); err != nil {
		return err
	}
	return s.Redirect(w, r, views.TokensURL(), "The token was revoked.")
}
