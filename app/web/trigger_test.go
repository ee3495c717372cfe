package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/middleware"
	"carillon/app/payload"
	"carillon/app/spec"
	"carillon/db"
)

// hook is an HTTP Trigger automation with its token.
type hook struct {
	*site
	owner *browser
	a     *db.Automation
	token string
}

func newHook(t *testing.T, change func(*automation.Input)) *hook {
	s := open(t)
	owner := s.as("Jonas", account.RoleMember)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Triage",
		Workspace:      s.workspace,
		Trigger:        "http",
		SessionType:    "develop",
		Prompt:         "Look at {{what}} of {{who}}.",
		Provider:       "agent",
		AutoComplete:   true,
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, token, err := s.rules.Definitions().Create(t.Context(), owner.actor, in)
	check(t, err)
	return &hook{s, owner, a, token}
}

const endpoint = "/api/automations/http-trigger"

// call calls the trigger; header is the token's, or empty for none.
func (h *hook) call(method, path, header, contentType string, body io.Reader) *answer {
	h.t.Helper()
	req, err := http.NewRequest(method, h.http.URL+path, body)
	check(h.t, err)
	if header != "" {
		req.Header.Set("Api-Authentication", header)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return h.nobody().do(req)
}

// free ends what is in flight.
func (h *hook) free() {
	h.t.Helper()
	_, err := h.server.DB.NewRaw(
		"UPDATE executions SET status = 'succeeded', finished_at = now() WHERE status IN ('queued', 'running')").
		Exec(h.t.Context())
	check(h.t, err)
}

func (h *hook) prompt(a *answer) string {
	h.t.Helper()
	turns, err := db.TurnsOf(h.t.Context(), h.server.DB, uuid.MustParse(a.envelope(h.t).SessionID))
	check(h.t, err)
	return turns[0].Prompt
}

// told is the envelope as a caller reads it.
type told struct {
	Success                            bool
	Error                              *string
	SessionID, SessionURL, ExecutionID string
	AutomationName                     string
	UnresolvedPlaceholders             []string
}

func (a *answer) envelope(t *testing.T) told {
	t.Helper()
	var e told
	if err := json.Unmarshal([]byte(a.body), &e); err != nil {
		t.Fatalf("%q is no envelope: %v", a.body, err)
	}
	return e
}

// One row per sentence of the specification's section "HTTP trigger".
func TestTheHTTPTriggerDoesWhatTheSpecificationSays(t *testing.T) {
	h := newHook(t, nil)
	unknown := strings.Repeat("A", 42) + "A"
	for _, tt := range []struct {
		name, method, path, header, contentType, body string
		status                                        int
		want                                          string
	}{
		{"GET with the token in the URL path", "GET", "/" + h.token, "", "", "", 200, `"success":true`},
		{"GET with the token in the header", "GET", "", h.token, "", "", 200, `"success":true`},
		{"the header wins if both are supplied", "GET", "/" + unknown, h.token, "", "", 200, `"success":true`},
		{"a wrong header wins over a right path", "GET", "/" + h.token, unknown, "", "", 404, `"success":false`},
		{"POST with the token in the header", "POST", "", h.token, "", "", 200, `"success":true`},
		{"POST with the token in the path, for senders without headers", "POST", "/" + h.token, "", "", "", 200,
			`"success":true`},
		{"an empty header counts as absent", "POST", "/" + h.token, " ", "", "", 200, `"success":true`},
		{"querystring parameters are passed", "GET", "/" + h.token + "?what=a&who=b", "", "", "", 200,
			`"unresolvedPlaceholders":[]`},
		{"JSON body fields are passed", "POST", "", h.token, "application/json", `{"what":"a","who":"b"}`, 200,
			`"unresolvedPlaceholders":[]`},
		{"placeholders that the caller didn't supply", "POST", "", h.token, "application/json", `{"what":"a"}`, 200,
			`"unresolvedPlaceholders":["who"]`},
		{"the automation's name", "POST", "", h.token, "", "", 200, `"automationName":"Triage"`},
		{"error is null on success", "POST", "", h.token, "", "", 200, `"error":null`},
		{"401 for missing auth", "POST", "", "", "", "", 401, `"success":false`},
		{"401 for a token of the wrong shape", "POST", "", "abc", "", "", 401, `"success":false`},
		{"401 for wrong padding", "POST", "", h.token + "=", "", "", 401, `"success":false`},
		{"401 for look-alike letters", "POST", "", strings.Repeat("а", 22), "", "", 401, `"success":false`},
		{"404 for unknown token", "POST", "", unknown, "", "", 404, `"success":false`},
		{"400 for a body that is an array", "POST", "", h.token, "application/json", `[1]`, 400,
			`must be a JSON object`},
		{"400 for a scalar", "POST", "", h.token, "application/json", `"x"`, 400, `must be a JSON object`},
		{"400 for null", "POST", "", h.token, "application/json", `null`, 400, `must be a JSON object`},
		{"400 for a broken body", "POST", "", h.token, "application/json", `{"a":`, 400, `must be a JSON object`},
		{"400 for two objects", "POST", "", h.token, "application/json", `{} {}`, 400, `nothing after it`},
		{"400 for a wrong encoding", "POST", "", h.token, "application/json", "{\"a\":\"\xff\"}", 400, `not UTF-8`},
		{"400 for a NUL in a value", "POST", "", h.token, "application/json", `{"a":"\u0000"}`, 400, `not text`},
		{"400 for a NUL in a nested value", "POST", "", h.token, "application/json", `{"issue":{"title":"a\u0000b"}}`,
			400, `not text`},
		{"400 for a NUL in a nested name", "POST", "", h.token, "application/json", `{"issue":[{"a\u0000b":1}]}`, 400,
			`not text`},
		{"400 for JSON that is nested too deeply", "POST", "", h.token, "application/json",
			`{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, 400, `nested`},
		{"a byte-order mark before JSON is skipped", "POST", "", h.token, "application/json",
			"\uFEFF" + `{"what":"a","who":"b"}`, 200, `"unresolvedPlaceholders":[]`},
		{"413 for payload too large", "POST", "", h.token, "application/json", `{"a":"` + strings.Repeat("x", 1<<20) +
			`"}`, 413, `over 1 MiB`},
		{"413 for a prompt too large with its values", "POST", "", h.token, "application/json",
			`{"what":"` + strings.Repeat("x", 300<<10) + `"}`, 413, `over 256 KiB`},
		{"405 for other methods", "PUT", "", h.token, "", "", 405, `"success":false`},
		{"405 for DELETE with a path", "DELETE", "/" + h.token, "", "", "", 405, `"success":false`},
	} {
		h.free()
		res := h.call(tt.method, endpoint+tt.path, tt.header, tt.contentType, strings.NewReader(tt.body))
		if res.StatusCode != tt.status || !strings.Contains(res.body, tt.want) {
			t.Errorf("%s: answered %d %.300s; want %d with %s", tt.name, res.StatusCode, res.body, tt.status, tt.want)
		}
		if got := res.Header.Get("Content-Type"); got != "application/json" ||
			res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Content-Type %q, Cache-Control %q; want application/json and no-store", tt.name, got,
				res.Header.Get("Cache-Control"))
		}
	}
}

func TestAValueTooLongForAScriptIsRefusedAtOnce(t *testing.T) {
	h := newHook(t, func(in *automation.Input) {
		in.Provider, in.Prompt = "shell", `echo {{what}}; jq . "$PARAMS_FILE"`
	})
	long := strings.Repeat("x", 150<<10)
	h.send(`{"what":"`+long+`"}`).
		expect(t, 413,
			"the value of what is too long for a variable of the script (153600 bytes): the script can read it from "+
				"the JSON file $PARAMS_FILE")
	h.send(`{"other":"`+long+`","what":"short"}`).expect(t, 200, `"success":true`)
	if n := len(h.deliveries("too_large")); n != 1 {
		t.Errorf("%d deliveries are kept as too large; want 1", n)
	}
}

func TestHEADStartsNothing(t *testing.T) {
	h := newHook(t, nil)
	if res := h.call("HEAD", endpoint+"/"+h.token, "", "", nil); res.StatusCode != 405 {
		t.Errorf("answered %d; want 405", res.StatusCode)
	}
	h.expectRuns(0)
}

func (h *hook) expectRuns(want int) {
	h.t.Helper()
	n, err := h.server.DB.NewSelect().Model((*db.Execution)(nil)).Where("e.session_id IS NOT NULL").Count(h.t.Context())
	check(h.t, err)
	if int(n) != want {
		h.t.Errorf("%d runs were started; want %d", n, want)
	}
}

func TestAPrefetchStartsNothing(t *testing.T) {
	h := newHook(t, nil)
	for _, name := range []string{"Purpose", "Sec-Purpose", "X-Moz"} {
		req, err := http.NewRequest("GET", h.http.URL+endpoint+"/"+h.token, nil)
		check(t, err)
		req.Header.Set(name, "prefetch")
		h.nobody().do(req).expect(t, 400, `"success":false`)
	}
	h.expectRuns(0)
}

func TestOnKeyCollisionTheBodyWinsAndOfARepeatedKeyTheLast(t *testing.T) {
	h := newHook(t, nil)
	res := h.call("POST", endpoint+"?what=query&who=first&who=last", h.token, "application/json",
		strings.NewReader(`{"what":"body"}`))
	if got, want := h.prompt(res), "Look at body of last."; got != want {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
}

var marks = regexp.MustCompile(`untrusted-[a-z2-7]{16}`)

func TestValuesArriveAsTheyAre(t *testing.T) {
	h := newHook(t, func(in *automation.Input) {
		in.Prompt = "{{s}}|{{n}}|{{b}}|{{z}}|{{o}}|{{l}}|{{pull_request.title}}|{{ s }}"
	})
	body := `{"s":"{{n}} $(rm -rf .) ` + "`x`" +
		`\n","n":1.50,"b":true,"z":null,"o":{"a": [1, 2]},"l":[ "x" ],"pull_request":{"title":"Fix"}}`
	res := h.call("POST", endpoint, h.token, "application/json", strings.NewReader(body))
	s := "{{n}} $(rm -rf .) `x`\n"
	got := h.prompt(res)
	between := func(value string) string { // marks, which say that it came from outside
		m := marks.FindString(got)
		return "<" + m + ">" + value + "</" + m + ">"
	}
	want := between(s) + `|1.50|true||` + between(`{"a":[1,2]}`) + `|` + between(`["x"]`) + `|Fix|` + between(s) +
		"\n\nWhat stands between "
	if !strings.HasPrefix(got, want) {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
	if u := res.envelope(t).UnresolvedPlaceholders; u == nil || len(u) != 0 {
		t.Errorf("unresolved is %v; want an empty array", u)
	}
}

func TestFormBodiesAreFlatFieldsAndGitHubsPayloadIsJSON(t *testing.T) {
	h := newHook(t, nil)
	form := "application/x-www-form-urlencoded"
	res := h.call("POST", endpoint, h.token, form, strings.NewReader("what=a+b&who=c"))
	if got := h.prompt(res); got != "Look at a b of c." {
		t.Errorf("of a form the prompt is %q", got)
	}
	h.free()
	res = h.call("POST", endpoint, h.token, form,
		strings.NewReader("payload=%7B%22what%22%3A%22x%22%2C%22who%22%3A%22y%22%7D"))
	if got := h.prompt(res); got != "Look at x of y." {
		t.Errorf("of a payload field the prompt is %q", got)
	}
}

func TestABodyThatIsAJSONObjectIsReadAsOneWhateverItsType(t *testing.T) {
	h := newHook(t, nil)
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "application/octet-stream", ""} {
		res := h.call("POST", endpoint, h.token, kind, strings.NewReader(` {"what":"a=b&c","who":"100%"}`))
		if got, want := h.prompt(res), "Look at a=b&c of 100%."; got != want {
			t.Errorf("with the type %q the prompt is %q; want %q", kind, got, want)
		}
		h.free()
	}
	form := "application/x-www-form-urlencoded"
	res := h.call("POST", endpoint, h.token, form, strings.NewReader("\uFEFF"+`{"what":"a","who":"b"}`))
	if got, want := h.prompt(res), "Look at a of b."; got != want {
		t.Errorf("with a byte-order mark the prompt is %q; want %q", got, want)
	}
	h.free()
	if got, want := h.prompt(h.call("POST", endpoint, h.token, form, strings.NewReader("\uFEFFwhat=a&who=b"))),
		"Look at a of b."; got != want {
		t.Errorf("of a form with a byte-order mark the prompt is %q; want %q", got, want)
	}
	h.free()
	for _, body := range []string{`{"what":`, `[{"what":"a"}]`} {
		h.call("POST", endpoint, h.token, form, strings.NewReader(body)).expect(t, 400, "must be a JSON object")
	}
}

func TestAnEmptyBodyIsFineWhateverItsTypeAndPacking(t *testing.T) {
	h := newHook(t, func(in *automation.Input) { in.AllowParallel = true })
	for _, headers := range [][]string{
		{"Content-Type", "application/json"}, {"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "multipart/form-data; boundary=x"},
		{"Content-Encoding", "gzip"},
	} {
		h.send("", headers...).expect(t, 200, `"success":true`)
	}
	h.send("\uFEFF").expect(t, 200, `"success":true`)
	h.send("x", "Content-Encoding", "br").expect(t, 400, "packed as br, which is not known here: use gzip")
}

// eventually waits for what has to come to be, however slow the machine is.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestACallThatIsBrokenOffIsRecorded(t *testing.T) {
	h := newHook(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.http.URL, "http://"))
	check(t, err)
	_, err = fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: carillon\r\nApi-Authentication: %s\r\nContent-Length: 20\r\n\r\n{}", endpoint,
		h.token)
	check(t, err)
	check(t, conn.Close())
	eventually(t, "the record of the call", func() bool { return len(h.deliveries("invalid")) == 1 })
}

func TestACallThatCameWholeIsAnsweredThoughItsCallerHasHungUp(t *testing.T) {
	h := newHook(t, nil)
	tx, err := h.server.DB.BeginTx(t.Context(), nil)
	check(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT 1 FROM automations WHERE id = ? FOR UPDATE", h.a.ID)
	check(t, err)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.http.URL+endpoint,
		strings.NewReader(`{"what":"a","who":"b"}`))
	check(t, err)
	req.Header.Set("Api-Authentication", h.token)
	gone := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(req) //nolint:bodyclose // there is no answer
		gone <- err
	}()
	waiting := func() (n int) {
		check(t, h.server.DB.NewRaw(
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").
			Scan(t.Context(), &n))
		return n
	}
	eventually(t, "the call to wait for its automation", func() bool { return waiting() > 0 })
	hangUp()
	if err := <-gone; err == nil {
		t.Fatal("the call was answered")
	}
	check(t, tx.Commit())
	eventually(t, "the record of the call", func() bool { return len(h.deliveries("started")) == 1 })
}

func TestASecretInJSONSentAsAFormIsNotKeptReadable(t *testing.T) {
	h := newHook(t, nil)
	o := &db.TokenOwner{
		ID: h.a.ID, Name: "Triage", Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter}},
	}
	for _, body := range []string{`{"key":"correct horse"}`, "\uFEFF" + `{"key":"correct horse"}`,
		`[{"key":"correct horse"}]`, "\uFEFFkey=correct+horse"} {
		_, err := h.rules.Webhooks().Unreadable(t.Context(), o, "", payload.Call{
			ContentType: "application/x-www-form-urlencoded", Body: []byte(body),
		}, "a reason")
		check(t, err)
	}
	for _, d := range h.deliveries("invalid") {
		kept, err := db.DeliveryByID(t.Context(), h.server.DB, d.ID)
		check(t, err)
		if text := string(kept.Body); strings.Contains(text, "correct horse") ||
			strings.Contains(text, "correct+horse") {
			t.Errorf("the body is kept as %s", kept.Body)
		}
	}
}

func TestTheSignatureOfAPackedBodyIsOfTheBytesAsSent(t *testing.T) {
	const secret, body = "correct horse battery", `{"what":"a","who":"b"}`
	h := newHook(t, func(in *automation.Input) {
		in.Sender, in.SignatureSecret, in.AllowParallel = "github", secret, true
	})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(body))
	check(t, z.Close())
	send := func(signed string) *answer {
		return h.send(packed.String(), "Content-Encoding", "gzip", "X-Hub-Signature-256",
			"sha256="+hex.EncodeToString(mac(secret, signed)))
	}
	send(packed.String()).expect(t, 200, `"unresolvedPlaceholders":[]`)
	send(body).expect(t, 401, "the signature is wrong")
}

func TestOfAHeaderThatIsSentTwiceAnEmptyOneCountsAsAbsent(t *testing.T) {
	h := newHook(t, nil)
	req, err := http.NewRequest("POST", h.http.URL+endpoint, nil)
	check(t, err)
	req.Header["Api-Authentication"] = []string{"", h.token}
	h.nobody().do(req).expect(t, 200, `"success":true`)
}

func TestASemicolonIsAPartOfItsValue(t *testing.T) {
	h := newHook(t, nil)
	form := "application/x-www-form-urlencoded"
	res := h.call("POST", endpoint+"?what=mend;test", h.token, form, strings.NewReader("who=a;b"))
	got := marks.ReplaceAllString(h.prompt(res), "m")
	if want := "Look at <m>mend;test</m> of <m>a;b</m>.\n\n"; !strings.HasPrefix(got, want) {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
}

func TestPackedBodiesAreUnpackedWithinTheBound(t *testing.T) {
	h := newHook(t, nil)
	send := func(text string) *answer {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(text))
		check(t, z.Close())
		req, err := http.NewRequest("POST", h.http.URL+endpoint, &b)
		check(t, err)
		req.Header.Set("Api-Authentication", h.token)
		req.Header.Set("Content-Encoding", "gzip")
		return h.nobody().do(req)
	}
	send(`{"what":"a","who":"b"}`).expect(t, 200, `"unresolvedPlaceholders":[]`)
	h.free()
	send(`{"what":"`+strings.Repeat("x", 50<<20)+`"}`).expect(t, 413, "over 1 MiB")
}

func TestAChunkedBodyPastTheLimitIsRefusedWhileReading(t *testing.T) {
	h := newHook(t, nil)
	endless := io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(repeat('x'), 8<<20))
	h.call("POST", endpoint, h.token, "application/json", struct{ io.Reader }{endless}).expect(t, 413, "over 1 MiB")
}

type repeat byte

func (r repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

func TestTwoHundredSimultaneousCallsStartOneRunAndTheOthersAreToldOfIt(t *testing.T) {
	h := newHook(t, nil)
	var mu sync.Mutex
	var all sync.WaitGroup
	started := ""
	var refused []told
	for range 200 {
		all.Go(func() {
			res := h.call("POST", endpoint, h.token, "application/json", strings.NewReader(`{}`))
			e := res.envelope(t)
			mu.Lock()
			defer mu.Unlock()
			switch res.StatusCode {
			case 200:
				if started != "" {
					t.Error("a second one was started")
				}
				started = e.ExecutionID
			case 409:
				refused = append(refused, e)
			default:
				t.Errorf("answered %d %s", res.StatusCode, res.body)
			}
		})
	}
	all.Wait()
	if len(refused) != 199 {
		t.Fatalf("%d were refused; want 199", len(refused))
	}
	for _, e := range refused {
		if e.Success || e.ExecutionID != started || e.SessionID == "" || e.SessionURL != h.http.URL+"/sessions/"+
			e.SessionID || e.AutomationName != "Triage" {
			t.Fatalf("a refused caller is told %+v; want the blocking run %s", e, started)
		}
	}
	list, err := db.Deliveries(t.Context(), h.server.DB, h.a.ID, db.DeliveryFilter{Limit: 100})
	check(t, err)
	if len(list) != 2 || list[0].Folded+list[1].Folded != 200 {
		t.Errorf("there are %d deliveries; want one started and one that folds the 199", len(list))
	}
}

func TestAllowParallelSessionsBypassesTheGuardUpToItsCap(t *testing.T) {
	h := newHook(t, func(in *automation.Input) { in.AllowParallel, in.MaxParallel = true, 3 })
	for i := range 5 {
		res := h.call("POST", endpoint, h.token, "", nil)
		if want := map[bool]int{true: 200, false: 409}[i < 3]; res.StatusCode != want {
			t.Errorf("call %d answered %d; want %d", i+1, res.StatusCode, want)
		}
	}
}

func TestARegeneratedTokenReplacesTheOldOneAtOnceOrAfterItsGrace(t *testing.T) {
	h := newHook(t, nil)
	res := h.owner.post("/automations/" + h.a.ID.String() + "/token")
	res.expect(t, 303, "")
	page := h.owner.get(res.Header.Get("Location"))
	found := regexp.MustCompile(endpoint + "/([A-Za-z0-9_-]{43})").FindStringSubmatch(page.body)
	if found == nil {
		t.Fatalf("the page shows no address: %s", page.body)
	}
	fresh := found[1]
	h.call("POST", endpoint, h.token, "", nil).expect(t, 404, `"success":false`)
	h.call("POST", endpoint, fresh, "", nil).expect(t, 200, `"success":true`)
	if again := h.owner.get(res.Header.Get("Location")); strings.Contains(again.body, fresh) {
		t.Error("the token shows a second time")
	}
	h.free()
	h.owner.post("/automations/"+h.a.ID.String()+"/token", "grace", "1h").expect(t, 303, "")
	h.call("POST", endpoint, fresh, "", nil).expect(t, 200, `"success":true`)
}

func TestTheTokenIsStoredAsAHashAlone(t *testing.T) {
	h := newHook(t, nil)
	h.call("POST", endpoint+"/"+h.token, "", "", nil)
	for _, table := range []string{"automations", "trigger_tokens", "webhook_deliveries", "executions", "audit_events",
		"sessions", "turns"} {
		var n int
		check(t, h.server.DB.NewRaw("SELECT count(*) FROM "+table+" t WHERE t::text LIKE ?", "%"+h.token+"%").
			Scan(t.Context(), &n))
		if n != 0 {
			t.Errorf("the token stands in %s", table)
		}
	}
}

func TestARunSaysWhichTokenFiredIt(t *testing.T) {
	h := newHook(t, nil)
	e := h.call("POST", endpoint, h.token, "", nil).envelope(t)
	row, err := db.ExecutionByID(t.Context(), h.server.DB, uuid.MustParse(e.ExecutionID))
	check(t, err)
	hash, _ := automation.HashToken(h.token)
	if row.Source != db.ByWebhook || row.TokenFingerprint != fmt.Sprintf("%x", hash)[:8] {
		t.Errorf("the row says %s, %s; want webhook with the first 8 digits of the hash", row.Source,
			row.TokenFingerprint)
	}
}

func TestAnHTTPTriggerCannotBeDisabled(t *testing.T) {
	h := newHook(t, nil)
	h.owner.post("/automations/"+h.a.ID.String()+"/enabled", "enabled", "false").expect(t, 400, "always enabled")
	res := h.owner.post("/automations/bulk", "do", "disable", "id", h.a.ID.String())
	page := h.owner.get(res.Header.Get("Location"))
	page.expect(t, 200, "Disabled 0, skipped 1: 1 HTTP Trigger, always enabled.")
	h.call("POST", endpoint, h.token, "", nil).expect(t, 200, `"success":true`)
}

func TestWhatCannotRunIsAnsweredWithTheReasonAndTheFailedExecution(t *testing.T) {
	h := newHook(t, nil)
	_, err := h.server.DB.NewRaw("UPDATE automations SET provider = 'gone'").Exec(t.Context())
	check(t, err)
	res := h.call("POST", endpoint, h.token, "", nil)
	res.expect(t, 400, "the provider gone is not available")
	row, err := db.ExecutionByID(t.Context(), h.server.DB, uuid.MustParse(res.envelope(t).ExecutionID))
	check(t, err)
	if row.Status != db.Failed {
		t.Errorf("the execution %s; want failed", row.Status)
	}
}

func TestTheSameDeliveryWithinADayStartsOneRun(t *testing.T) {
	h := newHook(t, func(in *automation.Input) { in.AllowParallel = true })
	var all sync.WaitGroup
	answers := make([]*answer, 8)
	for i := range answers {
		all.Go(func() {
			req, err := http.NewRequest("POST", h.http.URL+endpoint, strings.NewReader(`{}`))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Api-Authentication", h.token)
			req.Header.Set("Idempotency-Key", "build-17")
			answers[i] = h.nobody().do(req)
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.StatusCode != 200 || a.body != answers[0].body {
			t.Errorf("answered %d %s; want the first answer again, %s", a.StatusCode, a.body, answers[0].body)
		}
	}
	h.expectRuns(1)
}

func TestBadTokensFromOneAddressAreSlowedDownAndNeverKeepAGoodOneOut(t *testing.T) {
	h := newHook(t, nil)
	h.bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	for i := range 25 {
		token, want := strings.Repeat("A", 43), 404
		if i%2 == 0 {
			token, want = "of no known shape", 401
		}
		if i >= 20 {
			want = 429
		}
		res := h.call("POST", endpoint, token, "", nil)
		if res.StatusCode != want || want == 429 && res.Header.Get("Retry-After") == "" {
			t.Errorf("bad call %d is answered %d, Retry-After %q; want %d", i+1, res.StatusCode,
				res.Header.Get("Retry-After"), want)
		}
	}
	h.call("POST", endpoint, h.token, "", nil).expect(t, 200, `"success":true`)
	h.call("POST", endpoint, h.token, "", nil).expect(t, 409, `"success":false`)
}

func TestTextsThatAreNotJSONAreRefusedAndCrashNothing(t *testing.T) {
	h := newHook(t, nil)
	files, err := filepath.Glob("testdata/json/n/*.json")
	check(t, err)
	if len(files) < 100 {
		t.Fatalf("there are %d texts; want those of the suite", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		check(t, err)
		if len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0 {
			continue // an empty body is fine, and a byte-order mark is skipped
		}
		if res := h.call("POST", endpoint, h.token, "application/json", bytes.NewReader(text)); res.StatusCode != 400 {
			t.Errorf("%s answered %d %s; want 400", filepath.Base(f), res.StatusCode, res.body)
			h.free()
		}
	}
}

func TestDeepAndWideBodiesDoNoHarm(t *testing.T) {
	h := newHook(t, nil)
	h.call("POST", endpoint, h.token, "application/json",
		strings.NewReader(`{"a":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)+`}`)).
		expect(t, 400, "JSON object")
	var b strings.Builder
	b.WriteString(`{"what":"x"`)
	for i := range 10_000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	h.call("POST", endpoint, h.token, "application/json", strings.NewReader(b.String()+"}")).
		expect(t, 200, `"success":true`)
}

func TestThePathOfATokenIsNotLogged(t *testing.T) {
	h := newHook(t, nil)
	req, err := http.NewRequest("POST", h.http.URL+endpoint+"/"+h.token, nil)
	check(t, err)
	if got := middleware.Path(req); strings.Contains(got, h.token) {
		t.Errorf("the log has %s", got)
	}
}

func TestACallFromABrowserElsewhereIsAnsweredInTheEnvelopeToo(t *testing.T) {
	h := newHook(t, nil)
	req, err := http.NewRequest("POST", h.http.URL+endpoint, nil)
	check(t, err)
	req.Header.Set("Api-Authentication", h.token)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	h.nobody().do(req).expect(t, 200, `"success":true`)
}
