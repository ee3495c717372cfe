package middleware

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func TestWhatEverybodyMayAskForAsksTheDatabaseOnceASecond(t *testing.T) {
	t.Parallel()
	var shared Shared[int]
	reads, begun := 0, time.Now()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 1000 {
				value, err := shared.Get(func() (int, error) { // one at a time
					reads++
					return reads, errors.New("away")
				})
				if value == 0 || err == nil {
					t.Errorf("got %d, %v", value, err)
				}
			}
		})
	}
	all.Wait()
	if most := 1 + int(time.Since(begun)/answerFor); reads > most {
		t.Errorf("it was read %d times; want at most %d", reads, most)
	}
}
