package siege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carillon/app/e2e/internal/stage"
)

// orders is the folder of the pipes that say in which command Git is to be killed: COMMAND.MOMENT, with a line for a
// blank. Whoever reads the one byte of a pipe is killed. A pipe can be read where the file system is read-only, as it
// is for a Git that is confined to a repository, and by another user.
const orders = "orders"

// gitThatDies is a folder with a git that is killed in commands for which there is an order: before it does anything,
// at its first write to a file, when its locks are taken and nothing is cleaned up, or after it has done everything. It
// is killed once for each order.
func gitThatDies(t testing.TB) string {
	t.Helper()
	real, err := exec.LookPath("git")
	must(t, err)
	bash, err := exec.LookPath("bash")
	must(t, err)
	dir := stage.Folder(t)
	must(t, os.Mkdir(filepath.Join(dir, orders), 0o711))
	script := fmt.Sprintf(`#!%[1]s
orders='%[2]s/%[3]s'
name=
for word; do
	case $word in
	-c | -C | --git-dir | --work-tree) skip=1 ;;
	-*) ;;
	*)
		if [ -n "$skip" ]; then skip=; continue; fi
		if [ "$name" = worktree ]; then name=$name-$word; break; fi
		name=$word
		[ "$name" = worktree ] || break
		;;
	esac
done
for moment in before write after; do
	order=$orders/$name.$moment
	[ -p "$order" ] && read -r -t 0.05 -N 1 byte <>"$order" || continue
	case $moment in
	before) kill -KILL $$ ;;
	write) ulimit -c 0; ulimit -f 0; exec '%[4]s' "$@" ;;
	after) '%[4]s' "$@"; kill -KILL $$ ;;
	esac
done
exec '%[4]s' "$@"
`, bash, dir, orders, real)
	must(t, os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755))
	gitOrders = filepath.Join(dir, orders)
	return dir
}

// gitOrders is the folder of the orders of the one siege of this process.
var gitOrders string

// order is that Git is killed once at a moment of a command.
type order struct {
	name string // of its pipe
	pipe int
}

// kill orders that Git is killed at a moment of a command.
func (f *fault) kill(command, moment string) {
	f.t.Helper()
	name := strings.ReplaceAll(command, " ", "-") + "." + moment
	path := filepath.Join(gitOrders, name)
	must(f.t, unix.Mkfifo(path, 0o600))
	must(f.t, os.Chmod(path, 0o666)) // whatever the umask
	pipe, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	must(f.t, err)
	_, err = unix.Write(pipe, []byte("x"))
	must(f.t, err)
	f.orders = append(f.orders, order{name, pipe})
}

// hasOrders reports whether there is an order that nothing has met.
func (f *fault) hasOrders() bool {
	f.t.Helper()
	waiting := make([]unix.PollFd, len(f.orders))
	for i, o := range f.orders {
		waiting[i] = unix.PollFd{Fd: int32(o.pipe), Events: unix.POLLIN}
	}
	n, err := unix.Poll(waiting, 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(waiting, 0)
	}
	must(f.t, err)
	return n > 0
}

// unkilled takes back the orders that nothing has met, and names them.
func (f *fault) unkilled() (list []string) {
	f.t.Helper()
	for _, o := range f.orders {
		if n, _ := unix.Read(o.pipe, make([]byte, 1)); n == 1 {
			list = append(list, o.name)
		}
		must(f.t, errors.Join(unix.Close(o.pipe), os.Remove(filepath.Join(gitOrders, o.name))))
	}
	f.orders = nil
	return list
}
