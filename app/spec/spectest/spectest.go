// Package spectest fills in automations for tests.
package spectest

import (
	"reflect"

	"carillon/app/spec"
)

// FillRest gives a value to each text, number and switch that none of the automations has set, in all of them. So a
// field that no rule ties to others is in the samples of tests as soon as the spec has it.
func FillRest(samples []*spec.Automation) {
	t := reflect.TypeFor[spec.Automation]()
	for i := range t.NumField() {
		unset := spec.Name(t.Field(i)) != "id"
		for _, a := range samples {
			unset = unset && reflect.ValueOf(a).Elem().Field(i).IsZero()
		}
		if !unset {
			continue
		}
		for _, a := range samples {
			switch v := reflect.ValueOf(a).Elem().Field(i); v.Kind() {
			case reflect.String:
				v.SetString("What is said as " + spec.Name(t.Field(i)))
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Int, reflect.Int64:
				v.SetInt(1)
			case reflect.Float64:
				v.SetFloat(1)
			}
		}
	}
}
