// Package help is the manual: Markdown files that can be read in the repository and are shown as the help of the
// application. It knows neither pages nor people.
package help

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"carillon/views/markdown"
)

//go:embed *.md
var files embed.FS

// Page is a page of the manual.
type Page struct {
	Name string // of its file, and of its address: "automations"
	*markdown.Document
}

// root is the address of the list of pages. That of a page is below it.
const root = "/help"

// listed is a line of the list of pages.
var listed = regexp.MustCompile(`(?m)^\| \[[^]]+\]\(([a-z]+)\.md\) \|`)

// Pages are the pages of the manual, in the order of README.md, which lists them. They are rendered once.
var Pages = sync.OnceValue(func() []Page {
	list, err := read()
	if err != nil {
		panic(err) // the files are part of the program, and a test reads them
	}
	return list
})

// Find returns the page with a name.
func Find(name string) (Page, bool) {
	for _, p := range Pages() {
		if p.Name == name {
			return p, true
		}
	}
	return Page{}, false
}

func read() ([]Page, error) {
	index, err := files.ReadFile("README.md")
	if err != nil {
		return nil, err
	}
	var list []Page
	for _, m := range listed.FindAllSubmatch(index, -1) {
		p := Page{Name: string(m[1])}
		source, err := files.ReadFile(p.Name + ".md")
		if err != nil {
			return nil, err
		}
		if p.Document, err = markdown.Parse(source, Resolve); err != nil {
			return nil, fmt.Errorf("%s.md: %w", p.Name, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// Resolve is the address in the application of a link within the manual.
func Resolve(destination string) string {
	file, anchor, hasAnchor := strings.Cut(destination, "#")
	if name, is := strings.CutSuffix(file, ".md"); is && path.Base(file) == file {
		if file = root + "/" + name; name == "README" {
			file = root
		}
	}
	if hasAnchor {
		return file + "#" + anchor
	}
	return file
}
