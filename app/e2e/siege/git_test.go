package siege

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/e2e/internal/stage"
)

// orders is the folder of the files that say in which command Git is to be killed: COMMAND.MOMENT, with a line for a
// blank.
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
	must(t, os.Mkdir(filepath.Join(dir, orders), 0o700))
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
	mv "$orders/$name.$moment" "$orders/$name.$moment.done" 2>/dev/null || continue
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

// kill orders that Git is killed at a moment of a command.
func (f *fault) kill(command, moment string) {
	f.t.Helper()
	must(f.t, os.WriteFile(filepath.Join(gitOrders, strings.ReplaceAll(command, " ", "-")+"."+moment), nil, 0o600))
}

// unkilled takes back the orders that nothing has met, and names them.
func (f *fault) unkilled() (list []string) {
	f.t.Helper()
	left, err := os.ReadDir(gitOrders)
	must(f.t, err)
	for _, order := range left {
		if !strings.HasSuffix(order.Name(), ".done") {
			list = append(list, order.Name())
		}
		must(f.t, os.Remove(filepath.Join(gitOrders, order.Name())))
	}
	return list
}
