package model

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/check"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// difference is where Carillon and the model part.
type difference struct {
	step      int // the op after which they do
	want, got string
	at        time.Time
	story     []string
}

func (d *difference) Error() string {
	return fmt.Sprintf("op %d, at %s:\n  the specification has %s\n  Carillon has          %s", d.step, Stamp(d.at),
		orNothing(d.want), orNothing(d.got))
}

func orNothing(line string) string {
	if line == "" {
		return "nothing"
	}
	return line
}

// kind is what a difference is about, so that a shrunk sequence shows the same.
func (d *difference) kind() string {
	line := d.want
	if line == "" {
		line = d.got
	}
	name, _, _ := strings.Cut(line, " ")
	switch _, row, ok := strings.Cut(name, "."); {
	case ok && row != "":
		return "row"
	case strings.HasPrefix(name, "A") && strings.Contains(line, "state"):
		return "state"
	}
	return strings.TrimRight(name, "0123456789:")
}

// play lets a sequence happen to Carillon and to the model, and returns the first difference, and how many ops did
// something.
func (s *system) play(ctx context.Context, q sequence) (steps int, err error) {
	night := at(Nights, q.Night)
	if err := s.untilThere(ctx, func(ctx context.Context) error { return s.clear(ctx, night.Begin) }); err != nil {
		return 0, err
	}
	s.heard, s.ticks = nil, 0
	w := New(night)
	var story []string
	for i, op := range q.Ops {
		act, ok := w.Means(op, night)
		if !ok {
			continue
		}
		steps++
		story = append(story, fmt.Sprintf("%s %s", Stamp(w.Now), op))
		want, got, err := s.both(ctx, w, act)
		if err == nil && want == got {
			if err = s.tick(ctx, w, w.Now.Add(time.Second)); err == nil {
				want, got, err = s.compare(ctx, w)
			}
		}
		if err != nil {
			return steps, &difference{step: i, got: err.Error(), at: w.Now, story: story}
		}
		if want != got {
			return steps, &difference{step: i, want: want, got: got, at: w.Now, story: story}
		}
	}
	s.blip = 0
	var got string
	for _, look := range []func(context.Context) (string, error){func(ctx context.Context) (string, error) {
		return s.lists(ctx, w)
	}, s.promises} {
		err := s.untilThere(ctx, func(ctx context.Context) (err error) {
			got, err = look(ctx)
			return err
		})
		if err != nil {
			got = err.Error()
		}
		if got != "" {
			return steps, &difference{step: len(q.Ops) - 1, got: got, at: w.Now, story: story}
		}
	}
	return steps, nil
}

// promises looks whether the rows hold what is promised of them at every moment. It returns the first breach.
func (s *system) promises(ctx context.Context) (breach string, err error) {
	if err := s.renew(ctx); err != nil {
		return "", err
	}
	look := check.Check{DB: s.db, Now: func() time.Time {
		return s.now
	}, Since: s.now.AddDate(-1, 0, 0), For: 10 * time.Minute}
	err = look.Run(ctx, func(r check.Result) {
		if len(r.Breaches) > 0 && breach == "" {
			breach = "Promise " + r.Promise + ": " + r.Breaches[0].What
		}
	})
	return breach, err
}

// both lets an act happen to both, and returns the answers.
func (s *system) both(ctx context.Context, w *World, act Act) (want, got string, err error) {
	switch act.Do {
	case Wait:
		to := w.Now.Add(act.For)
		for range WaitTicks {
			next := w.Next()
			if next.IsZero() || next.After(to) {
				return "", "", s.tick(ctx, w, to)
			}
			if err := s.tick(ctx, w, next.Add(time.Second-1).Truncate(time.Second)); err != nil {
				return "", "", err
			}
		}
		return "", "", nil
	case Down:
		w.Now = w.Now.Add(act.For)
		w.Start()
		s.now = w.Now
		s.boot()
		if act.B%2 == 1 { // the scheduler comes first
			if err := s.tick(ctx, w, w.Now); err != nil {
				return "", "", err
			}
		}
		if err := s.steadily(ctx, func(ctx context.Context) error { return s.die(ctx, act.Yes) }); err != nil {
			return "", "", err
		}
		w.Lose(act.Yes)
		w.reap()
		return "", "", s.tick(ctx, w, w.Now)
	}
	got, err = s.do(ctx, act)
	s.heard = append(s.heard, got)
	return w.Do(act), got, err
}

// tick lets the schedulers of both look at a time.
func (s *system) tick(ctx context.Context, w *World, now time.Time) error {
	s.now, w.Now = now, now
	s.ticks++
	if !w.Waits() && s.ticks%8 != 0 { // what the rows say that is due was compared
		return nil
	}
	w.Look()
	return s.look(ctx)
}

// compare finds the first line that differs.
func (s *system) compare(ctx context.Context, w *World) (want, got string, err error) {
	lines, err := s.lines(ctx, w)
	if err != nil {
		return "", "", err
	}
	s.heard = append(s.heard, lines...)
	a, b := strings.Split(strings.Join(w.Lines(), "\n"), "\n"), strings.Split(strings.Join(lines, "\n"), "\n")
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return "", b[i], nil
		case i >= len(b):
			return a[i], "", nil
		case a[i] != b[i]:
			return a[i], b[i], nil
		}
	}
	return "", "", nil
}

// smallest is the smallest sequence that shows what a sequence shows.
func (s *system) smallest(ctx context.Context, q sequence, d *difference) (sequence, *difference) {
	kind := d.kind()
	q.Ops = q.Ops[:d.step+1]
	q = q.shrink(func(q sequence) bool {
		_, err := s.play(ctx, q)
		var other *difference
		if !errors.As(err, &other) || other.kind() != kind {
			return false
		}
		d = other
		return true
	})
	return q, d
}

func replay(t *testing.T, q sequence) {
	t.Helper()
	s := open(t)
	_, err := s.play(t.Context(), q)
	if err == nil {
		return
	}
	t.Error(err)
	var d *difference
	if errors.As(err, &d) {
		t.Log(strings.Join(d.story, "\n"))
	}
}

// setting is a number in the environment.
func setting(name string, fallback int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return fallback
}

// TestSequences plays random sequences. STEPS is how many acts they have in all, SEED is the first one's seed, WORKERS
// is how many are played at once, and DIFFERENCES is after how many found ones it ends.
func TestSequences(t *testing.T) {
	t.Parallel()
	r := run{steps: setting("STEPS", 600), next: setting("SEED", 1), most: setting("DIFFERENCES", 1), began: time.Now()}
	first := r.next
	t.Run("workers", func(t *testing.T) {
		for range setting("WORKERS", 1) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				s := open(t)
				for seed, more := r.take(t, 0, false); more; {
					q := draw(uint64(seed))
					steps, err := s.play(t.Context(), q)
					if err != nil {
						var d *difference
						if errors.As(err, &d) {
							q, err = s.smallest(t.Context(), q, d)
						}
						t.Errorf("SEED=%d: %v\n%s", seed, err, q.source())
					}
					seed, more = r.take(t, steps, err != nil)
				}
			})
		}
	})
	t.Logf("%d steps in %d sequences, SEED=%d to %d, in %s: %d differences",
		r.played, r.next-first, first, r.next-1, time.Since(r.began).Round(time.Second), r.found)
}

// run is what workers have played together.
type run struct {
	steps, most int
	began       time.Time

	mu                  sync.Mutex
	next, played, found int
	told                int // steps when it was last said how far it is
}

// take counts what was played and gives the next seed, as long as there is one.
func (r *run) take(t *testing.T, steps int, differs bool) (seed int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.played += steps
	if differs {
		r.found++
	}
	if r.played-r.told >= 10_000 {
		t.Logf("%d steps so far, next is SEED=%d", r.played, r.next)
		r.told = r.played
	}
	if r.played >= r.steps || r.found >= r.most {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

// A sequence that fails has to fail again the same way, else nobody can mend what it found.
func TestTheSameSeedGivesTheSame(t *testing.T) {
	t.Parallel()
	one, other := open(t), open(t)
	if _, err := other.play(t.Context(), draw(99)); err != nil { // something else before
		t.Fatal(err)
	}
	for _, seed := range []uint64{3, 8} {
		q := draw(seed)
		if !slices.Equal(q.Ops, draw(seed).Ops) || q.Night != draw(seed).Night {
			t.Fatalf("seed %d gives two sequences", seed)
		}
		for _, s := range []*system{one, other} {
			if _, err := s.play(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		if len(one.heard) < len(q.Ops) || !slices.Equal(one.heard, other.heard) {
			t.Errorf("seed %d was played twice with %d and %d lines that differ", seed, len(one.heard),
				len(other.heard))
		}
	}
}

func TestASequenceShrinksToWhatFails(t *testing.T) {
	t.Parallel()
	got := draw(7).shrink(func(q sequence) bool {
		takes := 0
		for _, o := range q.Ops {
			if o.Do == Take && o.N >= 3 {
				takes++
			}
		}
		return takes >= 2
	})
	if want := (sequence{Ops: []Op{{Do: Take, N: 3}, {Do: Take, N: 3}}}); got.Night != 0 ||
		!slices.Equal(got.Ops, want.Ops) {
		t.Errorf("shrunk to %s", got.source())
	}
	if text := got.source(); !strings.Contains(text, "func TestFound(t *testing.T)") ||
		!strings.Contains(text, "{Do: Take, N: 3},\n") {
		t.Errorf("as a test it is %s", text)
	}
}

// The model must not be made of what it judges.
func TestTheModelImportsNothingThatItJudges(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.HasPrefix(path, "carillon/") &&
				path != "carillon/app/cron/crontest" {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
