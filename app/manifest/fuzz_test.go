package manifest

import (
	"errors"
	"testing"
)

// FuzzRead reads manifests. Every mistake has a text, and what is read and written is read again as the same.
func FuzzRead(f *testing.F) {
	f.Add("kind: automation\nname: Nightly\nworkspace: Scratch\ntrigger: recurring\ncron: \"30 2 * * *\"\ntime_zone: " +
		"Europe/Berlin\nprompt: Look.\nprovider: claude\n")
	f.Add("kind: bot\nname: B\nworkspace: W\ninstructions: |\n  Be brief.\n---\nkind: workflow\nname: F\nworkspace: " +
		"W\nsteps: [{kind: message, text: Look.}]\n")
	f.Add("a: &a [*a]\n")
	f.Add("? {}\n: !!binary x\n---\n\x00")
	f.Fuzz(func(t *testing.T, content string) {
		if len(content) > 16<<10 {
			return
		}
		Variables(File{Name: "a.yaml", Content: content})
		list, err := Read([]File{{Name: "a.yaml", Content: content}}, nil)
		if err != nil {
			var wrong Mistakes
			if !errors.As(err, &wrong) || len(wrong) == 0 {
				t.Fatalf("it is refused with %v; want mistakes", err)
			}
			for _, m := range wrong {
				if m.Text == "" {
					t.Errorf("a mistake without a text: %+v", m)
				}
			}
			return
		}
		written, err := Write(list, nil)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Read([]File{{Name: "b.yaml", Content: string(written)}}, nil)
		if err != nil || len(again) != len(list) {
			t.Errorf("%d documents were written and %d read again, %v:\n%s", len(list), len(again), err, written)
		}
	})
}
