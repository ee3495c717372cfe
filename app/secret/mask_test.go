package secret

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestALongSecretIsLookedForAsAWhole(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range maxSecretLines + 1 {
		lines = append(lines, fmt.Sprintf("line %d of the secret", i))
	}
	short, many, long := strings.Join(lines[:maxSecretLines], "\n"), strings.Join(lines, "\n"),
		strings.Repeat("0123456789abcde\n", maxSecret/16)+"x"
	for _, tt := range []struct {
		name, secret, text, want string
	}{
		{"lines of a short one", short, "so " + lines[7] + " it is", "so * it is"},
		{"a short one", short, "so " + short + " it is", "so * it is"},
		{"lines of one of many lines", many, "so " + lines[7] + " it is", "so " + lines[7] + " it is"},
		{"one of many lines", many, "so " + many + " it is", "so * it is"},
		{"one of many lines in an address", many, "so " + url.QueryEscape(many) + " it is", "so * it is"},
		{"one of many bytes", long, "so " + long + " it is", "so * it is"},
		{"lines of one of many bytes", long, "so 0123456789abcde it is", "so 0123456789abcde it is"},
	} {
		if got := string(Masker([]string{tt.secret}, "*")([]byte(tt.text))); got != tt.want {
			t.Errorf("%s: %.80q; want %.80q", tt.name, got, tt.want)
		}
	}
	if n := len(formsOf([]string{strings.Repeat("a\"b\n", 10_000)})); n > 20 {
		t.Errorf("a secret of 10,000 lines is looked for in %d forms", n)
	}
}

func TestWhereThereAreTooManySecretsNothingIsLeftOfAText(t *testing.T) {
	t.Parallel()
	var secrets []string
	for i := range 3 * maxForms {
		secrets = append(secrets, fmt.Sprintf("secret %d", i))
	}
	if n := len(formsOf(secrets)); n > 2*maxForms {
		t.Errorf("%d forms were made", n)
	}
	if got := string(Masker(secrets, "*")([]byte("this has secret 14999"))); got != "*" {
		t.Errorf("it became %q", got)
	}
}

func TestSecretsAreFoundInBase64AndInAddressesHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"hunter2-and-more", "ab/cd+ef==", "sixsix", "key with spaces & ünï?>~",
		strings.Repeat("long secret/", 20), "first line of it\nsecond line of it"} {
		hide := Masker([]string{secret}, "*")
		script := strings.NewReplacer("+", "%20").Replace(url.QueryEscape(secret))
		for _, text := range []string{
			url.QueryEscape(secret), url.PathEscape(secret), script, strings.ToLower(script),
			smallEscapes(url.QueryEscape(secret)),
		} {
			if got := string(hide([]byte("x " + text + " y"))); got != "x * y" && text != strings.ToLower(script) {
				t.Errorf("%q in an address, %q, became %q", secret, text, got)
			}
		}
		for _, before := range []string{"", "u", "u:", "u:p", "user:"} {
			for _, behind := range []string{"", "\n", "!!", "and so on"} {
				for _, letters := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding,
					base64.URLEncoding, base64.RawURLEncoding} {
					text := letters.EncodeToString([]byte(before + secret + behind))
					got := string(hide([]byte("x " + text + " y")))
					// Of the first and the last byte the letters beside may tell some bits; nothing else is left.
					if left := len(text) - (len(secret)*4/3 - 4); !strings.Contains(got, "*") || len(got) > left+6 {
						t.Errorf("%q between %q and %q, %s, became %q", secret, before, behind, text, got)
					}
				}
			}
		}
	}
	wrapped := regexp.MustCompile(".{76}").
		ReplaceAllString(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0123456789abcdef", 20))), "$0\n")
	got := string(Masker([]string{strings.Repeat("0123456789abcdef", 20)}, "*")([]byte(wrapped)))
	if len(strings.ReplaceAll(got, "\n", "")) > 12 {
		t.Errorf("as a program breaks it into lines it became %q", got)
	}
}
