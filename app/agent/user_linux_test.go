package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/runas"
)

// another is a user of this machine as whom a test's programs run, with a home of its own.
func another(t *testing.T) *runas.User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which alone may start programs as another user")
	}
	u, err := runas.LookUp("nobody")
	if err != nil {
		t.Skip("needs the user nobody: ", err)
	}
	u.Home = openTemp(t)
	if err := u.Own(u.Home); err != nil {
		t.Fatal(err)
	}
	return u
}

// openTemp is a folder of the test whose path another user can go.
func openTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// asAnother is a provider whose programs run as another user, and a turn in a folder that is that user's.
func asAnother(t *testing.T, p Provider, prompt string) (Provider, Turn) {
	t.Helper()
	p.User = another(t)
	turn := newTurn(t, prompt)
	openTemp(t)
	if err := p.User.Own(turn.Dir); err != nil {
		t.Fatal(err)
	}
	return p, turn
}

func TestAScriptRunsAsTheUserOfTheSettings(t *testing.T) {
	t.Parallel()
	p, turn := asAnother(t, bash(), `id -u; id -g; id -G; echo "$HOME $USER"; touch made "$TMPDIR/x"
grep -E '^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs):' /proc/self/status
ls "`+"$(dirname \"$PARAMS_FILE\")"+`" 2>&1 || true; echo x > "$PARAMS_FILE" || echo refused; cat "$PARAMS_FILE"`)
	res, f, s := runTurn(t, p, turn)
	if f != nil {
		t.Fatalf("failed: %v\n%s", f, s.stream("stderr"))
	}
	want := fmt.Sprintf("%d\n%d\n%d\n%s nobody\n", p.User.UID, p.User.GID, p.User.GID, p.User.Home)
	if !strings.HasPrefix(res.Text, want) {
		t.Errorf("it printed %q; want first %q", res.Text, want)
	}
	for _, part := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapInh:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "cannot open directory", "refused\n{}"} {
		if !strings.Contains(res.Text, part) {
			t.Errorf("it printed %q; want %q in it", res.Text, part)
		}
	}
	if !p.User.Belongs(filepath.Join(turn.Dir, "made")) {
		t.Error("what it made is not its own")
	}
}

func TestAScriptOfAnotherUserReadsNothingOfTheServerOrOfAnotherRun(t *testing.T) {
	t.Parallel()
	if !runas.Apart() {
		t.Skip("this kernel keeps programs of one user not apart")
	}
	closed := openTemp(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(closed, "secret"), []byte("the key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, other := asAnother(t, bash(), `echo $$ > pid.new; mv pid.new pid; while [ ! -e stop ]; do sleep 0.05; done`)
	other.Env = []string{"TOKEN=of-another-run"}
	ended := make(chan *Failure, 1)
	go func() {
		_, f, _ := runTurn(t, p, other)
		ended <- f
	}()
	defer func() { _ = os.WriteFile(filepath.Join(other.Dir, "stop"), nil, 0o600) }()
	until(t, "the other run", func() bool {
		_, err := os.Stat(filepath.Join(other.Dir, "pid"))
		return err == nil
	})
	turn := newTurn(t, fmt.Sprintf(`cat %s/secret && echo READ; cat /proc/%d/environ && echo READ
pid=$(cat %s/pid); cat /proc/$pid/environ && echo READ; kill -9 $pid && echo KILLED; cat /proc/$pid/fd/1 && echo READ; readlink /proc/$pid/cwd && echo READ; true`,
		closed, os.Getpid(), other.Dir))
	if err := p.User.Own(turn.Dir); err != nil {
		t.Fatal(err)
	}
	res, f, s := runTurn(t, p, turn)
	if err := os.WriteFile(filepath.Join(other.Dir, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f != nil || strings.Contains(res.Text, "READ") || strings.Contains(res.Text, "KILLED") {
		t.Errorf("it ended with %v and printed %q, %s; want nothing read and nobody ended", f, res.Text,
			s.stream("stderr"))
	}
	if f := <-ended; f != nil {
		t.Errorf("the other run failed: %v", f)
	}
}

func TestWhatARunOfAnotherUserLeavesIsEnded(t *testing.T) {
	t.Parallel()
	p, turn := asAnother(t, bash(), `setsid sleep 1000 & disown; (trap '' TERM; sleep 1000) & sleep 0.1`)
	m := mark(t, &turn)
	if _, f, _ := runTurn(t, p, turn); f != nil {
		t.Fatal(f)
	}
	expectNoSurvivor(t, m)
}

func TestASandboxOfAnotherUser(t *testing.T) {
	t.Parallel()
	p, turn := asAnother(t, bash(),
		`id -u; echo x > made; echo y > "$HOME/.cache/kept"; echo z > /tmp/z; ls /root /run | wc -l
cat "$HIDDEN/secret" && echo READ; sed -n 's/^CapEff:\t//p' /proc/self/status; test -e "$HOME/left" && echo LEFT; touch "$HOME/left"`)
	if err := SandboxAvailable(t.Context(), p.User); err != nil {
		t.Skip(err)
	}
	data := openTemp(t)
	if err := os.WriteFile(filepath.Join(data, "secret"), []byte("the key\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	turn.Env = []string{"HIDDEN=" + data}
	turn.Sandbox = &Sandbox{
		Hidden: []string{data, "/root/nothing"}, Home: filepath.Join(t.TempDir(), "home"), Network: true,
	}
	for range 2 {
		res, f, s := runTurn(t, p, turn)
		want := fmt.Sprintf("%d\n3\n0000000000000000\n", p.User.UID) // ls names the two folders, with a line between
		if f != nil || !strings.HasPrefix(res.Text, fmt.Sprint(p.User.UID)) || strings.Contains(res.Text, "READ") ||
			strings.Contains(res.Text, "LEFT") || !strings.Contains(res.Text, "0000000000000000") {
			t.Fatalf("it ended with %v and printed %q, %s; want about %q", f, res.Text, s.stream("stderr"), want)
		}
	}
	for _, path := range []string{filepath.Join(turn.Dir, "made"), filepath.Join(turn.Sandbox.Home, ".cache/kept")} {
		if !p.User.Belongs(path) {
			t.Errorf("%s is not the user's", path)
		}
	}
	p.User = nil // the setting is switched off again
	if err := p.User.Own(turn.Dir); err != nil {
		t.Fatal(err)
	}
	if _, f, s := runTurn(t, p, turn); f != nil {
		t.Errorf("without the setting it failed: %v %s", f, s.stream("stderr"))
	}
}

func TestASignInOfTheUsersHomeIsRenewedThere(t *testing.T) {
	t.Parallel()
	p, turn := asAnother(t, bash(),
		`cat "$HOME/.prog/login.json"; printf '{"token":"new","expires_at":2000000000}' > "$HOME/.prog/login.json"
touch -d '+1 minute' "$HOME/.prog/login.json"`)
	if err := SandboxAvailable(t.Context(), p.User); err != nil {
		t.Skip(err)
	}
	p.Account = ".prog/login.json"
	shared := filepath.Join(p.User.Home, p.Account)
	err := os.MkdirAll(filepath.Dir(shared), 0o755)
	if err == nil {
		err = os.WriteFile(shared, []byte(`{"token":"old","expires_at":1900000000}`), 0o600)
	}
	if err == nil {
		err = os.Chown(filepath.Dir(shared), p.User.UID, p.User.GID)
	}
	if err == nil {
		err = os.Chown(shared, p.User.UID, p.User.GID)
	}
	if err != nil {
		t.Fatal(err)
	}
	turn.Sandbox = &Sandbox{Home: filepath.Join(t.TempDir(), "home"), Network: true}
	res, f, s := runTurn(t, p, turn)
	if f != nil || !strings.Contains(res.Text, "old") {
		t.Fatalf("it ended with %v and read %q %s; want the sign-in of its home", f, res.Text, s.stream("stderr"))
	}
	text, err := os.ReadFile(shared)
	if err != nil || !strings.Contains(string(text), "new") || !p.User.Belongs(shared) {
		t.Errorf("the sign-in is %q, %v; want the renewed one, and the user's", text, err)
	}
}

func TestALinkInTheUsersHomeLeadsTheServerNowhere(t *testing.T) {
	t.Parallel()
	p, turn := asAnother(t, bash(), `printf '{"token":"new","expires_at":2000000000}' > "$HOME/.prog/login.json"`)
	if err := SandboxAvailable(t.Context(), p.User); err != nil {
		t.Skip(err)
	}
	closed := openTemp(t)
	if err := os.WriteFile(filepath.Join(closed, "login.json"), []byte(`{"token":"of the server","expires_at":1}`),
		0o600); err != nil {
		t.Fatal(err)
	}
	p.Account = ".prog/login.json"
	if err := os.Symlink(closed, filepath.Join(p.User.Home, ".prog")); err != nil {
		t.Fatal(err)
	}
	turn.Prompt = `mkdir -p "$HOME/.prog"; cat "$HOME/.prog/login.json" 2>/dev/null; ` + turn.Prompt
	turn.Sandbox = &Sandbox{Home: filepath.Join(t.TempDir(), "home"), Network: true}
	res, f, s := runTurn(t, p, turn)
	if strings.Contains(res.Text, "server") {
		t.Errorf("it ended with %v and read %q %s; want nothing read", f, res.Text, s.stream("stderr"))
	}
	if text, err := os.ReadFile(filepath.Join(closed, "login.json")); err != nil ||
		!strings.Contains(string(text), "of the server") {
		t.Errorf("the server’s file is %q, %v; want it as it was", text, err)
	}
}
