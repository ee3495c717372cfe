package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"carillon/app/runas"
)

// Sandbox runs the child under bubblewrap, without any capability: the file system read-only, /run empty, the homes of
// people and of the server's user out of sight, and other processes too. The worktree is writable, and a folder for
// temporary files, which is /tmp too; in a read-only turn nothing of the repository is. What the child writes is on the
// disk and below Turn.RunDir, the worktree, the repository and Home: a file system in memory would take memory that no
// process has.
type Sandbox struct {
	// what belongs to the worktree outside of it, in this order; nothing of it is writable in a read-only turn
	Repository []Mount
	Writable   []string // further folders and files
	Hidden     []string // folders and files that the child must not read: the server's data, the database's socket
	Shown      []string // folders and files of the homes that it may read all the same
	// further ones of the machine, absolute or with ~/ in front; what is not there is told, and no failure
	Given []string

	// Home is the folder of the workspace in which its caches and what its agents remember are kept. It is the child's
	// home folder, of which all else begins empty with each start. Empty: the server's own home, without what is in it.
	Home   string
	Masked []string // files and folders of the worktree that are seen empty: what the agent would obey
	Empty  string   // a file without content, which is seen in place of each file of Masked
	// Cover is told what is seen empty, by its paths in the worktree, before the child starts, so that Git does not
	// take it for changed; what it returns is called when the child has ended. nil: to Git it looks emptied.
	Cover   func(paths []string) (uncover func(), err error)
	Network bool // agents need it to reach their model

	home             []homeMount  // what Home is made of for one start
	given, givenHome []givenMount // what of Given is shown, in its place and in Home
	// covers makes a folder that is seen in place of another one, for one start; nil: a file system in memory is.
	covers func() (string, error)
	temp   string      // the folder for temporary files; empty: one in memory
	user   *runas.User // as whom it runs; nil: the server's own
}

// cover shows a folder empty.
func (s *Sandbox) cover(path string) ([]string, error) {
	if s.covers == nil {
		return []string{"--tmpfs", path}, nil
	}
	dir, err := s.covers()
	if err != nil {
		return nil, fmt.Errorf("the sandbox: %w", err)
	}
	return []string{"--bind", dir, path}, nil
}

// homeMount shows a file or folder at another place.
type homeMount struct {
	from, path string
	writable   bool
}

// Mount is a folder or a file that is seen in a sandbox where it lies. What lies below another one is named after it.
type Mount struct {
	Path     string
	Writable bool
}

// The ways to have a user namespace, the strictest first. Without one a sandbox of root has no capabilities all the
// same.
var userNamespaces = [][]string{{"--unshare-user", "--disable-userns"}, {"--unshare-user"}, {"--unshare-user-try"}}

// ability is what a bubblewrap can do here.
type ability struct {
	users   []string // of userNamespaces
	offline error    // why it cannot take the network away; nil if it can
}

// worked remembers what each bubblewrap can do here, by its path.
var worked struct {
	sync.Mutex
	can map[string]ability
}

// SandboxAvailable tells why a sandbox cannot be had here; nil if it can. It starts bubblewrap, and once that has
// worked it believes that it still does: containers often have the program and forbid what it does.
func SandboxAvailable(ctx context.Context, user *runas.User) error {
	_, err := sandboxAbility(ctx, user)
	return err
}

func sandboxAbility(ctx context.Context, user *runas.User) (ability, error) {
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return ability{}, errors.New("bubblewrap (bwrap) is not installed")
	}
	if !user.Reaches(path) {
		return ability{}, fmt.Errorf("the user %s cannot reach bubblewrap (%s)", user.Name, path)
	}
	key := path
	if user != nil {
		key += fmt.Sprintf(" %d:%d", user.UID, user.GID)
	}
	worked.Lock()
	defer worked.Unlock()
	if can, ok := worked.can[key]; ok {
		return can, nil
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		return ability{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var offline error
	for _, network := range []bool{false, true} { // containers may forbid to make a network alone
		for _, users := range userNamespaces {
			if err = tryBubblewrap(ctx, user, path, truth, users, network); err == nil {
				if worked.can == nil {
					worked.can = map[string]ability{}
				}
				can := ability{users: users, offline: offline}
				worked.can[key] = can
				return can, nil
			}
		}
		if offline == nil {
			offline = err
		}
	}
	return ability{}, offline
}

// tryBubblewrap starts a program that does nothing in a sandbox.
func tryBubblewrap(ctx context.Context, user *runas.User, bwrap, truth string, users []string, network bool) error {
	argv, err := (&Sandbox{Network: network, user: user}).wrapAs(bwrap, users, []string{truth}, "/")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bwrap, argv[1:]...)
	cmd.Env, cmd.Dir = []string{}, "/"
	if user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user.Credential()}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bubblewrap does not work here: %w: %s", err, strings.TrimSpace(Clean(string(out))))
	}
	return nil
}

// SandboxState is what sandboxes can do on this machine.
type SandboxState struct {
	Version string // of bubblewrap, such as 0.8.0; empty: it is not there, or did not tell
	Problem error  // why there can be no sandbox; nil: there can
	Offline error  // why there can be none without a network; nil: there can

	// OwnUsers says that a sandbox has a user namespace of its own, and NoFurther that no further ones can be made in
	// it.
	OwnUsers, NoFurther bool
}

// LookAtSandbox finds out what sandboxes can do here. It starts bubblewrap, which takes up to ten seconds.
func LookAtSandbox(ctx context.Context, user *runas.User) SandboxState {
	var s SandboxState
	can, err := sandboxAbility(ctx, user)
	s.Problem, s.Offline = err, can.offline
	s.OwnUsers, s.NoFurther = slices.Contains(can.users, "--unshare-user"),
		slices.Contains(can.users, "--disable-userns")
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "--version").Output(); err == nil {
		s.Version = versionNumber.FindString(Clean(string(out)))
	}
	return s
}

// wrap is the command line that runs argv inside.
func (s *Sandbox) wrap(argv []string, dir string) ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, &Failure{Kind: FailStart, Reason: "the sandbox: bubblewrap (bwrap) is not installed",
			Fix: "Install the package bubblewrap, or switch the sandbox off.", Cause: err}
	}
	can, err := sandboxAbility(context.Background(), s.user)
	if err == nil && !s.Network && can.offline != nil {
		err = fmt.Errorf("it cannot be without a network here: %w", can.offline)
	}
	if err != nil {
		return nil, &Failure{Kind: FailStart, Reason: "the sandbox: " + err.Error(), Cause: err}
	}
	return s.wrapAs(bwrap, can.users, argv, dir)
}

// kernel is what a process of root can change the whole machine by, also without a capability: by the owner of the
// files alone. A new /proc has them writable.
var kernel = []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi",
	"/proc/scsi",
	"/proc/mtrr", "/proc/pressure"}

// ownFolders are those of the machine in whose place a sandbox has its own, empty at first.
var ownFolders = []string{"/tmp", "/dev/shm"}

func (s *Sandbox) wrapAs(bwrap string, user, argv []string, dir string) ([]string, error) {
	out := append([]string{bwrap}, user...)
	out = append(out, "--cap-drop", "ALL", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent",
		"--new-session")
	if !s.Network {
		out = append(out, "--unshare-net")
	}
	out = append(out, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
	for _, path := range kernel {
		out = append(out, "--ro-bind-try", path, path)
	}
	if s.temp != "" {
		out = append(out, "--bind", s.temp, "/tmp")
	} else {
		out = append(out, "--tmpfs", "/tmp")
	}
	secluded := s.secluded()
	for _, path := range append([]string{"/dev/shm"}, secluded...) {
		covered, err := s.cover(path)
		if err != nil {
			return nil, err
		}
		out = append(out, covered...)
	}
	out = append(out, "--remount-ro", "/dev")
	for _, path := range slices.Concat(programs(append(secluded, ownFolders...), argv[0]), s.Shown) {
		if s.user.Reaches(path) {
			out = append(out, "--ro-bind-try", path, path)
		}
	}
	for _, path := range s.Hidden {
		real, err := filepath.EvalSymlinks(path)
		if err == nil && !s.user.Reaches(real) { // nor does anything that runs as the user
			continue
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			// what the server may not reach its children cannot
			continue
		}
		info, statErr := os.Stat(real)
		switch err = errors.Join(err, statErr); {
		case err != nil:
			return nil, fmt.Errorf("the sandbox: %w", err)
		case info.IsDir():
			covered, err := s.cover(real)
			if err != nil {
				return nil, err
			}
			out = append(out, covered...)
		default:
			out = append(out, "--ro-bind", "/dev/null", real)
		}
	}
	for _, m := range s.given {
		out = append(out, "--ro-bind-try", m.from, m.path)
	}
	if dir != "/" {
		out = append(out, "--ro-bind", dir, dir) // it may lie below /tmp or something hidden
	}
	for _, m := range s.home {
		if !s.user.Reaches(m.from) {
			continue
		}
		out = append(out, bind(m.writable), m.from, m.path)
	}
	for _, m := range s.givenHome {
		out = append(out, "--ro-bind-try", m.from, m.path)
	}
	for _, m := range s.Repository {
		out = append(out, bind(m.Writable), m.Path, m.Path)
	}
	for _, path := range s.Writable {
		out = append(out, "--bind", path, path)
	}
	out = append(out, mask(s.Masked, s.Empty)...)
	out = append(out, "--chdir", dir)
	return append(append(out, "--"), argv...), nil
}

func bind(writable bool) string {
	if writable {
		return "--bind"
	}
	return "--ro-bind"
}

// secluded are the folders that are seen empty: where people and the server's user have their files, and where services
// have their sockets.
func (s *Sandbox) secluded() []string {
	paths := []string{"/run", "/var/run", "/home", "/root"}
	if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, home)
	}
	if s.user != nil && s.user.Home != "" {
		paths = append(paths, s.user.Home)
	}
	for _, m := range moved {
		if path := os.Getenv(m.variable); filepath.IsAbs(path) {
			paths = append(paths, path)
		}
	}
	var list []string
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		if err != nil || real == "/" || !s.user.Reaches(real) || slices.Contains(list, real) {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.IsDir() {
			list = append(list, real)
		}
	}
	return list
}

// programs are the files of secluded folders that programs need: the folders on the PATH with what belongs to them, the
// program to be started, and the file that tells where names are resolved.
func programs(secluded []string, program string) []string {
	inside := func(path string) bool {
		return slices.ContainsFunc(secluded, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
	}
	var list []string
	show := func(paths ...string) {
		for _, path := range paths {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				continue
			}
			for _, p := range []string{path, real} {
				if inside(p) && !slices.Contains(list, p) {
					list = append(list, p)
				}
			}
		}
	}
	for _, path := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(path) || !inside(path) {
			continue
		}
		path = filepath.Clean(path)
		show(path)
		parent := filepath.Dir(path)
		switch name := filepath.Base(parent); {
		case slices.Contains(secluded, parent) || slices.Contains(secluded, filepath.Dir(parent)) &&
			!strings.HasPrefix(name, ".") &&
			!slices.Contains(toolFolders, name): // ~/bin, /home/somebody/bin
		case name == ".local" || name == ".cargo" || name == ".config":
			show(filepath.Join(parent, "lib"))
		case filepath.Base(path) == "shims" || slices.Contains(toolFolders, name) ||
			isFolder(filepath.Join(parent, "lib")):
			show(parent)
		}
	}
	if filepath.IsAbs(program) {
		if real, err := filepath.EvalSymlinks(program); err == nil && inside(real) &&
			!slices.Contains(secluded, filepath.Dir(real)) {
			dir := filepath.Dir(real)
			if before, _, found := strings.Cut(real, "/node_modules/"); found {
				// beside it are the packages that it needs
				dir = filepath.Join(before, "node_modules")
			}
			show(dir)
		}
	}
	show("/etc/resolv.conf", "/etc/hosts")
	return list
}

// toolFolders are the names of folders of programs that need all of them.
var toolFolders = []string{"go", ".volta", ".bun", ".deno", "node_modules"}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
