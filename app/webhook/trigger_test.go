package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
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

	"carillon/app/automation"
	"carillon/app/middleware"
	"carillon/app/payload"
	"carillon/app/web/webtest"
	"carillon/db"
)

func prompt(h *webtest.Hook, a *webtest.Answer) string {
	h.T.Helper()
	turns, err := db.TurnsOf(h.T.Context(), h.Server.DB, uuid.MustParse(a.Envelope(h.T).SessionID))
	webtest.Check(h.T, err)
	return turns[0].Prompt
}

// One row per sentence of the specification's section "HTTP trigger".
func TestTheHTTPTriggerDoesWhatTheSpecificationSays(t *testing.T) {
	h := webtest.NewHook(t, nil)
	unknown := strings.Repeat("A", 42) + "A"
	for _, tt := range []struct {
		name, method, path, header, contentType, body string
		status                                        int
		want                                          string
	}{
		{"GET with the token in the URL path", "GET", "/" + h.Token, "", "", "", 200, `"success":true`},
		{"GET with the token in the header", "GET", "", h.Token, "", "", 200, `"success":true`},
		{"the header wins if both are supplied", "GET", "/" + unknown, h.Token, "", "", 200, `"success":true`},
		{"a wrong header wins over a right path", "GET", "/" + h.Token, unknown, "", "", 404, `"success":false`},
		{"POST with the token in the header", "POST", "", h.Token, "", "", 200, `"success":true`},
		{"POST with the token in the path, for senders without headers", "POST", "/" + h.Token, "", "", "", 200,
			`"success":true`},
		{"an empty header counts as absent", "POST", "/" + h.Token, " ", "", "", 200, `"success":true`},
		{"querystring parameters are passed", "GET", "/" + h.Token + "?what=a&who=b", "", "", "", 200,
			`"unresolvedPlaceholders":[]`},
		{"JSON body fields are passed", "POST", "", h.Token, "application/json", `{"what":"a","who":"b"}`, 200,
			`"unresolvedPlaceholders":[]`},
		{"placeholders that the caller didn't supply", "POST", "", h.Token, "application/json", `{"what":"a"}`, 200,
			`"unresolvedPlaceholders":["who"]`},
		{"the automation's name", "POST", "", h.Token, "", "", 200, `"automationName":"Triage"`},
		{"error is null on success", "POST", "", h.Token, "", "", 200, `"error":null`},
		{"401 for missing auth", "POST", "", "", "", "", 401, `"success":false`},
		{"401 for a token of the wrong shape", "POST", "", "abc", "", "", 401, `"success":false`},
		{"401 for wrong padding", "POST", "", h.Token + "=", "", "", 401, `"success":false`},
		{"401 for look-alike letters", "POST", "", strings.Repeat("а", 22), "", "", 401, `"success":false`},
		{"404 for unknown token", "POST", "", unknown, "", "", 404, `"success":false`},
		{"400 for a body that is an array", "POST", "", h.Token, "application/json", `[1]`, 400,
			`must be a JSON object`},
		{"400 for a scalar", "POST", "", h.Token, "application/json", `"x"`, 400, `must be a JSON object`},
		{"400 for null", "POST", "", h.Token, "application/json", `null`, 400, `must be a JSON object`},
		{"400 for a broken body", "POST", "", h.Token, "application/json", `{"a":`, 400, `must be a JSON object`},
		{"400 for two objects", "POST", "", h.Token, "application/json", `{} {}`, 400, `nothing after it`},
		{"400 for a wrong encoding", "POST", "", h.Token, "application/json", "{\"a\":\"\xff\"}", 400, `not UTF-8`},
		{"400 for a NUL in a value", "POST", "", h.Token, "application/json", `{"a":"\u0000"}`, 400, `not text`},
		{"400 for a NUL in a nested value", "POST", "", h.Token, "application/json", `{"issue":{"title":"a\u0000b"}}`,
			400, `not text`},
		{"400 for a NUL in a nested name", "POST", "", h.Token, "application/json", `{"issue":[{"a\u0000b":1}]}`, 400,
			`not text`},
		{"400 for JSON that is nested too deeply", "POST", "", h.Token, "application/json",
			`{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, 400, `nested`},
		{"a byte-order mark before JSON is skipped", "POST", "", h.Token, "application/json",
			"\uFEFF" + `{"what":"a","who":"b"}`, 200, `"unresolvedPlaceholders":[]`},
		{"413 for payload too large", "POST", "", h.Token, "application/json", `{"a":"` + strings.Repeat("x", 1<<20) +
			`"}`, 413, `over 1 MiB`},
		{"413 for a prompt too large with its values", "POST", "", h.Token, "application/json",
			`{"what":"` + strings.Repeat("x", 300<<10) + `"}`, 413, `over 256 KiB`},
		{"405 for other methods", "PUT", "", h.Token, "", "", 405, `"success":false`},
		{"405 for DELETE with a path", "DELETE", "/" + h.Token, "", "", "", 405, `"success":false`},
	} {
		h.Free()
		res := h.Call(tt.method, webtest.Endpoint+tt.path, tt.header, tt.contentType, strings.NewReader(tt.body))
		if res.StatusCode != tt.status || !strings.Contains(res.Text, tt.want) {
			t.Errorf("%s: answered %d %.300s; want %d with %s", tt.name, res.StatusCode, res.Text, tt.status, tt.want)
		}
		if got := res.Header.Get("Content-Type"); got != "application/json" ||
			res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Content-Type %q, Cache-Control %q; want application/json and no-store", tt.name, got,
				res.Header.Get("Cache-Control"))
		}
	}
}

func TestAValueTooLongForAScriptIsRefusedAtOnce(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) {
		in.Provider, in.Prompt = "shell", `echo {{what}}; jq . "$PARAMS_FILE"`
	})
	long := strings.Repeat("x", 150<<10)
	h.Send(`{"what":"`+long+`"}`).
		Expect(t, 413,
			"the value of what is too long for a variable of the script (153600 bytes): the script can read it from "+
				"the JSON file $PARAMS_FILE")
	h.Send(`{"other":"`+long+`","what":"short"}`).Expect(t, 200, `"success":true`)
	if n := len(h.Deliveries("too_large")); n != 1 {
		t.Errorf("%d deliveries are kept as too large; want 1", n)
	}
}

func TestHEADStartsNothing(t *testing.T) {
	h := webtest.NewHook(t, nil)
	if res := h.Call("HEAD", webtest.Endpoint+"/"+h.Token, "", "", nil); res.StatusCode != 405 {
		t.Errorf("answered %d; want 405", res.StatusCode)
	}
	expectRuns(h, 0)
}

func expectRuns(h *webtest.Hook, want int) {
	h.T.Helper()
	n, err := h.Server.DB.NewSelect().Model((*db.Execution)(nil)).Where("e.session_id IS NOT NULL").Count(h.T.Context())
	webtest.Check(h.T, err)
	if int(n) != want {
		h.T.Errorf("%d runs were started; want %d", n, want)
	}
}

func TestAPrefetchStartsNothing(t *testing.T) {
	h := webtest.NewHook(t, nil)
	for _, name := range []string{"Purpose", "Sec-Purpose", "X-Moz"} {
		req, err := http.NewRequest("GET", h.HTTP.URL+webtest.Endpoint+"/"+h.Token, nil)
		webtest.Check(t, err)
		req.Header.Set(name, "prefetch")
		h.Nobody().Do(req).Expect(t, 400, `"success":false`)
	}
	expectRuns(h, 0)
}

func TestOnKeyCollisionTheBodyWinsAndOfARepeatedKeyTheLast(t *testing.T) {
	h := webtest.NewHook(t, nil)
	res := h.Call("POST", webtest.Endpoint+"?what=query&who=first&who=last", h.Token, "application/json",
		strings.NewReader(`{"what":"body"}`))
	if got, want := prompt(h, res), "Look at body of last."; got != want {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
}

func TestValuesArriveAsTheyAre(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) {
		in.Prompt = "{{s}}|{{n}}|{{b}}|{{z}}|{{o}}|{{l}}|{{pull_request.title}}|{{ s }}"
	})
	body := `{"s":"{{n}} $(rm -rf .) ` + "`x`" +
		`\n","n":1.50,"b":true,"z":null,"o":{"a": [1, 2]},"l":[ "x" ],"pull_request":{"title":"Fix"}}`
	res := h.Call("POST", webtest.Endpoint, h.Token, "application/json", strings.NewReader(body))
	s := "{{n}} $(rm -rf .) `x`\n"
	got := prompt(h, res)
	between := func(value string) string { // marks, which say that it came from outside
		m := webtest.Marks.FindString(got)
		return "<" + m + ">" + value + "</" + m + ">"
	}
	want := between(s) + `|1.50|true||` + between(`{"a":[1,2]}`) + `|` + between(`["x"]`) + `|Fix|` + between(s) +
		"\n\nWhat stands between "
	if !strings.HasPrefix(got, want) {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
	if u := res.Envelope(t).UnresolvedPlaceholders; u == nil || len(u) != 0 {
		t.Errorf("unresolved is %v; want an empty array", u)
	}
}

func TestFormBodiesAreFlatFieldsAndGitHubsPayloadIsJSON(t *testing.T) {
	h := webtest.NewHook(t, nil)
	form := "application/x-www-form-urlencoded"
	res := h.Call("POST", webtest.Endpoint, h.Token, form, strings.NewReader("what=a+b&who=c"))
	if got := prompt(h, res); got != "Look at a b of c." {
		t.Errorf("of a form the prompt is %q", got)
	}
	h.Free()
	res = h.Call("POST", webtest.Endpoint, h.Token, form,
		strings.NewReader("payload=%7B%22what%22%3A%22x%22%2C%22who%22%3A%22y%22%7D"))
	if got := prompt(h, res); got != "Look at x of y." {
		t.Errorf("of a payload field the prompt is %q", got)
	}
}

func TestABodyThatIsAJSONObjectIsReadAsOneWhateverItsType(t *testing.T) {
	h := webtest.NewHook(t, nil)
	for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "application/octet-stream", ""} {
		res := h.Call("POST", webtest.Endpoint, h.Token, kind, strings.NewReader(` {"what":"a=b&c","who":"100%"}`))
		if got, want := prompt(h, res), "Look at a=b&c of 100%."; got != want {
			t.Errorf("with the type %q the prompt is %q; want %q", kind, got, want)
		}
		h.Free()
	}
	form := "application/x-www-form-urlencoded"
	res := h.Call("POST", webtest.Endpoint, h.Token, form, strings.NewReader("\uFEFF"+`{"what":"a","who":"b"}`))
	if got, want := prompt(h, res), "Look at a of b."; got != want {
		t.Errorf("with a byte-order mark the prompt is %q; want %q", got, want)
	}
	h.Free()
	if got, want := prompt(h, h.Call("POST", webtest.Endpoint, h.Token, form, strings.NewReader("\uFEFFwhat=a&who=b"))),
		"Look at a of b."; got != want {
		t.Errorf("of a form with a byte-order mark the prompt is %q; want %q", got, want)
	}
	h.Free()
	for _, body := range []string{`{"what":`, `[{"what":"a"}]`} {
		h.Call("POST", webtest.Endpoint, h.Token, form, strings.NewReader(body)).Expect(t, 400, "must be a JSON object")
	}
}

func TestAnEmptyBodyIsFineWhateverItsTypeAndPacking(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) { in.AllowParallel = true })
	for _, headers := range [][]string{
		{"Content-Type", "application/json"}, {"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "multipart/form-data; boundary=x"},
		{"Content-Encoding", "gzip"},
	} {
		h.Send("", headers...).Expect(t, 200, `"success":true`)
	}
	h.Send("\uFEFF").Expect(t, 200, `"success":true`)
	h.Send("x", "Content-Encoding", "br").Expect(t, 400, "packed as br, which is not known here: use gzip")
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
	h := webtest.NewHook(t, nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.HTTP.URL, "http://"))
	webtest.Check(t, err)
	_, err = fmt.Fprintf(conn,
		"POST %s HTTP/1.1\r\nHost: carillon\r\nApi-Authentication: %s\r\nContent-Length: 20\r\n\r\n{}",
		webtest.Endpoint,
		h.Token)
	webtest.Check(t, err)
	webtest.Check(t, conn.Close())
	eventually(t, "the record of the call", func() bool { return len(h.Deliveries("invalid")) == 1 })
}

func TestACallThatCameWholeIsAnsweredThoughItsCallerHasHungUp(t *testing.T) {
	h := webtest.NewHook(t, nil)
	tx, err := h.Server.DB.BeginTx(t.Context(), nil)
	webtest.Check(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT 1 FROM automations WHERE id = ? FOR UPDATE", h.A.ID)
	webtest.Check(t, err)
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.HTTP.URL+webtest.Endpoint,
		strings.NewReader(`{"what":"a","who":"b"}`))
	webtest.Check(t, err)
	req.Header.Set("Api-Authentication", h.Token)
	gone := make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(req) //nolint:bodyclose // there is no answer
		gone <- err
	}()
	waiting := func() (n int) {
		webtest.Check(t, h.Server.DB.NewRaw(
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").
			Scan(t.Context(), &n))
		return n
	}
	eventually(t, "the call to wait for its automation", func() bool { return waiting() > 0 })
	hangUp()
	if err := <-gone; err == nil {
		t.Fatal("the call was answered")
	}
	webtest.Check(t, tx.Commit())
	eventually(t, "the record of the call", func() bool { return len(h.Deliveries("started")) == 1 })
}

func TestASecretInJSONSentAsAFormIsNotKeptReadable(t *testing.T) {
	h := webtest.NewHook(t, nil)
	o := &db.TokenOwner{
		ID: h.A.ID, Name: "Triage", Parameters: []db.Parameter{{Alias: "key", Type: db.SecretParameter}},
	}
	for _, body := range []string{`{"key":"correct horse"}`, "\uFEFF" + `{"key":"correct horse"}`,
		`[{"key":"correct horse"}]`, "\uFEFFkey=correct+horse"} {
		_, err := h.Rules.Webhooks().Unreadable(t.Context(), o, "", payload.Call{
			ContentType: "application/x-www-form-urlencoded", Body: []byte(body),
		}, "a reason")
		webtest.Check(t, err)
	}
	for _, d := range h.Deliveries("invalid") {
		kept, err := db.DeliveryByID(t.Context(), h.Server.DB, d.ID)
		webtest.Check(t, err)
		if text := string(kept.Body); strings.Contains(text, "correct horse") ||
			strings.Contains(text, "correct+horse") {
			t.Errorf("the body is kept as %s", kept.Body)
		}
	}
}

func TestTheSignatureOfAPackedBodyIsOfTheBytesAsSent(t *testing.T) {
	const secret, body = "correct horse battery", `{"what":"a","who":"b"}`
	h := webtest.NewHook(t, func(in *automation.Input) {
		in.Sender, in.SignatureSecret, in.AllowParallel = "github", secret, true
	})
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(body))
	webtest.Check(t, z.Close())
	send := func(signed string) *webtest.Answer {
		return h.Send(packed.String(), "Content-Encoding", "gzip", "X-Hub-Signature-256",
			"sha256="+hex.EncodeToString(mac(secret, signed)))
	}
	send(packed.String()).Expect(t, 200, `"unresolvedPlaceholders":[]`)
	send(body).Expect(t, 401, "the signature is wrong")
}

func TestOfAHeaderThatIsSentTwiceAnEmptyOneCountsAsAbsent(t *testing.T) {
	h := webtest.NewHook(t, nil)
	req, err := http.NewRequest("POST", h.HTTP.URL+webtest.Endpoint, nil)
	webtest.Check(t, err)
	req.Header["Api-Authentication"] = []string{"", h.Token}
	h.Nobody().Do(req).Expect(t, 200, `"success":true`)
}

func TestASemicolonIsAPartOfItsValue(t *testing.T) {
	h := webtest.NewHook(t, nil)
	form := "application/x-www-form-urlencoded"
	res := h.Call("POST", webtest.Endpoint+"?what=mend;test", h.Token, form, strings.NewReader("who=a;b"))
	got := webtest.Marks.ReplaceAllString(prompt(h, res), "m")
	if want := "Look at <m>mend;test</m> of <m>a;b</m>.\n\n"; !strings.HasPrefix(got, want) {
		t.Errorf("the prompt is %q; want %q", got, want)
	}
}

func TestPackedBodiesAreUnpackedWithinTheBound(t *testing.T) {
	h := webtest.NewHook(t, nil)
	send := func(text string) *webtest.Answer {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(text))
		webtest.Check(t, z.Close())
		req, err := http.NewRequest("POST", h.HTTP.URL+webtest.Endpoint, &b)
		webtest.Check(t, err)
		req.Header.Set("Api-Authentication", h.Token)
		req.Header.Set("Content-Encoding", "gzip")
		return h.Nobody().Do(req)
	}
	send(`{"what":"a","who":"b"}`).Expect(t, 200, `"unresolvedPlaceholders":[]`)
	h.Free()
	send(`{"what":"`+strings.Repeat("x", 50<<20)+`"}`).Expect(t, 413, "over 1 MiB")
}

func TestAChunkedBodyPastTheLimitIsRefusedWhileReading(t *testing.T) {
	h := webtest.NewHook(t, nil)
	endless := io.MultiReader(strings.NewReader(`{"a":"`), io.LimitReader(repeat('x'), 8<<20))
	h.Call("POST", webtest.Endpoint, h.Token, "application/json", struct{ io.Reader }{endless}).Expect(t, 413,
		"over 1 MiB")
}

type repeat byte

func (r repeat) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r)
	}
	return len(b), nil
}

func TestTwoHundredSimultaneousCallsStartOneRunAndTheOthersAreToldOfIt(t *testing.T) {
	h := webtest.NewHook(t, nil)
	var mu sync.Mutex
	var all sync.WaitGroup
	started := ""
	var refused []webtest.CallAnswer
	for range 200 {
		all.Go(func() {
			res := h.Call("POST", webtest.Endpoint, h.Token, "application/json", strings.NewReader(`{}`))
			e := res.Envelope(t)
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
				t.Errorf("answered %d %s", res.StatusCode, res.Text)
			}
		})
	}
	all.Wait()
	if len(refused) != 199 {
		t.Fatalf("%d were refused; want 199", len(refused))
	}
	for _, e := range refused {
		if e.Success || e.ExecutionID != started || e.SessionID == "" || e.SessionURL != h.HTTP.URL+"/sessions/"+
			e.SessionID || e.AutomationName != "Triage" {
			t.Fatalf("a refused caller is told %+v; want the blocking run %s", e, started)
		}
	}
	list, err := db.Deliveries(t.Context(), h.Server.DB, h.A.ID, db.DeliveryFilter{Limit: 100})
	webtest.Check(t, err)
	if len(list) != 2 || list[0].Folded+list[1].Folded != 200 {
		t.Errorf("there are %d deliveries; want one started and one that folds the 199", len(list))
	}
}

func TestAllowParallelSessionsBypassesTheGuardUpToItsCap(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) { in.AllowParallel, in.MaxParallel = true, 3 })
	for i := range 5 {
		res := h.Call("POST", webtest.Endpoint, h.Token, "", nil)
		if want := map[bool]int{true: 200, false: 409}[i < 3]; res.StatusCode != want {
			t.Errorf("call %d answered %d; want %d", i+1, res.StatusCode, want)
		}
	}
}

func TestARegeneratedTokenReplacesTheOldOneAtOnceOrAfterItsGrace(t *testing.T) {
	h := webtest.NewHook(t, nil)
	res := h.Owner.Post("/automations/" + h.A.ID.String() + "/token")
	res.Expect(t, 303, "")
	page := h.Owner.Get(res.Header.Get("Location"))
	found := regexp.MustCompile(webtest.Endpoint + "/([A-Za-z0-9_-]{43})").FindStringSubmatch(page.Text)
	if found == nil {
		t.Fatalf("the page shows no address: %s", page.Text)
	}
	fresh := found[1]
	h.Call("POST", webtest.Endpoint, h.Token, "", nil).Expect(t, 404, `"success":false`)
	h.Call("POST", webtest.Endpoint, fresh, "", nil).Expect(t, 200, `"success":true`)
	if again := h.Owner.Get(res.Header.Get("Location")); strings.Contains(again.Text, fresh) {
		t.Error("the token shows a second time")
	}
	h.Free()
	h.Owner.Post("/automations/"+h.A.ID.String()+"/token", "grace", "1h").Expect(t, 303, "")
	h.Call("POST", webtest.Endpoint, fresh, "", nil).Expect(t, 200, `"success":true`)
}

func TestTheTokenIsStoredAsAHashAlone(t *testing.T) {
	h := webtest.NewHook(t, nil)
	h.Call("POST", webtest.Endpoint+"/"+h.Token, "", "", nil)
	for _, table := range []string{"automations", "trigger_tokens", "webhook_deliveries", "executions", "audit_events",
		"sessions", "turns"} {
		var n int
		webtest.Check(t, h.Server.DB.NewRaw("SELECT count(*) FROM "+table+" t WHERE t::text LIKE ?", "%"+h.Token+"%").
			Scan(t.Context(), &n))
		if n != 0 {
			t.Errorf("the token stands in %s", table)
		}
	}
}

func TestARunSaysWhichTokenFiredIt(t *testing.T) {
	h := webtest.NewHook(t, nil)
	e := h.Call("POST", webtest.Endpoint, h.Token, "", nil).Envelope(t)
	row, err := db.ExecutionByID(t.Context(), h.Server.DB, uuid.MustParse(e.ExecutionID))
	webtest.Check(t, err)
	hash, _ := automation.HashToken(h.Token)
	if row.Source != db.ByWebhook || row.TokenFingerprint != fmt.Sprintf("%x", hash)[:8] {
		t.Errorf("the row says %s, %s; want webhook with the first 8 digits of the hash", row.Source,
			row.TokenFingerprint)
	}
}

func TestWhatCannotRunIsAnsweredWithTheReasonAndTheFailedExecution(t *testing.T) {
	h := webtest.NewHook(t, nil)
	_, err := h.Server.DB.NewRaw("UPDATE automations SET provider = 'gone'").Exec(t.Context())
	webtest.Check(t, err)
	res := h.Call("POST", webtest.Endpoint, h.Token, "", nil)
	res.Expect(t, 400, "the provider gone is not available")
	row, err := db.ExecutionByID(t.Context(), h.Server.DB, uuid.MustParse(res.Envelope(t).ExecutionID))
	webtest.Check(t, err)
	if row.Status != db.Failed {
		t.Errorf("the execution %s; want failed", row.Status)
	}
}

func TestTheSameDeliveryWithinADayStartsOneRun(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) { in.AllowParallel = true })
	var all sync.WaitGroup
	answers := make([]*webtest.Answer, 8)
	for i := range answers {
		all.Go(func() {
			req, err := http.NewRequest("POST", h.HTTP.URL+webtest.Endpoint, strings.NewReader(`{}`))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Api-Authentication", h.Token)
			req.Header.Set("Idempotency-Key", "build-17")
			answers[i] = h.Nobody().Do(req)
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.StatusCode != 200 || a.Text != answers[0].Text {
			t.Errorf("answered %d %s; want the first answer again, %s", a.StatusCode, a.Text, answers[0].Text)
		}
	}
	expectRuns(h, 1)
}

func TestBadTokensFromOneAddressAreSlowedDownAndNeverKeepAGoodOneOut(t *testing.T) {
	h := webtest.NewHook(t, nil)
	h.Bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	for i := range 25 {
		token, want := strings.Repeat("A", 43), 404
		if i%2 == 0 {
			token, want = "of no known shape", 401
		}
		if i >= 20 {
			want = 429
		}
		res := h.Call("POST", webtest.Endpoint, token, "", nil)
		if res.StatusCode != want || want == 429 && res.Header.Get("Retry-After") == "" {
			t.Errorf("bad call %d is answered %d, Retry-After %q; want %d", i+1, res.StatusCode,
				res.Header.Get("Retry-After"), want)
		}
	}
	h.Call("POST", webtest.Endpoint, h.Token, "", nil).Expect(t, 200, `"success":true`)
	h.Call("POST", webtest.Endpoint, h.Token, "", nil).Expect(t, 409, `"success":false`)
}

func TestTextsThatAreNotJSONAreRefusedAndCrashNothing(t *testing.T) {
	h := webtest.NewHook(t, nil)
	files, err := filepath.Glob("testdata/json/n/*.json")
	webtest.Check(t, err)
	if len(files) < 100 {
		t.Fatalf("there are %d texts; want those of the suite", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		webtest.Check(t, err)
		if len(bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))) == 0 {
			continue // an empty body is fine, and a byte-order mark is skipped
		}
		if res := h.Call("POST", webtest.Endpoint, h.Token, "application/json",
			bytes.NewReader(text)); res.StatusCode != 400 {
			t.Errorf("%s answered %d %s; want 400", filepath.Base(f), res.StatusCode, res.Text)
			h.Free()
		}
	}
}

func TestDeepAndWideBodiesDoNoHarm(t *testing.T) {
	h := webtest.NewHook(t, nil)
	h.Call("POST", webtest.Endpoint, h.Token, "application/json",
		strings.NewReader(`{"a":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)+`}`)).
		Expect(t, 400, "JSON object")
	var b strings.Builder
	b.WriteString(`{"what":"x"`)
	for i := range 10_000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	h.Call("POST", webtest.Endpoint, h.Token, "application/json", strings.NewReader(b.String()+"}")).
		Expect(t, 200, `"success":true`)
}

func TestThePathOfATokenIsNotLogged(t *testing.T) {
	h := webtest.NewHook(t, nil)
	req, err := http.NewRequest("POST", h.HTTP.URL+webtest.Endpoint+"/"+h.Token, nil)
	webtest.Check(t, err)
	if got := middleware.Path(req); strings.Contains(got, h.Token) {
		t.Errorf("the log has %s", got)
	}
}

func TestACallFromABrowserElsewhereIsAnsweredInTheEnvelopeToo(t *testing.T) {
	h := webtest.NewHook(t, nil)
	req, err := http.NewRequest("POST", h.HTTP.URL+webtest.Endpoint, nil)
	webtest.Check(t, err)
	req.Header.Set("Api-Authentication", h.Token)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	h.Nobody().Do(req).Expect(t, 200, `"success":true`)
}
