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
)

// The Big List of Naughty Strings, by Max Woolf; its licence (MIT) is in testdata/blns.LICENSE.txt.
//
//go:embed testdata/blns.json
var naughty []byte

func TestNamesAreShownAsTypedOrRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
	var names []string
	if err := json.Unmarshal(naughty, &names); err != nil || len(names) < 400 {
		t.Fatalf("%d strings, %v; want all of the list", len(names), err)
	}
	names = append(names, "  between blanks\t", strings.Repeat("W", 200), strings.Repeat("字", 200), "a\u202eb", "\ufeff")
	form := v.form(t, "", "true")
	scripts := len(v.get(t, "/automations").find(element("script")))
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
				a := v.post(t, "/automations", typed)
				mu.Lock()
				switch a.status {
				case http.StatusSeeOther:
					saved++
				case http.StatusUnprocessableEntity:
					refused++
				default:
					t.Errorf("%q answered %d; want 303 or 422", name, a.status)
				}
				mu.Unlock()
				shown, want := a.page, name
				if a.status == http.StatusSeeOther {
					shown, want = v.get(t, a.to).page, strings.TrimSpace(name)
					if got := shown.first(element("h1")).text(); got != want {
						t.Errorf("%q is shown as %q", want, got)
					}
				} else if got := shown.first(with("id", "name")); got.attr("value") != want || got.attr("aria-invalid") != "true" {
					t.Errorf("%q is refused and comes back as %q, marked %q", want, got.attr("value"), got.attr("aria-invalid"))
				}
				if n := len(shown.find(element("script"))); n != scripts {
					t.Errorf("%q makes %d scripts of %d", name, n, scripts)
				}
			}
		})
	}
	workers.Wait()
	if saved < 450 || refused < 5 {
		t.Errorf("%d saved, %d refused; want most saved, and empty ones and those with control characters refused", saved, refused)
	}
	for _, path := range []string{"/automations", "/automations?q=%27%22%3Cscript%3E%25_", "/executions"} {
		if a := v.get(t, path); a.status != http.StatusOK || len(a.find(element("script"))) != scripts {
			t.Errorf("%s answered %d with %d scripts; want 200 with %d", path, a.status, len(a.find(element("script"))), scripts)
		}
	}
	v.alive(t)
}

func TestFormsThatDoNotDoAreRefusedWithReasons(t *testing.T) {
	t.Parallel()
	s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
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
			form := v.form(t, "A name", "echo fine")
			form.Set(tt.field, tt.value)
			a := v.post(t, "/automations", form)
			if a.status != tt.status || !strings.Contains(a.said(), tt.want) {
				t.Errorf("answered %d %.300s; want %d with %q", a.status, a.said(), tt.status, tt.want)
			}
			v.alive(t)
		})
	}
	if n := len(v.get(t, "/automations").find(with("class", "title-link"))); n != 0 {
		t.Errorf("%d automations were saved; want none", n)
	}
}

func TestOutputOfAnySizeAndKindIsTaken(t *testing.T) {
	t.Parallel()
	s := servePlain(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
	for _, tt := range []struct {
		name, script string
		shown        []string
	}{
		{"200 MB in lines", "echo the first line\nseq 1 23000000\necho the last line", []string{"the first line", "the last line"}},
		{"a line of 10 MB", "echo the first line\nhead -c 10000000 /dev/zero | tr '\\0' x\necho\necho the last line", []string{"the first line", "xxxxxxxx", "the last line"}},
		// Without escapes, with which noise may tell a terminal to go back and write over what it showed.
		{"10 MB of noise", "echo the first line\nhead -c 10000000 /dev/urandom | LC_ALL=C tr -d '\\033'\necho\necho the last line", []string{"the first line", "the last line"}},
		{"NUL, broken UTF-8 and markup", `printf 'a\0b \377\376\303( <script>alert(1)</script> \033]0;title\007\033[31mred\033[0m\n'`, []string{"<script>alert(1)</script>", "red"}},
		{"a million empty lines", "head -c 1000000 /dev/zero | tr '\\0' '\\n'\necho the last line", []string{"the last line"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			automation := v.automation(t, tt.name, tt.script)
			begun := time.Now()
			session := v.run(t, automation)
			v.ends(t, session, "Succeeded")
			ended := time.Now()
			a := v.get(t, session)
			t.Logf("ran %.1f s; its page has %d KiB and took %.1f s", ended.Sub(begun).Seconds(), a.size>>10, time.Since(ended).Seconds())
			if a.size > 8<<20 {
				t.Errorf("its page has %d bytes; want at most 8 MiB", a.size)
			}
			transcript := v.get(t, session+"?whole=yes").first(with("id", "transcript"))
			if n := len(transcript.find(element("script"))); n != 0 {
				t.Errorf("the transcript has %d scripts", n)
			}
			printed := ""
			for _, out := range transcript.find(with("class", "out")) {
				printed += out.text()
			}
			for _, want := range tt.shown {
				if !strings.Contains(printed, want) {
					t.Errorf("the transcript lacks %q; it begins %.200q and ends %.200q", want, printed, printed[max(0, len(printed)-200):])
				}
			}
			v.alive(t)
		})
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)); err == nil {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "VmHWM") {
				t.Log("the most memory: ", strings.TrimSpace(line))
			}
		}
	}
}

func TestStopEndsWhatIgnoresIt(t *testing.T) {
	t.Parallel()
	s := serve(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
	gates := folder(t)
	mark := "MARK=" + filepath.Base(gates) + filepath.Base(s.data)
	automation := v.automation(t, "Stubborn", fmt.Sprintf(`export %s
trap '' TERM INT HUP
setsid bash -c "trap '' TERM INT HUP; (trap '' TERM INT HUP; while :; do sleep 1; done) & touch '%[2]s/child'; while :; do sleep 1; done" &
until [ -e '%[2]s/child' ]; do sleep 0.02; done
touch '%[2]s/started'
while :; do sleep 1; done
`, mark, gates))
	session := v.run(t, automation)
	exists(t, filepath.Join(gates, "started"))
	if a := v.post(t, session+"/stop", nil); a.status != http.StatusSeeOther {
		t.Fatalf("Stop answered %d %s; want 303", a.status, a.said())
	}
	v.ends(t, session, "Canceled")
	if n := marked(t, mark); n != 0 {
		t.Errorf("%d processes of the run are left; want none", n)
	}
	if history := v.get(t, automation).said(); !strings.Contains(history, "anceled by "+adminName) {
		t.Errorf("the history says %q; want who canceled it", history)
	}
	v.alive(t)
}
