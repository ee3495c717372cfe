package automation

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"carillon/app/jsontext"
	"carillon/app/workflow"
	"carillon/db"
)

// redacted stands in the record of a call where a secret was.
const redacted = "(secret)"

// redact gives a call as it may be read by others: without the values of an automation's secret parameters, wherever in
// it they stand. A body that cannot be read may hold any of them, so nothing of it is left.
func redact(o *db.TokenOwner, call Call) Call {
	if !o.TakesSecrets() {
		return call
	}
	w := &redactor{owner: o}
	query, err := fieldsOf(call.Query)
	switch {
	case err != nil:
		call.Query = redacted
	case w.form(query):
		call.Query = query.Encode()
	}
	call.Body = w.body(call)
	call.Query = string(Masker(w.found, redacted)([]byte(call.Query)))
	return call
}

// redactedBy is the call as it may be read by others, looked through once.
func (c Call) redactedBy(o *db.TokenOwner) Call {
	if c.shown != nil {
		return *c.shown
	}
	return redact(o, c)
}

// looked is the call with what others may read of it, for which it is looked through here: in a transaction nothing has
// to.
func (c Call) looked(o *db.TokenOwner) Call {
	shown := redact(o, c)
	c.shown = &shown
	return c
}

// hideGiven replaces the secrets that a call gives in the other values that it gives, and lists them. The values stay
// as they were.
func hideGiven(o *db.TokenOwner, given map[string]string) (values map[string]string, secrets []string) {
	for _, p := range o.Parameters {
		if value := given[p.Alias]; p.Type == db.SecretParameter && value != "" {
			secrets = append(secrets, value)
		}
	}
	if len(secrets) == 0 {
		return given, nil
	}
	values = maps.Clone(given)
	hideOthers(values, o.Parameters, secrets)
	return values, secrets
}

// hideOthers replaces secrets in the values that are none of a workflow's parameters.
func hideOthers(values map[string]string, parameters []db.Parameter, secrets []string) {
	if len(secrets) == 0 {
		return
	}
	hide := Masker(secrets, redacted)
	for name, value := range values {
		if !slices.ContainsFunc(parameters, func(p db.Parameter) bool { return p.Alias == name }) {
			values[name] = hideValue(hide, value)
		}
	}
}

type redactor struct {
	owner *db.TokenOwner
	found []string // secrets, to be looked for elsewhere too
}

// form takes the secrets out of fields. It reports whether there were any.
func (w *redactor) form(fields url.Values) bool {
	any := false
	for name, list := range fields {
		if !w.owner.Secret(name) {
			continue
		}
		for i := range list {
			w.found = append(w.found, list[i])
			list[i] = redacted
		}
		any = true
	}
	return any
}

func (w *redactor) body(call Call) []byte {
	if !call.isForm() {
		return w.object(call.Body)
	}
	form, err := fieldsOf(string(withoutMark(call.Body)))
	if err != nil {
		return []byte(redacted)
	}
	sent := form.Get("payload")
	inPayload := sent != "" && json.Valid([]byte(sent))
	if inPayload {
		form.Del("payload")
	}
	found := w.form(form)
	masked := sent
	if inPayload {
		masked = string(w.object([]byte(sent)))
	}
	hide := Masker(w.found, redacted)
	for _, list := range form {
		for i, value := range list {
			list[i] = string(hide([]byte(value)))
			found = found || list[i] != value
		}
	}
	if inPayload {
		found = found || masked != sent
		form.Set("payload", masked)
	}
	if !found {
		return call.Body
	}
	return []byte(form.Encode())
}

// object takes the secrets out of a JSON object, and leaves the rest as it was written.
func (w *redactor) object(body []byte) []byte {
	if body = withoutMark(body); len(bytes.TrimSpace(body)) == 0 {
		return body
	}
	if _, problem := readObject(body); problem != "" {
		return []byte(redacted)
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
			b.WriteString(`"` + redacted + `"`)
			last = end
		}
	}
	b.Write(body[last:])
	masked, ok := MaskJSON(Masker(w.found, redacted), b.Bytes())
	if !ok { // nested too deeply to be looked through
		return []byte(redacted)
	}
	return masked
}

// brought is what a call brought as it was, as it is sealed.
type brought struct {
	Query string `json:"query"`
	Body  []byte `json:"body"`
}

func deliveryPurpose(id uuid.UUID) string { return "delivery " + id.String() }

// keepCall notes with a delivery what its call brought: readable without secrets, and sealed with them.
func (s *Service) keepCall(o *db.TokenOwner, call Call, d *db.Delivery) {
	shown := call.redactedBy(o)
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

// keptValues are the values of a run as its row may hold them: secrets in their stored form. Where nobody knows any
// more which of them are secrets, as the workflow is gone, there are none.
func (s *Service) keptValues(wf *db.Workflow, values map[string]string) map[string]string {
	kept := map[string]string{}
	if wf == nil {
		return kept
	}
	var secrets []string
	for _, p := range wf.Parameters {
		if p.Type == db.SecretParameter && values[p.Alias] != "" {
			secrets = append(secrets, values[p.Alias])
			kept[p.Alias] = workflow.Seal(s.Keys, p.Alias, values[p.Alias])
		}
	}
	hide := Masker(secrets, redacted)
	for name, value := range values {
		if _, sealed := kept[name]; !sealed {
			kept[name] = hideValue(hide, value)
		}
	}
	return kept
}

// shortest is how long a secret is at least that is looked for in other text: a shorter one is in ordinary text too.
const shortest = 6

// What looking for secrets may cost. Whoever calls an automation chooses them.
const (
	maxSecret      = 64 << 10 // bytes of a secret whose lines are looked for too; a longer one is looked for as a whole
	maxSecretLines = 200      // lines of the same

	maxEncodedLines = 20      // lines of a secret from which they are not looked for in base64, but the whole alone
	maxWrapped      = 8 << 10 // letters of base64 that are also looked for as programs break them into lines
	longForm        = 1 << 10 // bytes from which a form is looked for by itself
	maxForms        = 5000    // forms that are looked for in one pass
	maxLongForms    = 500
)

// Masker replaces secrets in text: as they are, line by line, and as JSON, addresses and base64 write them. It is a
// help against what slips out, and no wall: whoever has a secret can write it in other ways. A secret of more than 64
// KiB or 200 lines is looked for as a whole. Where there are more forms than can be looked for at a bounded cost, all
// of a text is replaced.
func Masker(secrets []string, by string) func([]byte) []byte {
	forms := formsOf(secrets)
	var long, short []string
	for _, form := range forms {
		if len(form) >= longForm {
			long = append(long, form)
		} else {
			short = append(short, form)
		}
	}
	switch {
	case len(forms) == 0:
		return func(text []byte) []byte { return text }
	case len(short) > maxForms || len(long) > maxLongForms:
		return func(text []byte) []byte {
			if len(text) < shortest {
				return text
			}
			return []byte(by)
		}
	}
	pairs := make([]string, 0, 2*len(short))
	for _, form := range short { // the longest first: of those that begin at one place the first counts
		pairs = append(pairs, form, by)
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text []byte) []byte {
		for _, form := range long {
			if len(form) > len(text) {
				continue
			}
			text = bytes.ReplaceAll(text, []byte(form), []byte(by))
		}
		if len(pairs) == 0 {
			return text
		}
		return []byte(replacer.Replace(string(text)))
	}
}

// formsOf lists how secrets may stand in a text, each form once and the longest first: else what is left of a longer
// one could tell it. Of more than can be looked for it lists some that are too many.
func formsOf(secrets []string) []string {
	known := map[string]bool{}
	add := func(forms ...string) {
		for _, form := range forms {
			if len(form) >= shortest {
				known[form] = true
			}
		}
	}
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		parts := []string{s}
		if len(s) <= maxSecret && strings.Count(s, "\n") < maxSecretLines {
			parts = append(parts, strings.Split(s, "\n")...)
		}
		if len(s) <= maxSecret {
			add(inBase64(s)...)
			if len(parts) <= maxEncodedLines {
				for _, line := range parts[1:] {
					add(inBase64(strings.TrimSpace(line))...)
				}
			}
		}
		for _, part := range parts {
			add(part)
			part = strings.TrimSpace(part)
			add(part)
			add(inAddresses(part)...)
			for _, html := range []bool{true, false} {
				within := quoted(part, html)
				add(within, quoted(within, html)) // JSON as a text in JSON
			}
		}
		add(quoted(s, true), quoted(s, false))
		if len(known) > maxForms+maxLongForms {
			break
		}
	}
	return slices.SortedFunc(maps.Keys(known), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}

// inBase64 lists how base64 writes a text, by the usual letters and by those of addresses: alone or within another
// text, so at each of the three places of a group of bytes at which it may begin, and as programs break it into lines.
// What stands beside the text decides the first and the last letters of it, which are left out.
func inBase64(text string) []string {
	if len(text) < shortest {
		return nil
	}
	var forms []string
	for before := range 3 {
		whole := append(make([]byte, before, before+len(text)), text...)
		first, end := (before*8+5)/6, len(whole)*8/6 // the letters that hold bits of the text alone
		for _, letters := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			form := letters.EncodeToString(whole)[first:end]
			forms = append(forms, form)
			if before > 0 || len(form) > maxWrapped {
				continue
			}
			for _, columns := range []int{64, 76} {
				if len(form) > columns {
					for line := range slices.Chunk([]byte(form), columns) {
						forms = append(forms, string(line))
					}
				}
			}
		}
	}
	return forms
}

// inAddresses lists how addresses write a text: as a value of a query, as a part of a path, as scripts of browsers do,
// and with escapes of small letters.
func inAddresses(text string) []string {
	query := url.QueryEscape(text)
	script := componentSigns.Replace(query)
	return []string{query, url.PathEscape(text), script, smallEscapes(query), smallEscapes(script)}
}

// componentSigns makes of a value of a query what encodeURIComponent writes.
var componentSigns = strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*")

// smallEscapes is a text of an address with the letters of its escapes small.
func smallEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// hideValue replaces secrets in the value of a parameter, which may be a JSON object or array.
func hideValue(hide func([]byte) []byte, value string) string {
	if strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
		if masked, ok := MaskJSON(hide, []byte(value)); ok {
			return string(masked)
		}
	}
	return string(hide([]byte(value)))
}

// MaskJSON replaces secrets in the values of a JSON text by a Masker: in strings and names, decoded, and in numbers,
// which become strings then. The rest stays as it is written. ok is false for what is not JSON.
func MaskJSON(hide func([]byte) []byte, raw []byte) (masked []byte, ok bool) {
	return jsontext.Rewrite(raw, func(s string) string {
		return string(hide([]byte(s)))
	}, func(number string) (string, bool) {
		for _, form := range []string{number, plainNumber(number)} {
			if hidden := string(hide([]byte(form))); hidden != form {
				return hidden, true
			}
		}
		return "", false
	})
}

// plainNumber is a number without an exponent and without zeros behind the point that say nothing, as far as it is
// exact.
func plainNumber(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		return number
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.Abs(value) >= 1<<53 {
		return number
	}
	return strconv.FormatFloat(value, 'f', -1, 64)
}

// quoted is a text as JSON writes it, without the quotation marks.
func quoted(text string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(text) // a string always encodes
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}
