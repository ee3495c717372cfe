package agent

import "testing"

func TestTheReasonOfAFailedGitIsWhatItSaidAndNotItsAdvice(t *testing.T) {
	t.Parallel()
	const ssh = "git@forge.example: Permission denied (publickey).\r\nfatal: Could not read from remote " +
		"repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n"
	const lock = "fatal: Unable to create '/d/packed-refs.lock': File exists.\n\nAnother git process seems to be " +
		"running in this repository, e.g.\nan editor opened by 'git commit'. Please make sure all processes\nare " +
		"terminated then try again. If it still fails, a git process\nmay have crashed in this repository " +
		"earlier:\nremove the file manually to continue.\n"
	for _, tt := range []struct{ said, want string }{
		{ssh, "git@forge.example: Permission denied (publickey). fatal: Could not read from remote repository."},
		{ssh + "giving up\n", "giving up"},
		{lock, "fatal: Unable to create '/d/packed-refs.lock': File exists."},
		{"one\ntwo\n\n", "two"},
	} {
		if got := lastLine(tt.said); got != tt.want {
			t.Errorf("%q became %q; want %q", tt.said, got, tt.want)
		}
	}
}
