package workspace

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Git opens each .gitignore and .gitattributes of a worktree, and waits for a writer where a program left a pipe in its
// place.
const (
	pipesAfter = 2 * time.Second // a Git that takes longer may wait for one
	pipesEvery = 5 * time.Second
	pipesNext  = 100 * time.Millisecond // where it waited for one, it may wait for the next
)

// relieve looks for pipes in a worktree while a Git takes long that works on it, and ends who waits for them: their
// files are then empty. An empty folder is none. The caller calls stop once that Git has ended.
func relieve(dir string) (stop func()) {
	if dir == "" {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		for wait := pipesAfter; ; {
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			wait = pipesEvery
			_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				select {
				case <-done:
					return fs.SkipAll
				default:
				}
				if err == nil && d.Type()&fs.ModeNamedPipe != 0 {
					// It can be opened where somebody reads, who learns by its closing that nothing comes.
					if f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0); err == nil {
						_ = f.Close()
						wait = pipesNext
					}
				}
				return nil
			})
		}
	}()
	return func() { close(done) }
}
