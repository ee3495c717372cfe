package settings

import (
	"net/http"
	"net/url"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/toggle"
	"carillon/app/web/page"
	"carillon/views"
)

// togglePages are the pages of session toggles.
type togglePages struct{ *Pages }

// list is the page of the texts of the session toggles.
func (s togglePages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showList(w, r, actor, http.StatusOK, nil, nil)
}

func (s togglePages) showList(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	typed map[string]string, bad fault.Invalid) error {
	list, err := s.Toggles.List(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.TogglesPage{Version: toggle.Version(list)}
	if typed != nil {
		p.Version = r.PostFormValue(page.VersionField)
	}
	for _, t := range list {
		f := views.Field{
			Name: t.Key, Label: t.Name, Value: t.Now, Rows: 4, Error: bad[t.Key], Hint: "Added to the first prompt.",
		}
		if t.Pass != "" {
			f.Hint = "A message of its own after the run."
		}
		if text, ok := typed[t.Key]; ok {
			f.Value = text
		}
		p.Toggles = append(p.Toggles, views.ToggleItem{Text: f, Changed: t.Changed})
	}
	return s.withSettings(w, r, actor, "Session toggles", func(page views.Page) error {
		s.Render(w, r, status, views.Toggles(page, p))
		return nil
	})
}

// typedToggles are the texts that a form brings.
func typedToggles(r *http.Request) map[string]string {
	typed := map[string]string{}
	for _, t := range toggle.All {
		if r.PostForm.Has(t.Key) {
			typed[t.Key] = r.PostForm.Get(t.Key)
		}
	}
	return typed
}

func (s togglePages) save(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	err := s.Toggles.Save(r.Context(), actor, typedToggles(r), r.PostFormValue(page.VersionField))
	bad, status, err := s.Again(r, actor, s.list, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.showList(w, r, actor, status, typedToggles(r), bad)
	}
	return s.Redirect(w, r, views.TogglesURL(), "Saved. New runs use these texts.")
}

// reset gives a toggle its own text again. What is typed into the other fields of the form comes back unsaved.
func (s togglePages) reset(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	key := r.PathValue("key")
	before, err := s.Toggles.List(r.Context(), actor)
	if err != nil {
		return err
	}
	if err := s.Toggles.Reset(r.Context(), actor, key); err != nil {
		return err
	}
	typed, unsaved := typedToggles(r), false
	delete(typed, key)
	for _, t := range before {
		text, there := typed[t.Key]
		unsaved = unsaved || there && text != t.Now
	}
	if !unsaved {
		return s.Redirect(w, r, views.TogglesURL(), "Reset.")
	}
	after, err := s.Toggles.List(r.Context(), actor)
	if err != nil {
		return err
	}
	if base, err := url.ParseQuery(r.PostForm.Get(page.BaseField)); err == nil &&
		r.PostForm.Get(page.VersionField) == toggle.Version(before) {
		for _, t := range after { // the form goes on from this change
			if t.Key == key {
				base.Set(key, page.Fingerprint([]string{t.Now}))
			}
		}
		r.PostForm.Set(page.VersionField, toggle.Version(after))
		r.PostForm.Set(page.BaseField, base.Encode())
	}
	page.BringsForm(r, views.TogglesURL())
	return s.showList(w, r, actor, http.StatusOK, typed, nil)
}
