package jsontext

// HasAtMost reports whether a JSON text has at most so many values: members of objects, elements of lists, and the
// lists and objects themselves. It reads the text once and takes no memory.
func HasAtMost(most int, text []byte) bool {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			if n++; n > most {
				return false
			}
		}
	}
	return true
}
