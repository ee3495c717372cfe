package automation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/db"
)

// BulkAction is what is done to several automations at once.
type BulkAction string

// The bulk actions.
const (
	BulkEnable  BulkAction = "enable"
	BulkDisable BulkAction = "disable"
	BulkDelete  BulkAction = "delete"
	BulkRun     BulkAction = "run"

	bulkTransfer BulkAction = "transfer" // of HandOver
)

// maxBulk is how many automations one bulk action takes.
const maxBulk = 500

// BulkResult is what a bulk action did, and why it left some out.
type BulkResult struct {
	Done    int
	Action  BulkAction
	Skipped map[string]int // by reason
}

func (r BulkResult) String() string {
	verb := map[BulkAction]string{
		BulkEnable: "Enabled", BulkDisable: "Disabled", BulkDelete: "Deleted", BulkRun: "Started",
		bulkTransfer: "Handed over",
	}[r.Action]
	text := fmt.Sprintf("%s %d", verb, r.Done)
	var reasons []string
	n := 0
	for reason, count := range r.Skipped {
		reasons = append(reasons, fmt.Sprintf("%d %s", count, reason))
		n += count
	}
	if n > 0 {
		slices.Sort(reasons)
		text += fmt.Sprintf(", skipped %d: %s", n, strings.Join(reasons, ", "))
	}
	return text + "."
}

// Bulk does one thing to several automations, each as if alone. It leaves out those of others, HTTP Triggers that
// cannot be switched, and those that cannot start, and counts them by reason.
func (s Definitions) Bulk(ctx context.Context, actor account.Actor, action BulkAction,
	ids []uuid.UUID) (BulkResult, error) {
	result := BulkResult{Action: action, Skipped: map[string]int{}}
	switch {
	case !slices.Contains([]BulkAction{BulkEnable, BulkDisable, BulkDelete, BulkRun}, action):
		return result, fault.Invalid{"do": "There is no such action."}
	case len(ids) == 0:
		return result, fault.Invalid{"id": "Select at least one automation."}
	case len(ids) > maxBulk:
		return result, fault.Invalid{"id": fmt.Sprintf("Select at most %d automations.", maxBulk)}
	}
	for _, id := range ids {
		reason, err := s.bulkOne(ctx, actor, action, id)
		if err != nil {
			return result, err
		}
		if reason == "" {
			result.Done++
		} else {
			result.Skipped[reason]++
		}
		crash.Here(crash.BulkOneDone)
	}
	return result, nil
}

// bulkOne returns why it left an automation out, or nothing.
func (s Definitions) bulkOne(ctx context.Context, actor account.Actor, action BulkAction,
	id uuid.UUID) (string, error) {
	a, err := s.manageable(ctx, actor, id)
	switch {
	case errors.Is(err, fault.ErrForbidden):
		account.RecordRefusal(ctx, actor, "may not change one of the automations")
		return "not yours", nil
	case errors.Is(err, fault.ErrNotFound):
		return "not yours", nil
	case err != nil:
		return "", err
	case a.Trigger == db.HTTP && (action == BulkEnable || action == BulkDisable):
		return "HTTP Trigger, always enabled", nil
	case (action == BulkEnable && a.Enabled) || (action == BulkDisable && !a.Enabled):
		return "already so", nil
	}
	switch action {
	case BulkEnable, BulkDisable:
		err = s.SetEnabled(ctx, actor, id, action == BulkEnable)
	case BulkDelete:
		err = s.Delete(ctx, actor, id)
	case BulkRun:
		_, err = s.Runs().RunNow(ctx, actor, id, nil)
	}
	var busy *Busy
	var unable *Unable
	var invalid fault.Invalid
	switch {
	case errors.As(err, &busy):
		return "already in flight", nil
	case errors.As(err, &unable), errors.Is(err, ErrTooLarge), errors.As(err, &invalid) && action == BulkRun:
		return "that cannot run", nil
	case errors.Is(err, fault.ErrNotFound):
		return "deleted meanwhile", nil
	case errors.As(err, &invalid):
		return "that cannot be enabled as it is", nil
	case errors.Is(err, fault.ErrForbidden):
		account.RecordRefusal(ctx, actor, "lacks the permission")
		return "not allowed", nil
	}
	return "", err
}
