package automation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/form"
	"carillon/app/spec"
	"carillon/db"
)

// maxConditions is how many conditions a filter has at most.
const maxConditions = 20

// The operators of a condition.
const (
	OpEquals    = "equals"
	OpNotEquals = "not_equals"
	OpContains  = "contains"
	OpExists    = "exists"
	OpAbsent    = "absent"
)

// Operators lists the operators with their names on screen.
var Operators = []struct{ Operator, Name string }{
	{OpEquals, "equals"}, {OpNotEquals, "does not equal"}, {OpContains, "contains"}, {OpExists, "is there"},
	{OpAbsent, "is not there"},
}

// holds reports whether a condition is met. Numbers are compared as numbers: 1000 equals 1e3.
func holds(c db.Condition, values *Values, text func(field string) bool) bool {
	value, ok := values.Lookup(c.Field)
	equal := value == c.Value || ok && sameNumber(value, c.Value) && !text(c.Field)
	switch c.Operator {
	case OpEquals:
		return ok && equal
	case OpNotEquals:
		return !equal
	case OpContains:
		return ok && strings.Contains(value, c.Value)
	case OpExists:
		return ok
	case OpAbsent:
		return !ok
	}
	return false
}

// textIn tells which fields of a body in JSON are texts: those are no numbers, whatever they look like. What is no JSON
// object has no types, so nothing in it is.
func textIn(body string) func(field string) bool {
	in := ValuesOf(nil)
	return func(field string) bool {
		if strings.Count(field, ".") >= maxParts {
			return false
		}
		raw := in.descend("", func() json.RawMessage { return json.RawMessage(body) }, field)
		return len(raw) > 0 && raw[0] == '"'
	}
}

// matches reports whether a payload passes an automation's filter, and else why not. Body is what the call held, as
// text.
func matches(f db.Filter, values map[string]string, body string) (bool, string) {
	if len(f.Conditions) == 0 {
		return true, ""
	}
	found, text := ValuesOf(values), textIn(body)
	for _, c := range f.Conditions {
		met := holds(c, found, text)
		if met && f.Any {
			return true, ""
		}
		if !met && !f.Any {
			return false, strings.TrimSpace(fmt.Sprintf("the filter did not match: %s %s %s", c.Field,
				operatorName(c.Operator), c.Value))
		}
	}
	if f.Any {
		return false, "the filter did not match: none of its conditions holds"
	}
	return true, ""
}

func operatorName(operator string) string {
	for _, o := range Operators {
		if o.Operator == operator {
			return o.Name
		}
	}
	return operator
}

// readFilter makes a filter of what a person typed: lines without a field and a value are left out.
func readFilter(in spec.Filter, bad fault.Invalid) db.Filter {
	f := db.Filter{}
	for _, c := range in.Conditions {
		c.Field = strings.TrimSpace(c.Field)
		bare := c.Operator == OpExists || c.Operator == OpAbsent
		switch {
		case c.Field == "" && c.Value == "":
			continue
		case c.Field == "":
			bad["filter"] = "Each condition needs a field, such as action or pull_request.state."
		case !slices.ContainsFunc(Operators, func(o struct{ Operator, Name string }) bool {
			return o.Operator == c.Operator
		}):
			bad["filter"] = "Choose how the field is compared."
		case len(c.Field) > 200 || len(c.Value) > 1000 || !form.Storable(c.Field) || !form.Storable(c.Value):
			bad["filter"] = "A field has at most 200 characters, and a value 1,000."
		case bare:
			c.Value = ""
		}
		f.Conditions = append(f.Conditions, db.Condition(c))
	}
	if len(f.Conditions) > maxConditions {
		bad["filter"] = fmt.Sprintf("A filter has at most %d conditions.", maxConditions)
	}
	f.Any = in.Any && len(f.Conditions) > 0
	return f
}

// signaturePurpose binds a sender's secret to its automation.
func signaturePurpose(a *db.Automation) string { return "signature " + a.ID.String() }

// SignatureSecret is the secret that the calls of an automation are signed with. It is empty for an automation that has
// none, and for nil.
func (s *Service) SignatureSecret(a *db.Automation) (string, error) {
	if a == nil || a.SignatureSealed == nil {
		return "", nil
	}
	return s.Keys.Open(a.SignatureSealed, signaturePurpose(a))
}

// applyWebhook takes over who signs the calls of an HTTP Trigger, its filter, and what becomes of the payload. A secret
// that is left empty stays as it is stored, for the same kind of sender.
func (s *Service) applyWebhook(a *db.Automation, in Input, bad fault.Invalid) {
	was, sealed := a.Sender, a.SignatureSealed
	a.Sender, a.SignatureHeader, a.SignatureSealed, a.Filter, a.AppendPayload = "", "", nil, db.Filter{}, false
	if a.Trigger != db.HTTP {
		return
	}
	a.Filter, a.AppendPayload = readFilter(in.Filter, bad), in.AppendPayload
	if in.Sender == "" {
		return
	}
	if !slices.Contains(forge.Schemes(), forge.Scheme(in.Sender)) {
		bad["sender"] = "Choose who signs the calls."
		return
	}
	a.Sender = in.Sender
	if forge.Scheme(in.Sender) == forge.SchemeHMAC {
		a.SignatureHeader = strings.TrimSpace(in.SignatureHeader)
	}
	secret := strings.TrimSpace(in.SignatureSecret)
	if secret == "" && sealed != nil && was == in.Sender {
		opened, err := s.Keys.Open(sealed, signaturePurpose(a))
		if err != nil {
			bad["signature_secret"] = "The secret stored cannot be read any more. Type it again."
			return
		}
		secret = opened
	}
	signature := forge.Signature{Scheme: forge.Scheme(in.Sender), Secret: secret, Header: a.SignatureHeader}
	switch problem := signature.Problem(); {
	case problem != "" && secret != "" && signature.Scheme == forge.SchemeHMAC:
		bad["signature_header"] = problem
	case problem != "":
		bad["signature_secret"] = problem
	case len(secret) > 1000:
		bad["signature_secret"] = "At most 1,000 characters fit."
	default:
		a.SignatureSealed = s.Keys.Seal(secret, signaturePurpose(a))
	}
}

// signed says why a call does not count as coming from the sender that an automation expects, or nothing. Signature is
// what forge.Signed says of it; nil: it is not signed, and need not be.
func (s *Service) signed(o *db.TokenOwner, call Call) (signature []byte, problem string) {
	if o.Sender == "" {
		return nil, ""
	}
	secret, err := s.Keys.Open(o.SignatureSealed, signaturePurpose(&db.Automation{ID: o.ID}))
	if err != nil {
		s.Log.Error("open the secret of a sender", "automation", o.ID, "err", err)
		return nil, "the secret that calls are signed with cannot be read here"
	}
	want := forge.Signature{Scheme: forge.Scheme(o.Sender), Secret: secret, Header: o.SignatureHeader}
	err = want.Check(call.Signed, call.Sent, s.Now())
	switch {
	case err == nil:
		return want.Signed(call.Signed, call.Sent), ""
	case errors.Is(err, forge.ErrNoSignature):
		return nil, "the call is not signed"
	case errors.Is(err, forge.ErrTimestamp):
		return nil, "the signature is too old, or of the future"
	}
	return nil, "the signature is wrong"
}

// payloadName is the parameter in which a run keeps the payload that it is given whole.
const payloadName = "payload"

// FilterText is a filter in words, for a person; empty for one that lets everything through.
func FilterText(f db.Filter) string {
	list := make([]string, len(f.Conditions))
	for i, c := range f.Conditions {
		list[i] = strings.TrimSpace(c.Field + " " + operatorName(c.Operator) + " " + c.Value)
	}
	if f.Any {
		return strings.Join(list, " or ")
	}
	return strings.Join(list, " and ")
}
