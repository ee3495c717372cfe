package payload

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/prompt"
	"carillon/app/spec"
	"carillon/db"
)

// MaxConditions is how many conditions a filter has at most.
const MaxConditions = 20

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
func holds(c db.Condition, values *prompt.Values, text func(field string) bool) bool {
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
	in := prompt.ValuesOf(nil)
	return func(field string) bool {
		if strings.Count(field, ".") >= prompt.MaxParts {
			return false
		}
		raw := in.Descend("", func() json.RawMessage { return json.RawMessage(body) }, field)
		return len(raw) > 0 && raw[0] == '"'
	}
}

// Matches reports whether a payload passes an automation's filter, and else why not. Body is what the call held, as
// text.
func Matches(f db.Filter, values map[string]string, body string) (bool, string) {
	if len(f.Conditions) == 0 {
		return true, ""
	}
	found, text := prompt.ValuesOf(values), textIn(body)
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

// ReadFilter makes a filter of what a person typed: lines without a field and a value are left out.
func ReadFilter(in spec.Filter, bad fault.Invalid) db.Filter {
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
	if len(f.Conditions) > MaxConditions {
		bad["filter"] = fmt.Sprintf("A filter has at most %d conditions.", MaxConditions)
	}
	f.Any = in.Any && len(f.Conditions) > 0
	return f
}

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
