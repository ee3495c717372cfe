package jobs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/provider"
	"carillon/app/workspace"
	"carillon/db"
)

// command runs git in a folder as somebody of this machine.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ada",
		"GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(text), 0o600))
}

const pointer = "version https://git-lfs.github.com/spec/v1\noid " +
	"sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

func TestRunsBearRepositoriesOfEveryKind(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, bare, work string) // work is a clone of bare with a commit
		script  string
		said    string
		files   int
		diff    []string // what the diff holds
	}{
		{
			"an empty repository", func(t *testing.T, bare, _ string) {
				check(t, os.RemoveAll(bare))
				command(t, "", "init", "-q", "--bare", "-b", "main", bare)
			},
			"ls -A | grep -vc '^.git$' || true; echo first > first.txt", "0\n", 1, []string{"+first"},
		},
		{
			"a default branch that is none", func(t *testing.T, bare, _ string) {
				loose := command(t, bare, "commit-tree", "-p", "main", "-m", "Loose", "main^{tree}")
				command(t, bare, "update-ref", "--no-deref", "HEAD", loose)
			},
			"cat README.md; echo more >> README.md", "Hello.\n", 1, []string{"+more"},
		},
		{
			"a submodule", func(t *testing.T, bare, work string) {
				command(t, work, "-c", "protocol.file.allow=always", "submodule", "add", "-q", bare, "part")
				command(t, work, "commit", "-qm", "Add a part")
				command(t, work, "push", "-q", "origin", "HEAD:main")
			},
			"ls -A part | wc -l; git submodule status | cut -c1; echo more >> README.md", "0\n-\n", 1,
			[]string{"+more"},
		},
		{
			"pointers of large files", func(t *testing.T, _, work string) {
				put(t, work, ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
				put(t, work, "big.bin", pointer)
				command(t, work, "add", "-A")
				command(t, work, "commit", "-qm", "Add a large file")
				command(t, work, "push", "-q", "origin", "HEAD:main")
			},
			"cat big.bin; git status --short; echo more >> README.md", pointer, 1, []string{"+more"},
		},
		{
			"a binary change", func(t *testing.T, _, work string) {
				put(t, work, "image.png", "\x89PNG\x00\x01old")
				command(t, work, "add", "-A")
				command(t, work, "commit", "-qm", "Add an image")
				command(t, work, "push", "-q", "origin", "HEAD:main")
			},
			`printf '\211PNG\0\1new' > image.png; head -c 3000000 /dev/urandom > noise.bin; printf 'a\0b' > 'na"me<b>.bin'; echo done`, "done\n", 3, []string{"Binary files a/image.png and b/image.png differ", "noise.bin"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := setup(t)
			dir := t.TempDir()
			bare, work := filepath.Join(dir, "repository.git"), filepath.Join(dir, "work")
			command(t, "", "init", "-q", "--bare", "-b", "main", bare)
			command(t, "", "init", "-q", "-b", "main", work)
			command(t, work, "remote", "add", "origin", bare)
			put(t, work, "README.md", "Hello.\n")
			command(t, work, "add", "-A")
			command(t, work, "commit", "-qm", "Begin")
			command(t, work, "push", "-q", "origin", "main")
			tt.prepare(t, bare, work)
			w, err := k.rules.Workspaces.Create(t.Context(), k.actor,
				workspace.Input{Name: "Of a kind", GitURL: bare, DefaultBranch: "main"})
			check(t, err)
			k.workspace = w.ID
			run := k.run(tt.script, nil)
			if e := k.ended(run); e.Status != db.Succeeded {
				t.Fatalf("it %s: %s\n%s", e.Status, e.Reason, k.transcript(run.Session.ID))
			}
			if said := k.transcript(run.Session.ID); !strings.Contains(said, tt.said) {
				t.Errorf("it said %q; want %q", said, tt.said)
			}
			s := k.session(run.Session.ID)
			if s.FilesChanged != tt.files || len(s.Diff) > 100_000 {
				t.Errorf("%d files changed, in a diff of %d bytes; want %d", s.FilesChanged, len(s.Diff), tt.files)
			}
			for _, want := range tt.diff {
				if !strings.Contains(s.Diff, want) {
					t.Errorf("the diff lacks %q:\n%.2000s", want, s.Diff)
				}
			}
		})
	}
}

// An agent of many small words: each is a line of its own in the protocol and an event of its own.
func TestAHundredThousandEventsAreTakenAndBounded(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	dir := t.TempDir()
	put(t, dir, "stream", `{"type":"thread.started","thread_id":"t"}`+"\n"+
		strings.Repeat(`{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"a piece "}}`+"\n",
			100_000)+
		`{"type":"item.completed","item":{"id":"z","type":"agent_message","text":"the last piece"}}`+"\n"+
		`{"type":"turn.completed","usage":{"input_tokens":1}}`+"\n")
	put(t, dir, "agent", "#!/bin/sh\ncat >/dev/null\nexec cat "+filepath.Join(dir, "stream")+"\n")
	check(t, os.Chmod(filepath.Join(dir, "agent"), 0o700)) //nolint:gosec // a program
	k.runner.Providers = func() []agent.Provider {
		return []agent.Provider{{
			ID: "many", Name: "Many", Driver: agent.DriverCodex, Command: []string{filepath.Join(dir, "agent")},
		}}
	}
	k.rules.Providers.List = func() []provider.Provider { return []provider.Provider{{ID: "many", Name: "Many"}} }
	k.start()
	run := k.run("Speak.", func(in *automation.Input) { in.Provider = "many" })
	e := k.ended(run)
	if e.Status != db.Succeeded || !strings.Contains(e.Answer, "the last piece") {
		t.Fatalf("it %s: %s, and answered %.200q", e.Status, e.Reason, e.Answer)
	}
	var rows, bytes int64
	check(t, k.db.NewRaw("SELECT count(*), sum(length(body::text)) FROM session_events WHERE session_id = ?",
		run.Session.ID).Scan(t.Context(), &rows, &bytes))
	if rows == 0 || bytes > 2*int64(defaultBounds.all) {
		t.Errorf("%d rows of %d KiB are kept; want at most %d KiB", rows, bytes>>10, 2*defaultBounds.all>>10)
	}
	if text := k.transcript(run.Session.ID); !strings.HasPrefix(text, "a piece") ||
		!strings.HasSuffix(text, "the last piece") {
		t.Errorf("the transcript lost its beginning or its end: %.40q … %q", text, text[max(0, len(text)-40):])
	}
}
