package runas

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// another is a user of this machine that a test may act as.
func another(t *testing.T) *User {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, which alone may act as another user")
	}
	u, err := LookUp("nobody")
	if err != nil {
		t.Skip("needs the user nobody: ", err)
	}
	return u
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAUserCanUseIsWhatItMayReadOrGoInto(t *testing.T) {
	t.Parallel()
	u := another(t)
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o755)) //nolint:gosec // the other user goes through them
	for name, c := range map[string]struct {
		mode os.FileMode
		dir  bool
		uses bool
	}{
		"open": {0o644, false, true}, "closed": {0o600, false, false}, "folder": {0o755, true, true},
		"way": {0o711, true, true}, "shut": {0o700, true, false},
	} {
		path := filepath.Join(dir, name)
		if c.dir {
			must(t, os.Mkdir(path, 0o700))
		} else {
			must(t, os.WriteFile(path, nil, 0o600))
		}
		must(t, os.Chmod(path, c.mode))
		if u.Uses(path) != c.uses {
			t.Errorf("%s with %v: it uses it: %v", name, c.mode, !c.uses)
		}
		if !u.Reaches(path) {
			t.Errorf("%s is not reached", name)
		}
	}
	if u.Uses(filepath.Join(dir, "missing")) || u.Reaches(filepath.Join(dir, "shut", "x")) {
		t.Error("what is not there is used")
	}
	if nobody := (*User)(nil); !nobody.Uses(filepath.Join(dir, "missing")) {
		t.Error("where there is no other user something is refused")
	}
}

func TestWhatIsHandedOverIsNoFileOfOthers(t *testing.T) {
	t.Parallel()
	u := another(t)
	dir := t.TempDir()
	given, outside := filepath.Join(dir, "given"), filepath.Join(dir, "outside")
	must(t, os.MkdirAll(filepath.Join(given, "inner"), 0o700), os.WriteFile(outside, nil, 0o600),
		os.WriteFile(filepath.Join(given, "inner", "file"), nil, 0o600),
		os.Link(outside, filepath.Join(given, "named")),
		os.Symlink(outside, filepath.Join(given, "link")))
	must(t, u.Own(given, filepath.Join(dir, "missing")))
	for path, want := range map[string]bool{
		given: true, filepath.Join(given, "inner"): true, filepath.Join(given, "inner", "file"): true, outside: false,
	} {
		if u.Belongs(path) != want {
			t.Errorf("%s belongs to the user: %v; want %v", path, !want, want)
		}
	}
	must(t, (*User)(nil).Own(given))
	if u.Belongs(given) || u.Belongs(filepath.Join(given, "inner", "file")) {
		t.Error("it was not taken back")
	}
}

func TestAPanicWhileActingAsAUserIsTheCallers(t *testing.T) {
	t.Parallel()
	u := another(t)
	defer func() {
		if recover() != "fell" {
			t.Error("the panic was lost")
		}
		if os.Geteuid() != 0 || os.WriteFile(filepath.Join(t.TempDir(), "x"), nil, 0o600) != nil {
			t.Error("the caller has other rights than before")
		}
	}()
	_ = u.Do(func() error { panic("fell") })
}
