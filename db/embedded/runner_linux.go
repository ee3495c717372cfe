package embedded

import (
	"bytes"
	"context"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// namespaceRunner lets root run the programs in a user namespace, if the system allows one. They keep the
// rights of root's files, so folders that are closed to other users work too.
func namespaceRunner(ctx context.Context, bin, dir string) (runner, bool) {
	// initdb wants the user to have a name.
	for _, name := range []string{"postgres", "nobody", "daemon"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		r := runner{namespace: account, login: account.Username}
		return r, r.tryRun(ctx, bin, dir) == nil
	}
	return runner{}, false
}

// attributes makes the attributes of a process of the runner.
func (r runner) attributes() *syscall.SysProcAttr {
	switch {
	case r.namespace != nil:
		uid, _ := strconv.Atoi(r.namespace.Uid) // numbers on every Unix
		gid, _ := strconv.Atoi(r.namespace.Gid)
		return &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getegid(), Size: 1}},
		}
	case r.uid != 0:
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: r.uid, Gid: r.gid}}
	}
	return &syscall.SysProcAttr{}
}

// dieWithParent asks the system to stop the process in order when this one ends.
func dieWithParent(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGINT }

// arguments returns the command line of a process, nothing for one that has ended, a zombie included.
func arguments(pid int) []string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return nil
	}
	var list []string
	for _, arg := range bytes.Split(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		list = append(list, string(arg))
	}
	return list
}
