package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// A Gemini CLI names the file of a conversation after the minute of its start and the first eight characters of its id.
// Loading a conversation begins another such file. In the same minute it is the same file, which is then empty to its
// reader. In another minute it is a second file without messages, and because of that the next start deletes all files
// of these characters.

const (
	chatPrefix = "session-"
	chatSuffix = ".jsonl"
	// chatTime replaces the minute in a file's name with a time that no clock gives again.
	chatTime  = "1970-01-01T00-00-"
	chatShort = 8
	// chatLine bounds the first line of such a file, in bytes.
	chatLine = 64 << 10
)

// prepareChat renames the files of the conversation to resume so that the program finds the conversation and does not
// delete it.
func (r *run) prepareChat(env []string) error {
	if r.Chats == "" || r.Resume == "" || len(r.Resume) < chatShort || strings.ContainsAny(r.Resume, `/\*?[`) {
		return nil
	}
	home := variable(env, "GEMINI_CLI_HOME")
	if home == "" {
		home = variable(env, "HOME")
	}
	if !filepath.IsAbs(home) {
		return nil
	}
	return r.User.Do(func() error { return r.prepareChatBelow(filepath.Join(home, r.Chats)) })
}

func (r *run) prepareChatBelow(dir string) error {
	root, err := os.OpenRoot(dir) // it follows no link out of the folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	files, err := fs.Glob(root.FS(), "*/chats/"+chatPrefix+"*-"+r.Resume[:chatShort]+chatSuffix)
	if err != nil {
		return err
	}
	for _, file := range files {
		id, empty, err := readChat(root, file)
		if err != nil || id != r.Resume {
			continue
		}
		kept := path.Join(path.Dir(file), chatPrefix+chatTime+r.Resume[:chatShort]+chatSuffix)
		switch {
		case empty:
			err = root.Remove(file)
		case file != kept:
			err = root.Rename(file, kept)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readChat reads the id of a file's conversation, and whether the conversation has no message.
func readChat(root *os.Root, file string) (id string, empty bool, err error) {
	f, err := root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // does not wait for a pipe
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", false, cmp.Or(err, fs.ErrInvalid)
	}
	lines := bufio.NewReaderSize(f, chatLine)
	first, err := lines.ReadSlice('\n')
	if err != nil {
		return "", false, err
	}
	var about struct {
		ID string `json:"sessionId"`
	}
	if err := json.Unmarshal(first, &about); err != nil {
		return "", false, err
	}
	for empty = true; empty; {
		line, err := lines.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			break
		}
		empty = bytes.HasPrefix(line, []byte(`{"sessionId"`)) || bytes.HasPrefix(line, []byte(`{"$`))
	}
	return about.ID, empty, nil
}

// variable is the value of a variable of an environment.
func variable(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}
