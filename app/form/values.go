package form

import (
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"carillon/app/fault"
	"carillon/app/spec"
)

// Read reads what a form posts into a struct, by the names of its fields: see spec.FormName. The name of a nested
// struct begins the names of its fields, and the name of a dictionary begins the names of its entries. An empty text
// for a number is its default. Fields without a name stay as they are. It returns what is wrong, by the names of the
// form; such a field has its default.
//
// For numbers, least and most are the bounds, and unit:"minutes" makes it a length of time. With zero:"empty", 0 is
// none and is written as an empty text; with zero:"none" it cannot be written as 0 either.
func Read(values url.Values, to any) fault.Invalid {
	bad := fault.Invalid{}
	read(values, "", reflect.ValueOf(to).Elem(), bad)
	return bad
}

func read(values url.Values, before string, to reflect.Value, bad fault.Invalid) {
	for i := range to.NumField() {
		f, v := to.Type().Field(i), to.Field(i)
		name := before + spec.FormName(f)
		switch {
		case f.Anonymous:
			read(values, before, v, bad)
			continue
		case name == before:
			continue
		}
		switch v.Kind() {
		case reflect.Struct:
			read(values, name, v, bad)
		case reflect.String:
			v.SetString(values.Get(name))
		case reflect.Bool:
			v.SetBool(On(values, name))
		case reflect.Map:
			v.Set(reflect.ValueOf(entries(values, name)))
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.String {
				v.Set(reflect.ValueOf(values[name]))
			}
		case reflect.Int, reflect.Int64, reflect.Float64:
			readNumber(values.Get(name), name, f.Tag, v, bad)
		}
	}
}

// On reports whether a box of a form is ticked.
func On(values url.Values, name string) bool {
	text := values.Get(name)
	return text != "" && text != "false"
}

// entries are the texts of the fields whose names begin in one way, by the rest of their names. Empty ones are none.
func entries(values url.Values, before string) map[string]string {
	list := map[string]string{}
	for name := range values {
		if rest, is := strings.CutPrefix(name, before); is && rest != "" && values.Get(name) != "" {
			list[rest] = values.Get(name)
		}
	}
	return list
}

func readNumber(text, field string, tag reflect.StructTag, to reflect.Value, bad fault.Invalid) {
	text = strings.NewReplacer(",", "", " ", "", "_", "", "$", "").Replace(strings.TrimSpace(text))
	otherwise, _ := strconv.ParseFloat(tag.Get("default"), 64)
	setNumber(to, otherwise)
	if text == "" {
		return
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || tag.Get("zero") == "none" && n == 0 {
		bad[field] = expected(tag, to.Kind())
		return
	}
	if problem := misfit(n, tag, to.Kind()); problem != "" {
		bad[field] = problem
		return
	}
	setNumber(to, n)
}

func setNumber(to reflect.Value, n float64) {
	if to.Kind() == reflect.Float64 {
		to.SetFloat(n)
		return
	}
	to.SetInt(int64(n))
}

// misfit says what is wrong with a number, or nothing.
func misfit(n float64, tag reflect.StructTag, kind reflect.Kind) string {
	least, most := bounds(tag)
	switch {
	case math.IsNaN(n) || n < least || n > most:
		return expected(tag, kind)
	case kind != reflect.Float64 && n != math.Trunc(n):
		if tag.Get("zero") == "none" {
			return "Write a whole number."
		}
		return expected(tag, kind)
	}
	return ""
}

func bounds(tag reflect.StructTag) (least, most float64) {
	least, _ = strconv.ParseFloat(tag.Get("least"), 64)
	most, err := strconv.ParseFloat(tag.Get("most"), 64)
	if err != nil {
		most = math.MaxInt32
	}
	return least, most
}

// expected is the sentence that asks for a number.
func expected(tag reflect.StructTag, kind reflect.Kind) string {
	least, most := bounds(tag)
	upTo := strconv.FormatFloat(most, 'f', -1, 64)
	switch {
	case tag.Get("unit") == "minutes":
		return fmt.Sprintf("Write a number of minutes, at most %s, or 0 for none.", upTo)
	case tag.Get("zero") == "none":
		return fmt.Sprintf("Write a number above 0, at most %s, or nothing for no limit.", upTo)
	}
	if tag.Get("zero") == "empty" {
		return fmt.Sprintf("Write a whole number from 1 to %s, or nothing for no limit.", upTo)
	}
	return fmt.Sprintf("Write a whole number from %.0f to %s.", least, upTo)
}

// Check finds numbers of a struct that are beyond their bounds, whoever set them. It notes them in bad by the names of
// the form, where nothing else is noted of them.
func Check(of any, bad fault.Invalid) {
	check("", reflect.ValueOf(of).Elem(), bad)
}

func check(before string, of reflect.Value, bad fault.Invalid) {
	for i := range of.NumField() {
		f, v := of.Type().Field(i), of.Field(i)
		name := before + spec.FormName(f)
		n := 0.0
		switch {
		case f.Anonymous:
			check(before, v, bad)
			continue
		case name == before:
			continue
		case v.Kind() == reflect.Struct:
			check(name, v, bad)
			continue
		case v.Kind() == reflect.Int, v.Kind() == reflect.Int64:
			n = float64(v.Int())
		case v.Kind() == reflect.Float64:
			n = v.Float()
		default:
			continue
		}
		if problem := misfit(n, f.Tag, v.Kind()); problem != "" && bad[name] == "" {
			bad[name] = problem
		}
	}
}

// Write is a struct as a form would post it, by the tags that Read goes by. A number of which 0 is none is empty there.
func Write(of any) url.Values {
	values := url.Values{}
	write("", reflect.ValueOf(of).Elem(), values)
	return values
}

func write(before string, of reflect.Value, values url.Values) {
	for i := range of.NumField() {
		f, v := of.Type().Field(i), of.Field(i)
		name := before + spec.FormName(f)
		switch {
		case f.Anonymous:
			write(before, v, values)
			continue
		case name == before:
			continue
		}
		switch v.Kind() {
		case reflect.Struct:
			write(name, v, values)
		case reflect.String:
			values.Set(name, v.String())
		case reflect.Bool:
			if v.Bool() {
				values.Set(name, "true")
			}
		case reflect.Map:
			for _, key := range v.MapKeys() {
				values.Set(name+key.String(), v.MapIndex(key).String())
			}
		case reflect.Slice:
			if list, is := v.Interface().([]string); is {
				values[name] = list
			}
		case reflect.Int, reflect.Int64:
			if v.Int() != 0 || f.Tag.Get("zero") == "" {
				values.Set(name, strconv.FormatInt(v.Int(), 10))
			}
		case reflect.Float64:
			if v.Float() != 0 || f.Tag.Get("zero") == "" {
				values.Set(name, strconv.FormatFloat(v.Float(), 'f', -1, 64))
			}
		}
	}
}

// Kinds are the names of the fields that Read and Write know of a struct, with the kinds of their values. Dictionaries
// are not among them.
func Kinds(of any) map[string]reflect.Kind {
	list := map[string]reflect.Kind{}
	kinds("", reflect.TypeOf(of).Elem(), list)
	return list
}

func kinds(before string, of reflect.Type, list map[string]reflect.Kind) {
	for i := range of.NumField() {
		f := of.Field(i)
		name := before + spec.FormName(f)
		switch {
		case f.Anonymous:
			kinds(before, f.Type, list)
		case name == before:
		case f.Type.Kind() == reflect.Struct:
			kinds(name, f.Type, list)
		case f.Type.Kind() != reflect.Map:
			list[name] = f.Type.Kind()
		}
	}
}
