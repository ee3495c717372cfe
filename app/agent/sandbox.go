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

// Sandbox runs the child under bubblewrap, without any capability. The file system is read-only and /run is empty. The
// homes of people and of the server's user and other processes are hidden. The worktree and a folder for temporary
// files, which is also /tmp, are writable; in a read-only turn nothing of the repository is. The child writes to the
// disk, below Turn.RunDir, the worktree, the repository and Home. It does not write to a file system in memory, whose
// use would count for no process.
type Sandbox struct {
	// paths outside of the worktree that belong to it, in this order; none of them is writable in a read-only turn
	Repository []Mount
	Writable   []string // further folders and files
	Hidden     []string // folders and files that the child must not read: the server's data, the database's socket
	Shown      []string // folders and files of the homes that it may read
	// further paths of the machine, absolute or with ~/ in front; a missing one gives a warning, not a failure
	Given []string

	// Home is the workspace's folder with caches and the state of agents. It is the child's home folder, whose other
	// content is empty at each start. If Home is empty, the child has the path of the server's home, without its
	// content.
	Home   string
	Masked []string // files and folders of the worktree that are shown empty, because the agent would obey them
	Empty  string   // an empty file, which is shown in place of each file of Masked
	// Cover is called before the child starts, with the masked paths in the worktree, so that Git does not treat them
	// as changed. The function that it returns is called when the child has ended. nil: the files look emptied to Git.
	Cover   func(paths []string) (uncover func(), err error)
	Network bool // agents need the network to reach their model

	home             []homeMount  // mounts of Home for one start
	given, givenHome []givenMount // shown paths of Given, at their own places and in Home
	// covers makes a folder that is shown in place of another one, for one start; nil: a file system in memory is used.
	covers func() (string, error)
	temp   string      // the folder for temporary files; empty: in memory
	user   *runas.User // user of the process; nil: the server's user
}

// cover gives bubblewrap's arguments that show a folder empty.
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

// homeMount shows a file or folder at another path.
type homeMount struct {
	from, path string
	writable   bool
}

// Mount is a folder or a file that a sandbox shows at its own path. A mount below another one comes after it in a list.
type Mount struct {
	Path     string
	Writable bool
}

// Options of bubblewrap for a user namespace, the strictest first. A sandbox of root has no capabilities even without
// one.
var userNamespaces = [][]string{{"--unshare-user", "--disable-userns"}, {"--unshare-user"}, {"--unshare-user-try"}}

// ability says what bubblewrap can do on this machine.
type ability struct {
	users   []string // of userNamespaces
	offline error    // why it cannot remove the network; nil: it can
}

// abilities caches the ability of each bubblewrap, by its path.
var abilities struct {
	sync.Mutex
	can map[string]ability
}

// SandboxAvailable returns the reason for which no sandbox can be made here, or nil. It starts bubblewrap, because
// containers often have the program and forbid what it does. A success is cached.
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
	abilities.Lock()
	defer abilities.Unlock()
	if can, ok := abilities.can[key]; ok {
		return can, nil
	}
	truth, err := exec.LookPath("true")
	if err != nil {
		return ability{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var offline error
	for _, network := range []bool{false, true} { // containers may forbid only a network namespace
		for _, users := range userNamespaces {
			if err = tryBubblewrap(ctx, user, path, truth, users, network); err == nil {
				if abilities.can == nil {
					abilities.can = map[string]ability{}
				}
				can := ability{users: users, offline: offline}
				abilities.can[key] = can
				return can, nil
			}
		}
		if offline == nil {
			offline = err
		}
	}
	return ability{}, offline
}

// tryBubblewrap runs a program that does nothing in a sandbox.
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

// SandboxState says what sandboxes can do on this machine.
type SandboxState struct {
	Version string // of bubblewrap, such as 0.8.0; empty: not installed, or unknown
	Problem error  // why no sandbox can be made; nil: one can
	Offline error  // why no sandbox without a network can be made; nil: one can

	// OwnUsers says that a sandbox has a user namespace of its own, and NoFurther that no further ones can be made in
	// it.
	OwnUsers, NoFurther bool
}

// InspectSandbox finds out what sandboxes can do here. It starts bubblewrap, which takes up to ten seconds.
func InspectSandbox(ctx context.Context, user *runas.User) SandboxState {
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

// wrap gives the command line that runs argv in the sandbox.
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

// kernelFiles are files by which a process of root can change the whole machine even without a capability, because it
// owns them. They are writable in a new /proc.
var kernelFiles = []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi",
	"/proc/scsi",
	"/proc/mtrr", "/proc/pressure"}

// ownFolders are folders of the machine that a sandbox replaces by its own, which are empty at first.
var ownFolders = []string{"/tmp", "/dev/shm"}

func (s *Sandbox) wrapAs(bwrap string, user, argv []string, dir string) ([]string, error) {
	out := append([]string{bwrap}, user...)
	out = append(out, "--cap-drop", "ALL", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent",
		"--new-session")
	if !s.Network {
		out = append(out, "--unshare-net")
	}
	out = append(out, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
	for _, path := range kernelFiles {
		out = append(out, "--ro-bind-try", path, path)
	}
	if s.temp != "" {
		out = append(out, "--bind", s.temp, "/tmp")
	} else {
		out = append(out, "--tmpfs", "/tmp")
	}
	secluded := s.hiddenFolders()
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
		if err == nil && !s.user.Reaches(real) { // processes of the user cannot reach it either
			continue
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			// the server's children cannot reach it either
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
		out = append(out, "--ro-bind", dir, dir) // it may be below /tmp or a hidden folder
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

// hiddenFolders are the folders that are shown empty: the homes of people and of the server's user, and the folders
// with sockets of services.
func (s *Sandbox) hiddenFolders() []string {
	paths := []string{"/run", "/var/run", "/home", "/root"}
	if home, err := os.UserHomeDir(); err == nil {
		paths = append(paths, home)
	}
	if s.user != nil && s.user.Home != "" {
		paths = append(paths, s.user.Home)
	}
	for _, m := range homeVariables {
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

// programs are the files in hidden folders that programs need: the folders on the PATH with the folders that belong to
// them, the program to start, and the configuration of name resolution.
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
				// its packages are beside it
				dir = filepath.Join(before, "node_modules")
			}
			show(dir)
		}
	}
	show("/etc/resolv.conf", "/etc/hosts")
	return list
}

// toolFolders are names of folders that programs need as a whole.
var toolFolders = []string{"go", ".volta", ".bun", ".deno", "node_modules"}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
