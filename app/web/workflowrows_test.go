package web

import (
	"strings"
	"testing"

	"carillon/app/workflow"
)

// rows are steps by their labels: "a", "(b c)" for a loop block b with the step c in it.
func rows(text string) []workflow.StepInput {
	var list []workflow.StepInput
	inside := false
	for word := range strings.FieldsSeq(text) {
		s := workflow.StepInput{Kind: "message", Inside: inside, Label: strings.Trim(word, "()")}
		if strings.HasPrefix(word, "(") {
			s.Kind, inside = "loop", true
		}
		if strings.HasSuffix(word, ")") {
			inside = false
		}
		list = append(list, s)
	}
	return list
}

func written(steps []workflow.StepInput) string {
	var words []string
	for i, s := range steps {
		word := s.Label
		if isLoop(s) {
			word = "(" + word
		}
		if (s.Inside || isLoop(s)) && (i+1 == len(steps) || !steps[i+1].Inside) {
			word += ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func TestStepsMoveOneByOneIntoLoopBlocksAndOutOfThem(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, do, after, said string }{
		{"a b c", "up.1", "b a c", "Step 2 is step 1 now."},
		{"a b c", "up.0", "a b c", ""},
		{"a b c", "down.2", "a b c", ""},
		{"a b c", "down.0", "b a c", ""},
		{"(l x y) a", "up.3", "(l x y a)", "Step 2 is step 1.3 now."},
		{"(l x y a)", "up.3", "(l x a y)", ""},
		{"(l x y)", "up.1", "x (l y)", "Step 1.1 is step 1 now."},
		{"(l x y)", "down.2", "(l x) y", "Step 1.2 is step 2 now."},
		{"a (l x)", "down.0", "(l a x)", "Step 1 is step 1.1 now."},
		{"a (l x) b", "up.1", "(l x) a b", ""},
		{"a (l x) b", "down.1", "a b (l x)", ""},
		{"(k x) (l y z)", "up.2", "(l y z) (k x)", "Step 2 is step 1 now."},
		{"(k x) (l y z)", "down.0", "(l y z) (k x)", ""},
		{"a b c", "move.0.3.out", "b c a", "Step 1 is step 3 now."},
		{"a b c", "move.2.0.in", "c a b", ""},
		{"a (l x y) b", "move.0.3.out", "(l x a y) b", "Step 1 is step 1.2 now."},
		{"a (l x y) b", "move.0.4.out", "(l x y) a b", ""},
		{"a (l x y) b", "move.0.4.in", "(l x y a) b", ""},
		{"a (l x y) b", "move.2.0.in", "x a (l y) b", ""},
		{"a (l x y) b", "move.1.5.in", "a b (l x y)", ""},
		{"(k x y) (l z)", "move.3.1.in", "(k x y) (l z)", ""},
		{"a (l x) b", "move.3.0.out", "b a (l x)", ""},
		{"a b", "move.0.9.in", "a b", ""},
		{"a b", "move.7.0.in", "a b", ""},
		{"a (l x) b", "remove-step.1", "a x b", "Step 2 was removed."},
		{"a (l x) b", "remove-step.2", "a (l) b", "Step 2.1 was removed."},
	} {
		in := workflow.Input{Steps: rows(tt.before)}
		r, ok := rearrange(in, tt.do)
		if got := written(r.in.Steps); !ok || got != tt.after {
			t.Errorf("%s of %q gives %q (%t); want %q", tt.do, tt.before, got, ok, tt.after)
		}
		if tt.said != "" && r.said != tt.said {
			t.Errorf("%s of %q says %q; want %q", tt.do, tt.before, r.said, tt.said)
		}
		if written(in.Steps) != tt.before {
			t.Errorf("%s changed the form that it was given", tt.do)
		}
	}
	if _, ok := rearrange(workflow.Input{}, "save"); ok {
		t.Error("a button that rearranges nothing is taken for one that does")
	}
}
