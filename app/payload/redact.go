package payload

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"

	"carillon/app/prompt"
	"carillon/app/secret"
	"carillon/db"
)

// Mask stands in the record of a call where a secret was.
const Mask = "(secret)"

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
		call.Query = Mask
	case w.form(query):
		call.Query = query.Encode()
	}
	call.Body = w.body(call)
	call.Query = string(secret.Masker(w.found, Mask)([]byte(call.Query)))
	return call
}

// Redacted is the call as it may be read by others, looked through once.
func (c Call) Redacted(o *db.TokenOwner) Call {
	if c.shown != nil {
		return *c.shown
	}
	return redact(o, c)
}

// WithRedacted is the call with what others may read of it. It looks the call through here, so that a transaction need
// not.
func (c Call) WithRedacted(o *db.TokenOwner) Call {
	shown := redact(o, c)
	c.shown = &shown
	return c
}

// HideGiven replaces the secrets that a call gives in the other values that it gives, and lists them. The values stay
// as they were.
func HideGiven(o *db.TokenOwner, given map[string]string) (values map[string]string, secrets []string) {
	for _, p := range o.Parameters {
		if value := given[p.Alias]; p.Type == db.SecretParameter && value != "" {
			secrets = append(secrets, value)
		}
	}
	if len(secrets) == 0 {
		return given, nil
	}
	values = maps.Clone(given)
	HideOthers(values, o.Parameters, secrets)
	return values, secrets
}

// HideOthers replaces secrets in the values that are none of a workflow's parameters.
func HideOthers(values map[string]string, parameters []db.Parameter, secrets []string) {
	if len(secrets) == 0 {
		return
	}
	hide := secret.Masker(secrets, Mask)
	for name, value := range values {
		if !slices.ContainsFunc(parameters, func(p db.Parameter) bool { return p.Alias == name }) {
			values[name] = secret.MaskValue(hide, value)
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
			list[i] = Mask
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
		return []byte(Mask)
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
	hide := secret.Masker(w.found, Mask)
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
		return []byte(Mask)
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
			w.found = append(w.found, prompt.Text(value))
			b.Write(body[last : end-len(value)])
			b.WriteString(`"` + Mask + `"`)
			last = end
		}
	}
	b.Write(body[last:])
	masked, ok := secret.MaskJSON(secret.Masker(w.found, Mask), b.Bytes())
	if !ok { // nested too deeply to be looked through
		return []byte(Mask)
	}
	return masked
}
