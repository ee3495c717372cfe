package stage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repository makes a Git Repository with a history, and returns a local clone of it.
func Repository(t testing.TB) string {
	t.Helper()
	dir := Folder(t)
	source, clone := filepath.Join(dir, "source"), filepath.Join(dir, "greeter")
	git := func(in string, args ...string) {
		cmd := exec.Command("git", append([]string{"-c", "user.name=Grace Hopper", "-c", "user.email=grace@example.com",
			"-c", "commit.gpgsign=false"}, args...)...)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(dir, "init", "-q", "-b", "main", source)
	write("greeting.txt", "Hello, world.\nThis line stays.\n")
	git(source, "add", ".")
	git(source, "commit", "-q", "-m", "Greet the world")
	write("README.md", "# Greeter\n\nIt greets.\n")
	git(source, "add", ".")
	git(source, "commit", "-q", "-m", "Say what it is")
	git(dir, "clone", "-q", source, clone)
	return clone
}
