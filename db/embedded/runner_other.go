//go:build unix && !linux

package embedded

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// namespaceRunner reports that there are no user namespaces.
func namespaceRunner(context.Context, string, string) (runner, bool) { return runner{}, false }

// attributes makes the attributes of a process of the runner.
func (r runner) attributes() *syscall.SysProcAttr {
	if r.uid != 0 {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: r.uid, Gid: r.gid}}
	}
	return &syscall.SysProcAttr{}
}

// dieWithParent does nothing: the system has no such signal, and the next start ends an orphan.
func dieWithParent(*syscall.SysProcAttr) {}

// arguments returns the command line of a process, nothing for one that has ended, a zombie included. Where
// the process is a server, it is split at our own flags, since a path may hold blanks.
func arguments(pid int) []string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	program, rest, found := strings.Cut(strings.TrimSpace(string(out)), " -D ")
	if !found {
		return []string{program}
	}
	cluster, _, _ := strings.Cut(rest, " -c ")
	return []string{program, "-D", cluster}
}
