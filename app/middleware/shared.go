package middleware

import (
	"sync"
	"time"
)

// answerFor is how long an answer of the database serves all who ask, where anybody may.
const answerFor = time.Second

// Shared is an answer of the database that everybody may ask for: it is asked at most once a second, whoever waits for
// it. Its zero value is ready.
type Shared[T any] struct {
	mu    sync.Mutex
	until time.Time
	value T
	err   error
}

// Get returns the last answer, or that of read where it is older than a second.
func (s *Shared[T]) Get(read func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) { // a clock that is set back changes nothing
		return s.value, s.err
	}
	s.value, s.err = read()
	s.until = time.Now().Add(answerFor)
	return s.value, s.err
}
