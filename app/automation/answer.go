package automation

import (
	"strings"
	"unicode/utf8"

	"carillon/db"
)

// keepAnswer is how much of an answer is kept, in bytes.
const keepAnswer = 64 << 10

// KeptAnswer bounds the answer to a message of a run that has a snapshot. What the run is judged by stays: its end,
// where an agent says how it went, and the lines that hold the texts that the run's rules look for.
func KeptAnswer(answer string, s *db.Snapshot) string {
	if len(answer) <= keepAnswer {
		return answer
	}
	kept := Ends(answer, keepAnswer)
	if s == nil {
		return kept
	}
	var lines strings.Builder
	for _, text := range sought(s) {
		if at := strings.Index(answer, text); at >= 0 && !strings.Contains(kept, text) {
			lines.WriteString(lineAt(answer, at, len(text)) + "\n")
		}
	}
	if lines.Len() == 0 {
		return kept
	}
	return strings.Replace(kept, cutMark, "\n… cut …\n"+lines.String()+"…"+cutMark, 1)
}

// sought lists the texts that a run's rules look for in answers.
func sought(s *db.Snapshot) []string {
	list := []string{s.StopText, s.Success.Contains}
	for _, step := range s.Steps {
		list = append(list, step.Marker)
	}
	found := list[:0]
	for _, text := range list {
		if text != "" {
			found = append(found, text)
		}
	}
	return found
}

// lineAt is the line in which a text of a length stands at a place, or the part of it around the text.
func lineAt(text string, at, length int) string {
	const around = 200
	from := max(strings.LastIndexByte(text[:at], '\n')+1, at-around)
	to := min(len(text), at+length+around)
	if end := strings.IndexByte(text[at+length:], '\n'); end >= 0 {
		to = min(to, at+length+end)
	}
	return strings.ToValidUTF8(text[from:to], "")
}

// cutMark stands where a text was cut.
const cutMark = "\n… cut: this was too long to keep whole …\n"

// Ends bounds a text of which the end tells how it went, and the beginning what it was: one part in four is of the
// beginning.
func Ends(text string, most int) string {
	if len(text) <= most {
		return text
	}
	start, end := most/4, len(text)-(most-most/4)
	for start > 0 && !utf8.RuneStart(text[start]) {
		start--
	}
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	return text[:start] + cutMark + text[end:]
}
