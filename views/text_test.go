package views

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
)

func render(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDurationsReadAsPeopleSayThem(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 12 * time.Millisecond: "12 ms", 3100 * time.Millisecond: "3.1 s", 3 * time.Second: "3 s",
		41 * time.Second:  "41 s",
		252 * time.Second: "4 min 12 s", 363 * time.Second: "6 min 03 s", 130 * time.Minute: "2 h 10 min",
		76 * time.Hour: "3 d 4 h",
	} {
		if got := Took(d); got != want {
			t.Errorf("Took(%v) = %q; want %q", d, got, want)
		}
	}
}

func TestTimesAreRelativeUntilTheyAreFar(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 11, 46, 0, 0, time.FixedZone("CET", 3600))
	for _, tt := range []struct {
		at                  time.Time
		ago, short, moments string
	}{
		{now.Add(-30 * time.Second), "just now", "just now", "today 11:45"},
		{now.Add(time.Second), "just now", "just now", "today 11:46"},
		{now.Add(20 * time.Second), "in a moment", "in a moment", "today 11:46"},
		{now.Add(-12 * time.Minute), "12 min ago", "12 min", "today 11:34"},
		{now.Add(-13 * time.Hour), "13 h ago", "13 h", "yesterday 22:46"},
		{now.Add(-100 * time.Hour), "4 d ago", "4 d", "Thu 19 Nov 07:46"},
		{now.AddDate(0, 0, -11), "12 Nov", "12 Nov", "Thu 12 Nov 11:46"},
		{now.AddDate(-1, 0, 0), "23 Nov 2025", "23 Nov 2025", "Sun 23 Nov 2025 11:46"},
		{now.Add(14*time.Hour + 14*time.Minute), "in 14 h", "in 14 h", "tomorrow 02:00"},
		{now.AddDate(0, 0, 9), "2 Dec", "2 Dec", "Wed 2 Dec 11:46"},
	} {
		if got := [3]string{Ago(tt.at, now), Short(tt.at, now), Moment(tt.at, now)}; got != [3]string{tt.ago, tt.short,
			tt.moments} {
			t.Errorf("%v: got %q; want %q %q %q", tt.at, got, tt.ago, tt.short, tt.moments)
		}
	}
}

// The day is that of the time's own zone: a run at 01:00 in Tokyo is tomorrow there.
func TestMomentCountsDaysInTheZoneOfTheTime(t *testing.T) {
	t.Parallel()
	tokyo := time.FixedZone("JST", 9*3600)
	now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC) // 23:00 in Tokyo
	if got := Moment(time.Date(2026, 11, 24, 1, 0, 0, 0, tokyo), now); got != "tomorrow 01:00" {
		t.Errorf("got %q; want tomorrow 01:00", got)
	}
}

func TestZonesWithoutANameShowTheirOffset(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"CET": "CET", "+0530": "UTC+5:30", "": "UTC+5:30"} {
		if got := ZoneShort(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone(name, 5*3600+1800))); got != want {
			t.Errorf("zone %q shows as %q; want %q", name, got, want)
		}
	}
	if got := ZoneShort(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("-0330", -(3*3600+1800)))); got != "UTC-3:30" {
		t.Errorf("got %q; want UTC-3:30", got)
	}
}

func TestWhatAgentsAndProgramsWriteIsNeverMarkup(t *testing.T) {
	t.Parallel()
	const evil = "<img src=x onerror=alert(1)> `<b>` **<i>** # x\n# " +
		"<u>\n```\n<script>\n```\nhttps://example.com/\"onmouseover=\"x javascript:alert(1)"
	for name, c := range map[string]string{
		"prose":           render(t, Prose(evil)),
		"plain output":    render(t, Terminal(evil)),
		"coloured output": render(t, Terminal("\x1b[31m"+evil+"\x1b[0m")),
		"image": render(t,
			Terminal("\x1b]1338;url='https://evil.example/x.png';alt='x'\x07\x1b]1337;File=inline=1:aGk=\x07ok")),
		"hyperlink": render(t,
			Terminal("\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\ \x1b]1339;url='https://evil.example'\x07")),
		"build timestamp": render(t, Terminal("\x1b_bk;t=1\x07line")),
	} {
		for _, bad := range []string{"<img", "<b>", "<i>", "<u>", "<script", "evil.example", `"onmouseover`,
			`href="javascript`} {
			if strings.Contains(c, bad) {
				t.Errorf("%s contains %s: %s", name, bad, c)
			}
		}
	}
}

func TestColoursOfATerminalAreClasses(t *testing.T) {
	t.Parallel()
	if got := render(t, Terminal("\x1b[1;31mred\x1b[0m")); got != `<span class="term-fg31 term-fg1">red</span>` {
		t.Errorf("got %s", got)
	}
}

func TestIDsNeverBecomeOtherAddresses(t *testing.T) {
	t.Parallel()
	if got := AutomationURL("../settings?x#y"); got != "/automations/..%2Fsettings%3Fx%23y" {
		t.Errorf("got %s", got)
	}
}

func TestSparkSaysItsCountsAndShowsFailuresHigh(t *testing.T) {
	t.Parallel()
	runs := []Bar{{"succeeded", time.Hour}, {"failed", time.Second}, {"skipped", 0}}
	if got := sparkLabel(runs); got != "Last 3 runs: 1 succeeded, 1 failed, 1 skipped" {
		t.Errorf("label %q", got)
	}
	bars := sparkHeights(runs)
	if len(bars) != 30 || bars[27].high != 22 || bars[28].high < 14 || bars[29].high != 5 || bars[0].class != "idle" {
		t.Errorf("heights %v", bars)
	}
}

func TestNamesInTheNextDayNeverOverlap(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	d := Upcoming{Now: now, Runs: []UpcomingRun{{"One", now.Add(12 * time.Hour)},
		{"Two", now.Add(12*time.Hour + time.Minute)},
		{"Yesterday", now.Add(-time.Hour)}, {"Late", now.Add(24 * time.Hour)}}}.draw()
	if len(d.bells) != 3 || d.bells[0].text == "" || d.bells[1].text != "" || d.bells[2].text == "" {
		t.Errorf("bells %v; want One and Late named, Two without a name, and nothing of yesterday", d.bells)
	}
}
