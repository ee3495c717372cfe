package fault

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sentence makes a sentence for a person of the text of an error: with a capital, and with a full stop unless it ends
// already.
func Sentence(text string) string {
	text = strings.TrimRight(text, " ")
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if strings.HasSuffix(text, "?") || strings.HasSuffix(text, "!") || strings.HasSuffix(text, ".") ||
		strings.HasSuffix(text, "…") {
		return text
	}
	return text + "."
}
