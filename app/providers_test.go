package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/provider"
	"carillon/db"
	"carillon/db/dbtest"
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

func knownAs(k *catalogue, id string) provider.Provider {
	list := k.known()
	if i := slices.IndexFunc(list, func(p provider.Provider) bool { return p.ID == id }); i >= 0 {
		return list[i]
	}
	return provider.Provider{}
}

func TestTheCatalogueTakesOverWhatAnAdministratorSaved(t *testing.T) {
	t.Parallel()
	k := newCatalogue(&config{Shell: true})
	k.apply(db.ProviderSettings{
		Disabled: []string{"codex"}, Models: map[string][]string{"claude": {"mine"}},
		Own: []db.OwnProvider{{
			ID: "own", Name: "Own", Command: []string{"own", "--acp"}, Keys: []string{"OWN_*"}, State: []string{".own"},
			Obeys: []string{"own.json"},
		}},
	})
	if p := knownAs(k, "codex"); !p.Off {
		t.Error("a provider that was switched off is offered")
	}
	if found, ok := k.bestFound("codex"); !ok || found.Problem != "switched off" {
		t.Errorf("a provider that was switched off is shown as %+v, %v", found, ok)
	}
	list := k.providers()
	claude, own := list[slices.IndexFunc(list, func(p agent.Provider) bool {
		return p.ID == "claude"
	})], list[len(list)-1]
	if !slices.Equal(claude.Models, []string{"mine"}) || len(knownAs(k, "claude").Models) > 0 {
		t.Errorf("models that were typed are %v, and hold people to %v; want suggestions", claude.Models,
			knownAs(k, "claude").Models)
	}
	if own.ID != "own" || own.Driver != agent.DriverACP || !slices.Equal(own.Keys, []string{"OWN_*"}) ||
		!slices.Equal(own.Obeys, []string{"own.json"}) {
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
	k := newCatalogue(&config{})
	k.base = nil
	k.apply(db.ProviderSettings{Own: []db.OwnProvider{{ID: "own", Name: "Own", Command: []string{program}},
		{ID: "none", Name: "None", Command: []string{filepath.Join(t.TempDir(), "nothing")}}}})
	l := newAgentDetector(k, nil, "here", 4, slog.New(slog.DiscardHandler))
	l.detect(t.Context(), func() {})
	found := l.found()
	if own := found["own"]; own.Problem != "" || own.Path != program ||
		!slices.Equal(own.Models, []string{"alpha", "beta"}) {
		t.Errorf("an agent that lists its models is %+v", own)
	}
	if found["none"].Problem == "" {
		t.Errorf("an agent that is not there is %+v", found["none"])
	}
	k.setWorkers([]db.Worker{{ID: "there", Providers: map[string]db.WorkerProvider{"own": {Problem: "not found"}}},
		{ID: "here", Providers: found}})
	if got := knownAs(k, "own").Models; !slices.Equal(got, []string{"alpha", "beta"}) {
		t.Errorf("the rules know %v", got)
	}
	if found, ok := k.bestFound("own"); !ok || found.Problem != "" {
		t.Errorf("an agent that one of two workers has is %+v, %v", found, ok)
	}
}

func TestWhatAWorkerFindsIsSeenByProcessesThatHaveNoAgents(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	log := slog.New(slog.DiscardHandler)
	now := time.Now()
	web, worker := newCatalogue(&config{Shell: true}), newCatalogue(&config{Shell: true})
	web.now, worker.now = func() time.Time { return now }, func() time.Time { return now }
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { _ = web.watchChanges(d, log)(ctx) })
	loops.Go(func() { _ = newAgentDetector(worker, d, "w1", 4, log).run(ctx) })
	defer loops.Wait()
	defer stop()
	for deadline := time.Now().Add(longest); ; time.Sleep(10 * time.Millisecond) {
		found, ok := web.bestFound("shell")
		if ok && found.Problem == "" && strings.HasSuffix(found.Path, "bash") && len(web.liveWorkers()) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the web process knows %+v, %v of %v", found, ok, web.liveWorkers())
		}
	}
	stop()
	loops.Wait()
	again := newAgentDetector(worker, d, "w1", 4, log)
	again.remember(t.Context())
	again.save(t.Context())
	list, err := db.Workers(t.Context(), d, now.Add(-time.Minute))
	if err != nil || len(list) != 1 || !list[0].Has("shell") || list[0].Slots != 4 {
		t.Errorf("a worker that begins again and has not looked is %+v, %v; want what its former life found", list, err)
	}
	now = now.Add(db.WorkerSilence + time.Second)
	if err := web.reloadWorkers(t.Context(), d); err != nil || len(web.liveWorkers()) > 0 {
		t.Errorf("a worker that is silent counts as one that lives: %v, %v", web.liveWorkers(), err)
	}
	if _, ok := web.bestFound("shell"); ok {
		t.Error("what a worker found that is gone counts still")
	}
}

func TestAProgramIsAskedForItsVersionAgainWhenItsFileIsAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "agent")
	put := func(version string) {
		text := "#!/bin/sh\necho asked >> " + filepath.Join(dir, "asked") + "\necho " + version + "\n"
		if err := errors.Join(os.WriteFile(program+".new", []byte(text), 0o700),
			os.Rename(program+".new", program)); err != nil {
			t.Fatal(err)
		}
	}
	k := newCatalogue(&config{})
	k.base = []agent.Provider{{ID: "own", Driver: agent.DriverClaude, Command: []string{program}}}
	k.apply(db.ProviderSettings{})
	l := newAgentDetector(k, nil, "here", 4, slog.New(slog.DiscardHandler))
	put("1.0.0")
	l.detect(t.Context(), func() {})
	l.detect(t.Context(), func() {})
	if asked, err := os.ReadFile(filepath.Join(dir, "asked")); err != nil || string(asked) != "asked\n" {
		t.Errorf("it was asked %q, %v; want once", asked, err)
	}
	put("2.0.0")
	l.detect(t.Context(), func() {})
	if got := l.found()["own"]; got.Version != "2.0.0" {
		t.Errorf("after an update it is %+v", got)
	}
}
