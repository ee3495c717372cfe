package views

import (
	"strings"
	"time"
)

// Patterns are the specification's three common patterns, to start an automation from.
func Patterns() []Start {
	return []Start{
		{"moon", "Nightly dependency audit", "Every day at 02:00", "Opens a ticket for each high-severity finding.",
			AutomationNewURL("nightly-audit")},
		{"git-branch", "Release branch on Fridays", "Fridays at 16:00",
			"Creates the branch, bumps the version, opens the PR.", AutomationNewURL("release-branch")},
		{"infinity", "Continuous QA loop", "After each session ends", "Picks the next ticket and runs the QA checks.",
			AutomationNewURL("qa-loop")},
	}
}

func triggerChoices() []Choice {
	var list []Choice
	for _, t := range triggers {
		list = append(list, Choice{Value: t, Label: triggerLook(t).word, Icon: triggerLook(t).icon})
	}
	return list
}

func sampleToggles() []Field {
	return []Field{
		{Value: "code_architecture", Label: "Code Architecture"}, {Value: "ux_enhancement", Label: "UX Enhancement"},
		{Value: "edge_cases", Label: "Edge Cases", Checked: true},
		{Value: "code_review", Label: "Code Review", Checked: true}, {
			Value: "verification", Label: "Verification", Checked: true,
		},
		{Value: "update_tests", Label: "Update Tests"}, {Value: "update_docs", Label: "Update Docs"},
	}
}

func manyTimes(word string, n int) string { return strings.TrimSpace(strings.Repeat(word+" ", n)) }

func sampleBars(statuses string) []Bar {
	var list []Bar
	for i, s := range strings.Fields(statuses) {
		list = append(list, Bar{s, time.Duration(60+(i*97)%240) * time.Second})
	}
	return list
}

func sampleDiff() Diff {
	return Diff{Path: "services/payments/package.json", Kind: "modified", Added: 2, Removed: 2, Lines: []DiffLine{
		{Sign: "@", Text: "@@ -14,5 +14,5 @@"},
		{14, 14, " ", `  "dependencies": {`}, {15, 0, "-", `    "undici": "6.19.2",`},
		{0, 15, "+", `    "undici": "6.21.3",`},
		{16, 16, " ", `    "fastify": "5.2.1",`}, {17, 0, "-", `    "jsonwebtoken": "8.5.1"`},
		{0, 17, "+", `    "jsonwebtoken": "9.0.2"`}, {18, 18, " ", `  },`},
	}}
}

func sampleEntries() []Entry {
	at := func(m, s int) time.Time { return time.Date(2026, 11, 23, 11, m, s, 0, berlin()) }
	return []Entry{
		{ID: "entry-1", Kind: "prompt", At: at(42, 3), Fill: []Part{{Text: "Run a dependency audit of "},
			{Text: "payments-api", Filled: true}, {Text: ".\nOpen one ticket for each finding at or above "},
			{Text: "high", Filled: true}, {Text: " and link "}, {Text: "{{report_url}}", Open: true}, {Text: "."}}},
		{ID: "entry-2", Kind: "step", Who: "Step 1 of 2", Text: "Message"},
		{ID: "entry-3", Kind: "thought", At: at(42, 5), Text: "The lockfile is the source of truth."},
		{
			ID: "entry-4", Kind: "agent", At: at(42, 9),
			Text: "I’ll start from the **lockfile** and check which of the flagged packages are reachable from " +
				"`src/`, see https://example.com/advisories.\n\n```\nnpm audit <all>\n```",
		},
		{ID: "entry-5", Kind: "tool", Tool: &Tool{Name: "Bash", Arg: "npm audit --omit=dev --json", Status: "succeeded",
			Start: at(42, 10), End: at(42, 13).Add(100 * time.Millisecond), Open: true,
			Output: "undici        6.19.2   \x1b[31mhigh\x1b[0m      fixed in 6.21.1\njsonwebtoken  8.5.1    " +
				"\x1b[31mhigh\x1b[0m      fixed in 9.0.0\n3 more at moderate or below, not listed", Cut: 20480}},
		{ID: "entry-6", Kind: "tool", Tool: &Tool{
			Name: "Read", Arg: "services/payments/package.json", Status: "succeeded", Start: at(42, 14),
			End: at(42, 14).Add(12 * time.Millisecond),
		}},
		{ID: "entry-7", Kind: "tool", Tool: &Tool{
			Name: "Edit", Arg: "services/payments/package.json", Status: "succeeded", Start: at(42, 15),
			End: at(42, 15).Add(40 * time.Millisecond), Open: true, Diffs: []Diff{sampleDiff()},
		}},
		{ID: "entry-8", Kind: "tool", Tool: &Tool{
			Name: "Bash", Arg: "npm run lint", Status: "failed", Start: at(42, 16), End: at(42, 17),
			Output: "exit status 1",
		}},
		{ID: "entry-9", Kind: "note", At: at(43, 1), Text: "The agent’s context was cleared."},
		{ID: "entry-10", Kind: "user", Who: "Mira Okafor", At: at(44, 2), Text: "Leave the moderate ones."},
		{
			ID: "entry-11", Kind: "agent", At: at(45, 31),
			Text: "Both upgrades stay inside the supported Node range. Running the tests before I open the ticket.",
		},
		{ID: "entry-12", Kind: "tool", Tool: &Tool{
			Name: "Bash", Arg: "npm test --workspace services/payments", Status: "running", Start: at(45, 27),
			Now: galleryNow,
		}},
		{ID: "entry-13", Kind: "error", At: at(46, 0), Text: "claude: connection reset by peer"},
	}
}
