// Package toggle holds the session toggles: what each adds to the run of a Develop session, and the texts that
// administrators make of them. It knows rows. It knows no runs.
package toggle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Toggle is a session toggle of Develop sessions. One with a pass is a message of its own after the run; the others add
// their text to the first prompt.
type Toggle struct {
	Key, Name string
	Pass      db.TurnKind // empty: an instruction for the first prompt
	Text      string      // as shipped; administrators may change it
}

// All are the session toggles in the order of the editor, which is also that of the instructions in a prompt.
var All = []Toggle{
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

// maxText is the most bytes that a toggle's text may have.
const maxText = 8 << 10

// find finds a toggle by its key.
func find(key string) (Toggle, bool) {
	i := slices.IndexFunc(All, func(t Toggle) bool { return t.Key == key })
	if i < 0 {
		return Toggle{}, false
	}
	return All[i], true
}

// Names are the names on screen of toggles given by key.
func Names(keys []string) []string {
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		if t, ok := find(key); ok {
			key = t.Name
		}
		names = append(names, key)
	}
	return names
}

// Instruct adds the texts of toggles, given by key, to the first message of a run.
func Instruct(prompt string, keys []string, texts map[string]string) string {
	var b strings.Builder
	b.WriteString(prompt)
	for _, t := range All {
		if t.Pass == "" && slices.Contains(keys, t.Key) {
			b.WriteString("\n\n" + texts[t.Key])
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

// Passes lists the passes that follow a run with some toggles, given by key, in the order of the editor.
func Passes(ctx context.Context, q bun.IDB, keys []string) ([]Pass, error) {
	var list []Pass
	var texts map[string]string
	for _, t := range All {
		if t.Pass == "" || !slices.Contains(keys, t.Key) {
			continue
		}
		if texts == nil {
			var err error
			if texts, err = Texts(ctx, q); err != nil {
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
func Blocking(answer string) bool { return LastLine(answer) == markBlocking }

// LastLine is the last line of a text that says something, without the marks of emphasis round it.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.Trim(strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]), "*_`. ")
}

// Service carries out what administrators ask for. Its fields are set once, in main.
type Service struct {
	DB  bun.IDB
	Now func() time.Time // the instant of every rule
}

// Text is a toggle with the text that it has here.
type Text struct {
	Toggle
	Now     string
	Changed bool // it is not the one shipped
}

// List lists the toggles with their texts, for those who may change settings.
func (s *Service) List(ctx context.Context, actor account.Actor) ([]Text, error) {
	if !actor.Can(account.ManageSettings) {
		return nil, fault.ErrForbidden
	}
	texts, err := Texts(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	list := make([]Text, len(All))
	for i, t := range All {
		list[i] = Text{Toggle: t, Now: texts[t.Key], Changed: texts[t.Key] != t.Text}
	}
	return list, nil
}

// Texts are the texts that the toggles have here, by key.
func Texts(ctx context.Context, q bun.IDB) (map[string]string, error) {
	changed, err := db.SettingTexts(ctx, q, settingPrefix)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(All))
	for _, t := range All {
		texts[t.Key] = t.Text
		if text, ok := changed[settingPrefix+t.Key]; ok {
			texts[t.Key] = text
		}
	}
	return texts, nil
}

// settingPrefix begins the keys of the settings that hold changed texts.
const settingPrefix = "toggle."

// Version tells whether the texts of the toggles are still those of a list.
func Version(list []Text) string {
	texts := map[string]string{}
	for _, t := range list {
		texts[t.Key] = t.Now
	}
	return db.Fingerprint(texts)
}

// Save changes texts of toggles; runs that begin later have them. It returns fault.Invalid by the toggles' keys,
// and fault.ErrStale where Version of those stored is not the version given; an empty one is not compared.
func (s *Service) Save(ctx context.Context, actor account.Actor, texts map[string]string, version string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	bad := fault.Invalid{}
	for key, text := range texts {
		text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
		texts[key] = text
		switch _, known := find(key); {
		case !known:
			return fault.ErrNotFound
		case text == "":
			bad[key] = "Write what the agent is told, or reset it."
		case len(text) > maxText:
			bad[key] = fmt.Sprintf("This is %d KiB long. At most %d KiB fit.", (len(text)+1023)>>10, maxText>>10)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			bad[key] = "This has bytes that are not text."
		}
	}
	if len(bad) > 0 {
		return bad
	}
	return s.save(ctx, actor, texts, version)
}

// Reset gives a toggle the text again that it was shipped with.
func (s *Service) Reset(ctx context.Context, actor account.Actor, key string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	t, ok := find(key)
	if !ok {
		return fault.ErrNotFound
	}
	return s.save(ctx, actor, map[string]string{key: t.Text}, "")
}

func (s *Service) save(ctx context.Context, actor account.Actor, texts map[string]string, version string) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.LockSettings(ctx, tx); err != nil {
			return err
		}
		before, err := Texts(ctx, tx)
		if err != nil {
			return err
		}
		if version != "" && version != db.Fingerprint(before) {
			return fault.ErrStale
		}
		now := s.Now()
		for _, t := range All {
			text, given := texts[t.Key]
			if !given || text == before[t.Key] {
				continue
			}
			if text == t.Text {
				err = db.DeleteSetting(ctx, tx, settingPrefix+t.Key)
			} else {
				err = db.SaveSettingText(ctx, tx, settingPrefix+t.Key, text, now)
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
