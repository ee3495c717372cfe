// Package fault names the few errors that callers of the rules tell apart. Everything else is ours to mend.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var (
	// ErrNotFound says that there is no such thing, or none that the person may see.
	ErrNotFound = errors.New("not found")
	// ErrForbidden says that the person may see the thing and may not do this with it.
	ErrForbidden = errors.New("not allowed")
	// ErrStale says that someone else saved the thing since the person opened it.
	ErrStale = errors.New("changed by someone else meanwhile")
)

// Invalid is what is wrong with what a person typed: by field, a sentence each.
type Invalid map[string]string

func (v Invalid) Error() string {
	var b strings.Builder
	for i, field := range slices.Sorted(maps.Keys(v)) {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(field + ": " + v[field])
	}
	return b.String()
}

// Wrap adds what was being done to an error that nobody branches on. It returns nil for nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
