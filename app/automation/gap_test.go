package automation

import (
	"testing"
	"time"
)

func TestALookThatTakesLongIsNoAbsence(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]bool{50 * time.Second: false, time.Hour: true} {
		begun := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		var l looks
		l.begin(begun)
		l.end(begun, begun, true)
		l.begin(begun.Add(time.Second))
		l.end(begun.Add(time.Second), begun.Add(took), true)
		if got := l.begin(begun.Add(took + time.Second)).has(begun.Add(10 * time.Second)); got != want {
			t.Errorf("after a look of %s a due time in it passed in an absence: %t; want %t", took, got, want)
		}
	}
}
