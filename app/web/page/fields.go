package page

import (
	"net/url"
	"reflect"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/views"
)

// FillFields gives the fields of a form their values, as form.Write has them of a struct, and what is wrong with each.
// It goes by the names of the fields: those that the struct lacks stay as they are.
func FillFields(f, of any, values url.Values, bad fault.Invalid) {
	fill(reflect.ValueOf(f).Elem(), form.Kinds(of), values, bad)
}

func fill(v reflect.Value, kinds map[string]reflect.Kind, values url.Values, bad fault.Invalid) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), kinds, values, bad)
		}
	case reflect.Struct:
		field, is := v.Addr().Interface().(*views.Field)
		if !is {
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					fill(v.Field(i), kinds, values, bad)
				}
			}
			return
		}
		switch kinds[field.Name] {
		case reflect.Invalid:
			return
		case reflect.Bool:
			field.Checked = form.On(values, field.Name)
		default:
			field.Value = values.Get(field.Name)
		}
		field.Error = bad[field.Name]
	}
}
