package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carillon/app/runas"
)

// A workspace may be given files and folders of the machine, which its sandbox shows read-only where they lie:
// Sandbox.Given.
// A path that begins with ~/ lies in the home of the user as whom agents run, and is shown in the home of the sandbox.

// givenMount is a path of the machine that a sandbox shows.
type givenMount struct{ from, path string }

// systems are folders in which the system shows itself, and sockets the folders in which services have theirs: a
// socket can
// be used that is shown read-only.
var (
	systems = []string{"/proc", "/sys", "/dev"}
	sockets = []string{"/run", "/var/run"}
)

// Concealed tells why a path of this machine is shown in no sandbox that hides some paths: where its links lead, it
// lies in one of them or holds one. A path may begin with ~/, the home of the user as whom agents run. Empty: it may be
// shown, as far as it is there.
func Concealed(path string, user *runas.User, hidden []string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := user.HomeDir()
		if err != nil {
			return "there is no home folder here"
		}
		path = filepath.Join(home, rest)
	}
	return concealed(followed(path), user, hidden)
}

// followed is where a path leads, as far as it is there.
func followed(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(followed(parent), filepath.Base(path))
	}
	return path
}

// concealed is Concealed for a path without links.
func concealed(real string, user *runas.User, hidden []string) string {
	crosses := func(paths []string) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			p = followed(p)
			return within(real, p) || within(p, real)
		})
	}
	whole := func(home string, err error) bool { return err == nil && within(followed(home), real) }
	switch {
	case !within(real, "/dev/shm") && crosses(systems): // files in memory are files
		return "it belongs to the system"
	case crosses(hidden):
		return "sandboxes hide it, or something in it"
	case whole(os.UserHomeDir()), whole(user.HomeDir()):
		return "the home folder as a whole is not shown: name something in it"
	}
	for _, dir := range sockets {
		if dir = followed(dir); within(dir, real) || within(real, dir) && isFolder(real) {
			return "services have their sockets there"
		}
	}
	return ""
}

// give adds to a sandbox what its workspace is given. What cannot be shown is told, and left out.
func (r *run) give(s *Sandbox) {
	secluded := append(s.secluded(), ownFolders...)
	for _, path := range s.Given {
		if why := r.giveOne(s, path, secluded); why != "" {
			r.warn("%s is not shown in the sandbox: %s.", path, why)
		}
	}
}

// giveOne adds one path, or tells why not.
func (r *run) giveOne(s *Sandbox, path string, secluded []string) string {
	named, relative := filepath.Clean(path), ""
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := r.User.HomeDir()
		if err != nil || !filepath.IsAbs(home) {
			return "this worker has no home folder"
		}
		relative = filepath.Clean(rest)
		named = filepath.Join(home, relative)
	}
	real, err := filepath.EvalSymlinks(named)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there on this worker"
	case err != nil:
		return "it cannot be looked at on this worker"
	case !r.User.Uses(real):
		return "the user that agents run as cannot read it"
	case !isFolder(real) && !isFile(real):
		return "it is neither a file nor a folder"
	}
	if why := concealed(real, r.User, s.Hidden); why != "" {
		return why
	}
	if slices.ContainsFunc(s.Shown, func(shown string) bool { return within(named, shown) }) {
		return "" // all sandboxes show it
	}
	if relative != "" && s.Home != "" {
		return r.giveInHome(s, real, relative)
	}
	// where links lead but that of the path itself
	place := filepath.Join(followed(filepath.Dir(named)), filepath.Base(named))
	for _, at := range []string{real, place} {
		hidden := slices.ContainsFunc(secluded, func(dir string) bool { return within(at, dir) })
		if m := (givenMount{real, at}); hidden && !slices.Contains(s.given, m) {
			s.given = append(s.given, m)
		}
	}
	return ""
}

// giveInHome shows a file or folder in the sandbox's own home.
func (r *run) giveInHome(s *Sandbox, real, relative string) string {
	for _, kept := range slices.Concat(caches, r.State) {
		if within(kept, relative) {
			return "each workspace keeps ~/" + kept + " itself. Name something else in the folder"
		}
	}
	if r.Account != "" && within(r.Account, relative) || slices.ContainsFunc(r.Config, func(c string) bool {
		return within(relative, c)
	}) {
		return "" // it is shown with what the agent needs
	}
	s.givenHome = append(s.givenHome, givenMount{real, filepath.Join(s.Home, relative)})
	return ""
}
