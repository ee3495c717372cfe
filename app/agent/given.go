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

// A workspace's sandbox may show files and folders of the machine, read-only at their own paths: Sandbox.Given. A path
// that begins with ~/ is in the home of the agents' user, and is shown in the home of the sandbox.

// givenMount is a path of the machine that a sandbox shows.
type givenMount struct{ from, path string }

// systems are folders with the state of the system, and sockets are folders with the sockets of services. A read-only
// socket can still be used.
var (
	systems = []string{"/proc", "/sys", "/dev"}
	sockets = []string{"/run", "/var/run"}
)

// HiddenReason gives the reason for which a sandbox that hides some paths must not show a path: after following links,
// the path is in a hidden one or contains one. A path may begin with ~/, the home of the agents' user. The reason is
// empty if the path may be shown.
func HiddenReason(path string, user *runas.User, hidden []string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := user.HomeDir()
		if err != nil {
			return "there is no home folder here"
		}
		path = filepath.Join(home, rest)
	}
	return hiddenReason(resolved(path), user, hidden)
}

// resolved follows the links of a path as far as the path exists.
func resolved(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

// hiddenReason is Concealed for a path without links.
func hiddenReason(real string, user *runas.User, hidden []string) string {
	crosses := func(paths []string) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			p = resolved(p)
			return within(real, p) || within(p, real)
		})
	}
	whole := func(home string, err error) bool { return err == nil && within(resolved(home), real) }
	switch {
	case !within(real, "/dev/shm") && crosses(systems): // it has files in memory
		return "it belongs to the system"
	case crosses(hidden):
		return "sandboxes hide it, or something in it"
	case whole(os.UserHomeDir()), whole(user.HomeDir()):
		return "the home folder as a whole is not shown: name something in it"
	}
	for _, dir := range sockets {
		if dir = resolved(dir); within(dir, real) || within(real, dir) && isFolder(real) {
			return "services have their sockets there"
		}
	}
	return ""
}

// mountGiven adds the paths of Sandbox.Given to the sandbox. It warns of paths that cannot be shown and leaves them
// out.
func (r *run) mountGiven(s *Sandbox) {
	secluded := append(s.hiddenFolders(), ownFolders...)
	for _, path := range s.Given {
		if why := r.mountGivenPath(s, path, secluded); why != "" {
			r.warn("%s is not shown in the sandbox: %s.", path, why)
		}
	}
}

// mountGivenPath adds one path, or gives the reason for which it cannot be shown.
func (r *run) mountGivenPath(s *Sandbox, path string, secluded []string) string {
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
	if why := hiddenReason(real, r.User, s.Hidden); why != "" {
		return why
	}
	if slices.ContainsFunc(s.Shown, func(shown string) bool { return within(named, shown) }) {
		return "" // every sandbox shows it
	}
	if relative != "" && s.Home != "" {
		return r.mountGivenInHome(s, real, relative)
	}
	// links are followed, but not one that is the path itself
	place := filepath.Join(resolved(filepath.Dir(named)), filepath.Base(named))
	for _, at := range []string{real, place} {
		hidden := slices.ContainsFunc(secluded, func(dir string) bool { return within(at, dir) })
		if m := (givenMount{real, at}); hidden && !slices.Contains(s.given, m) {
			s.given = append(s.given, m)
		}
	}
	return ""
}

// mountGivenInHome shows a file or folder in the home of the sandbox.
func (r *run) mountGivenInHome(s *Sandbox, real, relative string) string {
	for _, kept := range slices.Concat(caches, r.State) {
		if within(kept, relative) {
			return "each workspace keeps ~/" + kept + " itself. Name something else in the folder"
		}
	}
	if r.Account != "" && within(r.Account, relative) || slices.ContainsFunc(r.Config, func(c string) bool {
		return within(relative, c)
	}) {
		return "" // it is shown with the agent's own files
	}
	s.givenHome = append(s.givenHome, givenMount{real, filepath.Join(s.Home, relative)})
	return ""
}
