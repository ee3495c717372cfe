package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// protocolAgent speaks the Agent Client Protocol with nothing but bash. It answers at once, but to a prompt that asks it to
// wait only when it is canceled.
const protocolAgent = `#!/bin/bash
[ "$1" = --acp ] || { echo "usage: agent --acp" >&2; exit 2; }
while IFS= read -r line; do
	[[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]} || id=
	reply() { echo '{"jsonrpc":"2.0","id":'$id',"result":'"$1"'}'; }
	update() { echo '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":'"$1"'}}'; }
	case "$line" in
	*'"method":"initialize"'*) reply '{"protocolVersion":1,"agentCapabilities":{"sessionCapabilities":{"resume":{}}}}';;
	*'"method":"session/new"'*|*'"method":"session/resume"'*)
		case "$line" in *session/resume*) known=yes;; *) known=no;; esac
		reply '{"sessionId":"s","models":{"currentModelId":"alpha","availableModels":[{"modelId":"alpha","name":"Alpha"},{"modelId":"beta","name":"Beta"}]}}';;
	*'"method":"session/prompt"'*)
		case "$line" in *"wait for me"*) waiting=$id; continue;; esac
		update '{"sessionUpdate":"plan","entries":[{"content":"Look around","status":"completed","priority":"high"}]}'
		update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"I know you: '$known'."}}'
		reply '{"stopReason":"end_turn"}';;
	*'"method":"session/cancel"'*) [ -n "$waiting" ] && { id=$waiting; reply '{"stopReason":"cancelled"}'; };;
	*) [ -n "$id" ] && reply '{}';;
	esac
done
`

func TestAnAgentIsAddedTriedAndTalkedTo(t *testing.T) {
	t.Parallel()
	agent := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(agent, []byte(protocolAgent), 0o700); err != nil {
		t.Fatal(err)
	}
	s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	script(t, s, "providers", "AGENT="+agent)
}
