package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/app/transcript"
)

func needSandbox(t *testing.T) {
	t.Helper()
	if err := SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
}

func TestSandboxShowsTheWorktreeAndHidesTheServersData(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	data, writable := t.TempDir(), t.TempDir()
	key := filepath.Join(data, "key")
	_ = os.WriteFile(key, []byte("s3cret"), 0o600)
	file := filepath.Join(t.TempDir(), "config")
	_ = os.WriteFile(file, []byte("s3cret"), 0o600)
	turn := newTurn(t, `echo in > here; echo in > "{{writable}}/there"; echo tmp > "$TMPDIR/x"
cat "{{key}}" "{{file}}" 2>/dev/null || echo hidden
touch /etc/carillon-test 2>/dev/null || echo read-only
grep -c : /proc/net/dev; ls -d /proc/[0-9]* | wc -l`)
	turn.Params = map[string]string{"writable": writable, "key": key, "file": file}
	turn.Sandbox = &Sandbox{Writable: []string{writable}, Hidden: []string{data, file, "/no/such/folder"}}
	_, f, s := runTurn(t, bash(), turn)
	if f != nil {
		t.Fatal(f, s.stream("stderr"))
	}
	var nets, processes int
	if n, _ := fmt.Sscanf(s.stream("stdout"), "hidden\nread-only\n%d\n%d\n", &nets, &processes); n != 2 || nets != 1 ||
		processes > 6 {
		t.Errorf("printed %q", s.stream("stdout"))
	}
	for _, path := range []string{filepath.Join(turn.Dir, "here"), filepath.Join(writable, "there")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestSandboxOfAReadOnlyTurnKeepsTheWorktree(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	turn := newTurn(t, "touch x 2>/dev/null || echo kept; pwd")
	turn.ReadOnly, turn.Sandbox = true, &Sandbox{}
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "kept\n"+turn.Dir+"\n" {
		t.Errorf("printed %q, %v", s.stream("stdout"), f)
	}
}

func TestSandboxHasNoCapabilitiesAndCannotChangeTheMachine(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	turn := newTurn(t, `grep -E '^Cap(Eff|Prm|Bnd)' /proc/self/status | grep -v 0000000000000000 || echo none
was=$(cat /proc/sys/kernel/core_uses_pid)
for file in /proc/sys/kernel/core_uses_pid /proc/sys/vm/swappiness /proc/sysrq-trigger; do
	if [ -e "$file" ] && (: >> "$file") 2>/dev/null; then echo "opened $file"; fi
done
mount -o remount,rw / 2>/dev/null && echo remounted
umount -l /tmp 2>/dev/null && echo unmounted
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
if [ "$(id -u)" = 0 ]; then chown 1 "$TMPDIR" 2>/dev/null && echo chowned; mknod "$TMPDIR/sda" b 8 0 2>/dev/null && echo made; fi
(echo x > /etc/carillon-test) 2>/dev/null && echo written
echo end`)
	turn.Sandbox = &Sandbox{}
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "none\nend\n" {
		t.Errorf("printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
	}
}

func TestSandboxShowsNoHomesAndNoSocketsOfServices(t *testing.T) {
	home, data := t.TempDir(), t.TempDir()
	needSandbox(t)
	_ = os.MkdirAll(filepath.Join(home, ".ssh"), 0o700)
	_ = os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), []byte("s3cret"), 0o600)
	_ = os.MkdirAll(filepath.Join(home, "tools", "bin"), 0o700)
	_ = os.WriteFile(filepath.Join(home, "tools", "bin", "my-tool"), []byte("#!/bin/sh\necho tool\n"), 0o700)
	_ = os.WriteFile(filepath.Join(home, ".shown"), []byte("shown\n"), 0o600)
	_ = os.WriteFile(filepath.Join(home, "given.json"), []byte("given\n"), 0o600)
	tools := t.TempDir() // elsewhere, below /tmp
	_ = os.WriteFile(filepath.Join(tools, "my-other"), []byte("#!/bin/sh\necho other\n"), 0o700)
	t.Setenv("HOME", home)
	t.Setenv("SSL_CERT_FILE", filepath.Join(home, "given.json"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "moved"))
	t.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(home, "tools", "bin")+":"+tools)
	turn := newTurn(t,
		`ls -A /run /home /root {{home}}/.ssh 2>/dev/null | grep -E 'sock|ssh|docker|id_ed' || echo hidden
my-tool; my-other; cat "$SSL_CERT_FILE" ~/.shown; echo "${XDG_CONFIG_HOME:-unset}"
[ "$HOME" != {{home}} ] && echo own
echo kept > ~/.npm/x; echo gone > ~/.npmrc`)
	turn.Params = map[string]string{"home": home}
	turn.Sandbox = &Sandbox{
		Hidden: []string{data}, Home: filepath.Join(data, "homes", "w"), Shown: []string{filepath.Join(home, ".shown")},
	}
	_, f, s := runTurn(t, bash(), turn)
	if f != nil || s.stream("stdout") != "hidden\ntool\nother\ngiven\nshown\nunset\nown\n" {
		t.Fatalf("printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
	}
	turn.Prompt = `cat ~/.npm/x; [ -e ~/.npmrc ] || echo fresh`
	turn.RunDir = t.TempDir()
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "kept\nfresh\n" {
		t.Errorf("the next start printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
	}
}

// npm may install a program into a folder of its own, with a link to it in a folder on the PATH.
func TestSandboxShowsThePackagesOfAProgramOfNpm(t *testing.T) {
	needSandbox(t)
	dir := t.TempDir()
	packages := filepath.Join(dir, "app", "node_modules")
	const script = "#!/bin/sh\ncat \"$(dirname \"$(readlink -f \"$0\")\")/../../dep/word\"; ls %s\n"
	for path, text := range map[string]string{
		"@x/tool/bin/tool.js": fmt.Sprintf(script, filepath.Join(dir, "app")), "@x/dep/word": "word\n",
		"../secret": "s3cret",
	} {
		path = filepath.Join(packages, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700),
			os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	bin := t.TempDir()
	if err := os.Symlink(filepath.Join(packages, "@x/tool/bin/tool.js"), filepath.Join(bin, "my-tool")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+bin)
	p := bash()
	p.Command = []string{"my-tool"}
	turn := newTurn(t, "")
	turn.Sandbox = &Sandbox{Home: filepath.Join(t.TempDir(), "w")}
	if _, f, s := runTurn(t, p, turn); f != nil || s.stream("stdout") != "word\nnode_modules\n" {
		t.Errorf("printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
	}
}

func TestSandboxSharesTheSignInAndShowsTheConfigurationReadOnly(t *testing.T) {
	needSandbox(t)
	home, data := t.TempDir(), t.TempDir()
	signIn := filepath.Join(home, ".tool", "auth.json")
	_ = os.MkdirAll(filepath.Join(home, ".tool", "chats"), 0o700)
	_ = os.WriteFile(filepath.Join(home, ".tool", "settings.json"), []byte("{}"), 0o600)
	_ = os.WriteFile(filepath.Join(home, ".tool", "chats", "other"), []byte("s3cret"), 0o600)
	first := `{"tokens":{"refresh":"r0","account_id":"us"},"until":1}`
	renewed := strings.NewReplacer("r0", "r1", ":1", ":2").Replace(first)
	_ = os.WriteFile(signIn, []byte(first), 0o600)
	t.Setenv("HOME", home)
	p := bash()
	p.Account, p.State, p.Config = ".tool/auth.json", []string{".tool/chats"}, []string{".tool/settings.json"}
	give := func(workspace, script string) string {
		t.Helper()
		turn := newTurn(t, script)
		turn.Params = map[string]string{"first": first, "renewed": renewed}
		turn.Sandbox = &Sandbox{Hidden: []string{data}, Home: filepath.Join(data, "homes", workspace)}
		_, f, s := runTurn(t, p, turn)
		if f != nil {
			t.Fatal(f, s.stream("stderr"))
		}
		return s.stream("stdout") + s.text(transcript.KindWarning)
	}
	for _, c := range []struct{ what, script, prints, kept string }{
		{"reads", `cat ~/.tool/auth.json; ls ~/.tool/chats`, first, first},
		{"configures",
			`(echo x > ~/.tool/settings.json) 2>/dev/null || echo refused; rm -f ~/.tool/settings.json 2>/dev/null || echo refused`,
			"refused\nrefused\n", first},
		{"renews in its place", `printf %s {{renewed}} > ~/.tool/auth.json`, "", renewed},
		{"signs out", `echo '{}' > ~/.tool/auth.json`,
			"What Shell script left in place of its sign-in is none. The one from before stays.", renewed},
		{"renews by another file",
			`printf %s {{first}} > ~/.tool/new; sleep 0.01; touch ~/.tool/new; mv ~/.tool/new ~/.tool/auth.json`, "",
			first},
		{"is another account", `sed s/us/them/ ~/.tool/auth.json > ~/.tool/new; cp ~/.tool/new ~/.tool/auth.json`,
			"What Shell script left in place of its sign-in is of another form or account. The one from before stays.",
			first},
		{"leaves a chat", `echo mine > ~/.tool/chats/one`, "", first},
	} {
		if got := give("w", c.script); got != c.prints {
			t.Errorf("%s: printed %q, want %q", c.what, got, c.prints)
		}
		if now, _ := os.ReadFile(signIn); string(now) != c.kept {
			t.Errorf("%s: the sign-in is %s, want %s", c.what, now, c.kept)
		}
	}
	if got := give("w", `cat ~/.tool/chats/*`) + give("v", `cat ~/.tool/auth.json; ls ~/.tool/chats`); got != "mine\n"+
		first {
		t.Errorf("the next start and another workspace see %q", got)
	}
}

func TestAMessageDoesNotChooseWhereTheNextOnesFilesAreWritten(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	outside := filepath.Join(t.TempDir(), "outside")
	_ = os.WriteFile(outside, []byte("as it was"), 0o600)
	turn := newTurn(t, `dir=$(dirname "$TMPDIR"); cd "$dir"
for name in params.json prompt empty; do rm -f $name; ln -s {{outside}} $name; done 2>/dev/null || true
mkfifo mcp.json 2>/dev/null || true
mv tmp was 2>/dev/null && ln -s / tmp
echo kept > tmp/x; echo kept > /tmp/y; ls tmp | tr '\n' ' '`)
	turn.Params, turn.Sandbox = map[string]string{"outside": outside}, &Sandbox{}
	for range 2 {
		_, f, s := runTurn(t, bash(), turn)
		if f != nil || !strings.Contains(s.stream("stdout"), "x ") || !strings.Contains(s.stream("stdout"), "y ") {
			t.Errorf("printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
		}
	}
	if text, _ := os.ReadFile(outside); string(text) != "as it was" {
		t.Errorf("the server wrote %q", text)
	}
	if info, err := os.Lstat(filepath.Join(turn.RunDir, "tmp")); err != nil || !info.IsDir() {
		t.Errorf("the folder for temporary files is %v, %v", info, err)
	}
}

func TestAStrangersSignInIsNotTakenOver(t *testing.T) {
	needSandbox(t)
	home, data, stranger := t.TempDir(), t.TempDir(), t.TempDir()
	const form = `{"tokens":{"refresh":"%s"}}`
	_ = os.MkdirAll(filepath.Join(home, ".tool"), 0o700)
	_ = os.WriteFile(filepath.Join(home, ".tool", "auth.json"), fmt.Appendf(nil, form, "own"), 0o600)
	later := time.Now().Add(time.Hour)
	_ = os.WriteFile(filepath.Join(stranger, "auth.json"), fmt.Appendf(nil, form, "stranger"), 0o600)
	_ = os.Chtimes(filepath.Join(stranger, "auth.json"), later, later)
	t.Setenv("HOME", home)
	p := bash()
	p.Account, p.State = ".tool/auth.json", []string{".tool/chats"}
	turn := newTurn(t, `mv ~/.tool ~/moved; ln -s {{stranger}} ~/.tool; echo linked`)
	turn.Params = map[string]string{"stranger": stranger}
	turn.Sandbox = &Sandbox{Hidden: []string{data}, Home: filepath.Join(data, "homes", "w")}
	if _, f, s := runTurn(t, p, turn); f != nil || s.stream("stdout") != "linked\n" {
		t.Errorf("printed %q %q, %v", s.stream("stdout"), s.stream("stderr"), f)
	}
	if text, _ := os.ReadFile(filepath.Join(home, ".tool", "auth.json")); string(text) != fmt.Sprintf(form, "own") {
		t.Errorf("the sign-in became %s", text)
	}
}

func TestALinkInAKeptHomeIsNotShown(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	data := t.TempDir()
	kept := filepath.Join(data, "homes", "w")
	_ = os.MkdirAll(filepath.Join(kept, ".local", "share"), 0o700)
	_ = os.Symlink(data, filepath.Join(kept, ".local", "share", "tool"))
	p := bash()
	p.State = []string{".local/share/tool"}
	turn := newTurn(t, "ls -A ~/.local/share/tool")
	turn.Sandbox = &Sandbox{Hidden: []string{data}, Home: kept}
	_, f, _ := runTurn(t, p, turn)
	expectFailure(t, f, FailStart, "is a link, which Carillon did not make")
}

func TestProjectsBuildInASandbox(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	data := t.TempDir()
	for _, c := range []struct{ program, script string }{
		{"go", `printf 'module example.com/x\ngo 1.21\n' > go.mod; printf 'package x\nfunc F() int { return 1 }\n' > x.go
printf 'package x\nimport "testing"\nfunc TestF(t *testing.T) { if F() != 1 { t.Fail() } }\n' > x_test.go
GOFLAGS=-mod=mod GOTOOLCHAIN=local go test ./... >/dev/null && [ -d ~/.cache/go-build ] && echo fine`},
		{"npm", `printf '{"name":"x","version":"1.0.0","scripts":{"test":"node x.js"}}' > package.json
echo 'require("fs").writeFileSync("made", "fine")' > x.js
npm test --silent && cat made && [ -d ~/.npm ]`},
		{"python3", `printf 'import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(1, 1)\n' > test_x.py
python3 -m unittest -q 2>/dev/null && python3 -m venv --without-pip env && env/bin/python -c 'print("fine")'`},
	} {
		if _, err := exec.LookPath(c.program); err != nil {
			t.Logf("not tried, since it is not installed: %s", c.program)
			continue
		}
		turn := newTurn(t, c.script)
		turn.Sandbox = &Sandbox{Hidden: []string{data}, Home: filepath.Join(data, "homes", "w"), Network: true}
		if _, f, s := runTurn(t, bash(), turn); f != nil || strings.TrimSpace(s.stream("stdout")) != "fine" {
			t.Errorf("%s: printed %q %q, %v", c.program, s.stream("stdout"), s.stream("stderr"), f)
		}
	}
}

func TestSandboxWithNetworkReachesAServer(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, network := range []bool{true, false} {
		turn := newTurn(t, fmt.Sprintf("(: </dev/tcp/127.0.0.1/%d) 2>/dev/null && echo yes || echo no",
			l.Addr().(*net.TCPAddr).Port))
		turn.Sandbox = &Sandbox{Network: network}
		_, f, s := runTurn(t, bash(), turn)
		if want := map[bool]string{true: "yes\n", false: "no\n"}[network]; f != nil || s.stream("stdout") != want {
			t.Errorf("network %v: printed %q, %v", network, s.stream("stdout"), f)
		}
	}
}

func TestSandboxIsEndedGentlyThenByForce(t *testing.T) {
	t.Parallel()
	needSandbox(t)
	turn := newTurn(t,
		"trap 'echo bye; exit 0' TERM; (trap '' TERM; setsid sleep 300) & echo ready; while true; do sleep 0.01; done")
	turn.Sandbox = &Sandbox{}
	m := mark(t, &turn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &seen{}
	_, err := Run(ctx, bash(), turn, func(e transcript.Event) {
		s.emit(e)
		if strings.Contains(e.Text, "ready") {
			cancel()
		}
	})
	if err == nil || s.stream("stdout") != "ready\nbye\n" {
		t.Errorf("printed %q, %v", s.stream("stdout"), err)
	}
	expectNoSurvivor(t, m)
}

func TestSandboxThatIsMissingIsAStartFailure(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	bashPath := "/bin/bash"
	if _, err := os.Stat(bashPath); err != nil {
		t.Skip(err)
	}
	p := bash()
	p.Command = []string{bashPath}
	turn := newTurn(t, "true")
	turn.Sandbox = &Sandbox{}
	_, f, _ := runTurn(t, p, turn)
	expectFailure(t, f, FailStart, "bubblewrap (bwrap) is not installed")
	if err := SandboxAvailable(t.Context(), nil); err == nil {
		t.Error("a sandbox without its program is available")
	}
}

// concealedRole is a server that hides its memory and runs a script which looks for it.
func concealedRole(args []string) int {
	if err := ProtectMemory(); err != nil {
		fmt.Println(err)
		return 1
	}
	turn := Turn{Dir: args[0], RunDir: args[0], grace: time.Second,
		Prompt: "echo ran; read -r _ _ _ server _ < /proc/$PPID/stat; cat /proc/$server/environ /proc/$server/maps " +
			"|| true"}
	_, err := Run(context.Background(), bash(), turn, func(e transcript.Event) { fmt.Print(e.Text) })
	fmt.Println(err)
	return 0
}

func TestConcealedServerIsUnreadableForItsChildren(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can do it")
	}
	dir, err := os.MkdirTemp("", "carillon-concealed-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server := os.Args[0]
	cmd := exec.Command(server, "concealed", dir)
	if os.Geteuid() == 0 { // root reads everything
		server = filepath.Join(dir, "server")
		copyFile(t, os.Args[0], server)
		cmd = exec.Command(server, "concealed", dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Skip(err)
		}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CARILLON_SECRET=leak"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ran\n") || !strings.Contains(string(out), "Permission denied") ||
		strings.Contains(string(out), "leak") || !strings.HasSuffix(string(out), "<nil>\n") {
		t.Errorf("printed %q, %v", out, err)
	}
}

// copyFile copies a program by another process: while this one has a file open for writing, a test beside it may fork,
// and its child holds the file until it execs, during which nobody can run it ("text file busy").
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}
