package agent

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/transcript"
)

// stranger is a server that somebody names in a repository. It counts who comes.
func stranger(t *testing.T) (url string, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		t.Logf("a stranger was asked %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL, calls
}

// A repository runs nothing by its own files, is heard by nobody else, and changes nothing in a turn that changes
// nothing.
func TestInstalledAgentsObeyNoFileOfTheRepository(t *testing.T) {
	t.Parallel()
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) {
			cli.Find(t)
			for _, readOnly := range []bool{false, true} {
				p, model := realAgent(t, cli)
				url, calls := stranger(t)
				turn := realTurn(t, cli, "[[say It is well.]]")
				turn.ReadOnly = readOnly
				mark := filepath.Join(t.TempDir(), "ran")
				files := agenttest.HostileFiles(mark, url)
				for name := range files {
					if slices.ContainsFunc(p.Obeys, func(path string) bool {
						return name == path || strings.HasPrefix(name, path+"/")
					}) {
						delete(files, name) // with it the turn would be refused
					}
				}
				agenttest.WriteAll(t, turn.Dir, files)
				if readOnly {
					turn.Prompt = "[[write " + filepath.Join(turn.Dir, "made.txt") + "|x]][[run echo x > made.txt]]" +
						turn.Prompt
				}
				res, f, s := runTurn(t, p, turn)
				if f != nil || len(model.Calls()) == 0 || !readOnly && res.Text != "It is well." {
					t.Errorf("read-only %v: answered %q after %d calls: %v\n%s", readOnly, res.Text, len(model.Calls()),
						f, s.text(transcript.KindWarning))
				}
				if _, err := os.Stat(mark); err == nil {
					t.Errorf("read-only %v: a file of the repository ran something", readOnly)
				}
				if calls.Load() > 0 {
					t.Errorf("read-only %v: %d calls went to a stranger", readOnly, calls.Load())
				}
				for name, want := range files {
					if got, err := os.ReadFile(filepath.Join(turn.Dir, name)); err != nil || string(got) != want {
						t.Errorf("read-only %v: it changed %s: %v", readOnly, name, err)
					}
				}
				if _, err := os.Stat(filepath.Join(turn.Dir, "made.txt")); err == nil {
					t.Errorf("it wrote where it may only look")
				}
			}
		})
	}
}

// What is handed over in place of the repository's instruction file is told to the model, in the second message too.
func TestInstalledClaudeIsToldItsInstructionsInEveryMessage(t *testing.T) {
	t.Parallel()
	cli := agenttest.CLIs[0]
	p, model := realAgent(t, cli)
	turn := realTurn(t, cli, "[[say Well.]]")
	turn.Instructions = "The repository's CLAUDE.md says: xylophone."
	for range 2 {
		turn.RunDir = t.TempDir()
		res, f, _ := runTurn(t, p, turn)
		calls := model.Calls()
		if f != nil || len(calls) == 0 || !strings.Contains(calls[len(calls)-1].System, "xylophone") {
			t.Errorf("resumed %q: the model was not told: %v", turn.Resume, f)
		}
		turn.Resume = res.Conversation
	}
}

// installed are the folders that a program needs: that of its link, and that into which npm has put it.
func installed(t *testing.T, program string) []string {
	t.Helper()
	link, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(link)
	if err != nil {
		t.Fatal(err)
	}
	folder, _, _ := strings.Cut(real, "/node_modules/")
	return []string{filepath.Dir(link), folder}
}

// What a program would obey is hidden from it in the sandbox, and it works all the same.
func TestInstalledAgentsSeeNothingOfWhatTheyWouldObeyInTheSandbox(t *testing.T) {
	t.Parallel()
	if err := SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) {
			cli.Find(t)
			p, model := realAgent(t, cli)
			if len(p.Obeys) == 0 {
				t.Skip("it obeys nothing that it cannot be told to leave")
			}
			url, calls := stranger(t)
			turn := realTurn(t, cli, "[[say It is well.]]")
			mark := filepath.Join(turn.Dir, "ran")
			files := agenttest.HostileFiles(mark, url)
			agenttest.WriteAll(t, turn.Dir, files)
			turn.Sandbox = &Sandbox{Network: true}
			for _, kv := range p.SetEnv { // the homes of the test lie in a folder that the sandbox empties
				if name, value, _ := strings.Cut(kv, "="); name == "HOME" {
					turn.Sandbox.Writable = append(turn.Sandbox.Writable, value)
				}
			}
			turn.Sandbox.Shown = append(turn.Sandbox.Shown, installed(t, cli.Program)...)
			res, f, s := runTurn(t, p, turn)
			if f != nil || res.Text != "It is well." || len(model.Calls()) == 0 {
				t.Errorf("answered %q after %d calls: %v\n%s", res.Text, len(model.Calls()), f,
					s.text(transcript.KindWarning))
			}
			if _, err := os.Stat(mark); err == nil || calls.Load() > 0 {
				t.Errorf("a file of the repository ran something: %v, or %d calls went to a stranger", err == nil,
					calls.Load())
			}
			for name, want := range files {
				if got, err := os.ReadFile(filepath.Join(turn.Dir, name)); err != nil || string(got) != want {
					t.Errorf("it changed %s: %v", name, err)
				}
			}
		})
	}
}
