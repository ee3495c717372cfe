package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestStorableIsWhatAColumnTakes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a": "b", "c": [1, -2.50e+3, true, null]}`: `{"a": "b", "c": [1, -2.50e+3, true, null]}`, // as it is written
		`{"a":"\u0000b"}`:               `{"a":"` + "\uFFFD" + `b"}`,
		`{"\u0000":1}`:                  `{"` + "\uFFFD" + `":1}`,
		`"\ud83d\ude00"`:                `"😀"`,
		`"\ud83dx"`:                     `"` + "\uFFFD" + `x"`,
		`"\uDE00\uD83D"`:                `"` + "\uFFFD\uFFFD" + `"`,
		`"\\u0000"`:                     `"\\u0000"`,
		`"\\\u0000"`:                    `"\\` + "\uFFFD" + `"`,
		"\"\xff\"":                      "\"\uFFFD\"",
		`{"n":1e999999}`:                `{"n":"1e999999"}`,
		`[1E-20000,1e100]`:              `["1E-20000",1e100]`,
		`[1e99999999999999999999]`:      `["1e99999999999999999999"]`,
		`1` + strings.Repeat("0", 2000): `"1` + strings.Repeat("0", 2000) + `"`,
	} {
		if got, ok := Storable([]byte(in)); !ok || string(got) != want || !json.Valid(got) {
			t.Errorf("%.80s became %.80s; want %.80s", in, got, want)
		}
	}
	for _, in := range []string{``, `{"a":`, `{} {}`, strings.Repeat("[", 2000) + strings.Repeat("]", 2000)} {
		if got, ok := Storable([]byte(in)); ok {
			t.Errorf("%.40s became %.40s; want nothing", in, got)
		}
	}
}

func TestRewriteChangesValuesAlone(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return strings.ReplaceAll(s, "nabcdefgh", "***") }
	number := func(s string) (string, bool) { return "***", s == "12345678" }
	in := `{ "x\nabcdefgh": "<\nabcdefgh>", "nabcdefgh": 12345678, "y": [123456789, "12345678", "nabcdefgh\u0041"] }`
	want := `{ "x\nabcdefgh": "<\nabcdefgh>", "***": "***", "y": [123456789, "12345678", "***A"] }`
	if got, ok := Rewrite([]byte(in), text, number); !ok || string(got) != want {
		t.Errorf("it became %s; want %s", got, want)
	}
}

func FuzzStorable(f *testing.F) {
	f.Add([]byte(`{"a":["\u0000",1e9999999,"\ud800\\"],"a":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, ok := Storable(in)
		if !ok {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		if again, ok := Storable(out); !ok || string(again) != string(out) {
			t.Fatalf("%q became %q, and that %q", in, out, again)
		}
	})
}
