package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/db"
)

// listing is an agent that speaks the protocol as far as a list of models needs.
const listing = `#!/bin/bash
[ "$1" = --version ] && { echo "no such option" >&2; exit 2; }
while IFS= read -r line; do
	[[ $line =~ \"id\":([0-9]+) ]] || continue
	id=${BASH_REMATCH[1]}
	case "$line" in
	*'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":1,"agentCapabilities":{}}}';;
	*'"session/new"'*) echo '{"jsonrpc":"2.0","id":'$id',"result":{"sessionId":"s","models":{"currentModelId":"alpha","availableModels":[{"modelId":"alpha","name":"A"},{"modelId":"beta","name":"B"}]}}}';;
	*) echo '{"jsonrpc":"2.0","id":'$id',"result":{}}';;
	esac
done
`

func knownAs(k *catalogue, id string) automation.Provider {
	list := k.known()
	if i := slices.IndexFunc(list, func(p automation.Provider) bool { return p.ID == id }); i >= 0 {
		return list[i]
	}
	return automation.Provider{}
}

func TestTheCatalogueTakesOverWhatAnAdministratorSaved(t *testing.T) {
	t.Parallel()
	k := newCatalogue(&config{Shell: true})
	k.apply(db.ProviderSettings{
		Disabled: []string{"codex"}, Models: map[string][]string{"claude": {"mine"}},
		Own: []db.OwnProvider{{ID: "own", Name: "Own", Command: []string{"own", "--acp"}, Keys: []string{"OWN_*"}, State: []string{".own"}}},
	})
	if p := knownAs(k, "codex"); !p.Off {
		t.Error("a provider that was switched off is offered")
	}
	if found, ok := k.look("codex"); !ok || found.Problem != "switched off" {
		t.Errorf("a provider that was switched off is shown as %+v, %v", found, ok)
	}
	list := k.providers()
	claude, own := list[slices.IndexFunc(list, func(p agent.Provider) bool { return p.ID == "claude" })], list[len(list)-1]
	if !slices.Equal(claude.Models, []string{"mine"}) || len(knownAs(k, "claude").Models) > 0 {
		t.Errorf("models that were typed are %v, and hold people to %v; want suggestions", claude.Models, knownAs(k, "claude").Models)
	}
	if own.ID != "own" || own.Driver != agent.DriverACP || !slices.Equal(own.Keys, []string{"OWN_*"}) {
		t.Errorf("an agent that was added is %+v", own)
	}
	k.apply(db.ProviderSettings{})
	if knownAs(k, "own").ID != "" || knownAs(k, "codex").Off {
		t.Error("what was taken back holds still")
	}
	if p := knownAs(newCatalogue(&config{}), "shell"); p.ID != "" {
		t.Error("the Shell provider is offered where the settings switch it off")
	}
}

func TestModelsThatAnAgentListsAreAllThereAre(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(program, []byte(listing), 0o700); err != nil {
		t.Fatal(err)
	}
	k := &catalogue{looks: map[string]looked{}}
	k.apply(db.ProviderSettings{Own: []db.OwnProvider{{ID: "own", Name: "Own", Command: []string{program}}, {ID: "none", Name: "None", Command: []string{filepath.Join(t.TempDir(), "nothing")}}}})
	deadline := time.Now().Add(30 * time.Second)
	for {
		found, models, problem, ok := k.detected("own")
		if ok && len(models) > 0 {
			if found.Problem != "" || !slices.Equal(models, []string{"alpha", "beta"}) || !slices.Equal(knownAs(k, "own").Models, models) {
				t.Errorf("found %+v with %v; the rules know %v", found, models, knownAs(k, "own").Models)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no models: %+v, %s, %v", found, problem, ok)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if found, _, _, ok := k.detected("none"); !ok || found.Problem == "" {
		t.Errorf("an agent that is not there is %s", fmt.Sprintf("%+v, %v", found, ok))
	}
}
