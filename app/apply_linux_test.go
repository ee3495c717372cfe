package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carillon/app/account"
)

func TestApplyAsksOnATerminal(t *testing.T) {
	t.Parallel()
	e := served(t, account.RoleAdministrator)
	file := write(t, filepath.Join(t.TempDir(), "a.yaml"), "kind: Bot\nname: Rita\ninstructions: Be kind.\n")
	answer := func(text string) outcome {
		person, terminal := pty(t)
		if _, err := person.WriteString(text + "\n"); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), []string{"apply", "-f", file}, e.get, terminal, &stdout, &stderr)
		return outcome{status, stdout.String(), stderr.String()}
	}
	o := answer("y")
	oneLine(t, o, "nothing was applied")
	if !strings.Contains(o.stdout, "+ Bot “Rita” for all workspaces") ||
		!strings.Contains(o.stdout, "Apply this? Only yes is taken for it: ") {
		t.Errorf("asked so:\n%s", o.stdout)
	}
	if o := answer("yes"); o.status != exitOK || !strings.Contains(o.stdout, "Applied: 1 created") {
		t.Errorf("with yes: %+v", o)
	}
}

// pty is a terminal and the side of it at which a person sits.
func pty(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return person, terminal
}
