package account

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Refusals are what one request was refused, gathered until it is answered. Some refusals are no error of their own:
// what somebody may not see is not found, a form says it in a sentence, and a bulk action counts it.
type Refusals struct {
	mu      sync.Mutex
	actor   Actor
	reasons []string
}

type refusalsKey struct{}

// WithRefusals lets the refusals of what is done with a context be gathered.
func WithRefusals(ctx context.Context) (context.Context, *Refusals) {
	r := &Refusals{}
	return context.WithValue(ctx, refusalsKey{}, r), r
}

// RecordRefusal notes that the actor was refused something, and why, for the audit log. Where nobody gathers, as on the
// command line, it does nothing.
func RecordRefusal(ctx context.Context, actor Actor, why string) {
	r, ok := ctx.Value(refusalsKey{}).(*Refusals)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.actor = actor
	if !slices.Contains(r.reasons, why) {
		r.reasons = append(r.reasons, why)
	}
}

// Take is who was refused and why, and that there was anything. What was taken is not had again.
func (r *Refusals) Take() (actor Actor, why string, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, any = strings.Join(r.reasons, ", "), len(r.reasons) > 0
	r.reasons = nil
	return r.actor, why, any
}
