package help

import (
	"io/fs"
	"strings"
	"testing"
)

func TestTheListOfPagesHasEveryFileWithItsTitleAndWhatItIsAbout(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(files, "*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := Pages()
	if len(pages) != len(names)-1 { // without README.md
		t.Errorf("README.md lists %d pages; there are %d", len(pages), len(names)-1)
	}
	index, err := files.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if line := "| [" + p.Title + "](" + p.Name + ".md) | " + p.About + " |\n"; !strings.Contains(string(index),
			line) {
			t.Errorf("README.md lacks the line %s", line)
		}
	}
}

func TestLinksOfTheManualLeadWithinTheApplication(t *testing.T) {
	t.Parallel()
	for destination, want := range map[string]string{
		"settings.md": "/help/settings", "settings.md#the-server": "/help/settings#the-server", "#rules": "#rules",
		"README.md": "/help", "https://example.com/a.md": "https://example.com/a.md",
	} {
		if got := Resolve(destination); got != want {
			t.Errorf("%s leads to %s; want %s", destination, got, want)
		}
	}
}

// A reader of the application has no repository at hand.
func TestTheManualLinksToNothingOutsideOfIt(t *testing.T) {
	t.Parallel()
	for _, p := range Pages() {
		for _, part := range p.Parts {
			for rest := part.HTML; ; {
				_, after, ok := strings.Cut(rest, `href="`)
				if !ok {
					break
				}
				address, tail, _ := strings.Cut(after, `"`)
				rest = tail
				file, _, _ := strings.Cut(address, "#")
				_, is := Find(strings.TrimPrefix(file, root+"/"))
				if !is && file != "" && file != root && !strings.HasPrefix(file, "https://") {
					t.Errorf("%s.md links to %s", p.Name, address)
				}
			}
		}
	}
}
