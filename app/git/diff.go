package git

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Diff is the unified diff of everything that the session changed since its base, new files included, binary
// ones only by name. It holds at most maxBytes and ends with a whole line; truncated says that there is more.
// It is valid UTF-8 without NUL. Errors to tell apart: ErrNoWorktree, ErrNoMirror.
func (s *Store) Diff(ctx context.Context, w Worktree, maxBytes int) (text string, truncated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	in, err := s.inspect(ctx, w)
	if err != nil {
		return "", false, fmt.Errorf("read the diff: %w", err)
	}
	defer in.close()
	if !in.uncommitted && in.head == w.Base {
		return "", false, nil
	}
	c := in.call(nil, append(diffArgs, "--patch", "--unified=3", w.Base, "--")...)
	c.limit = int64(max(maxBytes, 1))
	out, err := in.repo.run(ctx, c)
	if truncated = errors.Is(err, errOutputLimit); err != nil && !truncated {
		return "", false, fmt.Errorf("read the diff: %w", err)
	}
	text = string(out)
	// A byte that is not UTF-8 becomes three bytes, so the text can grow.
	if text = cleanText(text); len(text) > maxBytes {
		text, truncated = text[:maxBytes], true
	}
	if truncated {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	return text, truncated || in.more > 0, nil
}

// splitNUL is the parts of git's -z output.
func splitNUL(out []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(string(out), "\x00") {
			if part != "" && !yield(part) {
				return
			}
		}
	}
}

// emptyTree is the id of a commit's tree that has no files.
func emptyTree(sha string) string {
	if len(sha) == 64 {
		return "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
	}
	return "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
}
