package git

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// overrides are settings that win over every configuration file that a command reads, including a worktree's.
var overrides = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.untrackedCache=false",
	"core.quotePath=false",
	"core.bigFileThreshold=16m", // larger files are shown as binary instead of being held in memory
	"credential.helper=",
	"gc.auto=0",
	"maintenance.auto=false",
	"protocol.ext.allow=never",
	"safe.directory=*",
	"submodule.recurse=false",
	"http.lowSpeedLimit=1000",
	"http.lowSpeedTime=60",
}

// sshCommand never asks: a host seen for the first time is trusted and remembered, a changed one is refused.
const sshCommand = "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=15 -o " +
	"ServerAliveInterval=15 -o ServerAliveCountMax=4"

// findProgram returns the absolute path of the program of Git.
func (g *runner) findProgram() (string, error) {
	path, err := exec.LookPath(g.program)
	if err != nil {
		return "", fmt.Errorf("find git: %w", err)
	}
	return filepath.Abs(path)
}

// protectedConfig is what git reads as the person's own configuration. Only there, and not in -c, does the
// upload-pack that git starts for a path find that it may read another person's repository.
const protectedConfig = "[safe]\n\tdirectory = *\n[protocol \"ext\"]\n\tallow = never\n[gc]\n\tauto = 0\n"

// prepare makes the folders and the configuration that every Git needs, and lets the user of agents reach them.
func (g *runner) prepare() error {
	for _, dir := range []string{g.private("home"), g.private("tmp"), g.private("empty"),
		filepath.Join(g.root, "repos"), filepath.Join(g.root, "worktrees")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(writeAtomic(g.private("home", ".gitconfig"), protectedConfig), g.grantFolders())
}

// inheritedVariables are the variables of the server that its Git needs to reach a remote.
var inheritedVariables = []string{
	"PATH", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
	"CURL_CA_BUNDLE",
	"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
}

func (g *runner) environment() []string {
	env := []string{
		"HOME=" + g.private("home"), // ssh finds keys and known hosts by the user's record, not by HOME
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + g.private("home", ".gitconfig"),
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_ASKPASS=true",
		"SSH_ASKPASS_REQUIRE=never",
		"GIT_SSH_COMMAND=" + sshCommand,
		"GIT_SSH_VARIANT=ssh",
		"GIT_ALLOW_PROTOCOL=https:http:ssh:file",
		"GIT_LFS_SKIP_SMUDGE=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_EDITOR=true",
		"GIT_PAGER=cat",
		"GIT_AUTHOR_NAME=Carillon", "GIT_AUTHOR_EMAIL=carillon@localhost",
		"GIT_COMMITTER_NAME=Carillon", "GIT_COMMITTER_EMAIL=carillon@localhost",
	}
	for _, name := range inheritedVariables {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
