package automation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/db"
)

func TestARecordWithoutSecretsStaysJSON(t *testing.T) {
	t.Parallel()
	o := &db.TokenOwner{Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter},
		{Alias: "pin", Type: db.SecretParameter}}}
	o.ExecutionType = db.WorkflowDriven
	if !o.TakesSecrets() {
		t.Fatal("it takes no secrets, so nothing is proved")
	}
	body := `{"key":"nabcdefgh", "pin":12345678, "n":12345678, "list":[1.2345678e7, "x\nabcdefgh", "nabcdefgh"], "deep":{"nabcdefgh":"{\"pin\":12345678}"}}`
	for kind, sent := range map[string]string{
		"application/json": body, "application/x-www-form-urlencoded": url.Values{
			"payload": {body}, "said": {"nabcdefgh"},
		}.Encode(),
	} {
		kept := string(redact(o, Call{ContentType: kind, Body: []byte(sent)}).Body)
		if kind != "application/json" {
			form, err := url.ParseQuery(kept)
			if err != nil || form.Get("said") != redacted {
				t.Errorf("the form became %q, %v", kept, err)
			}
			kept = form.Get("payload")
		}
		if !json.Valid([]byte(kept)) || strings.Contains(kept, "12345678") ||
			strings.Contains(strings.ReplaceAll(kept, `x\nabcdefgh`, ""), "nabcdefgh") {
			t.Errorf("as %s it is kept as %s", kind, kept)
		}
		if !strings.Contains(kept, `"x\nabcdefgh"`) {
			t.Errorf("as %s more than secrets are gone: %s", kind, kept)
		}
	}
}

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
	body := strings.Repeat("key=abcdef&", 10) + "x=" + strings.Repeat("y", 1000)
	o := &db.TokenOwner{Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter}}}
	if kept := redact(o, Call{ContentType: "application/x-www-form-urlencoded", Body: []byte(body)}); strings.Contains(
		string(kept.Body), "abcdef") {
		t.Errorf("it is kept as %.100s", kept.Body)
	}
}

// What a start does while it holds rows of the database must not depend on what a caller sends.
func TestACallIsLookedThroughBeforeTheTransactionOfItsStart(t *testing.T) {
	t.Parallel()
	o := &db.TokenOwner{Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter}}}
	call := Call{ContentType: "application/json", Body: []byte(`{"key":"abcdefgh","said":"abcdefgh!"}`)}.looked(o)
	if call.shown == nil || strings.Contains(string(call.redactedBy(o).Body), "abcdefgh") {
		t.Errorf("it was not looked through: %+v", call.shown)
	}
	given := map[string]string{"key": "abcdefgh", "said": "abcdefgh!"}
	values, hidden := hideGiven(o, given)
	if values["said"] != redacted+"!" || values["key"] != "abcdefgh" || given["said"] != "abcdefgh!" ||
		!slices.Equal(hidden, []string{"abcdefgh"}) {
		t.Errorf("hidden %q, in %q, of %q", hidden, values, given)
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
