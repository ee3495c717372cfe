package jsontext

import "testing"

func TestValuesOfATextAreCountedOutsideOfItsStrings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		``:                               0,
		`0`:                              0,
		`"[,{\",["`:                      0,
		`"\\\\",0`:                       1,
		`[]`:                             1,
		`[0,0,0]`:                        3,
		`{"a":{"b":[1,2]},"c":"},,,{["}`: 5,
		`[[[[`:                           4,
	} {
		for most := range 7 {
			if got := HasAtMost(most, []byte(text)); got != (want <= most) {
				t.Errorf("%s has at most %d: %t; want %d", text, most, got, want)
			}
		}
	}
}
