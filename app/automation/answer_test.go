package automation

import (
	"strings"
	"testing"
	"unicode/utf8"

	"carillon/app/toggle"
	"carillon/db"
)

func TestOfALongAnswerStaysWhatItIsJudgedBy(t *testing.T) {
	t.Parallel()
	s := &db.Snapshot{
		StopText: "ALL DONE", Success: db.SuccessCheck{Contains: "tests pass"},
		Steps: []db.Step{{Kind: db.LoopStep, Marker: "ENOUGH"}},
	}
	fill := strings.Repeat("Wörter, die niemand liest.\n", 5000)
	kept := KeptAnswer("It begins.\n"+fill+"In the middle: ALL DONE, and ENOUGH.\n"+fill+"Here tests pass.\n"+fill+
		"REVIEW: BLOCKING", s)
	for _, want := range []string{"It begins.", "In the middle: ALL DONE", "ENOUGH", "Here tests pass."} {
		if !strings.Contains(kept, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if !toggle.Blocking(kept) || !utf8.ValidString(kept) || len(kept) > keepAnswer+2000 {
		t.Errorf("it has %d bytes and ends with %q", len(kept), kept[len(kept)-40:])
	}
	if short := "ALL DONE"; KeptAnswer(short, s) != short {
		t.Error("a short answer changed")
	}
	if kept := KeptAnswer(fill+fill+"NOTHING TO DO", nil); !NothingToDo(kept, false) {
		t.Error("the end of a reply's answer is gone")
	}
}
