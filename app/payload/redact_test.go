package payload

import (
	"encoding/json"
	"net/url"
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
			if err != nil || form.Get("said") != Mask {
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

func TestASecretThatACallRepeatsIsNotKept(t *testing.T) {
	t.Parallel()
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
	call := Call{ContentType: "application/json", Body: []byte(`{"key":"abcdefgh","said":"abcdefgh!"}`)}.WithRedacted(o)
	if call.shown == nil || strings.Contains(string(call.Redacted(o).Body), "abcdefgh") {
		t.Errorf("it was not looked through: %+v", call.shown)
	}
	given := map[string]string{"key": "abcdefgh", "said": "abcdefgh!"}
	values, hidden := HideGiven(o, given)
	if values["said"] != Mask+"!" || values["key"] != "abcdefgh" || given["said"] != "abcdefgh!" ||
		!slices.Equal(hidden, []string{"abcdefgh"}) {
		t.Errorf("hidden %q, in %q, of %q", hidden, values, given)
	}
}
