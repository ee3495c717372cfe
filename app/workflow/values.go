package workflow

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carillon/app/form"
	"carillon/app/secret"
	"carillon/db"
)

// MissingParameter says that a required workflow parameter has no value, or that one has a value that is not of its
// type. Nothing was recorded.
type MissingParameter struct {
	Name  string
	Wrong string // what is wrong with the value, as a sentence's end; empty: there is none
}

func (m *MissingParameter) Error() string {
	if m.Wrong != "" {
		return "parameter " + m.Name + ": " + m.Wrong
	}
	return "missing parameter: " + m.Name
}

// MaxValue is the most bytes that the value of a parameter may have.
const MaxValue = 64 << 10

// Problem says what keeps a value from being one of a parameter's, as a sentence's end, or nothing.
func Problem(p db.Parameter, value string) string {
	switch p.Type {
	case db.NumberParameter:
		if _, err := strconv.ParseFloat(value, 64); err != nil || strings.ContainsAny(value, "xXpPnN_") {
			return "this is not a number"
		}
	case db.BooleanParameter:
		if value != "true" && value != "false" {
			return "this is neither true nor false"
		}
	case db.ChoiceParameter:
		if !slices.Contains(p.Choices, value) {
			return "this is none of " + strings.Join(p.Choices, ", ")
		}
	}
	if len(value) > MaxValue || !form.Storable(value) {
		return "this is over 64 KiB, or not text"
	}
	return ""
}

// Complete adds the defaults of parameters to the values of a run, and seals the secrets among them. A value that is
// given and empty stays empty. It returns the secrets as they were given, but for those that are hidden already: what a
// caller sends beside the parameters may repeat them. It returns a *MissingParameter for a required parameter that has
// no value, and for a value that is not of its parameter's type.
func Complete(keys *secret.Keys, parameters []db.Parameter, values map[string]string,
	hidden []string) (secrets []string, err error) {
	for _, p := range parameters {
		value, given := values[p.Alias]
		if !given {
			value = p.Default
		}
		if value == "" {
			if p.Required {
				return nil, &MissingParameter{Name: p.Alias}
			}
			if !given {
				delete(values, p.Alias)
			}
			continue
		}
		if p.Type == db.SecretParameter {
			if !slices.Contains(hidden, value) && !CanUnseal(keys, p.Alias, value) {
				secrets = append(secrets, value)
			}
			values[p.Alias] = Seal(keys, p.Alias, value)
			continue
		}
		if problem := Problem(p, value); problem != "" {
			return nil, &MissingParameter{Name: p.Alias, Wrong: problem}
		}
		values[p.Alias] = value
	}
	return secrets, nil
}

// WithoutSecretDefaults are parameters as a run keeps them: the default of a secret is sealed among the values of the
// run, and only there.
func WithoutSecretDefaults(parameters []db.Parameter) []db.Parameter {
	list := slices.Clone(parameters)
	for i := range list {
		if list[i].Type == db.SecretParameter {
			list[i].Default = ""
		}
	}
	return list
}

// OpenValues opens the values of a run of a workflow, each declared parameter among them, and lists its secrets.
func OpenValues(keys *secret.Keys, e *db.Execution) (values map[string]string, secrets []string, err error) {
	values = map[string]string{}
	for name, value := range e.Parameters {
		values[name] = value
	}
	for _, p := range e.Snapshot.Parameters {
		value := values[p.Alias]
		if p.Type == db.SecretParameter && value != "" {
			opened, ok := Unseal(keys, p.Alias, value)
			if !ok {
				return nil, nil, fmt.Errorf("the secret value of $%s cannot be read with this server's secret", p.Alias)
			}
			value = opened
			secrets = append(secrets, value)
		}
		values[p.Alias] = value
	}
	return values, secrets, nil
}

// StoredValues are the values stored with an automation that may be shown, and the names of those that may not.
func StoredValues(a *db.Automation) (plain map[string]string, secrets []string) {
	return shown(a.Parameters, nil)
}

// GivenValues are the values with which a run began that may be shown, and the names of those that may not.
func GivenValues(e *db.Execution) (plain map[string]string, secrets []string) {
	return shown(e.Parameters, e.Snapshot.Parameters)
}

// shown tells secret values from others: by their stored form, whether or not it can be opened, and by what is
// declared.
func shown(values map[string]string, declared []db.Parameter) (plain map[string]string, secrets []string) {
	plain, secrets = map[string]string{}, []string{}
	for name, value := range values {
		hidden := IsSealed(value) || slices.ContainsFunc(declared, func(p db.Parameter) bool {
			return p.Alias == name && p.Type == db.SecretParameter
		})
		if hidden {
			secrets = append(secrets, name)
		} else {
			plain[name] = value
		}
	}
	slices.Sort(secrets)
	return plain, secrets
}

// FingerprintSecrets are values as the audit log keeps them: of secrets a fingerprint of the stored form.
func FingerprintSecrets(values map[string]string) map[string]string {
	kept := map[string]string{}
	for name, value := range values {
		if IsSealed(value) {
			value = secret.StoredAs([]byte(value))
		}
		kept[name] = value
	}
	return kept
}

// sealedMark begins the stored form of a secret value.
const sealedMark = "sealed:"

func sealPurpose(alias string) string { return "workflow parameter " + alias }

// Seal makes the stored form of a secret value. A value that is in that form already stays.
func Seal(keys *secret.Keys, alias, value string) string {
	if value == "" || CanUnseal(keys, alias, value) {
		return value
	}
	return sealedMark + base64.RawStdEncoding.EncodeToString(keys.Seal(value, sealPurpose(alias)))
}

// Unseal opens the stored form of a secret value. The result ok is false for a value that is none, and for one that
// cannot be opened.
func Unseal(keys *secret.Keys, alias, stored string) (value string, ok bool) {
	text, ok := strings.CutPrefix(stored, sealedMark)
	if !ok {
		return "", false
	}
	sealed, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	value, err = keys.Open(sealed, sealPurpose(alias))
	return value, err == nil
}

// CanUnseal reports whether a value is the stored form of the secret of an alias. A value that somebody gives must not
// be one: whoever came across the stored form of a secret of others could else have it opened by an automation of
// their own.
func CanUnseal(keys *secret.Keys, alias, value string) bool {
	_, ok := Unseal(keys, alias, value)
	return ok
}

// IsSealed reports whether a value has the stored form of a secret, whether or not it can be opened.
func IsSealed(value string) bool { return strings.HasPrefix(value, sealedMark) }

// StoredFormGiven says what is wrong with a value for which CanUnseal holds, as a sentence's end.
const StoredFormGiven = "this is the stored form of a secret, not the secret"
