package account

import (
	"errors"
	"strings"
	"testing"

	"carillon/app/fault"
)

func TestANameShowsSomethingInTheOrderInWhichItIsWritten(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"Nightly audit": true, "字": true, "עברית": true, "العربية": true, "7": true, "?": true, "👩‍👩‍👧‍👦": true, "e\u0301": true, "नमस्ते": true, "می\u200cخواهم": true, "<b>": true, "🇩🇪": true, "•": true,
		"": false, " ": false, "\u00a0": false, "\u200b": false, "\ufeff": false, "\u200d\u200c": false, "\u00ad": false, "\u3164": false, "\uffa0\u115f\u1160": false, "\u2800": false,
		"\u2060\u2063": false, "\u180e": false, "\ufe0f": false, "\u0301": false, "\U000e0041": false, "\U0001d159": false, "\u3000": false,
		"a\u202eb": false, "\u202dabc": false, "a\u2066b\u2069": false, "a\u200eb": false, "a\u200fb": false, "a\u061cb": false,
		"a\nb": false, "a\tb": false, "a\x00b": false, "a\x7fb": false, "a\u0085b": false, "a\u2028b": false, "a\u2029b": false, "a\xffb": false,
	} {
		if got := Readable(name); got != want {
			t.Errorf("Readable(%+q) = %v; want %v", name, got, want)
		}
	}
}

func TestPeopleHaveNamesThatCanBeRead(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	for _, name := range []string{"\u202eadA", "\u200b", "\u3164"} {
		_, err := s.Add(t.Context(), nil, NewUser{Email: "mira@example.com", Name: name, Password: strings.Repeat("x", 10), Role: RoleMember})
		var bad fault.Invalid
		if !errors.As(err, &bad) || bad["name"] == "" {
			t.Errorf("%+q: got %v; want the name refused", name, err)
		}
	}
}

func TestMarksOfDirectionThatArePastedAlongAreDroppedWhoeverTypesTheName(t *testing.T) {
	t.Parallel()
	s, _ := installation(t)
	admin := person(t, s, "ada@example.com", RoleAdministrator)
	u, err := s.Add(t.Context(), nil, NewUser{Email: "mira@example.com", Name: "Mira", Password: strings.Repeat("x", 10), Role: RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdatePerson(t.Context(), admin, u.ID, u.Email, "\u200f\u05de\u05d9\u05e8\u05d4\u200f", ""); err != nil {
		t.Fatal(err)
	}
	now, err := s.Person(t.Context(), admin, u.ID)
	if err != nil || now.Name != "\u05de\u05d9\u05e8\u05d4" {
		t.Errorf("the name is %+q, %v; want it without the marks", now.Name, err)
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
