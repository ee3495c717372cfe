package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A child in a sandbox has a home folder of its workspace. What lies in Sandbox.Home is kept: the caches of package
// managers and what the agents remember. All else in it begins empty with each start, so that nothing that one run
// leaves, such as settings of Git, of a shell or of the agent itself, is obeyed by another. From the home of the
// server's user come the agent's configuration, read-only, and a copy of its sign-in: see account.

// caches are the folders of a home that every workspace keeps.
var caches = []string{".cache", ".npm", "go/pkg", ".cargo/registry", ".cargo/git", ".gradle/caches", ".gradle/wrapper",
	".m2/repository", ".nuget/packages", ".bundle/cache", ".yarn/berry/cache", ".local/share/pnpm/store",
	".bun/install/cache",
	".pub-cache", ".composer/cache", ".local/share/uv"}

// moved are the variables by which the folders of a home are elsewhere, and the folder that each moves. In a sandbox
// with a home of its own they do not hold.
var moved = []struct{ variable, folder string }{
	{"XDG_CONFIG_HOME", ".config"}, {"XDG_DATA_HOME", ".local/share"}, {"XDG_STATE_HOME", ".local/state"},
	{"XDG_CACHE_HOME", ".cache"},
	{"CLAUDE_CONFIG_DIR", ".claude"}, {"CODEX_HOME", ".codex"}, {"COPILOT_HOME", ".copilot"}, {"GEMINI_CLI_HOME", ""},
}

// places are further variables that name files of the server's user, which a child with a home of its own does not see.
var places = []string{"OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "KILO_CONFIG", "KILO_CONFIG_DIR", "QWEN_HOME",
	"CODEX_SQLITE_HOME"}

// fileVariables are variables of the server whose values are paths of files that a child has to read.
var fileVariables = []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
	"CURL_CA_BUNDLE",
	"GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY"}

// elsewhere reports whether a variable names a place that a child with a home of its own has somewhere else.
func elsewhere(name string) bool {
	return slices.Contains(places, name) || slices.ContainsFunc(moved, func(m struct{ variable, folder string }) bool {
		return m.variable == name
	})
}

// sourcePath is where a path below the home folder is from which a sandbox has configuration and sign-ins: that of the
// user as whom programs run. It is empty where that is not known.
func (p Provider) sourcePath(relative string) string {
	if p.User == nil {
		return serverPath(relative)
	}
	if p.User.Home == "" {
		return ""
	}
	return filepath.Join(p.User.Home, relative)
}

// serverPath is where a path below the home folder is for the server's own user; empty where that is not known.
func serverPath(relative string) string {
	for _, m := range moved {
		value := os.Getenv(m.variable)
		if !filepath.IsAbs(value) {
			continue
		}
		switch rest, ok := strings.CutPrefix(relative, m.folder+"/"); {
		case ok:
			return filepath.Join(value, rest)
		case m.folder == "" && strings.HasPrefix(relative, ".gemini/"):
			return filepath.Join(value, relative)
		}
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Join(home, relative)
}

// box prepares the turn's sandbox, with what the run itself needs.
func (r *run) prepareBox() error {
	if r.Sandbox == nil {
		return nil
	}
	s := *r.Sandbox
	s.user = r.User
	s.Repository, s.Shown = slices.Clone(s.Repository), slices.Clone(s.Shown)
	// In the folder of the run the server writes the files of the next message, through whatever is there in their
	// place. So of that folder the child can write where its temporary files are, and no more.
	s.temp = filepath.Join(r.RunDir, temporary)
	s.Writable = append(slices.Clone(s.Writable), s.temp)
	s.Repository = append(s.Repository, Mount{Path: r.RunDir})
	covers := ""
	s.covers = func() (string, error) {
		if covers == "" {
			made, err := os.MkdirTemp(r.RunDir, "covers-")
			if err == nil {
				err = r.User.Own(made)
			}
			if err != nil {
				return "", err
			}
			covers = made
		}
		cover, err := os.MkdirTemp(covers, "")
		if err != nil {
			return "", err
		}
		return cover, r.User.Own(cover)
	}
	if r.ReadOnly {
		for i := range s.Repository {
			s.Repository[i].Writable = false
		}
	} else {
		s.Repository = append([]Mount{{Path: r.Dir, Writable: true}}, s.Repository...)
	}
	for _, name := range fileVariables {
		if path := os.Getenv(name); filepath.IsAbs(path) && named(slices.Concat(passed, r.Keys, r.PassEnv), name) &&
			r.User.Reaches(path) {
			s.Shown = append(s.Shown, path)
		}
	}
	if s.Home != "" {
		if err := r.furnish(&s); err != nil {
			return fmt.Errorf("the home of the sandbox: %w", err)
		}
	}
	r.give(&s)
	r.box = &s
	return nil
}

// furnish makes the home of a start.
func (r *run) furnish(s *Sandbox) error {
	fresh, err := os.MkdirTemp(r.RunDir, "home-")
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(s.Home, 0o700), r.User.Own(fresh, s.Home)); err != nil {
		return err
	}
	s.home = []homeMount{{from: fresh, path: s.Home, writable: true}}
	if err := r.User.Do(func() error { return r.fill(s, fresh) }); err != nil {
		return err
	}
	return r.signIn(s, fresh)
}

// fill makes the home of a start: with the rights of the user whose programs write there too.
func (r *run) fill(s *Sandbox, fresh string) error {
	kept := slices.Concat(caches, r.State)
	for _, path := range kept {
		if err := plainBelow(s.Home, path); err != nil {
			return err
		}
		dir := filepath.Join(s.Home, path)
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) && r.Account == "" &&
			slices.Contains(r.State, path) {
			if err := copyState(r.sourcePath(path), dir); err != nil {
				return err
			}
		}
		if info, err := os.Stat(dir); err == nil && !info.IsDir() { // a file that a provider keeps
			s.home = append(s.home, homeMount{from: dir, path: dir, writable: true})
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		s.home = append(s.home, homeMount{from: dir, path: dir, writable: true})
	}
	for _, path := range r.Config {
		if from := r.sourcePath(path); from != "" && (isFolder(from) || isFile(from)) {
			s.home = append(s.home, homeMount{from: from, path: filepath.Join(s.Home, path)})
		}
	}
	if home, err := r.User.HomeDir(); err == nil {
		for _, path := range s.Shown {
			relative, ok := strings.CutPrefix(path, home+"/")
			if !ok || slices.ContainsFunc(kept, func(k string) bool {
				return within(k, relative) || within(relative, k)
			}) {
				continue
			}
			link := filepath.Join(fresh, relative)
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), os.Symlink(path, link)); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainBelow expects that no part of a path below a folder is a link. Where what one program keeps is in a folder of
// another one, that one can put a link there, whose target would be shown to the first.
func plainBelow(dir, path string) error {
	for part := range strings.SplitSeq(path, "/") {
		dir = filepath.Join(dir, part)
		switch info, err := os.Lstat(dir); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case info.Mode()&fs.ModeSymlink != 0:
			return fmt.Errorf("%s is a link, which Carillon did not make. Remove it", path)
		}
	}
	return nil
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// Of the state of a program whose sign-in is in no known file so much is copied at first.
const (
	mostStateFiles = 2_000
	mostStateBytes = 64 << 20
)

var errMuchState = errors.New("its own files in the server's home are too many or too large to be copied")

// copyState copies what a program keeps in the server's home to the home of a workspace: plain files and folders alone.
func copyState(from, to string) error {
	if from == "" {
		return nil
	}
	if info, err := os.Stat(from); err != nil {
		return nil //nolint:nilerr // there is nothing to begin with
	} else if info.Mode().IsRegular() {
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), copyPlain(from, to))
	}
	made, err := os.MkdirTemp(mkParent(to), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made) //nolint:errcheck // it has been moved, or is swept with the workspace
	files, size := 0, int64(0)
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(made, relative)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if files, size = files+1, size+info.Size(); files > mostStateFiles || size > mostStateBytes {
			return errMuchState
		}
		return copyPlain(path, target)
	})
	if err != nil {
		return err
	}
	if err := os.Rename(made, to); err != nil && !isFolder(to) { // another start of the same moment was first
		return err
	}
	return nil
}

func mkParent(path string) string {
	parent := filepath.Dir(path)
	_ = os.MkdirAll(parent, 0o700) // what is missing is told by who writes into it
	return parent
}

func copyPlain(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
