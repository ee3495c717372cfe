package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// sequence is a night with what happens in it.
type sequence struct {
	Night int
	Ops   []Op
}

// weights are how often each kind of act is drawn.
var weights = map[Kind]int{
	Wait: 14, Create: 8, Edit: 10, Switch: 7, RunNow: 6, Call: 6, Regenerate: 1, Cancel: 3, Delete: 1, Transfer: 2,
	Reply: 3, Stop: 2, Complete: 5, Reopen: 2, Link: 3, Forge: 3,
	Leave: 1, Member: 1, Take: 14, End: 14, Die: 2, Down: 3, Watch: 2, Blip: 3, Raise: 1, Remove: 1, Print: 2,
}

// who acts: mostly people who may.
var who = []int{1, 0, 1, 1, 2, 0, 3, 1, 0, 2, 1, 4, 5, 6, 1, 0}

// draw makes the sequence of a seed, always the same one. Some sequences lack some kinds of acts and so have more of
// the others: what all kinds together rarely lead to, a few kinds do. WITHOUT in the environment leaves kinds out of
// all: "Blip Call".
func draw(seed uint64) sequence {
	without := strings.Fields(os.Getenv("WITHOUT"))
	r := rand.New(rand.NewPCG(seed, 0))
	var kinds []Kind
	lacking := r.IntN(3) // of 4
	for _, k := range Kinds {
		if slices.Contains(without, string(k)) {
			continue
		}
		if k == Wait || k == Create || k == Take || k == End || r.IntN(4) >= lacking {
			kinds = append(kinds, slices.Repeat([]Kind{k}, weights[k])...)
		}
	}
	automations := 1 + r.IntN(5)
	q := sequence{Night: r.IntN(len(Nights)), Ops: make([]Op, 30+r.IntN(60))}
	for i := range q.Ops {
		q.Ops[i] = Op{
			Do: kinds[r.IntN(len(kinds))], Who: who[r.IntN(len(who))], A: r.IntN(automations), B: r.IntN(32),
			N: r.IntN(128),
		}
	}
	q.Ops[0].Do = Create
	return q
}

// source is a sequence as a Go test.
func (q sequence) source() string {
	var b strings.Builder
	fmt.Fprintf(&b, "func TestFound(t *testing.T) {\n\treplay(t, sequence{Night: %d, Ops: []Op{\n", q.Night)
	for _, op := range q.Ops {
		fmt.Fprintf(&b, "\t\t%s,\n", op)
	}
	b.WriteString("\t}})\n}\n")
	return b.String()
}

// shrink makes a sequence that fails smaller as long as it fails: it leaves out as many acts at once as it can, then
// makes the numbers of those that are left as small as it can.
func (q sequence) shrink(fails func(sequence) bool) sequence {
	try := func(smaller sequence) bool {
		if fails(smaller) {
			q = smaller
			return true
		}
		return false
	}
	for before := -1; before != q.size(); {
		before = q.size()
		for chunk := len(q.Ops); chunk > 0; chunk /= 2 {
			for i := 0; i < len(q.Ops); {
				end := min(i+chunk, len(q.Ops))
				if !try(sequence{q.Night, slices.Delete(slices.Clone(q.Ops), i, end)}) {
					i = end
				}
			}
		}
		if q.Night > 0 {
			try(sequence{0, q.Ops})
		}
		for i := range q.Ops {
			for _, field := range []func(*Op) *int{
				func(o *Op) *int {
					return &o.Who
				}, func(o *Op) *int { return &o.A }, func(o *Op) *int { return &o.B }, func(o *Op) *int { return &o.N },
			} {
				for _, smaller := range []func(int) int{func(int) int {
					return 0
				}, func(n int) int { return n / 2 }, func(n int) int { return n - 1 }} {
					ops := slices.Clone(q.Ops)
					n := field(&ops[i])
					if *n > 0 {
						*n = smaller(*n)
						try(sequence{q.Night, ops})
					}
				}
			}
		}
	}
	return q
}

func (q sequence) size() int {
	n := q.Night
	for _, o := range q.Ops {
		n += 1000 + o.Who + o.A + o.B + o.N
	}
	return n
}
