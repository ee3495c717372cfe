package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"carillon/app/shell"
)

// A repository is text of others. Some programs obey files in it: they start what those name, or speak to the server
// that
// those name and send it their key. What is here keeps such files from them.

// CanBeReadOnly reports whether a program has a read-only mode of its own. Other programs run read-only turns in a
// Sandbox, or not at all.
func (p Provider) CanBeReadOnly() bool {
	switch p.Driver {
	case DriverClaude, DriverCodex:
		return true
	case DriverACP:
		return p.ReadMode != "" || p.Asks
	}
	return false
}

// guardRepository finds the files and variables of the repository that must not reach the program. It returns an error
// if this cannot be ensured.
func (r *run) guardRepository() error {
	if r.ReadOnly && r.Sandbox == nil && !r.CanBeReadOnly() {
		return r.readOnlyFailure(r.Name + " has no way to be held to looking")
	}
	var rels []string
	for _, rel := range r.Obeys {
		path, err := r.findObeyed(rel)
		switch {
		case err != nil:
			return r.exposedFailure(rel, err.Error())
		case path == "":
		case r.Sandbox == nil:
			return r.exposedFailure(rel, "this workspace runs without the sandbox, which would hide it")
		default:
			r.masked, rels = append(r.masked, path), append(rels, rel)
			r.warn("%s of the repository is hidden from %s, which would run what it names.", rel, r.Name)
		}
	}
	if len(r.masked) > 0 {
		empty, err := r.write(emptyFile, nil)
		if err != nil {
			return err
		}
		r.sandbox.Masked, r.sandbox.Empty = append(slices.Clone(r.sandbox.Masked), r.masked...), empty
		if err := r.cover(rels); err != nil {
			return err
		}
	}
	for _, rel := range r.DotEnv {
		names, err := r.steeringVariables(rel)
		if err != nil {
			return r.exposedFailure(rel, err.Error())
		}
		r.pins = append(r.pins, names...)
	}
	return nil
}

// ignoredFile is the name of the file in Turn.RunDir that makes Git ignore hidden untracked files.
const ignoredFile = "ignored"

// cover prevents Git in the sandbox from treating hidden files as emptied or as new.
func (r *run) cover(rels []string) error {
	var lines strings.Builder
	for _, rel := range rels {
		for _, c := range rel {
			if strings.ContainsRune(`\*?[]!# `, c) {
				lines.WriteByte('\\')
			}
			lines.WriteRune(c)
		}
		lines.WriteByte('\n')
	}
	var err error
	if r.ignored, err = r.write(ignoredFile, []byte("/"+strings.ReplaceAll(strings.TrimSuffix(lines.String(), "\n"),
		"\n", "\n/")+"\n")); err != nil {
		return err
	}
	if r.Sandbox.Cover == nil {
		return nil
	}
	uncover, err := r.Sandbox.Cover(rels)
	if err != nil {
		r.warn("To Git in the sandbox, what is hidden looks empty: %v.", err)
		return nil
	}
	r.uncover = uncover
	return nil
}

// ignoring adds variables to an environment that make Git ignore the files of a list, and keeps other configuration of
// Git in it.
func ignoring(env []string, list string) []string {
	const count = "GIT_CONFIG_COUNT"
	n, err := strconv.Atoi(variable(env, count))
	if err != nil || n < 0 {
		n = 0
	}
	env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, count+"=") })
	return append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=core.excludesFile", n),
		fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, list),
		fmt.Sprintf("%s=%d", count, n+1))
}

// readOnlyFailure is the failure of a read-only turn that cannot be enforced.
func (r *run) readOnlyFailure(why string) *Failure {
	return &Failure{Kind: FailStart, Reason: "this turn may change nothing, and " + why,
		Fix: "Switch the sandbox on in the workspace, or choose another provider."}
}

// exposedFailure is the failure of a turn because the repository has a file that the program would obey.
func (r *run) exposedFailure(rel, why string) *Failure {
	return &Failure{Kind: FailStart, Reason: fmt.Sprintf("the repository has %s, by which %s runs what others "+
		"wrote, and %s",
		rel, r.Name, why), Fix: "Switch the sandbox on in the workspace, take the file out of the repository, or " +
		"choose another provider."}
}

// findObeyed finds a file or folder of the repository; empty: there is none. A link is an error, because a mount over
// it would cover its target.
func (r *run) findObeyed(rel string) (string, error) {
	path := r.Dir
	for _, part := range strings.Split(rel, "/") {
		path = filepath.Join(path, part)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
			return "", nil
		case err != nil:
			return "", errors.New("it cannot be looked at")
		case !info.Mode().IsRegular() && !info.IsDir():
			return "", errors.New("it is a link or no file")
		}
	}
	return path, nil
}

// maxDotEnv bounds a file of variables, in bytes.
const maxDotEnv = 256 << 10

// assignment matches the beginning of an assignment, in all forms that programs read.
var assignment = regexp.MustCompile(`([\w.-]+)[\s\pZ\x{FEFF}]*[=:]`)

// steeringVariables lists the variables in a file of the repository that decide what the program runs, which server it
// uses and with which key. The program ignores them if they are set already, even to empty values.
func (r *run) steeringVariables(rel string) ([]string, error) {
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return nil, errors.New("it cannot be looked at")
	}
	defer root.Close()
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.New("it cannot be looked at")
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, errors.New("it cannot be looked at")
	case info.IsDir():
		return nil, nil
	case !info.Mode().IsRegular() || info.Size() > maxDotEnv:
		return nil, fmt.Errorf("it is no file of at most %d KiB", maxDotEnv>>10)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxDotEnv))
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	var names []string
	for _, m := range assignment.FindAllSubmatch(text, -1) {
		name := string(m[1])
		if (shell.Steers(name) || matchesName(r.Keys, name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// identifier matches an id of a conversation that may become an argument of a program.
var identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$`)

// checkResume checks the id of the conversation to resume, which came from a program and becomes an argument.
func (r *run) checkResume() error {
	if r.Resume == "" || identifier.MatchString(r.Resume) {
		return nil
	}
	return r.unknownConversation("its id is none")
}

// emptyFile is the name of a file without content in Turn.RunDir.
const emptyFile = "empty"

// mask gives bubblewrap's arguments that show files and folders empty. They must exist, and no part of their paths may
// be a link.
func mask(paths []string, empty string) []string {
	var out []string
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.IsDir() {
			out = append(out, "--tmpfs", path, "--remount-ro", path)
			continue
		}
		out = append(out, "--ro-bind", empty, path)
	}
	return out
}
