package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/check"
	"carillon/views"
	"carillon/views/markdown"
)

var update = flag.Bool("update", false, "write the tables of the manual that are made from the code")

// documents are the texts of the repository for people, by their paths from its top.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "node_modules", "data", "tmp", "bin", "testdata"}, d.Name()):
			return fs.SkipDir
		case path.Ext(name) != ".md" || d.IsDir():
			return nil
		}
		found[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"README.md", "app/README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", "views/help/README.md",
	} {
		if found[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	return found
}

// link is a link or an image of a document.
type link struct{ label, to string }

// inHTML are the addresses in the HTML of a document.
var inHTML = regexp.MustCompile(`(?:src|srcset|href)="([^"]*)"`)

func linksOf(source []byte) (list []link) {
	m := goldmark.New(goldmark.WithExtensions(extension.Table))
	_ = ast.Walk(m.Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			list = append(list, link{labelOf(n, source), string(n.Destination)})
		case *ast.Image:
			list = append(list, link{"", string(n.Destination)})
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				for _, found := range inHTML.FindAllSubmatch(line.Value(source), -1) {
					list = append(list, link{"", string(found[1])})
				}
			}
		}
		return ast.WalkContinue, nil
	})
	return list
}

func labelOf(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func TestEveryLinkOfADocumentLeadsSomewhere(t *testing.T) {
	t.Parallel()
	all, checked := documents(t), 0
	for name, source := range all {
		for _, l := range linksOf(source) {
			checked++
			file, anchor, _ := strings.Cut(l.to, "#")
			if strings.HasPrefix(file, "https://") {
				continue // the network is not asked
			}
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			info, err := os.Stat(filepath.Join("..", filepath.FromSlash(target)))
			if err != nil || info.IsDir() {
				t.Errorf("%s links to %s, which is no file", name, l.to)
				continue
			}
			if anchor != "" && !slices.Contains(markdown.Anchors(all[target]), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", name, l.to, target)
			}
			if path.Ext(target) == ".go" && !declares(t, target, l.label) {
				t.Errorf("%s links to %s for %s, which is not declared there", name, l.to, l.label)
			}
		}
	}
	if checked < 60 {
		t.Errorf("%d links were looked at", checked)
	}
}

// declares reports whether a file of Go declares a function or, for Type.Name, a method. A label that is the file's
// own name declares nothing.
func declares(t *testing.T, file, label string) bool {
	t.Helper()
	if label == path.Base(file) {
		return true
	}
	source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	declaration := `(?m)^func ` + regexp.QuoteMeta(label) + `[\[(]`
	if receiver, name, is := strings.Cut(label, "."); is {
		declaration = `(?m)^func \(\w+ \*?` + regexp.QuoteMeta(receiver) + `\) ` + regexp.QuoteMeta(name) + `\(`
	}
	return regexp.MustCompile(declaration).Match(source)
}

func TestLinksOfPagesIntoTheManualLeadToItsHeadings(t *testing.T) {
	t.Parallel()
	all := documents(t)
	files, err := filepath.Glob("../views/*.templ")
	if err != nil {
		t.Fatal(err)
	}
	anchored := regexp.MustCompile(`PromisesURL\(\) \+ "#([^"]+)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range anchored.FindAllSubmatch(source, -1) {
			page, anchor := all["views/help/promises.md"], string(m[1])
			isPlace := strings.Contains(string(page), "<!-- "+anchor+": ")
			if !isPlace && !slices.Contains(markdown.Anchors(page), anchor) {
				t.Errorf("%s links to #%s of the page of promises, which has no such heading or place", file, anchor)
			}
		}
	}
}

func TestTheArchitectureListsEveryPackage(t *testing.T) {
	t.Parallel()
	source := documents(t)["app/README.md"]
	_, table, _ := strings.Cut(string(source), "| package | what lives there |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var listed, is []string
	for line := range strings.Lines(table) {
		names, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(names, -1) {
			listed = append(listed, m[1])
		}
	}
	for _, p := range ours(t) {
		is = append(is, strings.TrimPrefix(p.ImportPath, module))
	}
	slices.Sort(listed)
	slices.Sort(is)
	if !slices.Equal(listed, is) {
		t.Errorf("app/README.md lists\n%q\nthere are\n%q", listed, is)
	}
}

// tables are those of the manual that are made from the code, by their pages and the names of their places.
func tables() map[string]map[string]string {
	return map[string]map[string]string{
		"permissions": {"permissions": permissionTable()},
		"promises":    {"promises": promiseTable(), "agents": agentTable()},
	}
}

func permissionTable() string {
	var b strings.Builder
	b.WriteString("| Permission | Its holder may | Includes |")
	for _, r := range account.BuiltIn() {
		b.WriteString(" " + r.Name + " |")
	}
	b.WriteString("\n| --- | --- | --- |" + strings.Repeat(" :-: |", len(account.BuiltIn())) + "\n")
	for _, p := range account.Permissions {
		var with []string
		for _, i := range p.Implies {
			with = append(with, "`"+string(i)+"`")
		}
		if p.Permission == account.Admin {
			with = []string{"all others"}
		}
		capability := strings.ToLower(p.Capability[:1]) + p.Capability[1:]
		fmt.Fprintf(&b, "| `%s` | %s | %s |", p.Permission, capability, strings.Join(with, ", "))
		for _, r := range account.BuiltIn() {
			mark := ""
			if account.Grants(r.Permissions, p.Permission) {
				mark = "yes"
			}
			b.WriteString(" " + mark + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func promiseTable() string {
	var b strings.Builder
	b.WriteString("| Promise | Name |\n| --- | --- |\n")
	for _, p := range check.List() {
		fmt.Fprintf(&b, "| %s | `%s` |\n", p.Sentence, p.Promise)
	}
	return b.String()
}

func agentTable() string {
	var b strings.Builder
	b.WriteString("| Agent | What it reads | What is kept from it | Where it may change nothing |\n")
	b.WriteString("| --- | --- | --- | --- |\n")
	for _, p := range agent.Catalogue() {
		if p.Driver == agent.DriverShell { // its script is the person's own
			continue
		}
		o := p.Obedience()
		kept := o.Shut
		if len(o.Obeys) > 0 {
			kept = "`" + strings.Join(o.Obeys, "`, `") + "`: " + views.Hidden + " " + o.Shut
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", p.Name, o.Reads, strings.TrimSpace(kept), o.Looks)
	}
	return b.String()
}

func TestTheManualHasTheTablesOfTheCode(t *testing.T) {
	t.Parallel()
	for page, list := range tables() {
		file := filepath.Join("..", "views", "help", page+".md")
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range list {
			begin, end := "<!-- "+name+": written by go test ./app -run Manual -update -->\n",
				"<!-- end of "+name+" -->\n"
			before, rest, ok := strings.Cut(string(source), begin)
			is, after, ok2 := strings.Cut(rest, end)
			if !ok || !ok2 {
				t.Fatalf("%s has no place for the table between %q and %q", file, begin, end)
			}
			if *update {
				source = []byte(before + begin + want + end + after)
			} else if is != want {
				t.Errorf("%s says of the %s\n%s\nwant\n%s\nWrite it with go test ./app -run Manual -update", file, name,
					is, want)
			}
		}
		if *update {
			if err := os.WriteFile(file, source, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTheManualNamesEverySettingAndEveryMetric(t *testing.T) {
	t.Parallel()
	all := documents(t)
	var is []string
	names := regexp.MustCompile("(?m)^\\| (`[A-Z_`, ]+`) \\|")
	for _, m := range names.FindAllSubmatch(all["views/help/settings.md"], -1) {
		for _, name := range strings.Split(string(m[1]), ", ") {
			is = append(is, strings.Trim(name, "`"))
		}
	}
	var want []string
	for _, s := range settings {
		want = append(want, s.name)
	}
	slices.Sort(is)
	slices.Sort(want)
	if !slices.Equal(is, want) {
		t.Errorf("the manual has the settings\n%q\nthere are\n%q", is, want)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`"(carillon_[a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(string(all["views/help/operating.md"]), "| `"+name[1]+"` |") {
			t.Errorf("the manual lacks the metric %s", name[1])
		}
	}
}

// The files that say how to work on Carillon name commands of the Makefile.
func TestDocumentsNameTargetsThatThereAre(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range documents(t) {
		for _, m := range regexp.MustCompile("`make ([a-z-]+)").FindAllSubmatch(source, -1) {
			if !regexp.MustCompile(`(?m)^` + string(m[1]) + `:`).Match(makefile) {
				t.Errorf("%s names make %s, which there is not", name, m[1])
			}
		}
	}
}
