package attack

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The runs that attacks are played in.
const (
	open    = "a script with a network"
	offline = "a script without a network"
	reading = "an agent that may change nothing"
	alone   = "a script of its own" // which the server ends
)

// attack is something that an agent or a script in a sandbox may try.
type attack struct {
	name  string // what it is after
	tries string
	in    string // the run

	play   func(p *place, r *result) // within the sandbox
	script string                    // of an attack of its own
	ends   string                    // for which reason the server ends it

	after func(s *scene, r *result) // what is looked at from outside, once its run has ended
}

// attacks is the list. Whatever is tried does no harm to the machine where it is not held: files are opened and not
// written, mounts and namespaces are the attacker's own, and what is without end ends.
var attacks = []attack{
	{name: "mounts", tries: "mount, bind, remount, unmount, change the root", in: open, play: mounts},
	{name: "new namespaces", tries: "make one of each kind, of users first", in: open, play: namespaces},
	{name: "capabilities",
		tries: "have any, get some by a set-user-ID program, change owners, the name of the machine or the kernel",
		in:    open, play: capabilities},
	{name: "the kernel's files", tries: "open all of /proc, /proc/sys, /sys/kernel, /sys/fs and the like for writing",
		in: open, play: kernelFiles},
	{name: "devices", tries: "open those of the machine, make one", in: open, play: devices},
	{name: "memory by file systems", tries: "find one in memory that takes more than a part of the machine's",
		in: open, play: fileSystems},
	{name: "sockets of services", tries: "speak to the database, to services in /run, homes and /tmp", in: open,
		play: sockets},
	{name: "sockets without a network", tries: "the same, abstract ones, Carillon's port and the loopback interface",
		in: offline, play: cutOff},
	{name: "other processes", tries: "signal, trace, read memory and environment of the server and of another run",
		in: open, play: processes},
	{name: "what a child inherits", tries: "find secrets in variables, open files, the terminal, the kernel's keys",
		in: open, play: inheritance},
	{name: "the data folder", tries: "read its key, the database, other files; write beside what is its own",
		in: open, play: dataFolder, after: coveredAfter},
	{name: "homes", tries: "read keys and sign-ins of Carillon's user and of others; write there", in: open,
		play: homes},
	{name: "the machine's files", tries: "write programs, configuration, folders on the PATH", in: open,
		play: machineFiles},
	{name: "a neighbour's workspace", tries: "read and write its repository and its home", in: open, play: neighbours},
	{name: "another session", tries: "read and write its worktree, its Git folder, its run's folder", in: open,
		play: otherSession},
	{
		name:  "hooks and configuration of the repository",
		tries: "write them, move away what they are in, say that it is of SHA-256",
		in:    open, play: repository, after: lookedAt,
	},
	{name: "references", tries: "put links in place of their folders, for the server to write through", in: open,
		play: references, after: lookedAt},
	{name: "objects of other repositories", tries: "write objects/info/alternates", in: open, play: alternates},
	{name: "the run's own folder", tries: "put links and pipes where the server writes its next script", in: open,
		play: runFolder},
	{
		name:  "links out of the worktree",
		tries: "read and write through them, and let the server look, commit and remove", in: open,
		play: links, after: linksAfter,
	},
	{name: "pipes and what is no file", tries: "let the server wait for a pipe", in: open, play: pipes,
		after: lookedAt},
	{name: "a file of a terabyte", tries: "let the server read a hole", in: open, play: hole, after: lookedAt},
	{name: "hidden bytes in file names", tries: "line breaks, escapes, no UTF-8", in: open, play: names,
		after: namesAfter},
	{name: "what cannot be removed", tries: "leave folders without rights, and thousands in one another", in: open,
		play: stubborn, after: removed},
	{name: "processes that outlive the run", tries: "daemons that heed no signal", in: open, play: daemons,
		after: outlived},
	{name: "a turn that may change nothing", tries: "write the worktree and the repository", in: reading, play: writes},
	{name: "configuration of agents", tries: "change what later runs obey", in: reading, play: configuration,
		after: configurationAfter},
	{name: "sign-ins of agents", tries: "put a stranger's in place of the shared one, or ruin it", in: reading,
		play: signIns, after: signInsAfter},
	{
		name: "processes without end", tries: "start more and more", in: alone,
		script: "for i in $(seq 400); do sleep 3000 & done; wait",
		ends:   "it was ended since it had more than 200 processes at once",
	},
	{
		name: "all of the memory", tries: "take more and more", in: alone,
		script: "head -c 1000000000 /dev/zero | tail -c 1000000000 | sleep 3000",
		ends:   "it was ended since it used more than 500 MiB of memory",
	},
	{
		name: "all of the disk", tries: "write more and more, in worktree, home, /tmp and /dev/shm", in: alone,
		script: "for to in x ~/.cache/x /tmp/x /dev/shm/x; do head -c 20000000 /dev/urandom > \"$to\"; done; " +
			" sleep 3000",
		ends: "it was ended since it wrote more than 50 MiB of files",
	},
}

const nobodys = 0o666

// mounts tries to change what is mounted where.
func mounts(p *place, r *result) {
	r.try("mount a file system in memory", unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	r.try("mount /proc", unix.Mount("proc", "/mnt", "proc", 0, ""))
	r.try("mount a folder elsewhere", unix.Mount("/etc", "/mnt", "", unix.MS_BIND, ""))
	for _, path := range []string{"/", "/proc/sys", p.Mirror + "/hooks"} {
		r.try("make "+path+" writable", unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	}
	for _, path := range []string{"/proc/sys", "/tmp", "/run", p.Data} {
		r.try("unmount "+path, unix.Unmount(path, unix.MNT_DETACH))
	}
	r.try("change the root", unix.PivotRoot("/", "/mnt"))
	r.try("leave the root", unix.Chroot("/mnt"))
	_, err := unix.Fsopen("tmpfs", 0)
	r.try("open a file system", err)
	_, err = unix.OpenTree(unix.AT_FDCWD, "/etc", unix.OPEN_TREE_CLONE)
	r.try("copy a mount", err)
}

// namespaces tries to begin a process in a namespace of its own, in which it might have rights.
func namespaces(p *place, r *result) {
	for name, flag := range map[string]uintptr{
		"users": unix.CLONE_NEWUSER, "mounts": unix.CLONE_NEWNS, "processes": unix.CLONE_NEWPID,
		"networks": unix.CLONE_NEWNET,
		"IPC":      unix.CLONE_NEWIPC, "names": unix.CLONE_NEWUTS, "cgroups": unix.CLONE_NEWCGROUP,
	} {
		if name == "users" && !p.Unnested {
			continue // this bubblewrap cannot forbid it; within, none of the other attacks gets further
		}
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
		r.try("make a namespace of "+name, cmd.Run())
	}
}

func capabilities(_ *place, r *result) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			r.expect("have capabilities in "+name, strings.Trim(value, "0") == "", "it has none")
		case "NoNewPrivs":
			r.expect("get rights by a set-user-ID program", value == "1", "no new privileges")
		}
	}
	r.try("become root", unix.Setresuid(1, 1, 1))
	file := filepath.Join(os.TempDir(), "owned")
	_ = os.WriteFile(file, nil, 0o600)
	r.try("give a file away", os.Chown(file, 1, 1))
	var name unix.Utsname
	_ = unix.Uname(&name)
	r.try("name the machine", unix.Sethostname([]byte(unix.ByteSliceToString(name.Nodename[:]))))
	r.try("load a module", unix.InitModule(nil, ""))
	_, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	r.try("open a raw socket", err)
	r.try("reach a lower priority of its end", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
}

// kernelFiles opens for writing what the machine is set by.
func kernelFiles(_ *place, r *result) {
	for _, root := range []string{"/proc", "/sys/kernel", "/sys/fs", "/sys/power", "/sys/module"} {
		looked := 0
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if _, err := strconv.Atoi(d.Name()); err == nil && filepath.Dir(path) == "/proc" ||
				path == "/proc/self" || path == "/proc/thread-self" {
				return fs.SkipDir
			}
			if looked++; looked > 4000 {
				return fs.SkipAll
			}
			if !d.Type().IsRegular() {
				return nil
			}
			f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
			if err == nil {
				_ = f.Close()
			}
			r.try("write "+path, err)
			return nil
		})
	}
}

func devices(p *place, r *result) {
	known := []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx"} // a sandbox has them
	for _, name := range p.Devices {
		if slices.Contains(known, name) {
			continue
		}
		f, err := os.OpenFile(filepath.Join("/dev", name), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			_ = f.Close()
		}
		r.try("open /dev/"+name, err)
	}
	r.try("make a disk", unix.Mknod(filepath.Join(os.TempDir(), "disk"), unix.S_IFBLK|nobodys, int(unix.Mkdev(8, 0))))
	r.try("make /dev/mem", unix.Mknod(filepath.Join(os.TempDir(), "mem"), unix.S_IFCHR|nobodys, int(unix.Mkdev(1, 1))))
}

// mostInMemory is how many bytes a file system in memory may take.
const mostInMemory = 1 << 30

func fileSystems(_ *place, r *result) {
	r.note("what it writes is on the disk")
	text, _ := os.ReadFile("/proc/self/mountinfo")
	var disk unix.Stat_t // of the data folder, which tests may have in memory
	_ = unix.Stat(".", &disk)
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 6 || len(kind) < 1 || kind[0] != "tmpfs" || slices.Contains(strings.Split(fields[5], ","),
			"ro") {
			continue
		}
		var is unix.Statfs_t
		// another one is mounted over it
		if err := unix.Statfs(fields[4], &is); err != nil || is.Type != unix.TMPFS_MAGIC {
			continue
		}
		var on unix.Stat_t
		if unix.Stat(fields[4], &on) == nil && on.Dev == disk.Dev {
			continue
		}
		size := is.Blocks * uint64(is.Bsize)
		r.expect(fmt.Sprintf("%d MiB of memory in %s", size>>20, fields[4]), size <= mostInMemory, "they are small")
	}
}

func sockets(p *place, r *result) {
	for _, path := range p.Sockets {
		r.dial("unix", path)
	}
}

func cutOff(p *place, r *result) {
	sockets(p, r)
	r.dial("unix", "@"+p.Abstract)
	r.dial("tcp", p.Address)
	list, _ := net.Interfaces()
	r.expect("find an interface", len(list) <= 1, "it has its own loopback alone")
}

func (r *result) dial(network, address string) {
	conn, err := net.DialTimeout(network, address, time.Minute)
	if err == nil {
		_ = conn.Close()
	}
	r.try("connect to "+address, err)
}

func processes(p *place, r *result) {
	into := make([]byte, 1)
	local := []unix.Iovec{{Base: &into[0], Len: 1}}
	for who, pid := range map[string]int{"the server": p.Server, "another run": p.Bystander} {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		for _, name := range []string{"environ", "mem", "cmdline", "maps"} {
			f, err := os.Open(filepath.Join(proc, name))
			if err == nil {
				_ = f.Close()
			}
			r.try("open "+name+" of "+who, err)
		}
		_, err := os.ReadDir(filepath.Join(proc, "root"))
		r.try("enter the root of "+who, err)
		r.try("signal "+who, unix.Kill(pid, 0))
		r.try("trace "+who, unix.PtraceAttach(pid))
		_, err = unix.PidfdOpen(pid, 0)
		r.try("hold "+who, err)
		_, err = unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: 1}}, 0)
		r.try("read the memory of "+who, err)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			r.expect("read a secret in "+file, !strings.Contains(string(text), secret), "all that it sees is its own")
		}
	}
	own, _ := os.Readlink("/proc/self/ns/pid")
	r.expect("be among the machine's processes", own != "" && own != p.Processes, "a namespace of its own")
}

func inheritance(p *place, r *result) {
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		bad := strings.HasPrefix(name, "CARILLON_") && !strings.HasPrefix(name, "CARILLON_MCP_") ||
			strings.HasPrefix(name, "PG") || name == "DATABASE_URL" || strings.Contains(value, secret)
		r.expect("find "+name, !bad, "the environment is made of a list")
	}
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		to, _ := os.Readlink("/proc/self/fd/" + f.Name())
		// those are of Go
		if n, _ := strconv.Atoi(f.Name()); n > 2 && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to,
			"/proc/") && !strings.HasPrefix(to, "/sys/") && to != "" {
			r.expect("use descriptor "+f.Name()+" of "+to, false, "")
		}
	}
	_, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	r.try("open the terminal", err)
	_, err = unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", p.Key, 0)
	r.try("find a key of the kernel's ring", err)
}

// read tries to read files.
func (r *result) read(paths ...string) {
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			_ = f.Close()
		}
		r.try("read "+path, err)
	}
}

// make tries to make a file in folders.
func (r *result) make(dirs ...string) {
	for _, dir := range dirs {
		path := filepath.Join(dir, "carillon-attack")
		err := os.WriteFile(path, nil, 0o600)
		if err == nil {
			_ = os.Remove(path)
		}
		r.try("make a file in "+dir, err)
	}
}

// change tries to open files for writing.
func (r *result) change(paths ...string) {
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			_ = f.Close()
		}
		r.try("write "+path, err)
	}
}

func dataFolder(p *place, r *result) {
	r.read(p.DataFiles...)
	for _, dir := range p.covered() { // what it makes there is seen by nobody else
		_ = os.MkdirAll(dir, 0o700)
		_ = os.WriteFile(filepath.Join(dir, left), []byte("x"), 0o600)
	}
}

// left is the name of what an attack leaves where an empty folder is seen in place of another one.
const left = "left-by-an-attack"

func (p *place) covered() []string {
	list := []string{p.Home, filepath.Join(p.Home, ".ssh"), p.Data, "/tmp", "/run", "/dev/shm", "/root"}
	for _, name := range []string{"repos", "worktrees", "runs", "git", "homes"} {
		list = append(list, filepath.Join(p.Data, name))
	}
	return list
}

func coveredAfter(s *scene, r *result) {
	for _, dir := range s.place.covered() {
		_, err := os.Lstat(filepath.Join(dir, left))
		r.expect("made a file in "+dir, err != nil, "another folder is seen there")
	}
}

func homes(p *place, r *result) {
	r.read(p.HomeFiles...)
	for _, home := range []string{"/root", "/home", p.Home} {
		list, _ := os.ReadDir(home)
		for _, f := range list {
			path := filepath.Join(home, f.Name())
			if slices.Contains(p.covered(), path) || f.Name() == left { // made by itself
				continue
			}
			shown := slices.ContainsFunc(filepath.SplitList(os.Getenv("PATH")),
				func(dir string) bool { return strings.HasPrefix(dir+"/", path+"/") })
			r.expect("see "+path, shown, "they are empty")
		}
	}
}

func machineFiles(p *place, r *result) {
	r.make("/", "/etc", "/usr/bin", "/usr/local/bin", "/var/lib", "/opt", "/srv", "/lib", "/dev")
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(dir); err == nil {
			r.make(dir)
		}
	}
	r.change("/etc/passwd", "/etc/hosts", filepath.Join(p.Tools, "claude"))
	r.try("put another program in its place", os.Rename(filepath.Join(p.Tools, "claude"), filepath.Join(p.Tools,
		"other")))
}

func neighbours(p *place, r *result) {
	r.read(p.NeighbourFiles...)
	r.make(p.Neighbour+"/objects", p.Neighbour)
}

func otherSession(p *place, r *result) {
	worktree := filepath.Join(p.Data, "worktrees", p.Session)
	r.read(filepath.Join(worktree, "ready"), filepath.Join(worktree, "README.md"))
	r.make(worktree)
	for _, dir := range []string{"worktrees", "sessions"} {
		dir = filepath.Join(p.Mirror, dir)
		r.make(dir, filepath.Join(dir, p.Session))
		r.change(filepath.Join(dir, p.Session, "HEAD"), filepath.Join(dir, p.Session, "config"))
		r.try("move "+dir, os.Rename(filepath.Join(dir, p.Session), filepath.Join(dir, "moved")))
	}
	list, _ := filepath.Glob(filepath.Join(p.Data, "runs", "*-*", "*")) // of its own it sees what is in it
	for _, path := range list {
		r.expect("see "+path, filepath.Dir(path) == filepath.Dir(os.TempDir()), "it sees its own alone")
	}
}

func repository(p *place, r *result) {
	// without it the changes below would not be listed
	_ = os.WriteFile(filepath.Join(p.Mirror, "carillon-sha256"), nil, 0o600)
	for _, name := range []string{"config", "HEAD", "hooks/post-checkout", "info/exclude", "info/attributes",
		"refs/carillon/x"} {
		_ = os.MkdirAll(filepath.Dir(filepath.Join(p.Mirror, name)), 0o700)
		f, err := os.OpenFile(filepath.Join(p.Mirror, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			_ = f.Close()
		}
		r.try("write "+name, err)
	}
	for _, name := range []string{"hooks", "info", "objects", "refs", "worktrees", "sessions"} {
		path := filepath.Join(p.Mirror, name)
		err := os.Rename(path, path+"-moved")
		if err == nil {
			_ = os.Rename(path+"-moved", path)
		}
		r.try("move "+name, err)
	}
	r.try("replace config", os.Rename(filepath.Join(p.Mirror, "config"), filepath.Join(p.Mirror, "was")))
}

func references(p *place, r *result) {
	for _, name := range []string{"heads", "tags", "remotes", "remotes/origin"} {
		path := filepath.Join(p.Mirror, "refs", name)
		err := os.Rename(path, path+"-moved")
		if err == nil {
			_ = os.Rename(path+"-moved", path)
		}
		r.try("move refs/"+name, err)
	}
	_ = os.Symlink(p.Home, filepath.Join(p.Mirror, "refs", "heads", "linked"))
}

func alternates(p *place, r *result) {
	for _, name := range []string{"alternates", "http-alternates"} {
		r.try("write "+name, os.WriteFile(filepath.Join(p.Mirror, "objects", "info", name),
			[]byte(p.Neighbour+"/objects\n"), 0o600))
	}
	dir := filepath.Join(p.Mirror, "objects", "info")
	r.try("move objects/info", os.Rename(dir, dir+"-moved"))
}

// runFolder is where the server puts the script of each message, which it writes as itself.
func runFolder(p *place, r *result) {
	dir := filepath.Dir(os.TempDir())
	for _, name := range []string{"script-next", "prompt", "mcp.json", "empty"} {
		path := filepath.Join(dir, name)
		_ = os.Remove(path)
		r.try("put a link in place of "+name, os.Symlink(p.HomeFiles[0], path))
	}
	_ = os.Remove(filepath.Join(dir, "params.json"))
	r.try("put a pipe in place of params.json", unix.Mkfifo(filepath.Join(dir, "params.json"), 0o600))
	r.try("put a link in place of tmp", os.Rename(os.TempDir(), filepath.Join(dir, "was")))
}

// links are in the worktree. What they lead to is not there in the sandbox, and must not be there for the server
// either.
func links(p *place, r *result) {
	for name, to := range map[string]string{
		"link-to-key": p.DataFiles[0], "link-to-home": p.Home, "link-to-root": "/", "link-up": "../..",
		"link-to-neighbour": p.Neighbour,
		"link-to-sign-in":   filepath.Join(p.Home, ".claude", ".credentials.json"),
	} {
		if err := os.Symlink(to, name); err != nil {
			r.Through = append(r.Through, "no link could be made: "+err.Error())
		}
	}
	r.read("link-to-key", "link-to-sign-in", "link-to-home/.ssh/id_ed25519", "link-to-neighbour/config",
		"link-up/secret")
	r.make("link-to-root/etc")
	_ = os.Remove("README.md")
	_ = os.Symlink(p.DataFiles[0], "README.md")
}

func pipes(_ *place, r *result) { // what stops them is seen from outside
	for _, name := range []string{"pipe", "AGENTS.md", "CLAUDE.md", ".gitignore", ".gitattributes", ".env"} {
		_ = os.Remove(name)
		if err := unix.Mkfifo(name, 0o600); err != nil {
			r.Through = append(r.Through, "no pipe could be made: "+err.Error())
		}
	}
	if l, err := net.Listen("unix", "socket"); err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
	}
}

func hole(_ *place, r *result) {
	_ = os.WriteFile("terabyte", []byte("x"), 0o600)
	if err := os.Truncate("terabyte", 1<<40); err != nil {
		r.refuse(err)
	}
}

var hidden = []string{"line\nbreak", "red\x1b[31m", "not\xffUTF-8", "turned\u202egnp.exe", "-rf", strings.Repeat("n",
	255), "; touch x", "$(touch x)"}

func names(_ *place, r *result) {
	for _, name := range hidden {
		if err := os.WriteFile(name, []byte("x\n"), 0o600); err != nil {
			r.refuse(err)
		}
	}
}

// deep is how many folders are in one another: more than a path can name.
const deep = 3000

func stubborn(_ *place, r *result) {
	for _, dir := range []string{".", os.TempDir(), filepath.Join(os.Getenv("HOME"), ".cache")} {
		closed := filepath.Join(dir, "closed")
		_ = os.MkdirAll(filepath.Join(closed, "inner"), 0o700)
		_ = os.WriteFile(filepath.Join(closed, "inner", "file"), nil, 0o600)
		_ = os.WriteFile(filepath.Join(dir, "unreadable"), []byte("x\n"), 0o600)
		for _, path := range []string{filepath.Join(closed, "inner"), closed, filepath.Join(dir, "unreadable")} {
			if err := os.Chmod(path, 0); err != nil {
				r.Through = append(r.Through, err.Error())
			}
		}
	}
	here, _ := os.Getwd()
	for range deep {
		if os.Mkdir("deep", 0o700) != nil || os.Chdir("deep") != nil {
			break
		}
	}
	_ = os.WriteFile("bottom", nil, 0)
	_ = os.Chmod(".", 0)
	_ = os.Chdir(here)
}

func daemons(p *place, r *result) {
	for range 3 {
		cmd := exec.Command("bash", "-c",
			"trap '' TERM HUP INT; (setsid bash -c 'trap \"\" TERM HUP INT; while true; do sleep 300; done' &) & "+
				"wait; sleep 3000")
		cmd.Env = append(os.Environ(), "MARK="+p.Mark)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			r.refuse(err)
		}
	}
}

func writes(p *place, r *result) {
	here, _ := os.Getwd()
	r.make(here, filepath.Join(here, ".git"), p.Mirror, p.Mirror+"/objects", p.Mirror+"/refs", p.Mirror+"/refs/heads")
	r.change("greeting.txt", filepath.Join(here, ".git"))
	for _, args := range [][]string{{"commit", "--allow-empty", "-qm", "x"}, {"branch", "other"}, {"config",
		"core.fsmonitor", "true"}, {"stash", "-q"}} {
		out, err := exec.Command("git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com"},
			args...)...).CombinedOutput()
		if args[0] == "stash" && strings.Contains(string(out), "No local changes") {
			continue
		}
		r.try("git "+args[0], said(err, out))
	}
}

// said is an error of a program by its own words.
func said(err error, out []byte) error {
	for _, known := range []error{unix.EROFS, unix.EACCES, unix.EPERM} {
		if err != nil && strings.Contains(strings.ToLower(string(out)), known.Error()) {
			return known
		}
	}
	return err
}

func configuration(_ *place, r *result) {
	dir := filepath.Join(os.Getenv("HOME"), ".claude")
	r.change(filepath.Join(dir, "settings.json"))
	r.try("remove the settings", os.Remove(filepath.Join(dir, "settings.json")))
	r.try("replace the settings", os.Rename(filepath.Join(dir, "settings.json"), filepath.Join(dir, "was")))
	// gone with the run
	for _, name := range []string{".gitconfig", ".bashrc", ".claude.json", ".npmrc", ".claude/CLAUDE.md",
		".config/git/config"} {
		path := filepath.Join(os.Getenv("HOME"), name)
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		_ = os.WriteFile(path, []byte(planted), 0o600)
	}
}

const planted = "planted by an attack"

func signIns(p *place, r *result) {
	home := os.Getenv("HOME")
	file := filepath.Join(home, ".claude", ".credentials.json")
	if text, err := os.ReadFile(file); p.SignedIn && (err != nil || !strings.Contains(string(text), "refreshToken")) {
		r.Through = append(r.Through, fmt.Sprintf("the sign-in cannot be used: %v", err)) // an agent needs it
	}
	r.try("take it by another name", os.Link(filepath.Join(p.Home, ".claude", ".credentials.json"),
		filepath.Join(home, "kept")))
	_ = os.WriteFile(file, []byte("{}"), 0o600)
	// The server looks for what a program put in its place.
	if err := os.Rename(filepath.Join(home, ".claude"), filepath.Join(home, "moved")); err != nil {
		r.refuse(err)
		return
	}
	_ = os.Symlink(p.Stranger, filepath.Join(home, ".claude"))
}

// reason is what stopped an attempt, in the kernel's words.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}
