package form

import "testing"

func TestANameShowsSomethingInTheOrderInWhichItIsWritten(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"Nightly audit": true, "字": true, "עברית": true, "العربية": true, "7": true, "?": true, "👩‍👩‍👧‍👦": true,
		"e\u0301": true, "नमस्ते": true, "می\u200cخواهم": true, "<b>": true, "🇩🇪": true, "•": true,
		"": false, " ": false, "\u00a0": false, "\u200b": false, "\ufeff": false, "\u200d\u200c": false,
		"\u00ad": false, "\u3164": false, "\uffa0\u115f\u1160": false, "\u2800": false,
		"\u2060\u2063": false, "\u180e": false, "\ufe0f": false, "\u0301": false, "\U000e0041": false,
		"\U0001d159": false, "\u3000": false,
		"a\u202eb": false, "\u202dabc": false, "a\u2066b\u2069": false, "a\u200eb": false, "a\u200fb": false,
		"a\u061cb": false,
		"a\nb":     false, "a\tb": false, "a\x00b": false, "a\x7fb": false, "a\u0085b": false, "a\u2028b": false,
		"a\u2029b": false, "a\xffb": false,
	} {
		if got := Readable(name); got != want {
			t.Errorf("Readable(%+q) = %v; want %v", name, got, want)
		}
	}
}

func TestWhatATextHidesIsWrittenAsNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain\ttext": "plain\ttext", "turned\u202egnp.exe": "turned⟨U+202E⟩gnp.exe", "red\x1b[31m": "red⟨U+001B⟩[31m",
		"a\nb": "a⟨U+000A⟩b", "": "", "קוד": "קוד", "if a {\u2066// }": "if a {⟨U+2066⟩// }",
	} {
		if got := Plain(text); got != want {
			t.Errorf("%q is shown as %q; want %q", text, got, want)
		}
	}
}
