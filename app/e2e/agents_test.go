package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
)

// The agents that people install, through the whole program. Where one is not installed, the scripted agent of the other tests
// stands for it.
func TestInstalledAgentsWorkThroughTheWholeProgram(t *testing.T) {
	t.Parallel()
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) {
			cli.Find(t)
			model := &agenttest.Model{}
			vendor := httptest.NewServer(model)
			t.Cleanup(func() { vendor.CloseClientConnections(); vendor.Close() })
			s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)}, cli.Settings(t, vendor.URL))...)
			v := visit(t, s)
			start := func(name, prompt string) string {
				form := v.form(t, name, prompt)
				form.Set("provider", cli.ID)
				form.Set("model", cli.Model)
				form.Del("auto_complete")
				a := v.post(t, "/automations", form)
				if a.status != http.StatusSeeOther {
					t.Fatalf("saving answered %d %s", a.status, a.said())
				}
				return v.run(t, a.to)
			}
			shows := func(session, text string) {
				t.Helper()
				eventually(t, "the session to show "+text, func() bool { return strings.Contains(v.get(t, session).said(), text) })
			}

			prompt := "[[run echo by the agent > made.txt]][[say It is written.]]"
			if cli.Tool != "" {
				prompt = `[[use ` + cli.Tool + ` {"title":"Found by the agent"}]]` + prompt
			}
			session := start("Work", prompt)
			v.ends(t, session, "Succeeded")
			shows(session, "made.txt")
			if cli.Tool != "" {
				shows(session, "#1 Found by the agent")
			}

			s.stop(t)
			s.start(t)
			if a := v.post(t, session+"/messages", url.Values{"message": {"[[recall]]"}}); a.status != http.StatusSeeOther {
				t.Fatalf("a message answered %d %s", a.status, a.said())
			}
			shows(session, "(echo by the agent > made.txt)")

			v.ends(t, start("Refused", "[[status 401]][[tell invalid x-api-key]]"), "Failed")
			if page := v.get(t, "/settings/providers").said(); !strings.Contains(page, "Paused: Authentication") {
				t.Errorf("after a refused sign-in the providers say %q", page)
			}
		})
	}
}
