package agent

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/transcript"
)

func TestASandboxShowsWhatItsWorkspaceIsGivenReadOnlyAndTellsWhatItCannotShow(t *testing.T) {
	needSandbox(t)
	home, data, tools := t.TempDir(), t.TempDir(), t.TempDir()
	agenttest.WriteAll(t, home, map[string]string{
		".npmrc": "registry\n", "dotfiles/gitconfig": "[user]\n", "tool/bin/run": "#!/bin/sh\necho " +
			"tool\n", ".cargo/config.toml": "cargo\n",
		".ssh/id": "s3cret\n",
	})
	agenttest.WriteAll(t, data, map[string]string{"secret": "s3cret\n"})
	agenttest.WriteAll(t, tools, map[string]string{"inside": "inside\n"})
	for link, target := range map[string]string{
		filepath.Join(home, ".gitconfig"): "dotfiles/gitconfig", filepath.Join(home, "leads"): data,
		filepath.Join(home, "key"): filepath.Join(data, "secret"),
	} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(home, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("HOME", home)
	turn := newTurn(t, `cat ~/.npmrc ~/.gitconfig {{home}}/tool/bin/run {{tools}}/inside ~/.cargo/config.toml
for file in ~/.npmrc ~/.gitconfig {{tools}}/inside {{tools}}/new ~/.cargo/config.toml; do (echo x >> "$file") 2>/dev/null && echo "wrote $file"; done
cat ~/leads/secret ~/key {{data}}/secret ~/.ssh/id {{home}}/.ssh/id 2>/dev/null || echo hidden
echo fine > ~/.cargo/registry/x`)
	turn.Params = map[string]string{"home": home, "tools": tools, "data": data}
	turn.Sandbox = &Sandbox{Hidden: []string{data}, Home: filepath.Join(data, "homes", "w"), Given: []string{
		"~/.npmrc", "~/.gitconfig", filepath.Join(home, "tool"), tools, "~/.cargo/config.toml", "~/absent",
		"/absent/too", "~/leads", "~/key",
		"~/leads/secret", data, filepath.Join(data, "secret"), filepath.Dir(data), "~/.cargo", "~/sock", "/proc/self",
		"/run", home,
	}}
	_, f, s := runTurn(t, bash(), turn)
	if want := "registry\n[user]\n#!/bin/sh\necho tool\ninside\ncargo\nhidden\n"; f != nil ||
		s.stream("stdout") != want {
		t.Errorf("printed %q %q, %v; want %q", s.stream("stdout"), s.stream("stderr"), f, want)
	}
	warned := s.text(transcript.KindWarning)
	for path, why := range map[string]string{
		"~/absent": "not there", "/absent/too": "not there", "~/leads": "hide it", "~/key": "hide " +
			"it", "~/leads/secret": "hide it",
		filepath.Dir(data): "something in it", "~/.cargo": "keeps ~/.cargo/registry itself", "~/sock": "neither a " +
			"file nor a folder",
		"/proc/self": "belongs to the system", "/run": "sockets",
	} {
		if want := path + " is not shown in the sandbox: "; !strings.Contains(warned, want) ||
			!strings.Contains(warned, why) {
			t.Errorf("of %s it does not say %q:\n%s", path, why, warned)
		}
	}
	if strings.Contains(warned, "/.npmrc") || strings.Contains(warned, "config.toml") {
		t.Errorf("it warns of what it shows:\n%s", warned)
	}
}

func TestWhatIsNeverShownIsToldWhenItIsTyped(t *testing.T) {
	home, data := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	if err := errors.Join(os.MkdirAll(filepath.Join(home, "in"), 0o700),
		os.Symlink(data, filepath.Join(home, "in", "link"))); err != nil {
		t.Fatal(err)
	}
	for path, shown := range map[string]bool{
		"~/.npmrc": true, "~/in": true, "/opt/absent/tool": true, "/run/secrets-of-nobody": true,
		"~/in/link": false, "~/in/link/key/that/is/not/there": false, data: false, filepath.Dir(data): false,
		filepath.Join(data, "x"): false, home: false,
		"/run": false, "/var/run": false, "/proc/1/environ": false, "/dev/sda": false, "/sys": false,
	} {
		if why := HiddenReason(path, nil, []string{data}); shown != (why == "") {
			t.Errorf("%s: %q; want shown: %v", path, why, shown)
		}
	}
}

func TestWhatABubblewrapCannotDoIsFoundOut(t *testing.T) {
	needSandbox(t)
	real, err := exec.LookPath("bwrap")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fake := `#!/bin/sh
case " $* " in
*" --version "*) echo "bubblewrap 0.4.1"; exit;;
*" --disable-userns "*) echo "Unknown option --disable-userns" >&2; exit 1;;
*" --unshare-net "*) echo "loopback: Failed RTM_NEWADDR" >&2; exit 1;;
esac
exec ` + real + ` "$@"
`
	if err := os.WriteFile(filepath.Join(dir, "bwrap"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	is := InspectSandbox(t.Context(), nil)
	if is.Problem != nil || is.Version != "0.4.1" || is.NoFurther || is.Offline == nil ||
		!strings.Contains(is.Offline.Error(), "RTM_NEWADDR") {
		t.Errorf("found %+v", is)
	}
	turn := newTurn(t, "echo fine")
	turn.Sandbox = &Sandbox{Network: true}
	if _, f, s := runTurn(t, bash(), turn); f != nil || s.stream("stdout") != "fine\n" {
		t.Errorf("with a network it printed %q, %v", s.stream("stdout"), f)
	}
	turn.Sandbox = &Sandbox{}
	_, f, _ := runTurn(t, bash(), turn)
	expectFailure(t, f, FailStart, "cannot be without a network here")
}
