package jobs

import (
	"testing"

	"carillon/app/transcript"
)

func TestOfTwoCountsOfATurnThatMayBothBeTooSmallTheGreaterIsKept(t *testing.T) {
	t.Parallel()
	told := transcript.Usage{Input: 100, CacheRead: 40, Output: 5, CostUSD: 0.25}
	for _, tt := range []struct {
		name              string
		told, final, want transcript.Usage
	}{
		{"nothing while it worked", transcript.Usage{}, told, told},
		{"nothing at its end", told, transcript.Usage{}, told},
		{"more at its end", told, transcript.Usage{Input: 90, CacheRead: 50, Output: 20},
			transcript.Usage{Input: 100, CacheRead: 50, Output: 20, CostUSD: 0.25}},
		{"all of it at its end", told, transcript.Usage{
			Known: true, Input: 1, Output: 1, CostKnown: true, CostUSD: 0.125,
		},
			transcript.Usage{Known: true, Input: 1, Output: 1, CostKnown: true, CostUSD: 0.125}},
	} {
		m := &meter{used: tt.told, end: make(chan struct{}), ended: make(chan struct{})}
		close(m.ended)
		if got := m.done(tt.final); got != tt.want {
			t.Errorf("%s: %+v; want %+v", tt.name, got, tt.want)
		}
	}
}
