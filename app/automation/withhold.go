package automation

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"carillon/db"
)

// withheld stands in the record of a call where a secret was.
const withheld = "(secret)"

// withhold gives a call as it may be read by others: without the values of an automation's secret parameters, wherever in it
// they stand. A body that cannot be read may hold any of them, so nothing of it is left.
func withhold(o *db.TokenOwner, call Call) Call {
	if !o.TakesSecrets() {
		return call
	}
	w := &withholder{owner: o}
	query, err := url.ParseQuery(call.Query)
	switch {
	case err != nil:
		call.Query = withheld
	case w.form(query):
		call.Query = query.Encode()
	}
	call.Body = w.body(call)
	hide := Masker(w.found, withheld)
	call.Query, call.Body = string(hide([]byte(call.Query))), hide(call.Body)
	return call
}

type withholder struct {
	owner *db.TokenOwner
	found []string // secrets, to be looked for elsewhere too
}

// form takes the secrets out of fields. It reports whether there were any.
func (w *withholder) form(fields url.Values) bool {
	any := false
	for name, list := range fields {
		if !w.owner.Secret(name) {
			continue
		}
		for i := range list {
			w.found = append(w.found, list[i])
			list[i] = withheld
		}
		any = true
	}
	return any
}

func (w *withholder) body(call Call) []byte {
	kind, _, _ := mime.ParseMediaType(call.ContentType)
	if kind != "application/x-www-form-urlencoded" {
		return w.object(call.Body)
	}
	form, err := url.ParseQuery(string(call.Body))
	if err != nil {
		return []byte(withheld)
	}
	sent := form.Get("payload")
	inPayload := sent != "" && json.Valid([]byte(sent))
	if inPayload {
		form.Del("payload")
	}
	found := w.form(form)
	if inPayload {
		masked := w.object([]byte(sent))
		found = found || string(masked) != sent
		form.Set("payload", string(masked))
	}
	if !found {
		return call.Body
	}
	return []byte(form.Encode())
}

// object takes the secrets out of a JSON object, and leaves the rest as it was written.
func (w *withholder) object(body []byte) []byte {
	if len(bytes.TrimSpace(body)) == 0 {
		return body
	}
	if _, problem := readObject(body); problem != "" {
		return []byte(withheld)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	_, _ = decoder.Token() // readObject has read it: no error can follow
	var b bytes.Buffer
	last := 0
	for decoder.More() {
		name, _ := decoder.Token()
		var value json.RawMessage
		_ = decoder.Decode(&value)
		end := int(decoder.InputOffset())
		if text, _ := name.(string); w.owner.Secret(text) {
			w.found = append(w.found, Text(value))
			b.Write(body[last : end-len(value)])
			b.WriteString(`"` + withheld + `"`)
			last = end
		}
	}
	b.Write(body[last:])
	return Masker(w.found, withheld)(b.Bytes())
}

// brought is what a call brought as it was, as it is sealed.
type brought struct {
	Query string `json:"query"`
	Body  []byte `json:"body"`
}

func deliveryPurpose(id uuid.UUID) string { return "delivery " + id.String() }

// keepCall notes with a delivery what its call brought: readable without secrets, and sealed with them.
func (s *Service) keepCall(o *db.TokenOwner, call Call, d *db.Delivery) {
	shown := withhold(o, call)
	d.Query, d.Size = db.Printable(shown.Query, 4096), int64(len(call.Body))
	d.Body = shown.Body[:min(len(shown.Body), keepBody)]
	if shown.Query == call.Query && bytes.Equal(shown.Body, call.Body) || len(call.Body) > keepBody {
		return
	}
	whole, _ := json.Marshal(brought{call.Query, call.Body}) // strings always marshal
	d.Sealed = s.Keys.Seal(string(whole), deliveryPurpose(d.ID))
}

// call is what a delivery brought as it was. ok is false when its secrets cannot be read any more.
func (s *Service) call(d *db.Delivery) (call Call, ok bool) {
	call = Call{Query: d.Query, ContentType: d.Headers["Content-Type"], Body: d.Body}
	if d.Sealed == nil {
		return call, true
	}
	text, err := s.Keys.Open(d.Sealed, deliveryPurpose(d.ID))
	if err != nil {
		return call, false
	}
	var was brought
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return call, false
	}
	call.Query, call.Body = was.Query, was.Body
	return call, true
}

// keptValues are the values of a run as its row may hold them: secrets in their stored form. Where nobody knows any more which
// of them are secrets, as the workflow is gone, there are none.
func (s *Service) keptValues(workflow *db.Workflow, values map[string]string) map[string]string {
	kept := map[string]string{}
	if workflow == nil {
		return kept
	}
	var secrets []string
	for _, p := range workflow.Parameters {
		if p.Type == db.SecretParameter && values[p.Alias] != "" {
			secrets = append(secrets, values[p.Alias])
			kept[p.Alias] = s.seal(p.Alias, values[p.Alias])
		}
	}
	hide := Masker(secrets, withheld)
	for name, value := range values {
		if _, sealed := kept[name]; !sealed {
			kept[name] = string(hide([]byte(value)))
		}
	}
	return kept
}

// shortest is how long a secret is at least that is looked for in other text: a shorter one is in ordinary text too.
const shortest = 6

// Masker replaces secrets in text: as they are, line by line, and as JSON and addresses write them.
func Masker(secrets []string, by string) func([]byte) []byte {
	var olds [][]byte
	add := func(form string) {
		known := func(old []byte) bool { return string(old) == form }
		if len(form) >= shortest && !slices.ContainsFunc(olds, known) {
			olds = append(olds, []byte(form))
		}
	}
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		for _, part := range append([]string{s}, strings.Split(s, "\n")...) {
			add(part)
			part = strings.TrimSpace(part)
			add(part)
			add(url.QueryEscape(part))
			add(url.PathEscape(part))
			for _, html := range []bool{true, false} {
				within := quoted(part, html)
				add(within)
				add(quoted(within, html)) // JSON as a text in JSON
			}
		}
		add(quoted(s, true))
		add(quoted(s, false))
	}
	slices.SortStableFunc(olds, func(a, b []byte) int { return len(b) - len(a) }) // else what is left of a longer one could tell it
	return func(text []byte) []byte {
		for _, old := range olds {
			text = bytes.ReplaceAll(text, old, []byte(by))
		}
		return text
	}
}

// quoted is a text as JSON writes it, without the quotation marks.
func quoted(text string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(text) // a string always encodes
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}
