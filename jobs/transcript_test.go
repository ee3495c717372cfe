package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/db"
)

func TestWhatIsPendingStaysBoundedAndKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	tr := newTranscript(nil, db.Lease{}, 0)
	tr.mask, tr.now = automation.Masker(nil, ""), time.Now
	tr.agentEvent(agent.Event{Kind: agent.EventOutput, Text: "first"})
	for range 1000 {
		tr.agentEvent(agent.Event{Kind: agent.EventOutput, Text: strings.Repeat("x", 16<<10)})
	}
	tr.agentEvent(agent.Event{Kind: agent.EventOutput, Text: "last"})
	if tr.size > keepPending {
		t.Errorf("%d bytes are pending; want at most %d", tr.size, keepPending)
	}
	var first, last agent.Event
	check(t, json.Unmarshal(tr.pending[0].Body, &first))
	check(t, json.Unmarshal(tr.pending[len(tr.pending)-1].Body, &last))
	if first.Text != "first" || last.Text != "last" || tr.pending[len(tr.pending)-1].Seq != 1002 {
		t.Errorf("it begins with %.20q and ends with %.20q, %d; want the first and the last", first.Text, last.Text, tr.pending[len(tr.pending)-1].Seq)
	}
}

func TestSecretsAreMaskedAsTheyAreAndAsJSONWritesThem(t *testing.T) {
	t.Parallel()
	mask := automation.Masker([]string{"pass\"word\n1", "short", "plain-secret", "first line\nsecond line"}, "••••••")
	text, err := json.Marshal(map[string]string{"a": "x pass\"word\n1 y", "b": "plain-secret", "c": "short", "d": "2: second line", "e": `{"in":"pass\"word\n1"}`, "f": "?k=pass%22word%0A1"})
	check(t, err)
	if got, want := string(mask(text)), `{"a":"x •••••• y","b":"••••••","c":"short","d":"2: ••••••","e":"{\"in\":\"••••••\"}","f":"?k=••••••"}`; got != want {
		t.Errorf("masked is %s; want %s", got, want)
	}
}
