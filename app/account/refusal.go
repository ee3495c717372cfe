package account

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Refusals collects the refusals of one request until the request is answered. Some refusals are not errors of the
// request: a hidden record is "not found", a form shows a sentence, and a bulk action counts refusals.
type Refusals struct {
	mu      sync.Mutex
	actor   Actor
	reasons []string
}

type refusalsKey struct{}

// WithRefusals gives a context that collects refusals.
func WithRefusals(ctx context.Context) (context.Context, *Refusals) {
	r := &Refusals{}
	return context.WithValue(ctx, refusalsKey{}, r), r
}

// RecordRefusal adds a refusal of the actor and its reason to the context's Refusals, for the audit log. It does
// nothing if the context does not collect refusals, as on the command line.
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

// Take returns the refused actor and the reasons, and whether there are any. It empties the collection.
func (r *Refusals) Take() (actor Actor, why string, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	why, any = strings.Join(r.reasons, ", "), len(r.reasons) > 0
	r.reasons = nil
	return r.actor, why, any
}
