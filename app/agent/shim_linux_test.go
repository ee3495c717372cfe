package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"carillon/app/transcript"
)

func TestTheDescendantsOfAProcessAreFoundAgainAndAgain(t *testing.T) {
	f := &descendantList{root: os.Getpid()}
	for range 3 {
		turn := newTurn(t, "(setsid sleep 3000 &) & sleep 3000 & echo ready; wait")
		m := mark(t, &turn)
		ctx, cancel := context.WithCancel(t.Context())
		found := -1
		_, err := Run(ctx, bash(), turn, func(e transcript.Event) {
			if found < 0 && strings.Contains(e.Text, "ready") {
				until(t, "its processes to be found", func() bool {
					found = 0
					for _, pid := range f.list() {
						if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ",
							pid)); strings.Contains(string(text), m) {
							found++
						}
					}
					return found >= 4
				})
				cancel()
			}
		})
		if err == nil || len(f.foreign) == 0 && os.Getppid() != 0 {
			t.Errorf("%v, and %d others are known", err, len(f.foreign))
		}
	}
}

func TestARunEndsWhereTheDiskHasNoRoomLeft(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := mountSmall(disk, 400); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unmountSmall(disk) })
	if LacksDiskSpace(disk, 100<<20) {
		t.Error("an empty disk lacks room")
	}
	other := newTurn(t, "until [ -e {{go}} ]; do sleep 0.1; done; echo fine") // on the same disk, and writes nothing
	turn := newTurn(t, "head -c 399m /dev/zero > x || true; sleep 3000")
	limits := Limits{FreeDisk: 100 << 20}
	var f *Failure
	for _, t := range []*Turn{&other, &turn} {
		t.Dir, t.Limits = filepath.Join(disk, filepath.Base(t.RunDir)), limits
		t.RunDir = filepath.Join(t.Dir, "run")
		_ = os.MkdirAll(t.RunDir, 0o700)
	}
	other.Params = map[string]string{"go": filepath.Join(disk, "go")}
	ended := make(chan string, 1)
	go func() {
		s := &seen{}
		_, err := Run(context.WithoutCancel(t.Context()), bash(), other, s.emit)
		ended <- fmt.Sprint(s.stream("stdout"), err)
	}()
	_, f, _ = runTurn(t, bash(), turn)
	expectFailure(t, f, FailTransient,
		"it was ended since the disk has less than 8 MiB left and it had written over 64 MiB of files")
	if !LacksDiskSpace(disk, 100<<20) {
		t.Error("a full disk has room")
	}
	_ = os.Remove(filepath.Join(turn.Dir, "x"))
	_ = os.WriteFile(filepath.Join(disk, "go"), nil, 0o600)
	if said := <-ended; said != "fine\n<nil>" {
		t.Errorf("the other run: %s", said)
	}
}

// mountSmall mounts a disk of so many MiB.
func mountSmall(dir string, size int) error {
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0755", size))
}

func unmountSmall(dir string) error { return syscall.Unmount(dir, syscall.MNT_DETACH) }
