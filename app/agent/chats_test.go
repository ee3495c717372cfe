package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The files are as Gemini CLI 0.61 leaves them: two after a conversation was loaded once, of which the second has no
// message.
func TestAConversationIsKeptFromWhatDeletesIt(t *testing.T) {
	t.Parallel()
	const id = "5ecad37c-90f8-4c7e-a91a-a87ae5d7d3b6"
	about := func(id string) string {
		return `{"sessionId":"` + id +
			`","projectHash":"x","startTime":"2026-11-29T20:36:01.000Z","lastUpdated":"2026-11-29T20:36:01.000Z","kind":"main"}` + "\n"
	}
	message := `{"id":"m","timestamp":"2026-11-29T20:36:02.000Z","type":"user","content":"one"}` + "\n"
	home := t.TempDir()
	chats := filepath.Join(home, ".gemini", "tmp", "work", "chats")
	files := map[string]string{
		"session-2026-11-29T20-36-5ecad37c.jsonl": about(id) + message,
		"session-2026-11-29T20-37-5ecad37c.jsonl": about(id) + `{"$set":{"lastUpdated":"2026-11-29T20:37:00.000Z"}}` +
			"\n",
		// begins alike
		"session-2026-11-29T20-38-5ecad37c.jsonl": about("5ecad37c-0000-4c7e-a91a-a87ae5d7d3b6") + message,
		"session-2026-11-29T20-36-00000000.jsonl": about("00000000-90f8-4c7e-a91a-a87ae5d7d3b6"),
	}
	if err := os.MkdirAll(chats, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(chats, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(outside, "chats"), 0o700); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(outside, "chats", "session-2026-11-29T20-36-5ecad37c.jsonl")
	if err := os.WriteFile(stranger, []byte(about(id)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(home, ".gemini", "tmp", "planted")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(chats, "session-2026-11-29T20-39-5ecad37c.jsonl"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &run{Provider: Provider{Chats: ".gemini/tmp"}, Turn: Turn{Resume: id}}
	for range 2 { // as often as a conversation goes on
		if err := r.prepareChat([]string{"HOME=" + home}); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	list, err := os.ReadDir(chats)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	want := "session-1970-01-01T00-00-5ecad37c.jsonl session-2026-11-29T20-36-00000000.jsonl " +
		"session-2026-11-29T20-38-5ecad37c.jsonl " +
		"session-2026-11-29T20-39-5ecad37c.jsonl"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("left are %s; want %s", got, want)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("a file outside of the folder is gone: %v", err)
	}
	for _, nothing := range []*run{{}, {Provider: r.Provider}, {Provider: r.Provider, Turn: Turn{Resume: "../../x"}},
		{Provider: Provider{Chats: ".none"}, Turn: r.Turn}} {
		if err := nothing.prepareChat([]string{"HOME=" + home}); err != nil {
			t.Error(err)
		}
	}
}
