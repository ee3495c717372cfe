package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Found is the result of Detect. Problem is empty if the program can run.
type Found struct {
	Path, Version, Problem string
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?[\w.+-]*`)

// Detect finds a provider's program and asks for its version, which takes up to ten seconds. Agents update themselves,
// so callers detect again after a minute.
func Detect(ctx context.Context, p Provider) Found {
	if len(p.Command) == 0 {
		return Found{Problem: "no command is set"}
	}
	path, err := exec.LookPath(p.Command[0])
	if err != nil {
		if filepath.IsAbs(p.Command[0]) {
			return Found{Problem: fmt.Sprintf("%s cannot be run: %v", p.Command[0], errors.Unwrap(err))}
		}
		return Found{Problem: "the program " + p.Command[0] + " was not found in PATH"}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errTimeout)
	defer cancel()
	temp, err := tempDir()
	if err == nil {
		defer temp.remove()
		err = p.User.Own(string(temp))
	}
	if err != nil {
		return Found{Path: path, Problem: err.Error()}
	}
	env, _ := environment(os.Environ(), p, Turn{RunDir: string(temp), Dir: string(temp)})
	out, end, err := capture(ctx, command{
		argv: []string{path, "--version"}, dir: string(temp), env: env, grace: time.Second, user: p.User,
	})
	found := Found{Path: path}
	first, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	switch {
	case err != nil:
		found.Problem = "does not start: " + err.Error()
	case ctx.Err() != nil:
		found.Problem = "did not tell its version within 10 seconds"
	case end.Start != "":
		found.Problem = "does not start: " + end.Start
	case end.Exit != 0:
		found.Problem = fmt.Sprintf("--version failed with exit %d: %s", end.Exit, Clean(first))
	case versionNumber.MatchString(first):
		found.Version = versionNumber.FindString(first)
	default:
		found.Version = Clean(first)
	}
	return found
}

// folder is the path of a temporary folder.
type folder string

func tempDir() (folder, error) {
	dir, err := os.MkdirTemp("", "carillon-")
	if err != nil {
		return "", err
	}
	return folder(dir), os.Mkdir(filepath.Join(dir, "tmp"), 0o700)
}

func (f folder) remove() { _ = os.RemoveAll(string(f)) }
