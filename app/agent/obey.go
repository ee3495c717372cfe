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

// Holds reports whether a program can be held to looking by its own means. Another runs a turn that changes nothing in
// a
// Sandbox, or not at all.
func (p Provider) Holds() bool {
	switch p.Driver {
	case DriverClaude, DriverCodex:
		return true
	case DriverACP:
		return p.ReadMode != "" || p.Asks
	}
	return false
}

// guarded finds out what has to be kept from the program, and refuses a turn in which that cannot be done.
func (r *run) guarded() error {
	if r.ReadOnly && r.Sandbox == nil && !r.Holds() {
		return r.unheld(r.Name + " has no way to be held to looking")
	}
	var rels []string
	for _, rel := range r.Obeys {
		path, err := r.obeyed(rel)
		switch {
		case err != nil:
			return r.exposed(rel, err.Error())
		case path == "":
		case r.Sandbox == nil:
			return r.exposed(rel, "this workspace runs without the sandbox, which would hide it")
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
		r.box.Masked, r.box.Empty = append(slices.Clone(r.box.Masked), r.masked...), empty
		if err := r.cover(rels); err != nil {
			return err
		}
	}
	for _, rel := range r.DotEnv {
		names, err := r.steering(rel)
		if err != nil {
			return r.exposed(rel, err.Error())
		}
		r.pins = append(r.pins, names...)
	}
	return nil
}

// ignoredFile is the name of the file in Turn.RunDir that has Git ignore what is hidden and not tracked.
const ignoredFile = "ignored"

// cover keeps Git in the sandbox from taking what is hidden for emptied, or for new.
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

// ignoring adds to an environment what has Git ignore the files of a list, beside what else it is configured by there.
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

// unheld is the failure of a turn that is to change nothing and cannot be held to that.
func (r *run) unheld(why string) *Failure {
	return &Failure{Kind: FailStart, Reason: "this turn may change nothing, and " + why,
		Fix: "Switch the sandbox on in the workspace, or choose another provider."}
}

// exposed is the failure of a turn whose repository has a file that the program would obey.
func (r *run) exposed(rel, why string) *Failure {
	return &Failure{Kind: FailStart, Reason: fmt.Sprintf("the repository has %s, by which %s runs what others "+
		"wrote, and %s",
		rel, r.Name, why), Fix: "Switch the sandbox on in the workspace, take the file out of the repository, or " +
		"choose another provider."}
}

// obeyed is where a file or a folder of the repository lies; empty if there is none. A link is an error: what is bound
// over
// it would be bound over its target.
func (r *run) obeyed(rel string) (string, error) {
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

// longDotEnv is how long a file of variables may be, in bytes.
const longDotEnv = 256 << 10

// assigned is the beginning of an assignment, in any of the forms that programs read.
var assigned = regexp.MustCompile(`([\w.-]+)[\s\pZ\x{FEFF}]*[=:]`)

// steering names the variables in a file of the repository that decide what the program runs, or to whom it speaks and
// with
// which key. The program takes none of them where they are set, if only to nothing.
func (r *run) steering(rel string) ([]string, error) {
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
	case !info.Mode().IsRegular() || info.Size() > longDotEnv:
		return nil, fmt.Errorf("it is no file of at most %d KiB", longDotEnv>>10)
	}
	text, err := io.ReadAll(io.LimitReader(f, longDotEnv))
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	var names []string
	for _, m := range assigned.FindAllSubmatch(text, -1) {
		name := string(m[1])
		if (shell.Steers(name) || named(r.Keys, name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// identifier is what an id of a conversation looks like that may become an argument of a program.
var identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$`)

// resumes checks the id of the conversation that is to be gone on with. It came from a program, and becomes an
// argument.
func (r *run) resumes() error {
	if r.Resume == "" || identifier.MatchString(r.Resume) {
		return nil
	}
	return r.unknownConversation("its id is none")
}

// emptyFile is the name of a file without content in Turn.RunDir.
const emptyFile = "empty"

// mask shows files and folders empty. They exist, and no part of their path is a link.
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
