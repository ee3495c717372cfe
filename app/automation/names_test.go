package automation

import (
	"testing"

	"carillon/app/fault"
)

func TestNamesOfAutomationsAndWorkspacesCanBeRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		field, value string
		refused      bool
	}{
		{"name", "Nightly audit", false}, {"name", "ניתוח לילי", false}, {"name", "\u202etidua", true}, {"name", "\u200b", true}, {"name", "\u3164", true}, {"name", "a\u2028b", true},
		{"title", "אב\u200f (x)", false}, // no name: a mark of direction may stand in a sentence
		{"title", "a\u0085b", true}, {"title", "a\nb", true},
	} {
		bad := fault.Invalid{}
		text(bad, tt.field, "Give it a name.", tt.value, 200, true)
		if (bad[tt.field] != "") != tt.refused {
			t.Errorf("%s %+q: %q; want refused %v", tt.field, tt.value, bad[tt.field], tt.refused)
		}
	}
}
