package jsontext

import (
	"encoding/json"
	"testing"
)

func TestANULIsFoundAtAnyDepthInTextsAndNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`"a"`: false, `"a\u0000"`: true, `{"a":[{"b":"\u0000"}]}`: true, `{"a\u0000":1}`: true,
		`{"a":[1,null,true,"b"]}`: false, `"\\u0000"`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := HoldsNUL(v); got != want {
			t.Errorf("of %s it is said %v; want %v", text, got, want)
		}
	}
}
