// Package payload reads what a webhook call brings: its values, whether a filter lets it through, and what of it others
// may read. It knows calls and what is said of an automation; it starts nothing.
package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"carillon/app/form"
	"carillon/app/jsontext"
	"carillon/app/prompt"
)

// MaxBody is the most bytes that the body of a call may have. Behaviour: "body over 1 MiB ... 413".
const MaxBody = 1 << 20

// Call is one call of an HTTP trigger: its token is known, its body read.
type Call struct {
	Method, Address string
	Headers         map[string]string // without secrets, for the record
	Query           string            // as in the address, with the token left out
	ContentType     string
	Body            []byte      // unpacked
	Sent            []byte      // the body as it came, perhaps packed: what a signature covers; never kept
	Key             string      // what the sender calls this delivery; empty for none
	Signed          http.Header // as received, for the signature; never kept

	shown *Call // what others may read of it, once it has been looked through
}

// isForm reports whether a call's body is a form of fields. A body that begins as a JSON object does, or that is a JSON
// array, is JSON, whatever type the call names: curl names a form unless it is told otherwise.
func (c Call) isForm() bool {
	kind, _, _ := mime.ParseMediaType(c.ContentType)
	if kind != "application/x-www-form-urlencoded" {
		return false
	}
	body := bytes.TrimSpace(withoutMark(c.Body))
	return !bytes.HasPrefix(body, []byte("{")) && !(bytes.HasPrefix(body, []byte("[")) && json.Valid(body))
}

// Read makes parameters of a call: of its query, and over it of its body. payload is what its body holds, as
// text; problem says what is wrong with it.
func Read(call Call) (values map[string]string, payload, problem string) {
	values = map[string]string{}
	query, err := fieldsOf(call.Query)
	if err != nil {
		return nil, "", "the query string cannot be read"
	}
	for name, list := range query {
		values[name] = list[len(list)-1] // of a repeated key the last wins
	}
	body := withoutMark(call.Body)
	if call.isForm() {
		form, err := fieldsOf(string(body))
		if err != nil {
			return nil, "", "the form in the body cannot be read"
		}
		for name, list := range form {
			values[name] = list[len(list)-1]
		}
		payload = string(body)
		body = nil
		if sent := form.Get("payload"); sent != "" && json.Valid([]byte(sent)) { // as GitHub sends it
			delete(values, "payload")
			body = []byte(sent)
		}
	}
	if len(bytes.TrimSpace(body)) > 0 {
		if kind, _, _ := mime.ParseMediaType(call.ContentType); kind == "multipart/form-data" {
			return nil, "", "the body must be a JSON object or a form of fields"
		}
		object, problem := readObject(body)
		if problem != "" {
			return nil, "", problem
		}
		payload = string(body)
		for name, raw := range object {
			values[name] = prompt.Text(raw)
		}
	}
	for name, value := range values {
		if !form.Storable(name) || !form.Storable(value) {
			return nil, "", notText
		}
	}
	return values, payload, ""
}

// fieldsOf reads a query string or a form. A semicolon is a part of the value that it stands in, as browsers send it,
// and parts no fields.
func fieldsOf(text string) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(text, ";", "%3B"))
}

// readObject reads a JSON object, and nothing but one.
func readObject(body []byte) (map[string]json.RawMessage, string) {
	if !utf8.Valid(body) {
		return nil, "the body is not UTF-8"
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var object map[string]json.RawMessage
	err := decoder.Decode(&object)
	if err != nil || object == nil {
		return nil, "the body must be a JSON object"
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, "the body must be a JSON object and nothing after it"
	}
	return object, unstorable(body)
}

// notText says that a NUL, or something that is not UTF-8, stands in a field, at any depth.
const notText = "a field holds bytes that are not text"

// unstorable says what of a JSON text cannot be kept, at any depth, or nothing: a path may lead to it.
func unstorable(raw []byte) string {
	found := false
	_, ok := jsontext.Rewrite(raw, func(s string) string {
		found = found || strings.ContainsRune(s, 0)
		return s
	}, func(string) (string, bool) { return "", false })
	switch {
	case !ok:
		return "the body is nested too deeply"
	case found:
		return notText
	}
	return ""
}

// withoutMark is a text without the byte-order mark that some programs write before it.
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\uFEFF")) }
