package agenttest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// asks are a message of the user in each protocol, with a shell to call; %s takes the message, streamed is said by %t
// or the path.
var asks = []struct{ api, path, whole, body, call string }{
	{
		"messages", "/v1/messages", "/v1/messages",
		`{"model":"m","stream":%t,"messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}],"tools":[{"name":"Bash","input_schema":{"properties":{"command":{"type":"string"}}}}]}`,
		"tool_use",
	},
	{
		"responses", "/v1/responses", "/v1/responses",
		`{"model":"m","stream":%t,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]}],"tools":[{"type":"function","name":"shell_command","parameters":{"properties":{"command":{"type":"string"}}}}]}`,
		"function_call",
	},
	{
		"chat", "/v1/chat/completions", "/v1/chat/completions",
		`{"model":"m","stream":%t,"messages":[{"role":"user","content":"%s"}],"tools":[{"type":"function","function":{"name":"bash","parameters":{"properties":{"command":{"type":"string"}}}}}]}`,
		"tool_calls",
	},
	{
		"gemini", "/v1beta/models/m:streamGenerateContent", "/v1beta/models/m:generateContent",
		`{"x":%t,"contents":[{"role":"user","parts":[{"text":"%s"}]}],"tools":[{"functionDeclarations":[{"name":"run_shell_command","parametersJsonSchema":{"properties":{"command":{"type":"string"}}}}]}]}`,
		"functionCall",
	},
}

func TestAModelAnswersInEachProtocolWhatItIsTold(t *testing.T) {
	t.Parallel()
	model := &Model{}
	server := httptest.NewServer(model)
	t.Cleanup(server.Close)
	for _, ask := range asks {
		for _, streamed := range []bool{true, false} {
			for _, tt := range []struct {
				told   string
				status int
				want   string
			}{
				{"[[say Hello there.]]", 200, "Hello there."},
				{"[[run echo hi]]", 200, ask.call},
				{"[[status 429]][[after 7]][[tell slow down]]", 429, "slow down"},
			} {
				path := ask.path
				if !streamed {
					path = ask.whole
				}
				res, err := http.Post(server.URL+path, "application/json",
					strings.NewReader(fmt.Sprintf(ask.body, streamed, tt.told)))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || res.StatusCode != tt.status || !strings.Contains(string(text), tt.want) ||
					tt.status == 429 && res.Header.Get("Retry-After") != "7" {
					t.Errorf("%s, streamed %v, told %s: %d %s, %v", ask.api, streamed, tt.told, res.StatusCode, text,
						err)
				}
			}
		}
	}
	for i, call := range model.Calls() {
		if want := asks[i/6].api; call.API != want || call.Model != "m" || len(call.Tools) != 1 {
			t.Errorf("call %d is noted as %+v; want one of %s", i, call, want)
		}
	}
}
