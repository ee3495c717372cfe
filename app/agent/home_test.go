package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAFileThatAProgramReplacesIsReadWithoutWaitingAndWithinABound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readRegular(pipe, 10); err == nil {
		t.Errorf("a pipe was read: %q", text)
	}
	file := filepath.Join(dir, "file")
	for size, want := range map[int]error{0: nil, 10: nil, 11: errMuchState} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("a"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := readRegular(file, 10)
		if !errors.Is(err, want) || err == nil && len(text) != size {
			t.Errorf("%d bytes: got %d, %v", size, len(text), err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := readRegular(file, 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
