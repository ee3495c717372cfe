package middleware

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

func TestWhoCallsFromManyAddressesFreesNobodyElseOfALimit(t *testing.T) {
	t.Parallel()
	l := newRateLimiter(rate.Every(time.Hour), 1, 100)
	if l.Take("slow") > 0 || l.Take("slow") == 0 {
		t.Fatal("the limit does not hold")
	}
	for i := range 1000 {
		l.Take(fmt.Sprint("stranger ", i))
		if l.Take("slow") == 0 {
			t.Fatalf("after %d others the limit is forgotten", i+1)
		}
	}
	if n := l.keys.Len(); n > 100 {
		t.Errorf("%d keys are kept; want at most 100", n)
	}
}
