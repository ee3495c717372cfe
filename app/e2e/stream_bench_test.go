package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"carillon/app/e2e/internal/stage"
)

// burstAgent speaks the Agent Client Protocol. To the prompt "FILE N PAUSE" it waits for the file and then uses N
// tools, 500 at a time with a pause of so many seconds after each.
const burstAgent = `#!/bin/bash
while IFS= read -r line; do
	[[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]} || id=
	reply() { echo '{"jsonrpc":"2.0","id":'$id',"result":'"$1"'}'; }
	case "$line" in
	*'"method":"initialize"'*) reply '{"protocolVersion":1,"agentCapabilities":{}}';;
	*'"method":"session/new"'*) reply '{"sessionId":"s"}';;
	*'"method":"session/prompt"'*)
		[[ $line =~ go:([^ ]+)\ ([0-9]+)\ ([0-9.]+) ]]
		file=${BASH_REMATCH[1]} n=${BASH_REMATCH[2]} pause=${BASH_REMATCH[3]}
		until [ -e "$file" ]; do sleep 0.01; done
		for ((i = 1; i <= n; i++)); do
			echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":"c'$i'","title":"Read file '$i'","kind":"read","status":"completed"}}}'
			[ "$pause" != 0 ] && ((i % 500 == 0)) && sleep "$pause"
		done
		echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"All files are read."}}}}'
		reply '{"stopReason":"end_turn"}';;
	*) [ -n "$id" ] && reply '{}';;
	esac
done
`

// BenchmarkAgentToBrowser measures the way of events from an agent's process to a page in a real browser: how many a
// second get there, which part of all that is, and what memory the server and the page have taken by then.
func BenchmarkAgentToBrowser(b *testing.B) {
	for _, bb := range []struct {
		name, pause string
		events      int
	}{{"5000-a-second", "0.09", 50_000}, {"as-fast-as-it-can", "0", 100_000}} {
		b.Run(bb.name, func(b *testing.B) {
			dir := b.TempDir()
			agent := filepath.Join(dir, "agent")
			if err := os.WriteFile(agent, []byte(burstAgent), 0o700); err != nil {
				b.Fatal(err)
			}
			s := stage.Serve(b, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(b)})...)
			v := stage.Visit(b, s)
			if a := v.Post(b, "/settings/providers", url.Values{
				"name": {"Burst"}, "driver": {"acp"}, "command": {agent},
			}); a.Status != http.StatusSeeOther {
				b.Fatalf("adding the agent answered %d %s", a.Status, a.Said())
			}
			n := 0
			watch := func(events int) map[string]float64 {
				n++
				start := filepath.Join(dir, "start"+strconv.Itoa(n))
				form := v.Form(b, "Burst "+strconv.Itoa(n), "go:"+start+" "+strconv.Itoa(events)+" "+bb.pause)
				form.Set("provider", "burst")
				a := v.Post(b, "/automations", form)
				if a.Status != http.StatusSeeOther {
					b.Fatalf("saving answered %d %s", a.Status, a.Said())
				}
				return measure(b, s, "stream", "SESSION="+v.Run(b, a.To), "START="+start)
			}
			watch(500) // signing in takes memory, and the first run makes the repository
			for b.Loop() {
				seen := watch(bb.events)
				b.ReportMetric(seen["shown"]/seen["seconds"], "events/s")
				b.ReportMetric(100*seen["shown"]/float64(bb.events), "%-shown")
				b.ReportMetric(seen["page"], "page-MiB")
				b.ReportMetric(heap(b, v), "server-MiB")
			}
		})
	}
}

// measure runs a script NAME.bench.mjs, whose last line is a JSON object of figures.
func measure(b *testing.B, s *stage.Server, name string, env ...string) map[string]float64 {
	b.Helper()
	lines := strings.Split(strings.TrimSpace(node(b, s, name+".bench.mjs", env...)), "\n")
	figures := map[string]float64{}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &figures); err != nil {
		b.Fatalf("%v: %q", err, lines)
	}
	return figures
}

// heap is the memory in use of the program, in MiB, as it tells itself.
func heap(b *testing.B, v *stage.Visitor) float64 {
	b.Helper()
	res, err := v.Client.Get(v.Server.Base + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	bytes := regexp.MustCompile(`(?m)^go_memstats_heap_inuse_bytes (\S+)`).FindSubmatch(text)
	if bytes == nil {
		b.Fatal("the metrics do not tell the heap in use")
	}
	n, err := strconv.ParseFloat(string(bytes[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n / (1 << 20)
}
