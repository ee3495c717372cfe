package automation

import (
	"maps"
	"slices"
	"strings"

	"carillon/app/prompt"
	"carillon/app/workflow"
	"carillon/db"
)

// ExpandFenced is Expand for what an agent is told in a run: values that came from outside stand between marks.
func ExpandFenced(text string, values map[string]string, run db.Snapshot) string {
	if run.Untrusted == "" {
		return workflow.Expand(text, values)
	}
	fenced := maps.Clone(values)
	for _, name := range run.Outside {
		if value, ok := fenced[name]; ok {
			fenced[name] = prompt.Fence(run.Untrusted, value)
		}
	}
	text = workflow.Expand(text, fenced)
	if strings.Contains(text, "<"+run.Untrusted+">") {
		text += prompt.FenceNote(run.Untrusted)
	}
	return text
}

// PromptParts are the parts of the prompt with which a run began, as Values.Parts has them.
func PromptParts(e *db.Execution) []prompt.Part {
	return prompt.ValuesOf(e.Parameters).Fenced(e.Snapshot.Untrusted, e.Snapshot.Outside).Parts(e.Snapshot.Prompt)
}

// outside names the values of a trigger that a webhook call brought; nil: none came.
func (t Trigger) outside() []string {
	if t.Outside == nil && t.Source == db.ByWebhook {
		return names(t.Parameters)
	}
	return t.Outside
}

// outsideOf names the values of a run that a webhook call brought. Of runs from before that was noted it is all of
// them.
func outsideOf(e *db.Execution) []string {
	if e.Snapshot.Outside == nil && (e.Source == db.ByWebhook || e.Mark == db.ReplayMark) {
		return names(e.Parameters)
	}
	return e.Snapshot.Outside
}

// names are the names of values, in their order; never nil.
func names(values map[string]string) []string {
	return slices.AppendSeq(make([]string, 0, len(values)), slices.Values(slices.Sorted(maps.Keys(values))))
}
