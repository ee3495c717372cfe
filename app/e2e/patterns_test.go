package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/automation"
	"carillon/app/e2e/internal/stage"
)

// playPattern does what the common patterns of the specification ask for, in the words of the templates: it audits and
// makes tickets, rolls a release, and takes tickets from the queue. It reports whether the message was one of theirs.
func playPattern(m *agenttest.Message) bool {
	object := func(pairs ...any) map[string]any {
		o := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			o[pairs[i].(string)] = pairs[i+1]
		}
		return o
	}
	inHand := func() (number int) { // the ticket that this session has taken
		_, rest, _ := strings.Cut(m.Call("list_tickets", object("status", "in_progress")), `"number":`)
		_, _ = fmt.Sscanf(rest, "%d", &number)
		return number
	}
	switch {
	case strings.Contains(m.Text, "Run a dependency audit and create tickets"):
		known := m.Call("list_tickets", object())
		for _, finding := range []string{"undici 5.28.3: requests can be smuggled",
			"tar 6.1.0: files are written outside"} {
			if !strings.Contains(known, finding) {
				m.Call("create_ticket", object("title", finding, "priority", "high", "labels", []string{"security"},
					"body", "Mended by the next minor release."))
			}
		}
		m.Call("report_result", object("outcome", "done", "summary", "Two high-severity findings."))
		m.Say("I made a ticket for each of the two findings.")
	case strings.Contains(m.Text, "Create the release branch."):
		m.Say("The next version is 1.3.0.")
	case strings.Contains(m.Text, "Bump the version"):
		if err := os.WriteFile("VERSION", []byte("1.3.0\n"), 0o600); err != nil {
			m.Say(err.Error())
		}
		for _, args := range [][]string{{"add", "."}, {"-c", "user.name=Agent", "-c", "user.email=agent@example.com",
			"commit", "-q", "-m", "Release 1.3.0"}} {
			if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
				m.Say(string(out))
			}
		}
		m.Say("Committed.")
	case strings.Contains(m.Text, "Open the pull request: sum up the release"):
		m.Say("Release 1.3.0: it greets more kindly.")
	case strings.Contains(m.Text, "Pick the next ticket from the queue"):
		claimed := m.Call("claim_next_ticket", object())
		if strings.Contains(claimed, `"found":false`) {
			m.Call("report_result", object("outcome", "nothing_to_do", "summary", "No ticket."))
			m.Say(automation.QueueEmpty)
			return true
		}
		m.Say("I took it.")
	case strings.Contains(m.Text, "Run the QA checks that the ticket asks for"):
		number := inHand()
		if number == 0 {
			m.Say(automation.QueueEmpty)
			return true
		}
		if number == 1 { // what it finds it mends, which a person reviews
			if err := os.WriteFile("package.txt", []byte("undici 5.28.4\n"), 0o600); err != nil {
				m.Say(err.Error())
			}
		}
		m.Call("report_result", object("outcome", "done", "summary", fmt.Sprintf("Checked #%d.", number)))
		m.Call("update_ticket", object("number", number, "status", "done"))
		m.Say(fmt.Sprintf("Ticket %d holds.", number))
	default:
		return false
	}
	return true
}

func TestTheCommonPatternsRunFromTheirTemplatesToTheirEnds(t *testing.T) {
	t.Parallel()
	h := stage.ServeHub(t)
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator,
		[]string{stage.OnDatabase(t), "CARILLON_OUTBOUND_PRIVATE=on"})...)
	script(t, s, "patterns", "AGENT="+ownAgent(t), "HUB="+h.URL, "HUB_TOKEN="+stage.HubToken,
		"HUB_SECRET="+stage.HubSecret)
}

func TestAWorkflowIsEditedRunAndRemovedInABrowser(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	script(t, s, "workflows", "AGENT="+ownAgent(t))
}
