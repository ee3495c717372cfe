package git

import (
	"fmt"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// FileDiff is the part of a diff that is about one file.
type FileDiff struct {
	// Path is the path now; of a deleted file, the path that it had.
	Path string
	// Old is the former path of a renamed file.
	Old    string
	Status Status
	// Additions and Deletions count the lines that the diff shows.
	Additions, Deletions int
	Binary               bool
	// Truncated is whether the diff ends within this file.
	Truncated bool
	Hunks     []Hunk
}

// Hunk is a run of lines with changes among them.
type Hunk struct {
	// Heading is what Git found the lines to be within, such as a function's first line; may be empty.
	Heading string
	Lines   []Line
}

// Line is one line of a hunk.
type Line struct {
	Kind LineKind
	// Old and New are the line's numbers before and after the change, from 1; 0 on the side where it is absent.
	Old, New int
	// Text has no line end.
	Text string
	// NoEnd marks the last line of a file that does not end with a line end.
	NoEnd bool
}

// LineKind is what a diff says of a line.
type LineKind string

const (
	ContextLine LineKind = "context"
	AddedLine   LineKind = "added"
	DeletedLine LineKind = "deleted"
)

// ParseDiff reads what Diff returns, also where it was cut off: the last file is then marked. The error says in
// which file the text is no diff; the files before it are returned.
func ParseDiff(text string) ([]FileDiff, error) {
	var files []FileDiff
	for part := range fileParts(text) {
		parsed, err := parseFile(part)
		truncated := false
		if err != nil {
			if parsed, err = parseFile(completeHunk(part)); err == nil {
				truncated = true
			}
		}
		if err != nil {
			first, rest, _ := strings.Cut(part, "\n")
			if _, path, ok := strings.Cut(first, " b/"); ok && !strings.Contains(rest, "\n@@ ") {
				// Cut off before the lines that name a renamed file.
				files = append(files, FileDiff{Path: path, Status: Modified, Truncated: true})
				continue
			}
			return files, fmt.Errorf("read the diff at %q: %w", first, err)
		}
		f := fileDiff(parsed)
		f.Truncated = truncated
		files = append(files, f)
	}
	return files, nil
}

const fileStart = "diff --git "

// fileParts splits a diff before each file. A line of content starts with a space or a sign, so it cannot be
// taken for a file's first line.
func fileParts(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var part strings.Builder
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, fileStart) && part.Len() > 0 {
				if !yield(part.String()) {
					return
				}
				part.Reset()
			}
			if part.Len() > 0 || strings.HasPrefix(line, fileStart) {
				part.WriteString(line)
			}
		}
		if part.Len() > 0 {
			yield(part.String())
		}
	}
}

func parseFile(part string) (*gitdiff.File, error) {
	files, _, err := gitdiff.Parse(strings.NewReader(part))
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("%d files where one was expected", len(files))
	}
	return files[0], nil
}

// completeHunk makes a part valid that was cut off: it corrects the counts of lines in the last hunk's heading.
func completeHunk(part string) string {
	at := strings.LastIndex(part, "\n@@ -")
	if at < 0 {
		// Cut within the header. Only the paths of its first line are certain.
		first, _, _ := strings.Cut(part, "\n")
		return first + "\n"
	}
	before, hunk := part[:at+1], part[at+1:]
	heading, lines, _ := strings.Cut(hunk, "\n")
	var oldStart, newStart, before1, after1 int
	ranges, rest, ok := strings.Cut(strings.TrimPrefix(heading, "@@ "), " @@")
	if !ok {
		return before
	}
	for i, r := range strings.Fields(ranges) {
		start := &oldStart
		if i == 1 {
			start = &newStart
		}
		if _, err := fmt.Sscanf(r[1:], "%d", start); err != nil {
			return before
		}
	}
	var kept strings.Builder
	for line := range strings.Lines(lines) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		switch line[0] {
		case ' ':
			before1, after1 = before1+1, after1+1
		case '-':
			before1++
		case '+':
			after1++
		}
		kept.WriteString(line)
	}
	// A hunk without a change is no hunk.
	if !strings.Contains("\n"+kept.String(), "\n+") && !strings.Contains("\n"+kept.String(), "\n-") {
		return before
	}
	return fmt.Sprintf("%s@@ -%d,%d +%d,%d @@%s\n%s", before, oldStart, before1, newStart, after1, rest, kept.String())
}

func fileDiff(parsed *gitdiff.File) FileDiff {
	f := FileDiff{Path: parsed.NewName, Status: Modified, Binary: parsed.IsBinary}
	switch {
	case parsed.IsNew:
		f.Status = Added
	case parsed.IsDelete:
		f.Path, f.Status = parsed.OldName, Deleted
	case parsed.IsRename:
		f.Old, f.Status = parsed.OldName, Renamed
	}
	for _, fragment := range parsed.TextFragments {
		hunk := Hunk{Heading: fragment.Comment}
		before, after := int(fragment.OldPosition), int(fragment.NewPosition)
		for _, l := range fragment.Lines {
			line := Line{
				Kind: ContextLine, Old: before, New: after, Text: strings.TrimSuffix(l.Line, "\n"), NoEnd: l.NoEOL(),
			}
			switch l.Op {
			case gitdiff.OpAdd:
				line.Kind, line.Old = AddedLine, 0
				f.Additions++
			case gitdiff.OpDelete:
				line.Kind, line.New = DeletedLine, 0
				f.Deletions++
			}
			if l.Old() {
				before++
			}
			if l.New() {
				after++
			}
			hunk.Lines = append(hunk.Lines, line)
		}
		f.Hunks = append(f.Hunks, hunk)
	}
	return f
}
