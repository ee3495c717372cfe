package views_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carillon/views/gallery"

	"github.com/a-h/templ"
	parser "github.com/a-h/templ/parser/v2"
)

var update = flag.Bool("update", false, "accept what the gallery looks like now")

// hashed asset addresses change with every edit of a stylesheet
var hashed = regexp.MustCompile(`/static/[0-9a-f]{12}/`)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func component(s gallery.Specimen) templ.Component {
	if s.Page != nil {
		return s.Page
	}
	return s.Body
}

func TestGalleryLooksAsAccepted(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range gallery.Specimens() {
		if seen[s.Name] {
			t.Errorf("two specimens are called %s", s.Name)
		}
		seen[s.Name+".golden.html"] = true
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			// A line for each element, so that a difference can be read.
			got := strings.ReplaceAll(hashed.ReplaceAllString(render(t, component(s)), "/static/HASH/"), "><",
				">\n<") + "\n"
			file := filepath.Join("testdata", s.Name+".golden.html")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s looks different; see the change with go test ./views -update && git diff views/testdata",
					s.Name)
			}
		})
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".golden.html") && !seen[f.Name()] {
			t.Errorf("testdata/%s belongs to no specimen", f.Name())
		}
	}
}

// The policy of pages forbids both, so a browser would ignore them.
func TestNoInlineStyleOrHandlerAnywhere(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`<[a-z][^>]*\s(style|on[a-z]+|hx-on[^=]*)="`)
	for _, s := range gallery.Specimens() {
		if m := inline.FindString(render(t, component(s))); m != "" {
			t.Errorf("%s has %s", s.Name, m)
		}
	}
}

func TestEveryIconIsInTheSprite(t *testing.T) {
	t.Parallel()
	sprite, err := os.ReadFile("../static/icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(
		`@Icon\("([^"]+)"\)|Icon:\s*"([^"]+)"|iconRef\("([^"]+)"\)|look\{"[^"]*", "([^"]+)"|icons\.svg#([a-z0-9-]+)`)
	var sources []string
	for _, pattern := range []string{"*.templ", "*.go", "gallery/*.templ", "gallery/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, files, err)
		}
		sources = append(sources, files...)
	}
	texts := map[string]string{}
	for _, f := range sources {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(b)
	}
	for _, s := range gallery.Specimens() {
		texts["gallery "+s.Name] = render(t, component(s))
	}
	for where, text := range texts {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			name := strings.Join(m[1:], "")
			if !bytes.Contains(sprite, []byte(`id="`+name+`"`)) {
				t.Errorf("%s: no icon %q in the sprite; add it to static/build.mjs", where, name)
			}
		}
	}
}

func TestTemplatesAreFormatted(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.templ")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	samples, err := filepath.Glob("gallery/*.templ")
	if err != nil || len(samples) == 0 {
		t.Fatal(samples, err)
	}
	for _, f := range append(pages, samples...) {
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseString(string(source))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		var b bytes.Buffer
		if err := parsed.Write(&b); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if b.String() != string(source) {
			t.Errorf("%s is not formatted: go tool templ fmt views", f)
		}
	}
}

// An id that stands twice breaks labels and swaps.
func TestIDsAreUniqueOnEveryPage(t *testing.T) {
	t.Parallel()
	ids := regexp.MustCompile(`\sid="([^"]*)"`)
	check := func(name string, c templ.Component) {
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(render(t, c), -1) {
			if seen[m[1]] || m[1] == "" {
				t.Errorf("%s has the id %q twice, or empty", name, m[1])
			}
			seen[m[1]] = true
		}
	}
	for _, s := range gallery.Specimens() {
		check(s.Name, component(s))
	}
}

// People and assistive tools find the controls by these names.
func TestControlsCarryTheirNames(t *testing.T) {
	t.Parallel()
	page := map[string]string{}
	for _, s := range gallery.Specimens() {
		if s.Page != nil {
			page[s.Name] = render(t, s.Page)
		}
	}
	label := func(texts ...string) []string {
		var all []string
		for _, text := range texts {
			all = append(all, ">"+text+"</")
		}
		return all
	}
	for name, wants := range map[string][]string{
		"page-login": label("Email", "Password", "Sign in"),
		"page-automations": append(label("New automation"), `aria-label="Run now: Nightly dependency audit"`,
			`aria-label="Enabled: Nightly dependency audit"`),
		"page-automation": append(label("Run now"), `aria-label="Enabled"`),
		"page-editor": label("Name", "Workspace", "Session type", "Develop", "Chat", "Bot", "Execution type", "Inline",
			"Workflow", "Prompt", "Trigger", "Manual", "One-Time", "Recurring", "Loop", "HTTP Trigger",
			"Run at", "Cron expression", "Time zone", "Provider", "Model", "Auto-Complete Session",
			"Complete only if no file changes", "Auto-Execute Missed Runs on Startup", "Allow Parallel Sessions",
			"Code Architecture", "UX Enhancement", "Edge Cases", "Code Review", "Verification", "Update Tests",
			"Update Docs", "Save"),
		"page-editor-http": label("Webhook URL", "Regenerate token"),
		"page-inbox":       append(label("Mark all read"), `4 <span class="sr-only"> unread</span>`),
	} {
		for _, want := range wants {
			if !strings.Contains(strings.NewReplacer("</svg> ", "</svg>", "</svg>", "</svg>>").Replace(page[name]),
				want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
	}
}
