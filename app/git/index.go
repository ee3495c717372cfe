package git

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// maxIndex is the most bytes of an index. The index of a million files has less than 200 MiB.
const maxIndex = 512 << 20

// copyIndex copies a session's index and returns the path of the copy. With it Git knows which files did not change
// without reading them.
func (g *runner) copyIndex(path string) (string, error) {
	if err := g.prepare(); err != nil {
		return "", err
	}
	copied := ""
	err := g.user.Do(func() (err error) {
		copied, err = g.copyIndexOnce(path)
		return err
	})
	return copied, err
}

func (g *runner) copyIndexOnce(path string) (string, error) {
	to, err := os.CreateTemp(g.private("tmp"), "index-*")
	if err != nil {
		return "", err
	}
	defer to.Close()
	from, err := openRegular(path)
	if err != nil {
		// No index is an empty one; that is how git sees a missing file.
		return to.Name(), os.Remove(to.Name())
	}
	defer from.Close()
	info, err := from.Stat()
	if err == nil && info.Size() > maxIndex {
		err = fmt.Errorf("the index of the worktree has %d MiB: at most %d are read", info.Size()>>20, maxIndex>>20)
	}
	if err == nil {
		_, err = io.Copy(to, io.LimitReader(from, maxIndex)) // it may grow meanwhile
	}
	// The age of an index tells git which entries changed too shortly before it to be trusted.
	if err == nil {
		err = os.Chtimes(to.Name(), info.ModTime(), info.ModTime())
	}
	if err != nil {
		_ = os.Remove(to.Name())
		return "", err
	}
	return to.Name(), nil
}

// replaceIndex replaces an index as Git does, under its lock. Where another Git holds the lock it does nothing.
func replaceIndex(from, to string) error {
	in, err := openRegular(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	lock, err := os.OpenFile(to+".lock", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		// The agent's Git is at work. The commit stands; the agent's next status shows the files as staged.
		return nil
	} else if err != nil {
		return diskFull(err)
	}
	_, err = io.Copy(lock, in)
	if err = errors.Join(err, lock.Close(), os.Chtimes(to+".lock", info.ModTime(), info.ModTime())); err != nil {
		return errors.Join(diskFull(err), os.Remove(to+".lock"))
	}
	return os.Rename(to+".lock", to)
}

// putIndex replaces the session's index by a copy, also where a killed Git left a lock on it.
func (repo *repository) putIndex(index string, w Worktree) error {
	err := repo.user.Do(func() error {
		return errors.Join(os.Chmod(index, 0o644), os.Rename(index, repo.indexFile(w)))
	})
	if err != nil {
		return fmt.Errorf("write the index of the session: %w", diskFull(err))
	}
	return nil
}

func removeIndex(index string) {
	_ = os.Remove(index)
	_ = os.Remove(index + ".lock")
}
