package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/app/agent/agenttest"
	"carillon/app/e2e/internal/stage"
)

// The agents that people install, through the whole program. Where one is not installed, the scripted agent of the
// other tests stands for it.
func TestInstalledAgentsWorkThroughTheWholeProgram(t *testing.T) {
	t.Parallel()
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) { workThroughTheWholeProgram(t, cli, false) })
	}
}

// The same in a sandbox.
func TestInstalledAgentsWorkInASandboxThroughTheWholeProgram(t *testing.T) {
	t.Parallel()
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) { workThroughTheWholeProgram(t, cli, true) })
	}
}

func workThroughTheWholeProgram(t *testing.T, cli agenttest.CLI, sandbox bool) {
	cli.Find(t)
	model := &agenttest.Model{}
	vendor := httptest.NewServer(model)
	t.Cleanup(func() { vendor.CloseClientConnections(); vendor.Close() })
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)},
		cli.Settings(t, vendor.URL))...)
	v := stage.Visit(t, s)
	workspace := ""
	if sandbox {
		made := v.Post(t, "/workspaces", url.Values{
			"name": {"Boxed"}, "url": {stage.Repository(t)}, "branch": {"main"}, "sandbox": {"on"},
		})
		if made.Status != http.StatusSeeOther {
			t.Fatalf("the workspace answered %d %s", made.Status, made.Said())
		}
		workspace = strings.TrimPrefix(made.To, "/workspaces/")
	}
	start := func(name, prompt string) string {
		form := v.Form(t, name, prompt)
		if sandbox {
			form.Set("workspace", workspace)
		}
		form.Set("provider", cli.ID)
		form.Set("model", cli.Model)
		form.Del("auto_complete")
		a := v.Post(t, "/automations", form)
		if a.Status != http.StatusSeeOther {
			t.Fatalf("saving answered %d %s", a.Status, a.Said())
		}
		return v.Run(t, a.To)
	}
	shows := func(session, text string) {
		t.Helper()
		stage.Eventually(t, "the session to show "+text, func() bool {
			return strings.Contains(v.Get(t, session).Said(), text)
		})
	}

	prompt := "[[run echo by the agent > made.txt]][[say It is written.]]"
	if cli.Tool != "" {
		prompt = `[[use ` + cli.Tool + ` {"title":"Found by the agent"}]]` + prompt
	}
	session := start("Work", prompt)
	v.Ends(t, session, "Succeeded")
	shows(session, "made.txt")
	if cli.Tool != "" {
		shows(session, "#1 Found by the agent")
	}

	s.Stop(t)
	s.Start(t)
	if a := v.Post(t, session+"/messages", url.Values{"message": {"[[recall]]"}}); a.Status != http.StatusSeeOther {
		t.Fatalf("a message answered %d %s", a.Status, a.Said())
	}
	shows(session, "(echo by the agent > made.txt)")

	v.Ends(t, start("Refused", "[[status 401]][[tell invalid x-api-key]]"), "Failed")
	if page := v.Get(t, "/settings/providers").Said(); !strings.Contains(page, "Paused: Authentication") {
		t.Errorf("after a refused sign-in the providers say %q", page)
	}
}
