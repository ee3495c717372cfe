package runs

import (
	"fmt"
	"strings"
	"testing"

	"carillon/app/transcript"
)

func TestAnEditIsShownAsTheLinesThatChanged(t *testing.T) {
	t.Parallel()
	long := func(change string) string {
		var b strings.Builder
		for i := range 100 {
			if i == 50 {
				b.WriteString(change + "\n")
			}
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	for _, tt := range []struct {
		name     string
		edit     transcript.Edit
		signs    string
		add, del int
	}{
		{"a line changed", transcript.Edit{Old: "a\nb\nc", New: "a\nx\nc", Action: "update"}, " -+ ", 1, 1},
		{"a new file", transcript.Edit{New: "a\nb\n", Action: "add"}, "++", 2, 0},
		{"a deleted file", transcript.Edit{Old: "a\n", Action: "delete"}, "-", 0, 1},
		{"nothing", transcript.Edit{Old: "a", New: "a", Action: "update"}, "", 0, 0},
		{"far apart", transcript.Edit{
			Old: "a\n1\n2\n3\n4\n5\n6\n7\n8\nz", New: "A\n1\n2\n3\n4\n5\n6\n7\n8\nZ", Action: "update",
		}, "-+   @   -+", 2, 2},
		{"in a long file", transcript.Edit{Old: long("old"), New: long("new"), Action: "update"}, "   -+   ", 1, 1},
	} {
		d := editDiff(tt.edit)
		signs := ""
		for _, l := range d.Lines {
			signs += l.Sign
		}
		if signs != tt.signs || d.Added != tt.add || d.Removed != tt.del {
			t.Errorf("%s: %q +%d -%d; want %q +%d -%d", tt.name, signs, d.Added, d.Removed, tt.signs, tt.add, tt.del)
		}
	}
}
