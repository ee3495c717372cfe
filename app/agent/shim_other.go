//go:build unix && !linux

package agent

import (
	"os"
	"syscall"
)

func selfPath() (string, error) { return os.Executable() }

func closeOnExec() {
	syscall.CloseOnExec(lifeFD)
	syscall.CloseOnExec(reportFD)
	syscall.CloseOnExec(heldFD)
}

func adopt() {}

func newKeyring() {}

func leaderAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func terminate(leader int, _ string) { _ = syscall.Kill(-leader, syscall.SIGTERM) }

// signalAll signals the child's process group. Elsewhere than on Linux a process that left the group
// cannot be found.
func signalAll(leader int, sig syscall.Signal) []int {
	if syscall.Kill(-leader, sig) != nil {
		return nil
	}
	return []int{leader}
}

// leftBehind finds nothing: elsewhere than on Linux descendants cannot be listed.
func leftBehind() (n int, names []string) { return 0, nil }

// preferOOMKill and watch do nothing: only Linux reports the resource use of descendants.
func preferOOMKill() (restore func()) { return func() {} }

func watch(bounds) <-chan excess { return nil }

// ProtectMemory does nothing here: only Linux can do it.
func ProtectMemory() error { return nil }
