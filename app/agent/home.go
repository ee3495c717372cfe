package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A child in a sandbox has a home folder of its workspace. Sandbox.Home keeps the caches of package managers and the
// state of agents. Everything else in the home is empty at each start, so that files of one run, such as settings of
// Git, of a shell or of the agent, do not affect another. The agent's configuration is shown read-only from the home of
// the server's user, with a copy of the sign-in: see account.

// caches are the folders of a home that are kept for every workspace.
var caches = []string{".cache", ".npm", "go/pkg", ".cargo/registry", ".cargo/git", ".gradle/caches", ".gradle/wrapper",
	".m2/repository", ".nuget/packages", ".bundle/cache", ".yarn/berry/cache", ".local/share/pnpm/store",
	".bun/install/cache",
	".pub-cache", ".composer/cache", ".local/share/uv"}

// homeVariables are the variables that move folders of a home, with these folders. They are not set in a sandbox with a
// home of its own.
var homeVariables = []struct{ variable, folder string }{
	{"XDG_CONFIG_HOME", ".config"}, {"XDG_DATA_HOME", ".local/share"}, {"XDG_STATE_HOME", ".local/state"},
	{"XDG_CACHE_HOME", ".cache"},
	{"CLAUDE_CONFIG_DIR", ".claude"}, {"CODEX_HOME", ".codex"}, {"COPILOT_HOME", ".copilot"}, {"GEMINI_CLI_HOME", ""},
}

// pathVariables are further variables with paths in the home of the server's user, which a child with a home of its own
// does not see.
var pathVariables = []string{"OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR", "KILO_CONFIG", "KILO_CONFIG_DIR", "QWEN_HOME",
	"CODEX_SQLITE_HOME"}

// fileVariables are variables of the server with paths of files that a child has to read.
var fileVariables = []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
	"CURL_CA_BUNDLE",
	"GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_SHARED_CREDENTIALS_FILE",
	"AWS_CONFIG_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY"}

// isPathVariable reports whether a variable has a path that is different for a child with a home of its own.
func isPathVariable(name string) bool {
	return slices.Contains(pathVariables, name) ||
		slices.ContainsFunc(homeVariables, func(m struct{ variable, folder string }) bool {
			return m.variable == name
		})
}

// sourcePath is a path in the home of the agents' user, from which a sandbox gets configuration and sign-ins; empty:
// the home is unknown.
func (p Provider) sourcePath(relative string) string {
	if p.User == nil {
		return serverPath(relative)
	}
	if p.User.Home == "" {
		return ""
	}
	return filepath.Join(p.User.Home, relative)
}

// serverPath is a path in the home of the server's user; empty: the home is unknown.
func serverPath(relative string) string {
	for _, m := range homeVariables {
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

// prepareBox prepares the turn's sandbox, with the files of the run.
func (r *run) prepareBox() error {
	if r.Sandbox == nil {
		return nil
	}
	s := *r.Sandbox
	s.user = r.User
	s.Repository, s.Shown = slices.Clone(s.Repository), slices.Clone(s.Shown)
	// The server writes the files of the next message into the folder of the run, and would follow links there. So the
	// child can write only into the folder's subfolder for temporary files.
	s.temp = filepath.Join(r.RunDir, tempFolder)
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
		if path := os.Getenv(name); filepath.IsAbs(path) &&
			matchesName(slices.Concat(passedVariables, r.Keys, r.PassEnv), name) &&
			r.User.Reaches(path) {
			s.Shown = append(s.Shown, path)
		}
	}
	if s.Home != "" {
		if err := r.makeHome(&s); err != nil {
			return fmt.Errorf("the home of the sandbox: %w", err)
		}
	}
	r.mountGiven(&s)
	r.sandbox = &s
	return nil
}

// makeHome makes the home for one start.
func (r *run) makeHome(s *Sandbox) error {
	fresh, err := os.MkdirTemp(r.RunDir, "home-")
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(s.Home, 0o700), r.User.Own(fresh, s.Home)); err != nil {
		return err
	}
	s.home = []homeMount{{from: fresh, path: s.Home, writable: true}}
	if err := r.User.Do(func() error { return r.fillHome(s, fresh) }); err != nil {
		return err
	}
	return r.signIn(s, fresh)
}

// fillHome makes the content of the home for one start, with the rights of the user whose programs write there too.
func (r *run) fillHome(s *Sandbox, fresh string) error {
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
		if info, err := os.Stat(dir); err == nil && !info.IsDir() { // a file of Provider.State
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

// plainBelow returns an error if a part of a path below a folder is a link. If the state of one program is in a folder
// of another program, the other one could put a link there, whose target would be shown to the first.
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

// Bounds of the first copy of a program's state, for a program without a known file of its sign-in.
const (
	mostStateFiles = 2_000
	mostStateBytes = 64 << 20
)

var errMuchState = errors.New("its own files in the server's home are too many or too large to be copied")

// copyState copies a program's state from the server's home to the home of a workspace: regular files and folders
// alone.
func copyState(from, to string) error {
	if from == "" {
		return nil
	}
	if info, err := os.Stat(from); err != nil {
		return nil //nolint:nilerr // there is no state to copy
	} else if info.Mode().IsRegular() {
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), copyPlain(from, to))
	}
	made, err := os.MkdirTemp(mkParent(to), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made) //nolint:errcheck // it was moved, or is removed with the workspace
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
	if err := os.Rename(made, to); err != nil && !isFolder(to) { // a concurrent start was first
		return err
	}
	return nil
}

func mkParent(path string) string {
	parent := filepath.Dir(path)
	_ = os.MkdirAll(parent, 0o700) // the later write reports an error
	return parent
}

func copyPlain(from, to string) error {
	text, err := readRegular(from, mostStateBytes)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// readRegular reads a file that a program may replace meanwhile: it waits for no pipe and reads at most limit bytes. A
// larger file is errMuchState.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, readPlain, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is no file", path))
	}
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errMuchState
	}
	return text, err
}
