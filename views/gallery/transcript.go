package gallery

import (
	"time"

	"carillon/views"
)

func transcriptSpecimens() []Specimen {
	return []Specimen{
		{Name: "entries", Body: sampleLog(sampleEntries())},
		{Name: "markdown", Body: sampleLog([]views.Entry{{ID: "1", Kind: "agent", Text: sampleMarkdown}})},
		{Name: "diff", Body: views.DiffView(sampleDiff(), "services/payments/package.json")},
		{Name: "diff-binary", Body: views.DiffView(views.Diff{Path: "logo.png", Kind: "added", Binary: true},
			"logo.png")},
		{
			Name: "terminal",
			Body: views.Out("\x1b[1mnpm test\x1b[0m\n\x1b[30mblack\x1b[0m \x1b[31mred\x1b[0m \x1b[32mgreen\x1b[0m "+
				"\x1b[33myellow\x1b[0m \x1b[34mblue\x1b[0m \x1b[35mmagenta\x1b[0m \x1b[36mcyan\x1b[0m "+
				"\x1b[37mwhite\x1b[0m\n\x1b[41m fail \x1b[0m \x1b[42m ok \x1b[0m <script>alert(1)</script>", false,
				"Output"),
		},
		{Name: "entries-agent", Body: sampleLog([]views.Entry{
			{ID: "p1", Kind: "plan", At: now, Plan: []views.PlanStep{{Text: "Read the tests", State: "completed"},
				{Text: "Mend the parser", State: "in_progress"}, {Text: "Run the tests", State: "pending"}}},
			{ID: "p2", Kind: "permission", At: now, Text: "Run npm test", OK: true},
			{ID: "p3", Kind: "permission", At: now, Text: "Read /etc/shadow"},
			{ID: "p4", Kind: "tool", At: now, Tool: &views.Tool{
				Name: "Bash", Arg: "npm test", Input: "npm test -- --run", Status: "succeeded", Start: now,
				End: now.Add(3 * time.Second), Output: "ok", Open: true, Now: now,
			}},
		})},
		{
			Name: "terminal-moves",
			Body: views.Out(
				"first\x1b[1A\x1b[2K\x1b[1G\x1b[32mgreen\x1b[0m\n10 %\r50 %\r100 %\r\nlast\x1b]0;title\x07\x1bc",
				false, "Output"),
		},
	}
}

func sampleEntries() []views.Entry {
	at := func(m, s int) time.Time { return time.Date(2026, 11, 23, 11, m, s, 0, berlin()) }
	return []views.Entry{
		{ID: "entry-1", Kind: "prompt", At: at(42, 3), Fill: []views.Part{{Text: "Run a dependency audit of "},
			{Text: "payments-api", Filled: true}, {Text: ".\nOpen one ticket for each finding at or above "},
			{Text: "high", Filled: true}, {Text: " and link "}, {Text: "{{report_url}}", Open: true}, {Text: "."}}},
		{ID: "entry-2", Kind: "step", Who: "Step 1 of 2", Text: "Message"},
		{ID: "entry-3", Kind: "thought", At: at(42, 5), Text: "The lockfile is the source of truth."},
		{
			ID: "entry-4", Kind: "agent", At: at(42, 9),
			Text: "I’ll start from the **lockfile** and check which of the flagged packages are reachable from " +
				"`src/`, see https://example.com/advisories.\n\n```\nnpm audit <all>\n```",
		},
		{ID: "entry-5", Kind: "tool", Tool: &views.Tool{Name: "Bash", Arg: "npm audit --omit=dev --json",
			Status: "succeeded",
			Start:  at(42, 10), End: at(42, 13).Add(100 * time.Millisecond), Open: true,
			Output: "undici        6.19.2   \x1b[31mhigh\x1b[0m      fixed in 6.21.1\njsonwebtoken  8.5.1    " +
				"\x1b[31mhigh\x1b[0m      fixed in 9.0.0\n3 more at moderate or below, not listed", Cut: 20480}},
		{ID: "entry-6", Kind: "tool", Tool: &views.Tool{
			Name: "Read", Arg: "services/payments/package.json", Status: "succeeded", Start: at(42, 14),
			End: at(42, 14).Add(12 * time.Millisecond),
		}},
		{ID: "entry-7", Kind: "tool", Tool: &views.Tool{
			Name: "Edit", Arg: "services/payments/package.json", Status: "succeeded", Start: at(42, 15),
			End: at(42, 15).Add(40 * time.Millisecond), Open: true, Diffs: []views.Diff{sampleDiff()},
		}},
		{ID: "entry-8", Kind: "tool", Tool: &views.Tool{
			Name: "Bash", Arg: "npm run lint", Status: "failed", Start: at(42, 16), End: at(42, 17),
			Output: "exit status 1",
		}},
		{ID: "entry-9", Kind: "note", At: at(43, 1), Text: "The agent’s context was cleared."},
		{ID: "entry-10", Kind: "user", Who: "Mira Okafor", At: at(44, 2), Text: "Leave the moderate ones."},
		{
			ID: "entry-11", Kind: "agent", At: at(45, 31),
			Text: "Both upgrades stay inside the supported Node range. Running the tests before I open the ticket.",
		},
		{ID: "entry-12", Kind: "tool", Tool: &views.Tool{
			Name: "Bash", Arg: "npm test --workspace services/payments", Status: "running", Start: at(45, 27),
			Now: now,
		}},
		{ID: "entry-13", Kind: "error", At: at(46, 0), Text: "claude: connection reset by peer"},
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

func sampleDiff() views.Diff {
	return views.Diff{Path: "services/payments/package.json", Kind: "modified", Added: 2, Removed: 2,
		Lines: []views.DiffLine{
			{Sign: "@", Text: "@@ -14,5 +14,5 @@"},
			{Old: 14, New: 14, Sign: " ", Text: `  "dependencies": {`},
			{Old: 15, New: 0, Sign: "-", Text: `    "undici": "6.19.2",`},
			{Old: 0, New: 15, Sign: "+", Text: `    "undici": "6.21.3",`},
			{Old: 16, New: 16, Sign: " ", Text: `    "fastify": "5.2.1",`},
			{Old: 17, New: 0, Sign: "-", Text: `    "jsonwebtoken": "8.5.1"`},
			{Old: 0, New: 17, Sign: "+", Text: `    "jsonwebtoken": "9.0.2"`},
			{Old: 18, New: 18, Sign: " ", Text: `  },`},
		}}
}
