package toggle

import (
	"errors"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// holder is an actor with some permissions.
func holder(permissions ...account.Permission) account.Actor {
	u := db.User{ID: db.NewID(), Name: "Mira"}
	for _, p := range permissions {
		u.Permissions = append(u.Permissions, string(p))
	}
	return account.ActorOf(&u)
}

func TestTextsAreReadAndChangedByThoseWhoMayChangeSettings(t *testing.T) {
	t.Parallel()
	s := &Service{DB: dbtest.New(t), Now: time.Now}
	ctx, member := t.Context(), holder(account.Manage)
	_, err := s.List(ctx, member)
	for what, err := range map[string]error{
		"list":  err,
		"save":  s.Save(ctx, member, map[string]string{"edge_cases": "x"}, ""),
		"reset": s.Reset(ctx, member, "edge_cases"),
	} {
		if !errors.Is(err, fault.ErrForbidden) {
			t.Errorf("%s: got %v; want it forbidden", what, err)
		}
	}
}

func TestATextIsKeptUntilItIsReset(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	s, who := &Service{DB: d, Now: time.Now}, holder(account.ManageSettings)
	ctx := t.Context()
	if _, err := d.NewRaw("INSERT INTO users (id, email, name, time_zone, created_at, updated_at) "+
		"VALUES (?, 'mira@example.com', 'Mira', 'UTC', now(), now())", who.ID).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{" \r\n": "Write what", strings.Repeat("x", maxText+1): "At most 8 KiB"} {
		var bad fault.Invalid
		err := s.Save(ctx, who, map[string]string{"edge_cases": text}, "")
		if !errors.As(err, &bad) || !strings.Contains(bad["edge_cases"], want) {
			t.Errorf("a text of %d bytes: got %v; want a sentence with %q", len(text), err, want)
		}
	}
	if err := s.Save(ctx, who, map[string]string{"nonsense": "x"}, ""); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a toggle that does not exist: got %v", err)
	}
	before, err := s.List(ctx, who)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, who, map[string]string{"edge_cases": "Mind the gap.\r\nBoth."}, Version(before)); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, who, map[string]string{"edge_cases": "x"}, Version(before)); !errors.Is(err, fault.ErrStale) {
		t.Errorf("a change of what somebody else has changed: got %v; want it stale", err)
	}
	texts, err := Texts(ctx, d)
	if err != nil || texts["edge_cases"] != "Mind the gap.\nBoth." {
		t.Errorf("the text is %q, %v", texts["edge_cases"], err)
	}
	if err := s.Reset(ctx, who, "edge_cases"); err != nil {
		t.Fatal(err)
	}
	for _, toggle := range All {
		if texts, err = Texts(ctx, d); err != nil || texts[toggle.Key] != toggle.Text {
			t.Errorf("after a reset the text of %s is %q, %v", toggle.Key, texts[toggle.Key], err)
		}
	}
}

func TestInstructionsFollowThePromptInTheOrderOfTheEditor(t *testing.T) {
	t.Parallel()
	texts := map[string]string{"edge_cases": "Edges.", "update_docs": "Docs.", "code_review": "Review."}
	got := Instruct("Go.", []string{"update_docs", "code_review", "edge_cases"}, texts)
	if got != "Go.\n\nEdges.\n\nDocs." {
		t.Errorf("the prompt became %q", got)
	}
}

func TestAReviewIsBlockingByItsLastLineAlone(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		"Bad.\nREVIEW: BLOCKING": true, "Bad.\n\n**REVIEW: BLOCKING**\n": true, "Fine.\nREVIEW: OK": false,
		"It says REVIEW: BLOCKING somewhere.": false, "REVIEW: BLOCKING\nNo, it is fine.": false, "": false,
	} {
		if Blocking(answer) != want {
			t.Errorf("%q is blocking: %t; want %t", answer, !want, want)
		}
	}
}
