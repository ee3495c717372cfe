// Package attack plays a list of attacks from inside of the sandbox of a real run, and looks from outside at what
// became of them: as the user who runs the tests and, where that is root, as another one too. make attack prints the
// table.
package attack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"carillon/app/agent"
	"carillon/app/e2e/internal/stage"
)

// attackerRole is the first argument with which this test binary plays the attacks of a run.
const attackerRole = "play"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == attackerRole {
		syscall.Exit(attacker(os.Args[2])) // without the race detector's second of waiting
	}
	os.Exit(stage.Run(m))
}

// secret is in every file that no run may read.
const secret = "s3cret-of-this-machine"

// place is what an attacker is told: more than any would know.
type place struct {
	Data, Home, Tools string
	DataFiles         []string // of the data folder, the key first
	HomeFiles         []string
	Mirror            string // of the workspace
	Neighbour         string // another workspace's repository
	NeighbourFiles    []string
	Session           string // another one of the workspace, at work
	Server, Bystander int    // processes
	Processes         string // their namespace
	Sockets           []string
	Abstract, Address string // a socket without a file, and the server's port
	Key               string // of the kernel's ring
	Devices           []string
	Stranger          string // a folder with somebody's sign-in
	Mark              string // of daemons
	Unnested          bool   // bubblewrap can forbid further namespaces of users
	SignedIn          bool   // the agent is signed in for the user as whom it runs
}

// result is what became of an attack.
type result struct {
	Refused []string // what stopped it, each once
	Through []string // what it did
}

// try notes what became of an attempt.
func (r *result) try(what string, err error) {
	if err == nil {
		r.Through = append(r.Through, what)
		return
	}
	r.refuse(err)
}

func (r *result) refuse(err error) { r.note(reason(err)) }

// expect notes what became of something that holds for a reason.
func (r *result) expect(what string, holds bool, why string) {
	if !holds {
		r.Through = append(r.Through, what)
		return
	}
	r.note(why)
}

func (r *result) note(why string) {
	if !slices.Contains(r.Refused, why) {
		r.Refused = append(r.Refused, why)
	}
}

const placeFile, resultFile = "place.json", "attacked-"

// attacker plays the attacks of a run, in its sandbox, and leaves the results in the workspace's home.
func attacker(in string) int {
	var p place
	tools, err := os.Executable()
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(filepath.Dir(tools), placeFile)); err == nil {
			err = json.Unmarshal(text, &p)
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	results := map[string]*result{}
	for _, a := range attacks {
		if strings.ReplaceAll(a.in, " ", "-") == in && a.play != nil {
			results[a.name] = &result{}
			a.play(&p, results[a.name])
		}
	}
	text, err := json.Marshal(results)
	if err == nil {
		err = os.WriteFile(filepath.Join(os.Getenv("HOME"), ".cache", resultFile+in), text, 0o600)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("played")
	return 0
}

// claude is what the server takes for Claude Code: it plays attacks, and answers.
const claude = `#!/bin/bash
case "$*" in *--version*) echo 9.9.9; exit 0;; esac
cat > /dev/null
attacker play an-agent-that-may-change-nothing >&2 || exit 1
echo '{"type":"system","subtype":"init","session_id":"c1","model":"m"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"played","session_id":"c1","usage":{"input_tokens":1,"output_tokens":1}}'
`

// scene is the program at work with all that is attacked.
type scene struct {
	t      *testing.T
	server *stage.Server
	v      *stage.Visitor
	place  place

	workspace, neighbour string
	session              string // the path of the attacked run's
	bystander            string
}

const signIn = `{"claudeAiOauth":{"accessToken":"%s","refreshToken":"%[1]s","expiresAt":%d}}`

// TestNothingGetsOutOfASandbox plays the list of attacks, and writes the table into the file that ATTACKS names.
func TestNothingGetsOutOfASandbox(t *testing.T) {
	var table strings.Builder
	to := os.Getenv("ATTACKS")
	if err := agent.SandboxAvailable(t.Context(), nil); err != nil && to != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
	if to != "" {
		defer func() {
			if err := os.WriteFile(to, []byte(table.String()), 0o644); err != nil {
				t.Error(err)
			}
		}()
	}
	t.Run("as who runs the tests", func(t *testing.T) {
		playAll(t, &table, nil, stage.OnDatabase(t))
	})
	t.Run("as another user", func(t *testing.T) {
		other, why := another()
		if why != nil {
			fmt.Fprintf(&table, "As another user: not tried, since %s\n", why)
			t.Skip(why)
		}
		playAll(t, &table, other)
	})
	t.Run("with another user for agents", func(t *testing.T) {
		playAll(t, &table, nil, stage.OnDatabase(t), stage.ForAgents(t))
	})
}

// another is a user beside root, with a name, which initdb wants, or why none can be had.
func another() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can become somebody else")
	}
	account, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	other := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return other, stage.Enters(other, filepath.Join(stage.Root(), "node_modules"))
}

// agentUser is the user of agents that a setting names; empty: it is another setting.
func agentUser(setting string) string {
	name, _ := strings.CutPrefix(setting, "CARILLON_AGENT_USER=")
	if name == setting {
		return ""
	}
	return name
}

// playAll plays the list, as a user, and adds its table.
func playAll(t *testing.T, table *strings.Builder, as *syscall.Credential, settings ...string) {
	// The thread that starts the server has a ring of keys with one in it, which the server inherits.
	runtime.LockOSThread()
	s := set(t, as, settings)
	results := map[string]*result{}
	for _, in := range []string{open, offline, reading} {
		session := s.play(in)
		s.collect(in, session, results)
	}
	for _, a := range attacks {
		r := results[a.name]
		if r == nil {
			r = &result{}
			results[a.name] = r
			if a.script == "" {
				r.Through = append(r.Through, "it was not played to its end")
			}
		}
		if a.script != "" {
			s.end(a, r)
		}
		if a.after != nil {
			a.after(s, r)
		}
	}
	stage.Touch(t, filepath.Join(s.place.Data, "worktrees", s.place.Session, "go"))
	s.v.Ends(t, s.bystander, "Succeeded") // another run was not touched
	s.v.Alive(t)

	who, agents := os.Geteuid(), ""
	for _, setting := range settings {
		if name := agentUser(setting); name != "" {
			agents = ", agents as " + name
		}
	}
	if as != nil {
		who = int(as.Uid)
	}
	fmt.Fprintf(table, "As user %d%s\n\n", who, agents)
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ATTACK\tTRIED\tSTOPPED BY\t")
	for _, a := range attacks {
		r, outcome := results[a.name], "held"
		if len(r.Through) > 0 {
			outcome = "NOT HELD: " + shortened(strings.Join(r.Through, "; "))
			t.Errorf("%s: %s", a.name, shortened(strings.Join(r.Through, "; ")))
		}
		if len(r.Refused)+len(r.Through) == 0 {
			t.Errorf("%s: nothing was tried", a.name)
		}
		slices.Sort(r.Refused)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.name, a.tries, shortened(strings.Join(r.Refused, ", ")), outcome)
	}
	_ = w.Flush()
	fmt.Fprintln(table)
}

func shortened(s string) string {
	const most = 400
	if s = strings.ToValidUTF8(s, "?"); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " …"
	}
	return strings.Join(strings.Fields(s), " ")
}

// set starts the server as a user, with something to steal everywhere.
func set(t *testing.T, as *syscall.Credential, settings []string) *scene {
	s := &scene{t: t}
	p := &s.place
	own := func(path string) {
		if as != nil {
			check(t, os.Lchown(path, int(as.Uid), int(as.Gid)))
		}
	}
	put := func(path, text string, mode os.FileMode) {
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(text), mode))
		own(path)
		own(filepath.Dir(path))
	}
	p.Tools = stage.Folder(t)
	check(t, os.Chmod(p.Tools, 0o755))
	self, err := os.Executable()
	check(t, err)
	if out, err := exec.Command("cp", self, filepath.Join(p.Tools, "attacker")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	put(filepath.Join(p.Tools, "claude"), claude, 0o755)
	own(p.Tools)
	p.Stranger = filepath.Join(stage.Folder(t), ".claude")
	put(filepath.Join(p.Stranger, ".credentials.json"), fmt.Sprintf(signIn, "stranger", 9), 0o600)
	own(filepath.Dir(p.Stranger))
	later := time.Now().Add(time.Hour)
	check(t, os.Chtimes(filepath.Join(p.Stranger, ".credentials.json"), later, later))

	if _, err := unix.KeyctlJoinSessionKeyring("carillon-attack"); err == nil {
		p.Key = "carillon-attack"
		_, _ = unix.AddKey("user", p.Key, []byte(secret), unix.KEY_SPEC_SESSION_KEYRING)
	}
	p.SignedIn = !slices.ContainsFunc(settings, func(setting string) bool { return agentUser(setting) != "" })
	s.server = stage.ServeAs(t, as, slices.Concat(stage.AsAdministrator, settings, []string{
		"PATH=" + p.Tools + ":" + os.Getenv("PATH"), "CARILLON_SANDBOX=on", "CARILLON_RUN_PROCESSES=200",
		"CARILLON_RUN_MEMORY=500",
		"CARILLON_RUN_DISK=50",
		"AWS_SECRET_ACCESS_KEY=" + secret, "SSH_AUTH_SOCK=/run/" + secret,
	})...)
	p.Data, p.Home, p.Server = s.server.Data, s.server.Home, s.server.Pid()
	p.HomeFiles = []string{filepath.Join(p.Home, ".ssh", "id_ed25519"), filepath.Join(p.Home, ".netrc"),
		filepath.Join(p.Home, ".claude.json")}
	for _, path := range p.HomeFiles {
		put(path, secret, 0o600)
	}
	put(filepath.Join(p.Home, ".claude", ".credentials.json"), fmt.Sprintf(signIn, "own", 1), 0o600)
	put(filepath.Join(p.Home, ".claude", "settings.json"), "{}", 0o600)
	p.HomeFiles = append(p.HomeFiles, filepath.Join(p.Home, ".claude", ".credentials.json"))

	s.v = stage.Visit(t, s.server)
	s.workspace = s.v.Form(t, "", "").Get("workspace")
	source := stage.Repository(t)
	check(t, os.Chmod(filepath.Dir(source), 0o755))
	a := s.v.Post(t, "/workspaces", url.Values{"name": {"Neighbour"}, "url": {source}, "branch": {"main"},
		"sandbox": {"true"}, "offline": {"true"}})
	if a.Status != http.StatusSeeOther {
		t.Fatalf("a workspace was not made: %d %s", a.Status, a.Said())
	}
	s.neighbour = filepath.Base(a.To)
	p.Mirror, p.Neighbour = filepath.Join(p.Data, "repos", s.workspace+".git"), filepath.Join(p.Data, "repos",
		s.neighbour+".git")
	s.v.Ends(t, s.run(s.neighbour, "Neighbour", "echo "+secret+" > ~/.cache/kept; echo fine"), "Succeeded")
	p.NeighbourFiles = []string{filepath.Join(p.Neighbour, "config"), filepath.Join(p.Data, "homes", s.neighbour,
		".cache", "kept")}

	s.bystander = s.run(s.workspace, "Bystander", "touch ready; until [ -e go ]; do sleep 0.2; done; echo fine")
	p.Session = filepath.Base(s.bystander)
	stage.Exists(t, filepath.Join(p.Data, "worktrees", p.Session, "ready"))
	p.Bystander = within(t, filepath.Join(p.Data, "worktrees", p.Session))

	p.Processes, err = os.Readlink("/proc/self/ns/pid")
	check(t, err)
	p.Mark = fmt.Sprintf("attack-%d-%d", os.Getpid(), p.Server)
	p.Address = strings.TrimPrefix(s.server.Base, "http://")
	p.Abstract = "carillon-" + p.Mark
	listen := func(path string) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Logf("no socket in %s: %v", filepath.Dir(path), err)
			return
		}
		t.Cleanup(func() { _ = l.Close() })
		if path[0] == '/' {
			own(path)
			p.Sockets = append(p.Sockets, path)
		}
	}
	listen("@" + p.Abstract)
	for _, dir := range []string{p.Data, p.Home, "/run", "/tmp"} {
		listen(filepath.Join(dir, p.Mark))
	}
	p.Sockets = append(p.Sockets, databaseSockets(p.Data, settings)...)
	p.DataFiles = files(t, p.Data, filepath.Join(p.Data, "secret"), p.Mirror, filepath.Join(p.Data, "homes",
		s.workspace))
	list, err := os.ReadDir("/dev")
	check(t, err)
	for _, d := range list {
		if d.Type()&fs.ModeDevice != 0 {
			p.Devices = append(p.Devices, d.Name())
		}
	}
	help, _ := exec.Command("bwrap", "--help").CombinedOutput()
	p.Unnested = strings.Contains(string(help), "--disable-userns")
	text, err := json.Marshal(p)
	check(t, err)
	put(filepath.Join(p.Tools, placeFile), string(text), 0o644)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files are the files of a folder, the one that matters most first, without those of some folders.
func files(t *testing.T, dir, first string, without ...string) []string {
	const most = 500
	list := []string{first}
	if _, err := os.Stat(first); err != nil {
		t.Fatal(err)
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if slices.Contains(without, path) {
			return fs.SkipDir
		}
		if err == nil && d.Type().IsRegular() && path != first {
			list = append(list, path)
		}
		if len(list) == most {
			return fs.SkipAll
		}
		return nil
	})
	return list
}

// databaseSockets are the sockets of the server's database.
func databaseSockets(data string, settings []string) []string {
	list, _ := filepath.Glob(filepath.Join(data, "postgres", "*", ".s.PGSQL.*[0-9]"))
	for _, setting := range settings {
		if value, ok := strings.CutPrefix(setting, "DATABASE_URL="); ok {
			if u, err := url.Parse(value); err == nil {
				more, _ := filepath.Glob(filepath.Join(u.Query().Get("host"), ".s.PGSQL.*[0-9]"))
				list = append(list, more...)
			}
		}
	}
	return list
}

// within is a process that works in a folder.
func within(t *testing.T, dir string) int {
	t.Helper()
	pid := 0
	stage.Eventually(t, "a process in "+dir, func() bool {
		found, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range found {
			text, _ := os.ReadFile(path)
			if strings.Contains("\x00"+string(text), "\x00PWD="+dir+"\x00") {
				_, err := fmt.Sscanf(path, "/proc/%d/environ", &pid)
				return err == nil
			}
		}
		return false
	})
	return pid
}

// run starts an automation of the Shell provider in a workspace, and returns the path of its session.
func (s *scene) run(workspace, name, script string) string {
	s.t.Helper()
	form := s.v.Form(s.t, name, script)
	form.Set("workspace", workspace)
	return s.begin(form)
}

func (s *scene) begin(form url.Values) string {
	s.t.Helper()
	a := s.v.Post(s.t, "/automations", form)
	if a.Status != http.StatusSeeOther {
		s.t.Fatalf("saving answered %d %s", a.Status, a.Said())
	}
	return s.v.Run(s.t, a.To)
}

// play plays the attacks of a run.
func (s *scene) play(in string) (session string) {
	s.t.Helper()
	script := "attacker play " + strings.ReplaceAll(in, " ", "-")
	switch in {
	case open:
		session = s.run(s.workspace, in, script)
		s.session = session
	case offline:
		session = s.run(s.neighbour, in, script)
	case reading:
		a := s.v.Post(s.t, "/bots", url.Values{"name": {"Reader"}, "read_only": {"true"}, "enabled": {"true"},
			"instructions": {"Look."}})
		if a.Status != http.StatusSeeOther {
			s.t.Fatalf("the bot was not made: %d %s", a.Status, a.Said())
		}
		form := s.v.Form(s.t, in, "Play.")
		form.Set("workspace", s.workspace)
		form.Set("session_type", "bot")
		form.Set("bot", filepath.Base(a.To))
		form.Set("provider", "claude")
		session = s.begin(form)
	}
	s.v.Ends(s.t, session, "Succeeded")
	return session
}

// collect takes the results of a run from the home of its workspace.
func (s *scene) collect(in, session string, results map[string]*result) {
	s.t.Helper()
	workspace := s.workspace
	if in == offline {
		workspace = s.neighbour
	}
	text, err := os.ReadFile(filepath.Join(s.place.Data, "homes", workspace, ".cache",
		resultFile+strings.ReplaceAll(in, " ", "-")))
	if err == nil {
		err = json.Unmarshal(text, &results)
	}
	if err != nil {
		s.t.Errorf("%s told nothing: %v\n%s", in, err, s.said(session))
	}
}

// said is how a session ended, and what it has in its transcript.
func (s *scene) said(session string) string {
	page := s.v.Get(s.t, session)
	return page.First(stage.With("id", "session-head")).Said() + " " + page.First(stage.With("id", "transcript")).Said()
}

// end plays an attack that the server has to end.
func (s *scene) end(a attack, r *result) {
	s.t.Helper()
	session := s.run(s.workspace, a.name, a.script)
	s.v.Ends(s.t, session, "Failed")
	said := s.said(session)
	r.expect("its run ended otherwise: "+said, strings.Contains(said, a.ends), a.ends)
}

// lookedAt expects that the server has looked at what the run left.
func lookedAt(s *scene, r *result) {
	a := s.v.Get(s.t, s.session+"/changes")
	r.expect(fmt.Sprintf("its changes answered %d %s, and it said %s", a.Status, a.Said(), s.said(s.session)),
		a.Status == http.StatusOK && strings.Contains(a.Said(), "link-to-home"), "the server looks at all that is left")
}

func linksAfter(s *scene, r *result) {
	a := s.v.Get(s.t, s.session+"/changes")
	r.expect("the changes tell what a link leads to", a.Status == http.StatusOK && !strings.Contains(a.Text(),
		secret), "the server shows links as links")
	for _, path := range s.place.HomeFiles {
		_, err := os.Stat(path)
		r.expect(path+" is gone", err == nil, "the server removes links as links")
	}
	key, err := os.ReadFile(s.place.DataFiles[0])
	r.expect("the key was changed", err == nil && len(key) > 20 && !strings.Contains(a.Text(),
		strings.TrimSpace(string(key))), "the server shows links as links")
}

func namesAfter(s *scene, r *result) {
	a := s.v.Get(s.t, s.session+"/changes")
	r.expect("a hidden byte is on the page", a.Status == http.StatusOK && !strings.ContainsAny(a.Text(),
		"\x1b\u202e"), "names are shown with what they hide")
}

// removed expects that the folders of the run are gone.
func removed(s *scene, r *result) {
	session := filepath.Base(s.session)
	left, err := filepath.Glob(filepath.Join(s.place.Data, "runs", session+"*"))
	r.expect("the run's folder stays: "+strings.Join(left, " "), err == nil && len(left) == 0,
		"rights are given back before a folder is removed")
}

func outlived(s *scene, r *result) {
	n := stage.Marked(s.t, s.place.Mark)
	r.expect(fmt.Sprintf("%d are still there", n), n == 0, "all that descends from a run ends with it")
}

func configurationAfter(s *scene, r *result) {
	text, err := os.ReadFile(filepath.Join(s.place.Home, ".claude", "settings.json"))
	r.expect("the settings are others", err == nil && string(text) == "{}", "they are mounted read-only")
	for _, dir := range []string{s.place.Home, filepath.Join(s.place.Data, "homes", s.workspace)} {
		for _, name := range []string{".gitconfig", ".bashrc", ".npmrc", ".claude.json", ".claude/CLAUDE.md",
			".config/git/config"} {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			r.expect(name+" stayed", string(text) != planted, "a home begins empty with each run")
		}
	}
}

func signInsAfter(s *scene, r *result) {
	text, err := os.ReadFile(filepath.Join(s.place.Home, ".claude", ".credentials.json"))
	r.expect("it is "+string(text), err == nil && string(text) == fmt.Sprintf(signIn, "own", 1),
		"what is no sign-in is put back, and no link is followed")
}
