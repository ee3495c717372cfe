package automation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/db"
)

// Toggle is a session toggle of Develop sessions. One with a pass is a message of its own after the run; the others add
// their text to the first prompt.
type Toggle struct {
	Key, Name string
	Pass      db.TurnKind // empty: an instruction for the first prompt
	Text      string      // as shipped; administrators may change it
}

// Toggles are the session toggles in the order of the editor, which is also that of the instructions in a prompt.
var Toggles = []Toggle{
	{Key: "code_architecture", Name: "Code Architecture",
		Text: "Code architecture: before you change anything, find out how this repository is built up and follow " +
			"it. Put new code where " +
			"such code lives, keep dependencies pointing the way they do, reuse what is there, and do not add layers " +
			"or abstractions that nothing needs today."},
	{Key: "ux_enhancement", Name: "UX Enhancement",
		Text: "User experience: where your change can be seen by a person, make it pleasant to use. Clear words, " +
			"sensible defaults, empty, " +
			"loading and error states, keyboard and screen reader access, and the look of what is around it."},
	{Key: "edge_cases", Name: "Edge Cases",
		Text: "Edge cases: think of empty, huge, repeated, concurrent, malformed and hostile input, of failing " +
			"networks and disks, and of time zones. " +
			"Handle those that can happen here, and say in your answer which ones you found."},
	{Key: "code_review", Name: "Code Review", Pass: db.ReviewTurn,
		Text: "Review all that this session has changed as a careful colleague would who did not write it: look at " +
			"the diff, not at " +
			"your memory of it. Look for mistakes, missing cases, security problems, needless complexity and broken " +
			"conventions of this repository. Do not change any files. List your " +
			"findings, the worst first, each with its file and line and what to do about it. A finding is blocking " +
			"if the change must not be merged with it."},
	{Key: "verification", Name: "Verification", Pass: db.VerificationTurn,
		Text: "Verify that what was asked for has been done. Go through the task point by point, run the build, the " +
			"tests and " +
			"whatever else shows that it works, and look at the results rather than assume them. Do not change any " +
			"files. Say for each point whether it holds and how you know."},
	{
		Key: "update_tests", Name: "Update Tests",
		Text: "Tests: add or change the automated tests that go with your change, in the style of those that are " +
			"there. Run them, and leave no test failing or skipped.",
	},
	{
		Key: "update_docs", Name: "Update Docs",
		Text: "Documentation: bring the documentation that your change touches up to date: README, guides, comments, " +
			"examples, changelog. Leave the rest alone.",
	},
}

// maxToggleText is the most bytes that a toggle's text may have.
const maxToggleText = 8 << 10

// toggle finds a toggle by its key.
func toggle(key string) (Toggle, bool) {
	i := slices.IndexFunc(Toggles, func(t Toggle) bool { return t.Key == key })
	if i < 0 {
		return Toggle{}, false
	}
	return Toggles[i], true
}

// ToggleNames are the names on screen of toggles given by key.
func ToggleNames(keys []string) []string {
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		if t, ok := toggle(key); ok {
			key = t.Name
		}
		names = append(names, key)
	}
	return names
}

// applyToggles takes over the session toggles, in the order of the editor. Only a Develop session has any.
func applyToggles(a *db.Automation, in Input, p provider.Provider, bad fault.Invalid) {
	a.Toggles = []string{}
	if a.SessionType != db.Develop {
		return
	}
	for _, t := range Toggles {
		if slices.Contains(in.Toggles, t.Key) {
			a.Toggles = append(a.Toggles, t.Key)
		}
	}
	if p.Script && len(a.Toggles) > 0 {
		bad["toggles"] = p.Name +
			" runs a script, and a script takes no instructions. Switch the session modes off, or choose an agent."
	}
}

// instructed adds the texts of an automation's toggles to the first message of a run.
func instructed(prompt string, a *db.Startable) string {
	var b strings.Builder
	b.WriteString(prompt)
	for _, t := range Toggles {
		if t.Pass == "" && slices.Contains(a.Toggles, t.Key) {
			b.WriteString("\n\n" + a.Instructions[t.Key])
		}
	}
	return b.String()
}

// The words with which a review ends, each on a line of its own: what its finding is told by.
const (
	markBlocking = "REVIEW: BLOCKING"
	markFine     = "REVIEW: OK"
)

// reviewEnding is added to the text of a review, whatever administrators make of that.
const reviewEnding = "End your answer with a line that says exactly " + markBlocking +
	" if there is a blocking finding, and exactly " + markFine + " if there is none."

// Pass is a message of its own after a run.
type Pass struct {
	Kind   db.TurnKind
	Label  string
	Prompt string
}

// Passes lists the passes that follow a run with some toggles, in the order of the editor.
func (s *Service) Passes(ctx context.Context, toggles []string) ([]Pass, error) {
	var list []Pass
	var texts map[string]string
	for _, t := range Toggles {
		if t.Pass == "" || !slices.Contains(toggles, t.Key) {
			continue
		}
		if texts == nil {
			var err error
			if texts, err = s.toggleTexts(ctx, s.DB); err != nil {
				return nil, err
			}
		}
		p := Pass{Kind: t.Pass, Label: t.Name, Prompt: texts[t.Key]}
		if t.Pass == db.ReviewTurn {
			p.Prompt += "\n\n" + reviewEnding
		}
		list = append(list, p)
	}
	return list, nil
}

// Blocking reports whether the answer of a review ends with the mark of a blocking finding.
func Blocking(answer string) bool { return lastLine(answer) == markBlocking }

// lastLine is the last line of a text that says something, without the marks of emphasis round it.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.Trim(strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]), "*_`. ")
}

// NoteReview tells the people of a run's automation when its review has a blocking finding. It returns db.ErrLeaseLost,
// and tells nobody, when another process holds the session.
func (s *Service) NoteReview(ctx context.Context, lease db.Lease, execution uuid.UUID, answer string) error {
	if !Blocking(answer) {
		return nil
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CheckLease(ctx, tx, lease); err != nil {
			return err
		}
		e, err := db.ExecutionByID(ctx, tx, execution)
		if err != nil {
			return err
		}
		findings := strings.TrimSpace(answer)
		findings = strings.TrimSpace(findings[:strings.LastIndexByte(findings, '\n')+1])
		if utf8.RuneCountInString(findings) > 2000 {
			findings = string([]rune(findings)[:2000]) + "…"
		}
		return s.tell(ctx, tx, e.Automation, inbox.Notice{
			Kind: inbox.Review, Title: "The review of " + e.Automation.Name + " found something blocking",
			Body:      form.Or(findings, "Read the review in the session."),
			Execution: e.ID, Session: e.SessionID, Key: "review " + e.ID.String(),
		})
	})
	return fault.Wrap(err, "note review of execution %s", execution)
}

// ToggleText is a toggle with the text that it has here.
type ToggleText struct {
	Toggle
	Now     string
	Changed bool // it is not the one shipped
}

// ToggleTexts lists the toggles with their texts, for those who may change settings.
func (s *Service) ToggleTexts(ctx context.Context, actor account.Actor) ([]ToggleText, error) {
	if !actor.Can(account.ManageSettings) {
		return nil, fault.ErrForbidden
	}
	texts, err := s.toggleTexts(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	list := make([]ToggleText, len(Toggles))
	for i, t := range Toggles {
		list[i] = ToggleText{Toggle: t, Now: texts[t.Key], Changed: texts[t.Key] != t.Text}
	}
	return list, nil
}

func (s *Service) toggleTexts(ctx context.Context, q bun.IDB) (map[string]string, error) {
	changed, err := db.SettingTexts(ctx, q, togglePrefix)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(Toggles))
	for _, t := range Toggles {
		texts[t.Key] = t.Text
		if text, ok := changed[togglePrefix+t.Key]; ok {
			texts[t.Key] = text
		}
	}
	return texts, nil
}

// togglePrefix begins the keys of the settings that hold changed texts.
const togglePrefix = "toggle."

// TogglesVersion tells whether the texts of the toggles are still those of a list.
func TogglesVersion(list []ToggleText) string {
	texts := map[string]string{}
	for _, t := range list {
		texts[t.Key] = t.Now
	}
	return db.Fingerprint(texts)
}

// SaveToggles changes texts of toggles; runs that begin later have them. It returns fault.Invalid by the toggles' keys,
// and fault.ErrStale where TogglesVersion of those stored is not the version given; an empty one is not compared.
func (s *Service) SaveToggles(ctx context.Context, actor account.Actor, texts map[string]string, version string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	bad := fault.Invalid{}
	for key, text := range texts {
		text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
		texts[key] = text
		switch _, known := toggle(key); {
		case !known:
			return fault.ErrNotFound
		case text == "":
			bad[key] = "Write what the agent is told, or reset it."
		case len(text) > maxToggleText:
			bad[key] = fmt.Sprintf("This is %d KiB long. At most %d KiB fit.", (len(text)+1023)>>10, maxToggleText>>10)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			bad[key] = "This has bytes that are not text."
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return s.saveToggles(ctx, actor, texts, version)
}

// ResetToggle gives a toggle the text again that it was shipped with.
func (s *Service) ResetToggle(ctx context.Context, actor account.Actor, key string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	t, ok := toggle(key)
	if !ok {
		return fault.ErrNotFound
	}
	return s.saveToggles(ctx, actor, map[string]string{key: t.Text}, "")
}

func (s *Service) saveToggles(ctx context.Context, actor account.Actor, texts map[string]string, version string) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.LockSettings(ctx, tx); err != nil {
			return err
		}
		before, err := s.toggleTexts(ctx, tx)
		if err != nil {
			return err
		}
		if version != "" && version != db.Fingerprint(before) {
			return fault.ErrStale
		}
		now := s.Now()
		for _, t := range Toggles {
			text, given := texts[t.Key]
			if !given || text == before[t.Key] {
				continue
			}
			if text == t.Text {
				err = db.DeleteSetting(ctx, tx, togglePrefix+t.Key)
			} else {
				err = db.SaveSettingText(ctx, tx, togglePrefix+t.Key, text, now)
			}
			if err != nil {
				return err
			}
			err = db.AddAudit(ctx, tx, db.AuditEvent{
				ID: db.NewID(), At: now, ActorID: actor.ID, Action: "setting.update", SubjectKind: "setting",
				SubjectName: "Session toggle " + t.Name,
				Before:      map[string]any{"text": before[t.Key]}, After: map[string]any{"text": text},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return fault.Wrap(err, "save session toggles")
}
