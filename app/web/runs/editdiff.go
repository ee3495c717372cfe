package runs

import (
	"bytes"
	"encoding/json"
	"strings"

	"carillon/app/transcript"
	"carillon/views"
)

// toolInput is what a tool was given, to read: a text as it is, and all else as JSON with a line for each value.
func toolInput(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == "{}" {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var one struct {
		Command any `json:"command"`
	}
	var all map[string]any
	if json.Unmarshal(raw, &one) == nil && json.Unmarshal(raw, &all) == nil && len(all) == 1 {
		if command, ok := one.Command.(string); ok {
			return command
		}
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// Bounds of the diff of one edit.
const (
	editLines   = 400     // shown
	editContext = 3       // unchanged lines shown around a change
	editWork    = 400_000 // pairs of lines compared; beyond, all of the old goes out and all of the new comes in
)

// editDiff shows an edit that an agent told of, line by line. The lines have numbers only where they are those of the
// file.
func editDiff(edit transcript.Edit) views.Diff {
	d := views.Diff{Path: edit.Path, Kind: map[string]string{"add": "added", "delete": "deleted"}[edit.Action]}
	if d.Kind == "" {
		d.Kind = "modified"
	}
	all := diffLines(split(edit.Old), split(edit.New))
	shown := around(all)
	jumped := false
	for i, l := range all {
		switch l.Sign {
		case "+":
			d.Added++
			if d.Kind == "added" {
				l.New = d.Added
			}
		case "-":
			d.Removed++
			if d.Kind == "deleted" {
				l.Old = d.Removed
			}
		}
		switch {
		case !shown[i]:
			jumped = true
			continue
		case len(d.Lines) >= editLines:
			d.Cut = true
			continue
		case jumped && len(d.Lines) > 0:
			d.Lines = append(d.Lines, views.DiffLine{Sign: "@", Text: "…"})
		}
		jumped = false
		d.Lines = append(d.Lines, l)
	}
	return d
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// around marks the changed lines and those near them.
func around(all []views.DiffLine) []bool {
	shown := make([]bool, len(all))
	for i, l := range all {
		if l.Sign == " " {
			continue
		}
		for j := max(0, i-editContext); j <= min(len(all)-1, i+editContext); j++ {
			shown[j] = true
		}
	}
	return shown
}

// diffLines is the shortest way from old to new by whole lines.
func diffLines(old, new []string) []views.DiffLine {
	var head, tail []views.DiffLine
	for len(old) > 0 && len(new) > 0 && old[0] == new[0] {
		head = append(head, views.DiffLine{Sign: " ", Text: old[0]})
		old, new = old[1:], new[1:]
	}
	for len(old) > 0 && len(new) > 0 && old[len(old)-1] == new[len(new)-1] {
		tail = append(tail, views.DiffLine{Sign: " ", Text: old[len(old)-1]})
		old, new = old[:len(old)-1], new[:len(new)-1]
	}
	list := append(head, middle(old, new)...)
	for i := len(tail) - 1; i >= 0; i-- {
		list = append(list, tail[i])
	}
	return list
}

// middle compares lines that begin and end differently.
func middle(old, new []string) []views.DiffLine {
	var list []views.DiffLine
	out := func(sign string, lines ...string) {
		for _, l := range lines {
			list = append(list, views.DiffLine{Sign: sign, Text: l})
		}
	}
	if len(old)*len(new) > editWork || len(old) == 0 || len(new) == 0 {
		out("-", old...)
		out("+", new...)
		return list
	}
	width := len(new) + 1
	common := make([]int32, (len(old)+1)*width) // of the rest from a pair of lines on
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(new) - 1; j >= 0; j-- {
			if old[i] == new[j] {
				common[i*width+j] = common[(i+1)*width+j+1] + 1
			} else {
				common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(old) && j < len(new) {
		switch {
		case old[i] == new[j]:
			out(" ", old[i])
			i, j = i+1, j+1
		case common[(i+1)*width+j] >= common[i*width+j+1]:
			out("-", old[i])
			i++
		default:
			out("+", new[j])
			j++
		}
	}
	out("-", old[i:]...)
	out("+", new[j:]...)
	return list
}
