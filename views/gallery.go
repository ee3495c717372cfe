package views

import (
	"time"

	"github.com/a-h/templ"
)

// Specimen is a component or a page in one state. Exactly one of Body and Page is set: Body stands
// within GalleryPage, Page is a document of its own.
type Specimen struct {
	Name string // unique, fit for a file name: "status-failed"
	Body templ.Component
	Page templ.Component
}

// galleryNow is what the clock says in the gallery: a Monday noon, in a zone with an offset.
var galleryNow = time.Date(2026, 11, 23, 11, 46, 10, 0, berlin())

// berlin has a name and an offset; the gallery must look the same where no zone database is installed.
func berlin() *time.Location { return time.FixedZone("CET", 3600) }

func ago(d time.Duration) time.Time { return galleryNow.Add(-d) }

// Gallery lists every component in each of its states, and every page with sample data. Tests render
// it into golden files, and /gallery shows it in development.
func Gallery() []Specimen {
	var list []Specimen
	list = append(list, smallSpecimens()...)
	list = append(list, fieldSpecimens()...)
	list = append(list, scheduleSpecimens()...)
	list = append(list, transcriptSpecimens()...)
	return append(list, pageSpecimens()...)
}

func smallSpecimens() []Specimen {
	now := galleryNow
	statuses := []string{"", "queued", "running", "succeeded", "failed", "canceled", "timed_out", "skipped", "missed",
		"in_progress", "waiting", "done"}
	var status, badges, strikes []templ.Component
	for _, s := range statuses {
		status = append(status, Status(s))
	}
	for _, t := range triggers {
		badges = append(badges, TriggerBadge(t))
	}
	for i := range 4 {
		strikes = append(strikes, Strikes(i, false))
	}
	runs := sampleBars("succeeded succeeded failed succeeded canceled skipped succeeded timed_out running")
	return []Specimen{
		{Name: "buttons", Body: inline1(
			Button(Action{Label: "Save", Kind: "primary"}),
			Button(Action{Label: "Edit", Icon: "pencil", Kind: "plain"}),
			Button(Action{Label: "Cancel", Kind: "ghost"}),
			Button(Action{Label: "Run now", Icon: "play", Kind: "small quiet", Of: "Nightly audit"}),
			Button(Action{Label: "Stop", Icon: "square", Kind: "small danger"}),
			Button(Action{Label: "Run now", Icon: "play", Kind: "primary", Off: "Session 1486 is running"}),
			LinkButton(Action{Label: "New automation", Icon: "plus", Kind: "primary", URL: "/automations/new"}),
			LinkButton(Action{Label: "Edit", Kind: "plain", Off: "Only its creator may"}),
			Post(Action{Label: "Mark all read", Icon: "check-check", Kind: "ghost", URL: "/inbox/reading"}),
		)},
		{Name: "status", Body: inline1(status...)},
		{Name: "trigger-badges", Body: inline1(badges...)},
		{Name: "sources", Body: inline1(Source("schedule", ""), Source("schedule", "catch-up after downtime"),
			Source("manual", "Mira Okafor"), Source("webhook", "token 9f3ac2e1"), Source("", ""))},
		{Name: "strikes", Body: inline1(append(strikes, Strikes(0, true))...)},
		{Name: "switches", Body: inline1(
			Switch(SwitchData{URL: "/x", Name: "enabled", Label: "Enabled", Of: "on", On: true}),
			Switch(SwitchData{URL: "/x", Name: "enabled", Label: "Enabled", Of: "off"}),
			Switch(SwitchData{
				URL: "/x", Name: "enabled", Label: "Enabled", Of: "not mine", On: true, Off: "Only its creator may",
			}),
		)},
		{Name: "times", Body: inline1(Time(ago(10*time.Second), now), Time(ago(12*time.Minute), now),
			Time(ago(9*time.Hour), now), Time(ago(4*24*time.Hour), now),
			Time(ago(40*24*time.Hour), now), Time(now.Add(7*time.Hour), now), Time(time.Time{}, now),
			At(now.Add(20*time.Hour), now), At(now.Add(100*time.Hour), now))},
		{Name: "clocks", Body: inline1(Clock(ago(252*time.Second), time.Time{}, now),
			Clock(ago(time.Hour), ago(50*time.Minute), now), Clock(time.Time{}, time.Time{}, now))},
		{Name: "spark", Body: inline1(Spark(nil), Spark(runs),
			Spark(append(sampleBars(manyTimes("succeeded", 40)), runs...)))},
		{Name: "notices", Body: stacked(withText(Notice("fail"), "payments-api has no branch “mian”."),
			withText(Notice("warn"), "Copy the token now."), withText(Notice("ok"), "Saved."),
			withText(Notice("info"), "Nobody has run this yet."))},
		{
			Name: "toasts",
			Body: stacked(ToastItem(Toast{Kind: "ok", Text: "Started.", Link: Link{"Open session", "/sessions/1"}}),
				ErrorFragment("Session 1486 is still running.", Link{"Open it", "/sessions/1486"})),
		},
		{Name: "empty", Body: withAction(Empty("Nothing here yet", "Add the first one."),
			Action{Label: "New ticket", Icon: "plus", Kind: "plain", URL: "/tickets/new"})},
		{Name: "starts", Body: Starts(Patterns())},
		{Name: "copy", Body: Copy("sample-url", "Webhook URL",
			"https://carillon.example/api/automations/http-trigger")},
		{Name: "pager", Body: Pages(Pager{Text: "20 of 212", Newer: "?before=1", Older: "?after=2"})},
		{Name: "crumbs", Body: Crumbs(Link{"Automations", "/automations"}, Link{"Nightly dependency audit", ""})},
		{Name: "tabs", Body: Tabs("Automation", Tab{Label: "History", Count: "212", URL: "#", Current: true},
			Tab{Label: "Settings", URL: "#"})},
		{Name: "facts", Body: Facts([]Fact{{Label: "Agent", Value: "Claude Code"},
			{Label: "Branch", Value: "carillon/audit-1486", Mono: true},
			{Label: "Workspace", Value: "payments-api", URL: "/workspaces/1"}, {Label: "Changes", Show: Stat(14, 9)}})},
		{
			Name: "trail",
			Body: Trail([]Step{{
				Kind: "fail", Text: "Failed, third time. Disabled.", At: ago(100 * time.Hour), URL: "#",
			}, {Kind: "warn", Text: "Skipped 3 times", At: ago(124 * time.Hour)},
				{Kind: "ok", Text: "Succeeded, PR #301 merged", At: ago(148 * time.Hour), URL: "#"}}, now),
		},
		{Name: "dialog", Body: sampleDialog()},
		{Name: "inbox-part", Body: InboxPart(3, 1, false)},
		{Name: "toast-part", Body: ToastPart(Toast{Kind: "ok", Text: "Saved."})},
		{Name: "filters", Body: sampleFilters()},
	}
}

func fieldSpecimens() []Specimen {
	zones := []Choice{{Value: "Europe/Berlin", Label: "Europe/Berlin", Group: "Europe"},
		{Value: "Europe/Paris", Label: "Europe/Paris", Group: "Europe"},
		{Value: "Asia/Tokyo", Label: "Asia/Tokyo", Group: "Asia"},
		{Value: "x", Label: "Codex", Group: "Asia", Off: "not installed"}}
	return []Specimen{
		{Name: "field-input", Body: stacked(
			Input(Field{Name: "f1", Label: "Name", Value: "Nightly <audit> & \"more\"", Required: true}),
			Input(Field{
				Name: "f2", Label: "Base branch", Value: "mian", Mono: true, Hint: "Empty: the workspace’s default.",
				Error: "payments-api has no branch “mian”.",
			}),
			Input(Field{
				Name: "f3", Label: "Model", Placeholder: "Provider’s default", Suggest: []string{"large", "small"},
			}),
			Input(Field{Name: "f4", Label: "Provider", Value: "Claude Code", Disabled: true, Why: "The bot decides."}),
			Input(Field{Name: "f5", Label: "Run at", Type: "datetime-local", Value: "2026-12-01T09:00"}),
		)},
		{
			Name: "field-select",
			Body: stacked(Select(Field{Name: "f6", Label: "Time zone", Value: "Asia/Tokyo", Options: zones}),
				Pick(Field{Name: "f7", Label: "Model"})),
		},
		{Name: "field-textarea", Body: Textarea(Field{
			Name: "f8", Label: "Prompt", Mono: true,
			Value: "Run a dependency audit of {{service}}.\n\nOpen one ticket for each finding.",
			Hint:  "{{name}} is filled in when it runs.",
		})},
		{Name: "field-check", Body: stacked(Check(Field{Name: "f9", Label: "Required", Checked: true}),
			Check(Field{Name: "f10", Label: "Secret", Hint: "Never shown again."}))},
		{Name: "field-option", Body: stacked(
			Option(Field{
				Name: "f11", Label: "Auto-Complete Session", Hint: "Mark it Done when the run ends.", Checked: true,
			}),
			Option(Field{
				Name: "f12", Label: "Allow Parallel Sessions", Disabled: true,
				Why: "A loop runs one session at a time.",
			}),
		)},
		{Name: "field-seg", Body: stacked(
			Seg(Field{Name: "f13", Label: "Trigger", Value: "recurring", Wide: true, Options: triggerChoices()}),
			Seg(Field{
				Name: "f14", Label: "Session type", Value: "chat",
				Options: []Choice{{Value: "develop", Label: "Develop"}, {Value: "chat", Label: "Chat"},
					{Value: "bot", Label: "Bot", Off: "No bots yet"}},
			}),
		)},
		{Name: "field-modes", Body: Modes("Session modes", "toggles", sampleToggles())},
		{
			Name: "mistakes",
			Body: stacked(Mistakes([]Field{{Name: "name", Label: "Name", Error: "Give the automation a name."}}),
				Mistakes([]Field{{Name: "f2", Label: "Base branch", Error: "no such branch"},
					{Name: "f5", Label: "Run at", Error: "lies in the past"}})),
		},
	}
}

func scheduleSpecimens() []Specimen {
	day := func(d, h, m int) time.Time { return time.Date(2027, 3, d, h, m, 0, 0, berlin()) }
	summer := time.FixedZone("CEST", 7200)
	utc := func(t time.Time) time.Time { return t.UTC() }
	autumn := []time.Time{
		time.Date(2027, 10, 31, 2, 30, 0, 0, summer), time.Date(2027, 10, 31, 2, 30, 0, 0, time.FixedZone("CET", 3600)),
	}
	var often []Coming
	for i := range 47 {
		often = append(often, Coming{"Sync translations",
			galleryNow.Add(time.Duration(i)*30*time.Minute + 14*time.Minute)})
	}
	often = append(often, Coming{"Dependency audit", galleryNow.Add(14*time.Hour + 14*time.Minute)},
		Coming{"Roll the release branch", galleryNow.Add(14*time.Hour + 30*time.Minute)},
		Coming{"Standup digest", galleryNow.Add(23*time.Hour + 30*time.Minute)})
	return []Specimen{
		{Name: "schedule-preview", Body: SchedulePreview(Schedule{Words: "Every day at 02:30, Berlin time",
			Now: galleryNow, Runs: []NextRun{
				{At: day(27, 2, 30), Here: utc(day(27, 2, 30))},
				{
					At:   time.Date(2027, 3, 28, 3, 0, 0, 0, summer),
					Note: "Clocks go forward: 02:30 does not exist, so it runs at 03:00",
				},
				{
					At:   time.Date(2027, 3, 29, 0, 30, 0, 0, summer),
					Here: utc(time.Date(2027, 3, 29, 0, 30, 0, 0, summer)),
				},
			}})},
		{Name: "schedule-preview-error", Body: SchedulePreview(Schedule{Error: "minute: 61 is not between 0 and 59"})},
		{Name: "schedule-preview-empty", Body: SchedulePreview(Schedule{})},
		{Name: "moment-twice", Body: MomentPart(MomentData{Carried: autumn[1], Both: autumn})},
		{
			Name: "moment-moved",
			Body: MomentPart(MomentData{
				Carried: galleryNow,
				Note: "02:30 does not exist on 28 March 2027, when the clocks go forward from 02:00 to 03:00; " +
					"runs at 03:00.",
			}),
		},
		{Name: "placeholders", Body: Found([]Placeholder{{Name: "service", Value: "payments-api"},
			{Name: "severity", Value: "high"}, {Name: "report_url", Missing: true}})},
		{Name: "next-day", Body: NextDay(Ahead{Now: galleryNow, Runs: often})},
		{Name: "next-day-empty", Body: NextDay(Ahead{Now: galleryNow})},
	}
}

// sampleMarkdown has each kind of thing that an agent's text may have.
const sampleMarkdown = `## What I did

I upgraded **two** packages, *one* ticket each. See [the advisory](https://example.com/advisories/1) and https://example.com/b.

1. ` + "`lodash`" + ` to 4.17.21
2. ` + "`undici`" + ` to 6.21
   - [x] tests pass
   - [ ] changelog

| Package | From | To |
| --- | --- | --- |
| lodash | 4.17.15 | 4.17.21 |
| undici | 6.0 | 6.21 |

> Both stay inside the supported <Node> range.

` + "```sh\nnpm test -- --filter '<all>'\n```" + `

---

![A graph](https://example.com/graph.png) [not this](javascript:alert(1)) <script>alert(1)</script>
`

func transcriptSpecimens() []Specimen {
	return []Specimen{
		{Name: "entries", Body: sampleLog(sampleEntries())},
		{Name: "markdown", Body: sampleLog([]Entry{{ID: "1", Kind: "agent", Text: sampleMarkdown}})},
		{Name: "diff", Body: DiffView(sampleDiff(), "services/payments/package.json")},
		{Name: "diff-binary", Body: DiffView(Diff{Path: "logo.png", Kind: "added", Binary: true}, "logo.png")},
		{
			Name: "terminal",
			Body: Out("\x1b[1mnpm test\x1b[0m\n\x1b[30mblack\x1b[0m \x1b[31mred\x1b[0m \x1b[32mgreen\x1b[0m "+
				"\x1b[33myellow\x1b[0m \x1b[34mblue\x1b[0m \x1b[35mmagenta\x1b[0m \x1b[36mcyan\x1b[0m "+
				"\x1b[37mwhite\x1b[0m\n\x1b[41m fail \x1b[0m \x1b[42m ok \x1b[0m <script>alert(1)</script>", false,
				"Output"),
		},
	}
}
