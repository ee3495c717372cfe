package automation

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"carillon/db"
)

func TestARecordWithoutSecretsStaysJSON(t *testing.T) {
	t.Parallel()
	o := &db.TokenOwner{Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter}, {Alias: "pin", Type: db.SecretParameter}}}
	o.ExecutionType = db.WorkflowDriven
	if !o.TakesSecrets() {
		t.Fatal("it takes no secrets, so nothing is proved")
	}
	body := `{"key":"nabcdefgh", "pin":12345678, "n":12345678, "list":[1.2345678e7, "x\nabcdefgh", "nabcdefgh"], "deep":{"nabcdefgh":"{\"pin\":12345678}"}}`
	for kind, sent := range map[string]string{
		"application/json": body, "application/x-www-form-urlencoded": url.Values{"payload": {body}, "said": {"nabcdefgh"}}.Encode(),
	} {
		kept := string(withhold(o, Call{ContentType: kind, Body: []byte(sent)}).Body)
		if kind != "application/json" {
			form, err := url.ParseQuery(kept)
			if err != nil || form.Get("said") != withheld {
				t.Errorf("the form became %q, %v", kept, err)
			}
			kept = form.Get("payload")
		}
		if !json.Valid([]byte(kept)) || strings.Contains(kept, "12345678") || strings.Contains(strings.ReplaceAll(kept, `x\nabcdefgh`, ""), "nabcdefgh") {
			t.Errorf("as %s it is kept as %s", kind, kept)
		}
		if !strings.Contains(kept, `"x\nabcdefgh"`) {
			t.Errorf("as %s more than secrets are gone: %s", kind, kept)
		}
	}
}
