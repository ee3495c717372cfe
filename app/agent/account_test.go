package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/transcript"
)

// signIns is a server's home with a sign-in, and workspaces in which a script stands for the program that it is of.
type signIns struct {
	*testing.T
	home, data, shared string
	gates              string // files by which scripts tell the test where they are, and wait for it
	provider           Provider
}

func newSignIns(t *testing.T) *signIns {
	t.Helper()
	needSandbox(t)
	s := &signIns{T: t, home: t.TempDir(), data: t.TempDir(), gates: t.TempDir(), provider: bash()}
	s.shared = filepath.Join(s.home, ".tool", "auth.json")
	if err := os.MkdirAll(filepath.Dir(s.shared), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", s.home)
	s.provider.Account, s.provider.State = ".tool/auth.json", []string{".tool/chats"}
	s.signIn("r1", 1)
	return s
}

// signInOf is a sign-in whose token ends in some hours, from a day on.
func signInOf(token string, hours int) string {
	at := day.Add(time.Duration(hours) * time.Hour)
	return fmt.Sprintf(`{"oauth":{"refreshToken":"%s","expiresAt":%d},"account_id":"us"}`, token, at.UnixMilli())
}

// day is one on which no sign-in of signInOf has ended.
var day = time.Now().Truncate(time.Hour).Add(24 * time.Hour)

// signIn is a person who signs in on the server, by a new file.
func (s *signIns) signIn(token string, hours int) {
	s.Helper()
	if err := errors.Join(os.WriteFile(s.shared+".new", []byte(signInOf(token, hours)), 0o600),
		os.Rename(s.shared+".new", s.shared)); err != nil {
		s.Fatal(err)
	}
}

func (s *signIns) stored() string {
	text, err := os.ReadFile(s.shared)
	if err != nil {
		s.Error(err)
	}
	return string(text)
}

// library is what the scripts have: they take the place of their sign-in, wait for one, and wait for the test.
const library = `
place() { printf %s "$1" > ~/.tool/auth.json; }
rename() { printf %s "$1" > ~/.tool/new; mv ~/.tool/new ~/.tool/auth.json; }
has() { until grep -q "\"$1\"" ~/.tool/auth.json 2>/dev/null; do sleep 0.02; done; }
tell() { touch "$gates/$1"; }
await() { until [ -e "$gates/$1" ]; do sleep 0.02; done; }
`

// run runs a script in a workspace, and returns what it printed and was warned of.
func (s *signIns) run(workspace, script string) string {
	s.Helper()
	turn := newTurn(s.T, `gates={{gates}}`+library+script)
	turn.Params = map[string]string{"gates": s.gates}
	turn.Sandbox = &Sandbox{
		Hidden: []string{s.data}, Home: filepath.Join(s.data, "homes", workspace), Writable: []string{s.gates},
	}
	_, f, seen := runTurn(s.T, s.provider, turn)
	if f != nil {
		s.Errorf("%s: %v: %s", workspace, f, seen.stream("stderr"))
	}
	return seen.stream("stdout") + seen.text(transcript.KindWarning)
}

// beside runs scripts of several workspaces at the same time.
func (s *signIns) beside(scripts ...string) {
	s.Helper()
	var runs sync.WaitGroup
	for i, script := range scripts {
		runs.Go(func() {
			if said := s.run(fmt.Sprint("w", i), script); said != "" {
				s.Errorf("run %d said %q", i, said)
			}
		})
	}
	runs.Wait()
}

// await waits until a script tells where it is.
func (s *signIns) await(gate string) {
	s.Helper()
	until(s.T, "the script to tell "+gate, func() bool {
		_, err := os.Stat(filepath.Join(s.gates, gate))
		return err == nil
	})
}

func (s *signIns) expect(what, want string) {
	s.Helper()
	if got := s.stored(); got != want {
		s.Errorf("%s: the server has %s; want %s", what, got, want)
	}
	left, err := os.ReadDir(filepath.Dir(s.shared))
	if err != nil || len(left) != 1 {
		s.Errorf("%s: beside the sign-in there are %v (%v)", what, left, err)
	}
}

func TestARenewalReachesEveryRunThatIsAtWork(t *testing.T) {
	for _, way := range []string{"place", "rename"} {
		t.Run(way, func(t *testing.T) {
			s := newSignIns(t)
			r2, r3 := signInOf("r2", 2), signInOf("r3", 3)
			s.beside("has r1; tell one; await two; "+way+" '"+r2+"'; has r3; has r3",
				"has r1; tell two; await one; has r2; "+way+" '"+r3+"'")
			s.expect("after two renewals", r3)
			if got := s.run("w3", "cat ~/.tool/auth.json"); got != r3 {
				t.Errorf("another workspace has %s", got)
			}
		})
	}
}

// Of a sign-in that has ended the vendor takes each renewal once. Runs that start together all find that it has ended.
func TestOneOfSeveralRunsRenewsASignInThatHasEnded(t *testing.T) {
	s := newSignIns(t)
	for i, was := range []string{signInOf("r1", -48), `{"tokens":{"access_token":"` + jwt(day.Add(-48*time.Hour)) +
		`","id":"r1"},"account_id":"us"}`} {
		if err := os.WriteFile(s.shared, []byte(was), 0o600); err != nil {
			t.Fatal(err)
		}
		renewed := strings.NewReplacer(`"r1"`, `"r2"`, fmt.Sprint(day.Add(-48*time.Hour).UnixMilli()),
			fmt.Sprint(day.UnixMilli()),
			jwt(day.Add(-48*time.Hour)), jwt(day)).Replace(was)
		renew := fmt.Sprintf(
			`if grep -q '"r1"' ~/.tool/auth.json; then mkdir "$gates/used%d" || echo reused; sleep 0.5; rename '%s'; fi; has r2`, i, renewed)
		s.beside(renew, renew, renew, renew)
		s.expect("after four runs", renewed)
	}
}

// Who waits for a renewal that does not come goes on, and who is stopped does not wait.
func TestARenewalThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	s := newSignIns(t)
	s.signIn("r1", -48)
	turn := func(script string) Turn {
		turn := newTurn(t, "gates={{gates}}"+library+script)
		turn.Params = map[string]string{"gates": s.gates}
		turn.Sandbox = &Sandbox{
			Hidden: []string{s.data}, Home: filepath.Join(s.data, "homes", "w"), Writable: []string{s.gates},
		}
		return turn
	}
	var holder sync.WaitGroup
	holder.Go(func() { runTurn(t, s.provider, turn("tell holds; await out")) })
	s.await("holds")
	waiter := turn("echo went on")
	waiter.renewTimeout = 10 * time.Millisecond
	if _, f, seen := runTurn(t, s.provider, waiter); f != nil || seen.stream("stdout") != "went on\n" {
		t.Errorf("who waited said %q: %v", seen.stream("stdout"), f)
	}
	stopped := turn("echo went on")
	stopped.renewTimeout = patience
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // before it waits or while it does
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	if _, f, _ := runTurnIn(ctx, t, s.provider, stopped); f == nil || f.Kind != FailCanceled {
		t.Errorf("who was stopped ended with %v", f)
	}
	byVariable := turn("echo went on")
	byVariable.renewTimeout = patience
	p := s.provider
	p.Keys, byVariable.Env = []string{"TOOL_*"}, []string{"TOOL_API_KEY=k"}
	if _, f, seen := runTurn(t, p, byVariable); f != nil || seen.stream("stdout") != "went on\n" {
		t.Errorf("who is signed in by a variable said %q: %v", seen.stream("stdout"), f)
	}
	if err := os.WriteFile(filepath.Join(s.gates, "out"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	holder.Wait()
}

// jwt is a token that says when it ends.
func jwt(at time.Time) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, at.Unix())) + ".c2ln"
}

func TestAnOlderSignInTakesNoNewersPlace(t *testing.T) {
	s := newSignIns(t)
	r1, r2, r3 := signInOf("r1", 1), signInOf("r2", 2), signInOf("r3", 3)
	for _, way := range []string{"place", "rename"} {
		s.signIn("r2", 2)
		if said := s.run("w", way+" '"+r1+"'"); said != "" {
			t.Errorf("said %q", said)
		}
		s.expect("after a run that wrote an older one", r2)
	}
	// What the first writes before the renewal is not newer for that. What it writes after it stays its own.
	s.beside("has r2; place '"+r2+"'; tell one; has r3; rename '"+r1+"'; sleep 0.6; cat ~/.tool/auth.json | grep -q r1",
		"await one; rename '"+r3+"'")
	s.expect("after a run that outlasted a renewal", r3)
	s.beside("has r3; tell both1; await both2; place '"+signInOf("a", 5)+"'",
		"has r3; tell both2; await both1; rename '"+signInOf("b", 6)+"'")
	s.expect("after two renewals at the same time", signInOf("b", 6))
	far := strings.Replace(signInOf("mine", 7), fmt.Sprint(day.Add(7*time.Hour).UnixMilli()), "99999999999999", 1)
	s.run("w", "place '"+far+"'")
	s.run("w", "place '"+signInOf("c", 8)+"'")
	s.expect("after a run that named an end in thousands of years", signInOf("c", 8))
}

func TestWhatIsNoSignInIsNotTakenOver(t *testing.T) {
	s := newSignIns(t)
	r1 := signInOf("r1", 1)
	none, other := "What Shell script left in place of its sign-in is none. The one from before stays.",
		"What Shell script left in place of its sign-in is of another form or account. The one from before stays."
	for _, c := range []struct{ script, says string }{
		{"echo garbage > ~/.tool/auth.json", none},
		{": > ~/.tool/auth.json", none},
		{"rm ~/.tool/auth.json", none},
		{"rm ~/.tool/auth.json; mkdir -p ~/.tool/auth.json/x", none},
		{"rm ~/.tool/auth.json; mkfifo ~/.tool/auth.json", none},
		{"ln -sf /etc/passwd ~/.tool/auth.json", none},
		{"ln -sf ../tool2 ~/.tool/auth.json; printf '{\"a\":1}' > ~/tool2", none},
		{"truncate -s 1T ~/.tool/auth.json", none},
		{"echo '{}' > ~/.tool/auth.json", none},
		{`echo '{"oauth":{"refreshToken":"","expiresAt":9}}' > ~/.tool/auth.json`, other},
		{`sed s/us/them/ ~/.tool/auth.json > ~/.tool/new; mv ~/.tool/new ~/.tool/auth.json`, other},
		{`sed 's/}$/,"https:\/\/x.example":{"type":"wellknown","key":"A","token":"b"}}/' ~/.tool/auth.json > ~/.tool/new
mv ~/.tool/new ~/.tool/auth.json`, other},
		{"mv ~/.tool ~/.elsewhere; echo x > ~/.tool", ""},
		{"echo x > " + s.shared + " || true", ""},
		{"ls " + s.home, ""},
	} {
		if said := s.run("w", c.script); !strings.Contains(said, c.says) {
			t.Errorf("%s: said %q; want %q", c.script, said, c.says)
		}
		s.expect(c.script, r1)
		if got := s.run("w", "cat ~/.tool/auth.json"); got != r1 {
			t.Errorf("after %s the next start has %q", c.script, got)
		}
	}
}

func TestWhoeverSignsInOnTheServerHasTheLastWord(t *testing.T) {
	s := newSignIns(t)
	var runs sync.WaitGroup
	runs.Go(func() {
		s.run("w", "has r1; tell began; has their; tell saw; await out; rename '"+signInOf("r9", 9)+"'; sleep 0.6")
	})
	s.await("began")
	theirs := strings.Replace(signInOf("their", 1), "us", "them", 1) // another account, not newer
	if err := os.WriteFile(s.shared, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	s.await("saw")
	s.expect("after somebody signed in with another account", theirs)
	if err := errors.Join(os.Remove(s.shared), os.WriteFile(filepath.Join(s.gates, "out"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	runs.Wait()
	if _, err := os.Stat(s.shared); err == nil {
		t.Error("somebody signed out, and a run has put a sign-in back")
	}
}

// The worker of the first run dies: what it began is taken over by who removes what it left.
func TestARenewalOutlivesTheDeathOfItsWorker(t *testing.T) {
	s := newSignIns(t)
	for i, state := range [][]string{{".tool/chats"}, {".tool"}} { // a home of the start, and a folder that is kept
		s.provider.State = state
		was, renewed := signInOf(fmt.Sprint("was", i), 2*i+2), signInOf(fmt.Sprint("new", i), 2*i+3)
		s.signIn(fmt.Sprint("was", i), 2*i+2)
		dir := t.TempDir()
		r := &run{Provider: s.provider, Turn: Turn{
			Dir: t.TempDir(), RunDir: dir, Sandbox: &Sandbox{Home: filepath.Join(s.data, "homes", "w")},
		}}
		if err := r.prepare(); err != nil {
			t.Fatal(err)
		}
		if own, _, err := r.account.readCopy(); err != nil || string(own) != was {
			t.Fatalf("the copy is %s (%v); want %s", own, err, was)
		}
		if err := r.account.writeCopy([]byte(renewed)); err != nil {
			t.Fatal(err)
		}
		r.closeSignIn()
		s.expect("before", was)
		if i == 1 { // the next start of the workspace finds it too
			if got := s.run("w", "cat ~/.tool/auth.json"); got != renewed {
				t.Errorf("the next start has %s", got)
			}
		} else if err := TakeOverSignIn(dir); err != nil {
			t.Error(err)
		}
		s.expect("after", renewed)
		if err := TakeOverSignIn(dir); err != nil {
			t.Error(err)
		}
		s.expect("taken over again", renewed)
	}
	if err := TakeOverSignIn(t.TempDir()); err != nil {
		t.Errorf("of a run without a sign-in: %v", err)
	}
}

// What tells a run's worker where the copy is cannot be changed by what runs in it.
func TestARunCannotHaveAnotherFileTakenForItsSignIn(t *testing.T) {
	s := newSignIns(t)
	said := s.run("w", `d=$(dirname "$TMPDIR"); [ -s "$d/sign-in.json" ] || echo missing
(echo '{"Name":"x","Shared":"/etc/hostname"}' > "$d/sign-in.json") 2>/dev/null && echo written
rm -f "$d/sign-in.json" 2>/dev/null && echo removed
mv "$d/sign-in.json" "$d/other" 2>/dev/null && echo moved
true`)
	if said != "" {
		t.Errorf("said %q", said)
	}
}

func TestTheLaterOfTwoSignInsIsToldByWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want string
	}{
		{`{"claudeAiOauth":{"accessToken":"a","expiresAt":1767225600000}}`, "2026-01-01T00:00:00Z"},
		{`{"tokens":{"access_token":"a"},"last_refresh":"2026-01-02T00:00:00.5Z"}`, "2026-01-02T00:00:00.5Z"},
		{`{"expiry_date":1767225600000}`, "2026-01-01T00:00:00Z"},
		{`{"a":{"type":"oauth","expires":1767225600000},"b":{"type":"oauth","expires":1767312000000}}`,
			"2026-01-02T00:00:00Z"},
		{`{"exp":1767225600}`, "2026-01-01T00:00:00Z"},
		{`{"expires":"never","expiresAt":null,"expiry":{},"exp":-1}`, ""},
		{`{"key":1767225600000}`, ""},
		{`{"exp":9e300}`, ""},
		{`{"last_refresh":"9999-01-02T00:00:00Z"}`, ""},
		{`{"last_refresh":"` + day.UTC().Format(time.RFC3339) + `"}`, ""},
	} {
		got := ""
		if ms := freshness([]byte(c.text)); ms != 0 {
			got = time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
		}
		if got != c.want {
			t.Errorf("%s tells %q; want %q", c.text, got, c.want)
		}
	}
}

// A run in a sandbox has its sign-in taken over for all workspaces. It must not lead the programs of others elsewhere.
func TestASignInThatLeadsAProgramElsewhereIsOfAnotherForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was, is string
		same    bool
	}{
		{`{"oauth":{"accessToken":"a","scopes":["x"]}}`, `{"oauth":{"accessToken":"b","scopes":["x","y"],"plan":"z"}}`,
			true},
		{`{"OPENAI_API_KEY":null,"tokens":{"access_token":"a","account_id":"u"},"last_refresh":null}`,
			`{"OPENAI_API_KEY":null,"tokens":{"access_token":"b","account_id":"u"},"last_refresh":"2026-01-02T00:00:00Z"}`,
			true},
		{`{"a":{"type":"oauth","refresh":"r","expires":1}}`,
			`{"a":{"type":"oauth","refresh":"s","expires":2,"accountId":"u"}}`, true},
		{`{"access_token":"a","token_type":"Bearer","resource_url":"x.example"}`,
			`{"access_token":"b","token_type":"bearer","resource_url":"x.example"}`, true},
		// OpenCode fetches its configuration, with commands in it, from an entry of this kind.
		{`{"a":{"type":"oauth","refresh":"r"}}`,
			`{"a":{"type":"oauth","refresh":"r"},"https://x.example":{"type":"wellknown","key":"A","token":"b"}}`, false},
		{`{"a":{"type":"oauth","refresh":"r"}}`, `{"a":{"type":"wellknown","refresh":"r"}}`, false},
		{`{"a":{"type":"oauth","refresh":"r"}}`, `{"a":{"type":"oauth","refresh":"r","key":"NODE_OPTIONS"}}`, false},
		{`{"a":{"refresh":"r","more":null}}`, `{"a":{"refresh":"r","more":{"type":"api"}}}`, false},
		{`{"a":{"refresh":"r","more":["x"]}}`, `{"a":{"refresh":"r","more":[{"type":"api"}]}}`, false},
		{`{"a":{"refresh":"r","more":["x"]}}`, `{"a":{"refresh":"r","more":[["x"]]}}`, false},
		{`{"a":{"refresh":"r","more":true}}`, `{"a":{"refresh":"r","more":{"type":"api"}}}`, false},
		{`{"access_token":"a","resource_url":"x.example"}`, `{"access_token":"a","resource_url":"y.example"}`, false},
		{`{"access_token":"a"}`, `{"access_token":"a","resource_url":"y.example"}`, false},
		{`{"OPENAI_API_KEY":null,"tokens":{"a":"b"}}`, `{"OPENAI_API_KEY":"theirs","tokens":{"a":"b"}}`, false},
		{`{"a":{"accountId":"u","refresh":"r"}}`, `{"a":{"accountId":"v","refresh":"r"}}`, false},
	} {
		if sameForm([]byte(c.was), []byte(c.is)) != c.same {
			t.Errorf("after %s, %s is of the same form: %t; want %t", c.was, c.is, !c.same, c.same)
		}
	}
}
