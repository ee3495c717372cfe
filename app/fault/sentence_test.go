package fault

import "testing"

func TestASentenceEndsOnce(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"unknown time zone Berlin: did you mean Europe/Berlin?": "" +
			"Unknown time zone Berlin: did you mean Europe/Berlin?",
		"it is over":  "It is over.",
		"it is over.": "It is over.",
		"übergroß":    "Übergroß.",
		"":            "",
	} {
		if got := Sentence(text); got != want {
			t.Errorf("%q is %q; want %q", text, got, want)
		}
	}
}
