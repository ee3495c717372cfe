package page

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// A form of something that is stored carries two hidden fields. "version" tells what was stored when the form was made;
// the operation refuses it with fault.ErrStale when that is no longer so. "base" holds a fingerprint of each field as
// the form showed it; with it, a form that was refused is merged: what this person left alone is taken from what is
// stored now, and what they changed stays theirs. Saving the merged form changes what they changed and nothing else.
const (
	VersionField = "version" // the name of the first
	BaseField    = "base"    // the name of the second
)

// versionInput begins the hidden field as views.Version writes it.
var versionInput = []byte(`<input type="hidden" name="` + VersionField + `" value="`)

// stamped adds the hidden field "base" to each form of a page that has a version. A form that comes back to whoever
// sent it keeps the one that it was sent with, as long as its version is the same.
func stamped(r *http.Request, page []byte) []byte {
	if !bytes.Contains(page, versionInput) {
		return page
	}
	list, err := Forms(bytes.NewReader(page))
	if err != nil {
		return page
	}
	var b bytes.Buffer
	for _, f := range list {
		i := bytes.Index(page, versionInput)
		if i < 0 {
			break
		}
		if !f.Values.Has(VersionField) {
			continue
		}
		end := i + bytes.IndexByte(page[i:], '>') + 1
		base := f.stamp()
		if f.comesBack(r) {
			base = r.PostForm.Get(BaseField)
		}
		b.Write(page[:end])
		b.WriteString(`<input type="hidden" name="` + BaseField + `" value="` + templ.EscapeString(base) + `">`)
		page = page[end:]
	}
	b.Write(page)
	return b.Bytes()
}

// comesBack reports whether a form is the one that a request brought, made of the same that is stored.
func (f *Form) comesBack(r *http.Request) bool {
	action, other := r.Context().Value(formKey{}).(string)
	if !other {
		action = r.URL.Path
	}
	return r.Method == http.MethodPost && f.Action == action && r.PostForm.Has(BaseField) &&
		r.PostForm.Get(VersionField) == f.Values.Get(VersionField)
}

type formKey struct{}

// BringsForm notes that a request brings the form that is sent to another address: one of its buttons sends it here.
func BringsForm(r *http.Request, action string) {
	*r = *r.WithContext(context.WithValue(r.Context(), formKey{}, action))
}

// stamp is a fingerprint of each field that has a value.
func (f *Form) stamp() string {
	sums := url.Values{}
	for key, list := range f.byKey(f.Values) {
		if sum := Fingerprint(list); sum != "" {
			sums.Set(key, sum)
		}
	}
	return sums.Encode()
}

// Fingerprint is a short text that differs where values do; empty for none and for an empty one.
func Fingerprint(list []string) string {
	if len(list) == 0 || len(list) == 1 && list[0] == "" {
		return ""
	}
	h := sha256.New()
	for _, v := range list {
		h.Write([]byte(strings.ReplaceAll(v, "\r\n", "\n")))
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

// byKey arranges the values of a form by field: each box of boxes with one name is a field, and so are all rows of a
// unit.
func (f *Form) byKey(values url.Values) map[string][]string {
	boxes := map[string]bool{}
	for _, field := range f.fields {
		if name, _, ok := strings.Cut(field.key, boxMark); ok {
			boxes[name] = true
		}
	}
	all := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		unit, ofUnit := f.unitOf(name)
		switch {
		case name == VersionField || name == BaseField || name == "do":
		case ofUnit:
			all[unit.prefix] = append(append(all[unit.prefix], name), values[name]...)
		case boxes[name]:
			for _, v := range values[name] {
				all[name+boxMark+v] = []string{"on"}
			}
		default:
			all[name] = values[name]
		}
	}
	return all
}

// take copies a field from one set of values to another.
func (f *Form) take(to, from url.Values, key string) {
	if name, value, ok := strings.Cut(key, boxMark); ok {
		if slices.Contains(from[name], value) {
			to.Add(name, value)
		}
		return
	}
	for name, list := range from {
		if unit, ok := f.unitOf(name); name == key || ok && unit.prefix == key {
			to[name] = list
		}
	}
}

// merged is a form that was refused since what it was made of is stored otherwise now.
type merged struct {
	values       url.Values    // as it comes back
	theirs, both []shownField  // changed there alone, and here too
	stored       []views.Value // of both: what is stored
}

// merge puts together what is stored now and what was typed over a form that showed what base tells.
func merge(stored *Form, typed url.Values) merged {
	base, err := url.ParseQuery(typed.Get(BaseField))
	known := err == nil && typed.Has(BaseField)
	theirs, mine := stored.byKey(stored.Values), stored.byKey(typed)
	keys := maps.Clone(theirs)
	maps.Copy(keys, mine)
	for key := range base {
		keys[key] = nil
	}
	m := merged{values: url.Values{}}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		t, y, b := Fingerprint(theirs[key]), Fingerprint(mine[key]), base.Get(key)
		switch {
		case t == y || known && t == b: // not changed there
			stored.take(m.values, typed, key)
		case known && y == b:
			stored.take(m.values, stored.Values, key)
			m.theirs = append(m.theirs, stored.named(key))
		default:
			stored.take(m.values, typed, key)
			m.both = append(m.both, stored.named(key))
		}
	}
	place := func(a, b shownField) int { return stored.place(a.key) - stored.place(b.key) }
	slices.SortStableFunc(m.theirs, place)
	slices.SortStableFunc(m.both, place)
	for _, field := range m.both {
		m.stored = append(m.stored, views.Value{
			Name: field.label, ID: field.id, Value: stored.shown(field.key, theirs[field.key]),
		})
	}
	m.values.Set(VersionField, stored.Values.Get(VersionField))
	m.values.Set(BaseField, stored.stamp())
	return m
}

// named is a field as the page calls it. One that is not there now is called by its name.
func (f *Form) named(key string) shownField {
	if i := f.place(key); i < len(f.fields) {
		field := f.fields[i]
		field.label = cmp.Or(field.label, key)
		return field
	}
	name, _, _ := strings.Cut(key, boxMark)
	return shownField{key: key, label: cmp.Or(strings.TrimPrefix(name, "param."), name)}
}

func (f *Form) place(key string) int {
	i := slices.IndexFunc(f.fields, func(o shownField) bool { return o.key == key })
	if i < 0 {
		return len(f.fields)
	}
	return i
}

// shown is the value of a field in a few words, as the page calls it; empty where that says nothing.
func (f *Form) shown(key string, list []string) string {
	if strings.Contains(key, boxMark) {
		if len(list) > 0 {
			return "on"
		}
		return "off"
	}
	if len(list) > 1 {
		return ""
	}
	text := strings.Join(list, "")
	text = strings.Join(strings.Fields(cmp.Or(f.choices[[2]string{key, text}], text)), " ")
	if utf8.RuneCountInString(text) > 80 {
		text = string([]rune(text)[:80]) + "…"
	}
	return text
}

type conflictKey struct{}

// conflict is what the page of a refused form says of the change that it met; nil on other pages.
func conflict(r *http.Request) *views.Conflict {
	c, _ := r.Context().Value(conflictKey{}).(*views.Conflict)
	return c
}

// Again reports whether a form comes back to the person who sent it, with which mistakes and which status: 422 where
// something typed is wrong, and 409 where someone saved meanwhile. Then the fields of the request are the merged ones,
// to be read again. show answers the page of the form. A status of 0 means that the form does not come back: err tells
// how it went.
func (s *Site) Again(r *http.Request, actor account.Actor, show Handler, err error) (fault.Invalid, int, error) {
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return invalid, http.StatusUnprocessableEntity, nil
	}
	if !errors.Is(err, fault.ErrStale) {
		return nil, 0, err
	}
	stored, shownErr := s.storedForm(r, actor, show)
	if shownErr != nil || stored == nil || !stored.Values.Has(VersionField) {
		return nil, 0, errors.Join(err, shownErr)
	}
	m := merge(stored, r.PostForm)
	c := &views.Conflict{Both: m.stored}
	for _, field := range m.theirs {
		c.Theirs = append(c.Theirs, views.Value{Name: field.label, ID: field.id})
	}
	if err := s.whoSaved(r, actor, c); err != nil {
		return nil, 0, err
	}
	for name := range r.PostForm {
		delete(r.Form, name)
	}
	maps.Copy(r.Form, m.values)
	r.PostForm = m.values
	*r = *r.WithContext(context.WithValue(r.Context(), conflictKey{}, c))
	return nil, http.StatusConflict, nil
}

// storedForm is the form that a request was sent from, as its page shows it now; nil where that has it no longer.
func (s *Site) storedForm(r *http.Request, actor account.Actor, show Handler) (*Form, error) {
	get := r.Clone(r.Context())
	get.Method, get.PostForm, get.Form = http.MethodGet, url.Values{}, get.URL.Query()
	page := httptest.NewRecorder() // so that what the page tells once is told when it is shown
	if err := show(page, get, actor); err != nil {
		return nil, err
	}
	list, err := Forms(page.Body)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if f.Action == r.URL.Path {
			return f, nil
		}
	}
	return nil, nil
}

// whoSaved finds in the audit log who changed last what a form is of. Nobody is named where the last line is of
// something else, such as a session that took a ticket.
func (s *Site) whoSaved(r *http.Request, actor account.Actor, c *views.Conflict) error {
	subject := form.OptionalID(r.PathValue("id"))
	if strings.HasPrefix(r.URL.Path, views.ProfileURL()) {
		subject = actor.ID
	}
	events, err := db.AuditOf(r.Context(), s.DB, subject, 1)
	if err != nil || len(events) == 0 {
		return err
	}
	e := events[0]
	_, what, _ := strings.Cut(e.Action, ".")
	if e.Actor != nil && (strings.HasPrefix(what, "update") || strings.HasPrefix(what, "set_")) {
		c.Who, c.You, c.Program, c.At, c.Now = e.Actor.Name, e.ActorID == actor.ID, e.Token, e.At.In(Zone(actor)),
			s.Now().In(Zone(actor))
	}
	return nil
}
