package middleware

import (
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// A RateLimiter bounds how often each of many keys may do something: a token's fingerprint, or an address. Of more keys
// than it keeps it forgets the one that was longest not used, which has the most of its burst back.
type RateLimiter struct {
	every rate.Limit
	burst int

	mu   sync.Mutex
	keys *lru.LRU[string, *rate.Limiter]
}

// maxKeys is how many keys are kept.
const maxKeys = 20_000

// NewRateLimiter lets each key through at a rate, and so many at once.
func NewRateLimiter(every rate.Limit, burst int) *RateLimiter {
	return newRateLimiter(every, burst, maxKeys)
}

func newRateLimiter(every rate.Limit, burst, keys int) *RateLimiter {
	cache, err := lru.NewLRU[string, *rate.Limiter](keys, nil)
	if err != nil {
		panic(err) // of a size that is not positive
	}
	return &RateLimiter{every: every, burst: burst, keys: cache}
}

func (l *RateLimiter) of(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.keys.Get(key)
	if !ok {
		limiter = rate.NewLimiter(l.every, l.burst)
		l.keys.Add(key, limiter)
	}
	return limiter
}

// Take uses one of a key's up, or says how long to wait for one.
func (l *RateLimiter) Take(key string) time.Duration {
	reservation := l.of(key).Reserve()
	wait := reservation.Delay()
	if wait > 0 {
		reservation.Cancel()
	}
	return wait
}

// RetryAfter is a wait as the header Retry-After tells it: in whole seconds, at least one.
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))
}
