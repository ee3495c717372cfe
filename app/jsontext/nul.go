package jsontext

import (
	"slices"
	"strings"
)

// HoldsNUL reports whether a text or a name within a parsed value of JSON has the sign U+0000, which no column can
// hold.
func HoldsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		return slices.ContainsFunc(v, HoldsNUL)
	case map[string]any:
		for name, value := range v {
			if strings.ContainsRune(name, 0) || HoldsNUL(value) {
				return true
			}
		}
	}
	return false
}
