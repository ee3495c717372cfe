package runs

import (
	"context"
	"fmt"
	"strings"

	"carillon/db"
)

// namedWorkers is how many workers are named where a session waits for one of them.
const namedWorkers = 3

// full returns what names the workers that have a provider, where all of those are full: "forge-1, which has Codex". It
// is empty where one has a place, and where none has the provider, since any worker then takes a session and says so.
func (s *Pages) full(ctx context.Context) (func(provider string) string, error) {
	var workers []db.Worker
	if s.Workers != nil {
		workers = s.Workers()
	}
	if len(workers) == 0 {
		return func(string) string { return "" }, nil
	}
	working, err := db.SlotsTaken(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	return func(provider string) string {
		var names []string
		for _, w := range workers {
			if !w.Has(provider) {
				continue
			}
			if w.Slots == 0 || working[w.ID] < w.Slots {
				return ""
			}
			names = append(names, w.Name)
		}
		has := "which has " + s.ProviderName(provider)
		switch {
		case len(names) == 0:
			return ""
		case len(names) == 1 && len(workers) == 1:
			return names[0]
		case len(names) == 1:
			return names[0] + ", " + has
		case len(names) == len(workers):
			return "a worker"
		case len(names) > namedWorkers:
			return fmt.Sprintf("one of the %d workers that have %s", len(names), s.ProviderName(provider))
		}
		return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1] + ", which have " +
			s.ProviderName(provider)
	}, nil
}
