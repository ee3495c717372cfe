package model

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

// TestWhatIsPromisedHoldsWhereTheClockIsSetForwardAndBack lives through hours in which the clock is set, with
// automations of each minute and of every few, and runs that take from a second to minutes. After it has been right for
// a while, the rows hold what is promised of them.
func TestWhatIsPromisedHoldsWhereTheClockIsSetForwardAndBack(t *testing.T) {
	t.Parallel()
	first, most := uint64(1), uint64(2)
	if text := os.Getenv("CLOCK_SEEDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		most = n
	}
	s := open(t)
	for seed := first; seed <= most; seed++ {
		if breach, story, err := s.clockIsSet(t.Context(), seed); breach != "" || err != nil {
			t.Errorf("seed %d: %s %v\n%s", seed, breach, err, story)
			return
		}
	}
}

// clockIsSet plays one sequence.
func (s *system) clockIsSet(ctx context.Context, seed uint64) (breach, story string, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	begin := time.Date(2026, 11, 30, 10, 0, 30, 0, time.UTC)
	if err := s.clear(ctx, begin); err != nil {
		return "", "", err
	}
	for i, cron := range []string{"* * * * *", "* * * * *", "*/3 * * * *", "2-59/7 * * * *"} {
		_, _, err := s.rules[0].Definitions().Create(ctx, s.people["Mira"],
			automation.Input{Automation: spec.Automation{
				TimeoutMinutes: 360,
				Name:           fmt.Sprint("Clock ", i),
				Workspace:      s.workspace.String(),
				Trigger:        "recurring",
				SessionType:    "chat",
				Prompt:         "Look.",
				Provider:       "agent",
				Cron:           cron,
				TimeZone:       "UTC",
				CatchUp:        i%2 == 1,
				AutoComplete:   true,
				Retries:        2,
			}})
		if err != nil {
			return "", "", err
		}
	}
	for i, trigger := range []string{"loop", "one_time", "one_time"} {
		_, _, err := s.rules[0].Definitions().Create(ctx, s.people["Mira"],
			automation.Input{Automation: spec.Automation{
				TimeoutMinutes: 360,
				Name:           "Clock " + trigger,
				Workspace:      s.workspace.String(),
				Trigger:        trigger,
				SessionType:    "chat",
				Prompt:         "Look.",
				Provider:       "agent",
				RunAt:          begin.Add(time.Duration(6*i) * time.Minute).Format(time.RFC3339),
				TimeZone:       "UTC",
				AutoComplete:   true,
				Retries:        2,
			}})
		if err != nil {
			return "", "", err
		}
	}
	const lastly = 50 * time.Minute       // in the end the clock is right, for longer than it ever was ahead
	ends := map[uuid.UUID]time.Duration{} // when a session's agent ends, by the time that really passes
	real, ahead := time.Duration(0), time.Duration(0)
	to := []time.Duration{5 * time.Minute, 0, -5 * time.Minute, 0, 40 * time.Minute, 0, 40 * time.Second,
		-90 * time.Second, 0}
	for step := range 12 {
		if step > 0 {
			ahead = to[r.IntN(len(to))]
			if step == 1 && seed%2 == 1 {
				ahead = 5 * time.Minute
			}
		}
		lasts := time.Duration(20+r.IntN(400)) * time.Second
		if step == 11 {
			ahead, lasts = 0, lastly
		}
		story += fmt.Sprintf("%s: ahead by %s for %s\n", begin.Add(real).Format(time.TimeOnly), ahead, lasts)
		for until := real + lasts; real < until; {
			pace := time.Second
			if step == 11 && real > until-lasts+3*time.Minute {
				pace = 10 * time.Second
			}
			before := s.now
			real += pace
			if s.now = begin.Add(real + ahead); s.now.Truncate(time.Minute) != before.Truncate(time.Minute) {
				if err := s.minute(ctx); err != nil {
					return "", story, err
				}
			}
			if err := s.look(ctx); err != nil {
				return "", story, err
			}
			if err := s.take(ctx, false); err != nil {
				return "", story, err
			}
			for _, id := range slices.SortedFunc(maps.Keys(s.held), func(a, b uuid.UUID) int {
				return bytes.Compare(a[:], b[:])
			}) {
				session := s.held[id]
				if _, is := ends[id]; !is {
					ends[id] = real + []time.Duration{time.Second, 5 * time.Second, 70 * time.Second,
						200 * time.Second}[r.IntN(4)]
				}
				if ends[id] <= real {
					delete(s.held, id)
					if err := s.rules[0].Runs().Finish(ctx, lease(session),
						automation.Outcome{Status: db.Succeeded}); err != nil {
						return "", story, err
					}
				}
			}
			if err := s.renew(ctx); err != nil {
				return "", story, err
			}
		}
	}
	if breach, err = s.promises(ctx); breach == "" || err != nil {
		return breach, story, err
	}
	var rows []string
	err = s.db.NewRaw(`SELECT concat_ws(' ', a.name, e.scheduled_for::time(0), e.last_skipped_for::time(0), e.skip_count, e.status, e.mark, 'at', e.created_at::time(0), e.reason)
		FROM executions e JOIN automations a ON a.id = e.automation_id WHERE e.scheduled_for < ? ORDER BY a.name, e.id`,
		begin.Add(real-lastly)).Scan(ctx, &rows)
	return breach, story + strings.Join(rows, "\n"), err
}

// minute is what the scheduler does each minute.
func (s *system) minute(ctx context.Context) error {
	if _, err := s.rules[0].Schedules().Repair(ctx); err != nil {
		return err
	}
	if err := s.rules[0].Schedules().CorrectFutureTimes(ctx); err != nil {
		return err
	}
	_, _, err := s.rules[0].Schedules().FindGaps(ctx, uuid.Nil)
	return err
}
