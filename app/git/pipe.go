package git

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Git opens each .gitignore and .gitattributes of a worktree, and much of its repository, and waits for a writer where
// a program left a pipe in the place of a file.
const (
	pipesAfter = 2 * time.Second // a Git that takes longer may wait for one
	pipesEvery = 5 * time.Second
	pipesNext  = 100 * time.Millisecond // where it waited for one, it may wait for the next
)

// relieve looks for pipes in a worktree and its repository while a Git takes long that works on it, and ends who waits
// for them: their files are then empty. A pipe in the repository is removed, since what Git reads there may not be
// empty. The caller calls stop once that Git has ended, which reports whether one was removed. A Git that still waits
// for one that was removed, since its maker holds it open, is ended by end.
func (g *runner) relieve(c call, end func()) (stop func() bool) {
	if c.workTree == "" && c.gitDir == "" {
		return func() bool { return false }
	}
	done, over, removed := make(chan struct{}), make(chan struct{}), false
	go func() {
		defer close(over)
		for wait := pipesAfter; ; {
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			wait = pipesEvery
			if removed {
				end()
			}
			tops := readBy(c)
			_ = g.user.Do(func() error {
				for _, top := range tops {
					if relievePipes(top, top != c.workTree, done) {
						wait, removed = pipesNext, removed || top != c.workTree
					}
				}
				return nil
			})
		}
	}()
	return func() bool {
		close(done)
		<-over
		return removed
	}
}

// readBy are the folders and files in which a Git reads.
func readBy(c call) (list []string) {
	if c.workTree != "" {
		list = append(list, c.workTree)
	}
	for _, kv := range c.env {
		if index, ok := strings.CutPrefix(kv, "GIT_INDEX_FILE="); ok {
			list = append(list, index)
		}
	}
	if c.gitDir == "" {
		return list
	}
	for _, part := range append([]string{"."}, shared...) { // a view links to the parts of a mirror
		if real, err := filepath.EvalSymlinks(filepath.Join(c.gitDir, part)); err == nil {
			list = append(list, real)
		}
	}
	return list
}

// relievePipes ends who waits for a pipe below a folder, and reports whether anybody did.
func relievePipes(top string, remove bool, done <-chan struct{}) (found bool) {
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		select {
		case <-done:
			return fs.SkipAll
		default:
		}
		switch {
		case err != nil:
		case d.Type()&fs.ModeNamedPipe != 0:
			// It can be opened where somebody reads, who learns by its closing that nothing comes.
			if f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0); err == nil {
				if remove {
					_ = os.Remove(path)
				}
				_ = f.Close()
				found = true
			}
		}
		return nil
	})
	return found
}
