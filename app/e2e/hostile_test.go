package e2e

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/e2e/internal/stage"
)

// The Big List of Naughty Strings, by Max Woolf; its licence (MIT) is in testdata/blns.LICENSE.txt.
//
//go:embed testdata/blns.json
var naughty []byte

func TestNamesAreShownAsTypedOrRefused(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	var names []string
	if err := json.Unmarshal(naughty, &names); err != nil || len(names) < 400 {
		t.Fatalf("%d strings, %v; want all of the list", len(names), err)
	}
	names = append(names, "  between blanks\t", strings.Repeat("W", 200), strings.Repeat("字", 200), "a\u202eb",
		"\ufeff")
	form := v.Form(t, "", "true")
	scripts := len(v.Get(t, "/automations").Find(stage.Element("script")))
	var saved, refused int
	var mu sync.Mutex
	var workers sync.WaitGroup
	for part := range slices.Chunk(names, len(names)/4+1) {
		workers.Go(func() {
			for _, name := range part {
				typed := url.Values{}
				for k, values := range form {
					typed[k] = values
				}
				typed.Set("name", name)
				a := v.Post(t, "/automations", typed)
				mu.Lock()
				switch a.Status {
				case http.StatusSeeOther:
					saved++
				case http.StatusUnprocessableEntity:
					refused++
				default:
					t.Errorf("%q answered %d; want 303 or 422", name, a.Status)
				}
				mu.Unlock()
				shown, want := a.Page, name
				if a.Status == http.StatusSeeOther {
					shown, want = v.Get(t, a.To).Page, strings.TrimSpace(name)
					if got := shown.First(stage.Element("h1")).Text(); got != want {
						t.Errorf("%q is shown as %q", want, got)
					}
				} else if got := shown.First(stage.With("id", "name")); got.Attr("value") != want ||
					got.Attr("aria-invalid") != "true" {
					t.Errorf("%q is refused and comes back as %q, marked %q", want, got.Attr("value"),
						got.Attr("aria-invalid"))
				}
				if n := len(shown.Find(stage.Element("script"))); n != scripts {
					t.Errorf("%q makes %d scripts of %d", name, n, scripts)
				}
			}
		})
	}
	workers.Wait()
	if saved < 450 || refused < 5 {
		t.Errorf("%d saved, %d refused; want most saved, and empty ones and those with control characters refused",
			saved, refused)
	}
	for _, path := range []string{"/automations", "/automations?q=%27%22%3Cscript%3E%25_", "/executions"} {
		if a := v.Get(t, path); a.Status != http.StatusOK || len(a.Find(stage.Element("script"))) != scripts {
			t.Errorf("%s answered %d with %d scripts; want 200 with %d", path, a.Status,
				len(a.Find(stage.Element("script"))), scripts)
		}
	}
	v.Alive(t)
}

func TestFormsThatDoNotDoAreRefusedWithReasons(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	for _, tt := range []struct {
		name         string
		field, value string
		status       int
		want         string
	}{
		{"an empty name", "name", "", 422, "Give the automation a name."},
		{"a name of blanks alone", "name", " \t ", 422, "Give the automation a name."},
		{"a name that is too long", "name", strings.Repeat("x", 201), 422, "201 characters long"},
		{"a name of a megabyte", "name", strings.Repeat("x", 1<<20), 422, "1048576 characters long"},
		{"a name with a line break", "name", "two\nlines", 422, "cannot be shown"},
		{"a name with NUL", "name", "a\x00b", 400, "could not be read"},
		{"a name that is not UTF-8", "name", "a\xff\xfeb", 400, "could not be read"},
		{"an empty prompt", "prompt", " \n", 422, "Write what the agent is to do."},
		{"a prompt of a megabyte", "prompt", strings.Repeat("x", 1<<20), 422, "1024 KiB long"},
		{"a prompt of a megabyte in other letters", "prompt", strings.Repeat("é", 1<<19), 422, "1024 KiB long"},
		{"a prompt with NUL", "prompt", "echo a\x00b", 400, "could not be read"},
		{"a prompt that is not UTF-8", "prompt", "echo \xc3\x28", 400, "could not be read"},
		{"a script that is none", "prompt", "if true; then", 422, "Line 1"},
		{"a workspace that is none", "workspace", "nothing", 422, "Choose a workspace."},
		{"a workspace of nobody", "workspace", "01900000-0000-7000-8000-000000000000", 422, "does not exist"},
		{"a trigger that is none", "trigger", "'; DROP TABLE automations; --", 422, "Choose what starts"},
		{"a provider that is none", "provider", "<b>", 422, "no provider <b>"},
		{"a time limit that is no number", "timeout", "NaN", 422, "number of minutes"},
		{"a time limit beyond all", "timeout", "1e300", 422, "number of minutes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			form := v.Form(t, "A name", "echo fine")
			form.Set(tt.field, tt.value)
			a := v.Post(t, "/automations", form)
			if a.Status != tt.status || !strings.Contains(a.Said(), tt.want) {
				t.Errorf("answered %d %.300s; want %d with %q", a.Status, a.Said(), tt.status, tt.want)
			}
			v.Alive(t)
		})
	}
	if n := len(v.Get(t, "/automations").Find(stage.With("class", "title-link"))); n != 0 {
		t.Errorf("%d automations were saved; want none", n)
	}
}

func TestOutputOfAnySizeAndKindIsTaken(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	for _, tt := range []struct {
		name, script string
		shown        []string
	}{
		{"200 MB in lines", "echo the first line\nseq 1 23000000\necho the last line",
			[]string{"the first line", "the last line"}},
		{"a line of 10 MB", "echo the first line\nhead -c 10000000 /dev/zero | tr '\\0' x\necho\necho the last line",
			[]string{"the first line", "xxxxxxxx", "the last line"}},
		// Without escapes, with which noise may tell a terminal to go back and write over what it showed.
		{"10 MB of noise",
			"echo the first line\nhead -c 10000000 /dev/urandom | LC_ALL=C tr -d '\\033'\necho\necho the last line",
			[]string{"the first line", "the last line"}},
		{"NUL, broken UTF-8 and markup",
			`printf 'a\0b \377\376\303( <script>alert(1)</script> \033]0;title\007\033[31mred\033[0m\n'`,
			[]string{"<script>alert(1)</script>", "red"}},
		{"a million empty lines", "head -c 1000000 /dev/zero | tr '\\0' '\\n'\necho the last line",
			[]string{"the last line"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			automation := v.Automation(t, tt.name, tt.script)
			begun := time.Now()
			session := v.Run(t, automation)
			v.Ends(t, session, "Succeeded")
			ended := time.Now()
			a := v.Get(t, session)
			t.Logf("ran %.1f s; its page has %d KiB and took %.1f s", ended.Sub(begun).Seconds(), a.Size>>10,
				time.Since(ended).Seconds())
			if a.Size > 8<<20 {
				t.Errorf("its page has %d bytes; want at most 8 MiB", a.Size)
			}
			transcript := v.Get(t, session+"?whole=yes").First(stage.With("id", "transcript"))
			if n := len(transcript.Find(stage.Element("script"))); n != 0 {
				t.Errorf("the transcript has %d scripts", n)
			}
			printed := ""
			for _, out := range transcript.Find(stage.With("class", "out")) {
				printed += out.Text()
			}
			for _, want := range tt.shown {
				if !strings.Contains(printed, want) {
					t.Errorf("the transcript lacks %q; it begins %.200q and ends %.200q", want, printed,
						printed[max(0, len(printed)-200):])
				}
			}
			v.Alive(t)
		})
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid())); err == nil {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "VmHWM") {
				t.Log("the most memory: ", strings.TrimSpace(line))
			}
		}
	}
}

func TestStopEndsWhatIgnoresIt(t *testing.T) {
	t.Parallel()
	s := stage.Serve(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	gates := stage.Folder(t)
	mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.Data)
	automation := v.Automation(t, "Stubborn", fmt.Sprintf(`export %s
trap '' TERM INT HUP
setsid bash -c "trap '' TERM INT HUP; (trap '' TERM INT HUP; while :; do sleep 1; done) & touch '%[2]s/child'; while :; do sleep 1; done" &
until [ -e '%[2]s/child' ]; do sleep 0.02; done
touch '%[2]s/started'
while :; do sleep 1; done
`, mark, gates))
	session := v.Run(t, automation)
	stage.Exists(t, filepath.Join(gates, "started"))
	if a := v.Post(t, session+"/stop", nil); a.Status != http.StatusSeeOther {
		t.Fatalf("Stop answered %d %s; want 303", a.Status, a.Said())
	}
	v.Ends(t, session, "Canceled")
	if n := stage.Marked(t, mark); n != 0 {
		t.Errorf("%d processes of the run are left; want none", n)
	}
	if history := v.Get(t, automation).Said(); !strings.Contains(history, "anceled by "+stage.AdminName) {
		t.Errorf("the history says %q; want who canceled it", history)
	}
	v.Alive(t)
}
