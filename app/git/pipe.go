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
	firstPipeCheck = 2 * time.Second // a Git that takes longer may wait for a pipe
	pipeCheckPause = 5 * time.Second
	nextPipePause  = 100 * time.Millisecond // a Git that waited for a pipe may wait for the next one
)

// unblockPipes watches a Git that works on a worktree or a repository. Where the Git takes long, unblockPipes opens and
// closes each pipe there that a process waits to read: the reader gets an empty file. A pipe in the repository is
// removed as well, since a file that Git reads there may not be empty. The caller calls stop once the Git has ended;
// stop reports whether a pipe was removed. unblockPipes calls end where a Git goes on waiting for a pipe that was
// removed, because the pipe's maker holds it open.
func (g *runner) unblockPipes(c call, end func()) (stop func() bool) {
	if c.workTree == "" && c.gitDir == "" {
		return func() bool { return false }
	}
	done, over, removed := make(chan struct{}), make(chan struct{}), false
	go func() {
		defer close(over)
		for wait := firstPipeCheck; ; {
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			wait = pipeCheckPause
			if removed {
				end()
			}
			folders := readPaths(c)
			_ = g.user.Do(func() error {
				for _, folder := range folders {
					if unblockPipesBelow(folder, folder != c.workTree, done) {
						wait, removed = nextPipePause, removed || folder != c.workTree
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

// readPaths are the folders and files in which a Git reads.
func readPaths(c call) (list []string) {
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
	for _, part := range append([]string{"."}, sharedParts...) { // a view links to the parts of a mirror
		if real, err := filepath.EvalSymlinks(filepath.Join(c.gitDir, part)); err == nil {
			list = append(list, real)
		}
	}
	return list
}

// unblockPipesBelow ends the waiting for each pipe below a folder, and reports whether a process waited for one.
func unblockPipesBelow(folder string, remove bool, done <-chan struct{}) (found bool) {
	_ = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		select {
		case <-done:
			return fs.SkipAll
		default:
		}
		switch {
		case err != nil:
		case d.Type()&fs.ModeNamedPipe != 0:
			// It can be opened only where a process reads, and the closing ends the reading.
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
