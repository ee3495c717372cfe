package git

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carillon/app/runas"
)

// A server that is not root and has the capabilities by systemd's AmbientCapabilities hands them on to each Git of the
// user of agents. The test starts itself so, by setpriv.
func TestAGitOfTheUserHasNoCapabilityOfTheServer(t *testing.T) {
	if os.Geteuid() == 0 {
		if _, err := exec.LookPath("setpriv"); err != nil {
			t.Skip("needs setpriv, of util-linux, which gives the capabilities")
		}
		dir := t.TempDir()
		must(t, os.Chmod(filepath.Dir(dir), 0o711))
		must(t, os.Chmod(dir, 0o777))
		self, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		must(t, os.WriteFile(dir+"/self", self, 0o755))
		cmd := exec.CommandContext(t.Context(), "setpriv", "--reuid=1", "--regid=1", "--clear-groups",
			"--inh-caps=+setuid,+setgid,+chown,+dac_override,+fowner,+kill,+sys_ptrace",
			"--ambient-caps=+setuid,+setgid,+chown,+dac_override,+fowner,+kill,+sys_ptrace", dir+"/self",
			"-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	u, err := runas.LookUp("nobody")
	if err != nil {
		t.Skip("needs root, or its capabilities, to start programs as another user: ", err)
	}
	s := &Store{Root: filepath.Join(t.TempDir(), "data"), User: u, Log: slog.New(slog.DiscardHandler)}
	must(t, os.Chmod(filepath.Dir(filepath.Dir(s.Root)), 0o711))
	must(t, s.Scratch(t.Context(), "w"))
	_, err = s.Add(t.Context(), "w", "one", "", "")
	must(t, err)
	real, err := exec.LookPath("git")
	must(t, err)
	tmp := t.TempDir()
	must(t, os.Chmod(tmp, 0o777))
	s.Git = tmp + "/git"
	must(t, os.WriteFile(s.Git,
		[]byte("#!/bin/bash\n[[ $EUID == 65534 ]] && grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/self/status >> "+tmp+
			"/caps\nexec "+real+" \"$@\"\n"), 0o755))
	outside := t.TempDir()
	must(t, os.Chmod(outside, 0o700))
	cmd := exec.CommandContext(t.Context(), "bash", "-ec",
		"cd "+s.layout().mirrorDir("w")+"/refs/heads; mv carillon other; ln -s "+
			outside+" carillon")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Log(string(out), err)
	}
	_, err = s.runner().run(t.Context(), call{
		gitDir: s.layout().viewDir("w"),
		args:   []string{"update-ref", "refs/heads/carillon/two", "refs/heads/main"},
	})
	t.Log(err)
	caps, _ := os.ReadFile(tmp + "/caps")
	t.Logf("%s", caps)
	if !strings.Contains(string(caps), "CapEff:\t0000000000000000") {
		t.Error("it has capabilities")
	}
	untouched(t, outside)
}
