package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"carillon/app/automation"
	"carillon/app/e2e/internal/stage"
)

// callTool is how a script calls a tool of Carillon's with nothing but bash.
const callTool = `call() {
  local body="{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"$1\",\"arguments\":$2} }"
  local at=${CARILLON_MCP_URL#http://}
  local host=${at%%/*}
  exec 3<>"/dev/tcp/${host%:*}/${host##*:}"
  printf 'POST /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
    "$host" "$CARILLON_MCP_TOKEN" "${#body}" "$body" >&3
  cat <&3
  exec 3>&-
}
`

func TestOneAutomationCreatesATicketAndALoopWorksTheQueueOff(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)

	audit := v.Run(t, v.Automation(t, "Nightly audit",
		callTool+`call create_ticket '{"title":"undici: high-severity advisory","priority":"high","labels":["security"]}' | grep -q '"number":1'`))
	v.Ends(t, audit, "Succeeded")
	if page := v.Get(t, audit).Said(); !strings.Contains(page, "#1 undici: high-severity advisory") {
		t.Errorf("the session does not show the ticket that it created: %s", page)
	}

	form := v.Form(t, "QA loop", callTool+`next=$(call claim_next_ticket '{}')
case $next in
  *'"found":false'*) call report_result '{"outcome":"nothing_to_do","summary":"No ticket."}' >/dev/null; echo "`+automation.QueueEmpty+`"; exit;;
  *'"number":1'*) ;;
  *) echo "$next" >&2; exit 1;;
esac
call report_result '{"outcome":"done","summary":"Upgraded it."}' | grep -q Reported || exit 1
call update_ticket '{"number":1,"status":"done"}' | grep -q '"status":"done"'
`)
	form.Set("trigger", "loop")
	form.Set("stop_text", automation.QueueEmpty)
	a := v.Post(t, "/automations", form)
	if a.Status != http.StatusSeeOther {
		t.Fatalf("saving the loop answered %d %s", a.Status, a.Said())
	}
	var loop string
	stage.Eventually(t, "the loop to stop at the end of the queue", func() bool {
		loop = v.Get(t, a.To).Said()
		return strings.Contains(loop, "It is off since") && strings.Contains(loop, automation.QueueEmpty)
	})
	list := v.Get(t, "/tickets").First(stage.Element("main"))
	link := list.First(stage.With("class", "title-link")).Attr("href")
	ticket := v.Get(t, link).Said()
	for _, want := range []string{"Created by a session of ada", "Taken from the queue by a session of ada",
		"Set to Done by a session of ada", "Upgraded it.", "QA loop"} {
		if !strings.Contains(ticket, want) {
			t.Errorf("the ticket says %q; want %q in it", ticket, want)
		}
	}
}
