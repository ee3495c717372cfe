package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Answers of acts. Behaviour, "Access": "one who is not [a member] gets 404, one who is but lacks the permission gets
// 403".
const (
	done      = "done"
	forbidden = "403"
	notFound  = "404"
	invalid   = "invalid"
)

// sees reports whether somebody sees an automation. Specification: "automations.view_own: see your own automations",
// "view_all: see everyone's". Behaviour: "A person also needs to be a member of the workspace"; "The recipient of a
// notice may read what it links to".
func (p *Person) sees(a *Automation) bool {
	if a.Gone || p.Outside && !p.Admin {
		return false
	}
	return a.Owner == p && (p.ViewOwn || p.mayManage()) || p.ViewAll || p.ManageAll || p.Admin || p.told[a]
}

// manages reports whether somebody may change an automation that they see. Specification: "automations.manage: create /
// edit / delete your own", "manage_all: manage anyone's".
func (p *Person) manages(a *Automation) bool {
	return a.Owner == p && p.mayManage() || p.ManageAll || p.Admin
}

func (p *Person) may(a *Automation) string {
	switch {
	case !p.sees(a):
		return notFound
	case !p.manages(a):
		return forbidden
	}
	return ""
}

// maySession is may for a session: it is its owner's and its automation's owner's.
func (p *Person) maySession(s *Session) string {
	mine := s.Owner == p || !s.Of.Gone && s.Of.Owner == p
	switch {
	case p.Outside && !p.Admin, !(mine && (p.ViewOwn || p.mayManage()) || p.ViewAll || p.ManageAll || p.Admin ||
		p.toldSession[s]):
		return notFound
	case !(mine && p.mayManage() || p.ManageAll || p.Admin):
		return forbidden
	}
	return ""
}

// covers reports whether somebody may do all that another may.
func (p *Person) covers(q *Person) bool {
	return p.Admin || !q.Admin && (!q.ManageAll || p.ManageAll) && (!q.Manage || p.mayManage()) &&
		(!q.ViewAll || p.ViewAll || p.ManageAll)
}

// Do lets an act happen and returns the answer to it. The acts of clocks are left to the caller: Wait, and the time of
// Down.
func (w *World) Do(act Act) string {
	p, a, s := act.Who, act.Automation, act.Session
	switch act.Do {
	case Create:
		return w.create(p, act.Settings)
	case Edit, Switch, RunNow, Delete, Transfer, Regenerate, Raise:
		if no := p.may(a); no != "" {
			return no
		}
		return w.manage(act)
	case Call:
		var answers []string
		for range act.Calls {
			answers = append(answers, w.call(act))
		}
		return strings.Join(answers, ", ")
	case Cancel:
		if !p.sees(a) {
			return notFound
		}
		if s = act.Row.Session; s == nil {
			return p.may(a)
		}
		if no := p.maySession(s); no != "" || !act.Row.InFlight() {
			return no
		}
		w.stop(s, p)
	case Reply, Stop, Complete, Reopen, Link:
		if no := p.maySession(s); no != "" {
			return no
		}
		return w.converse(act)
	case Forge:
		if act.Pull != othersPull {
			// what becomes of others' pull requests is not the session's, whatever its agent printed
			w.forge(s, act.State)
		}
	case Remove:
		w.removeFlow()
	case Leave:
		p.Inactive = !p.Inactive
	case Member:
		p.Outside = !p.Outside
	case Take:
		w.Take(act.Yes)
	case End:
		w.End(s, act.Outcome)
	case Die:
		w.Lose(act.Yes)
		w.reap()
	case Watch:
		w.reap()
		w.gates()
	}
	return ""
}

func (w *World) create(p *Person, s Settings) string {
	switch {
	case !p.mayManage():
		return forbidden
	case p.Outside && !p.Admin: // the workspace does not exist for them
		return invalid
	}
	a := &Automation{Settings: s, N: len(w.Automations), Owner: p, Enabled: true}
	if !w.begin(a) {
		return invalid
	}
	w.Automations = append(w.Automations, a)
	if s.Trigger == HTTP {
		w.token(a)
	}
	return done
}

// token gives an automation a new token. Specification: "The previous URL stops working immediately".
func (w *World) token(a *Automation) {
	w.Tokens = append(w.Tokens, a)
	a.Token = len(w.Tokens)
}

func (w *World) manage(act Act) string {
	p, a := act.Who, act.Automation
	switch act.Do {
	case Edit:
		return w.edit(p, a, act.Settings)
	case Switch:
		if a.Trigger == HTTP { // Specification: "HTTP Trigger automations cannot be disabled"
			return invalid
		}
		return w.turn(a, act.Yes)
	case RunNow:
		switch answer := w.ask(a, &Row{Source: "manual", By: p}, p, nil); answer {
		case "missing":
			return invalid
		case "busy":
			return fmt.Sprint("busy with row ", slices.Index(a.Rows, a.guard()))
		default:
			return answer
		}
	case Regenerate:
		if a.Trigger != HTTP {
			return invalid
		}
		w.token(a)
	case Raise:
		if a.MostTurns == 0 {
			return notFound
		}
		before := *a
		a.MostTurns += (a.MostTurns + 1) / 2 // each raise is above what it was
		w.wake(a, &before)
	case Transfer:
		to := act.To
		if a.Owner == to || to.Inactive || to.Outside && !to.Admin || !to.mayManage() {
			return invalid
		}
		if p != to && !p.covers(to) { // who may do more is asked first
			w.notice(to, "transferred", a, nil)
			return done
		}
		before := a.Owner
		a.Owner = to
		if p != to {
			w.notice(to, "transferred", a, nil)
		}
		if p != before && before.hears() {
			w.notice(before, "transferred", a, nil)
		}
	case Delete:
		for _, r := range a.inFlight() { // what of it is in flight is stopped
			w.stop(r.Session, p)
		}
		a.Gone, a.Enabled = true, false
		for _, r := range a.Rows {
			if r.Session != nil && r.InFlight() {
				r.Session.Row = nil
			}
		}
	}
	return done
}

// edit changes settings. Behaviour, "Snapshot": "editing the automation changes later runs only".
func (w *World) edit(_ *Person, a *Automation, s Settings) string {
	if s.Flow < 0 { // "Choose a workflow."
		return invalid
	}
	before := *a
	a.Settings = s
	if s.Trigger == HTTP { // "Always enabled"
		a.Enabled = true
	}
	if before.Trigger == OneTime && s.Trigger == OneTime && !before.Enabled && before.Over &&
		!s.RunAt.Equal(before.RunAt) {
		// Behaviour, "One-Time switched on again": "later it needs a new time". Open: a new time switches it on.
		a.Enabled, a.Strikes, a.streak = true, 0, nil
	}
	if before.Trigger != s.Trigger { // Behaviour, "Failure streak": "another type of trigger starts it anew"
		a.Strikes, a.streak = 0, nil
	}
	if s.Trigger == OneTime && !s.RunAt.Equal(before.RunAt) && w.Now.Sub(s.RunAt) > grace {
		*a = before
		return invalid
	}
	if before.Trigger != s.Trigger || before.Cron != s.Cron || before.Zone != s.Zone && s.Trigger == Recurring ||
		!before.RunAt.Equal(s.RunAt) || before.Enabled != a.Enabled {
		a.Iterations = 0
		if !w.begin(a) {
			*a = before
			return invalid
		}
	}
	w.wake(a, &before)
	if a.Enabled {
		a.Over = false
	}
	switch {
	case s.Trigger == HTTP && before.Trigger != HTTP:
		w.token(a)
	case s.Trigger != HTTP:
		a.Token = 0
	}
	return done
}

// wake lets a Loop that waits for its budget go on when that was changed.
func (w *World) wake(a, before *Automation) {
	if a.Trigger == Loop && before.Trigger == Loop && a.Enabled && before.MostTurns != a.MostTurns &&
		before.Due.After(w.Now) && before.Due.Equal(tomorrow(before, w.Now)) {
		a.Due = w.Now
	}
}

// removeFlow removes the workflow that there is, and makes another one. Behaviour, "Removed Bot or Workflow":
// "Recurring, Loop and One-Time: disabled and notified when it is removed, not at the next run. Manual and HTTP Trigger
// stay; their runs fail with a clear error".
func (w *World) removeFlow() {
	for _, a := range w.Automations {
		if a.Gone || a.Flow != w.Flows {
			continue
		}
		a.Flow = -1
		if a.scheduled() && a.Enabled {
			a.Enabled, a.Due = false, time.Time{}
			w.tell(a, "disabled", nil)
		}
	}
	w.Flows++
}

// turn switches an automation on or off. Behaviour, "Run Now": "Enabling again resets" the strikes.
func (w *World) turn(a *Automation, on bool) string {
	if a.Enabled == on {
		return done
	}
	before := *a
	a.Enabled, a.Over, a.Due = on, false, time.Time{}
	if !on {
		return done
	}
	a.Strikes, a.Iterations, a.streak = 0, 0, nil
	if a.Flow < 0 || !w.begin(a) {
		*a = before
		return invalid
	}
	return done
}

// call is one call of an HTTP Trigger. Specification, "Response": "404 for unknown token, 409 when blocked by the
// concurrent-execution guard (the response body still carries the blocking session's ids), and 400 for other client
// errors".
func (w *World) call(act Act) string {
	a := act.Automation
	switch {
	case act.Carry.Status != 0:
		return fmt.Sprint(act.Carry.Status)
	case a == nil || a.Gone || a.Token != act.A:
		return notFound
	}
	a.Calls++         // Behaviour, "Deliveries that met a run in flight": "each is kept"
	if act.Body.Bad { // Behaviour: "body not a JSON object (array, scalar, broken, wrong encoding): 400"
		return "400"
	}
	values := maps.Clone(act.Carry.Query)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, act.Body.Good)
	switch w.ask(a, &Row{Source: "webhook", Token: act.A}, a.Owner, values) {
	case "unable": // Behaviour: "400 with the reason; a failed execution is recorded and its id returned"
		return fmt.Sprint("400 row ", len(a.Rows)-1)
	case "missing":
		return "400"
	case "busy":
		return fmt.Sprint("409 row ", slices.Index(a.Rows, a.guard()))
	}
	if a.Flow > 0 { // Behaviour, "unresolvedPlaceholders": "inline: an array, empty when all resolved; workflow: null"
		return fmt.Sprintf("200 row %d", len(a.Rows)-1)
	}
	_, missing := placeholders(a.Prompt, values)
	return fmt.Sprintf("200 row %d missing %v", len(a.Rows)-1, missing)
}

// stop ends what a session does. What is queued ends at once; what is at work when its agent has ended.
func (w *World) stop(s *Session, by *Person) {
	switch s.Status {
	case "queued":
		given := s.Given
		s.StopBy, s.Replies, s.Given = by, 0, false
		if r := s.Row; r != nil && r.InFlight() {
			if given { // a worker that was lost had begun with it
				r.Turns = 1
			}
			r.Status, r.Why = "canceled", ""
			w.finish(s, false)
			return
		}
		w.leave(s, "waiting")
	case "in_progress":
		s.Replies = 0
		if s.StopBy == nil {
			s.StopBy = by
		}
	}
}

// converse is what people do with a session.
func (w *World) converse(act Act) string {
	p, s := act.Who, act.Session
	switch act.Do {
	case Reply:
		if s.closed() { // "A closed session opens again": what its pull request did counts no more
			s.settled = s.settled || s.Pull == "closed" || s.Pull == "merged"
		}
		s.Replies++
		if s.Status != "queued" && s.Status != "in_progress" {
			s.Status, s.From = "queued", w.Now
		}
	case Stop:
		w.stop(s, p)
	case Complete:
		if !s.Open() {
			return invalid
		}
		w.leave(s, "done")
	case Reopen:
		if s.closed() {
			s.settled = s.settled || s.Pull == "closed" || s.Pull == "merged"
			s.Status = "waiting"
		}
	case Link:
		if s.Pull == "" {
			s.Pull = "open"
		}
	}
	return done
}

// Lists reports whether an automation is in somebody's list: those that they were told of alone are not.
func (p *Person) Lists(a *Automation) bool {
	if a.Gone || p.Outside && !p.Admin {
		return false
	}
	return a.Owner == p && (p.ViewOwn || p.mayManage()) || p.ViewAll || p.ManageAll || p.Admin
}

// forge is a change of a pull request. Specification: "When a Loop automation's pull request is closed without merging,
// an inbox notification fires once per iteration to the automation creator (plus the session creator ...)".
func (w *World) forge(s *Session, state string) {
	before := s.Pull
	s.Pull = state
	if state != before {
		s.settled = false
	}
	if state == "closed" && before != "closed" && s.Row != nil && !s.Of.Gone && s.Row.As.Trigger == Loop {
		people := w.audience(s.Of)
		if s.Owner.hears() && !slices.Contains(people, s.Owner) {
			people = append(slices.Clone(people), s.Owner)
		}
		for _, p := range people {
			if !slices.Contains(s.closing, p) {
				s.closing = append(s.closing, p)
				w.notice(p, "pr_closed", s.Of, s)
			}
		}
	}
	switch {
	case s.closed():
		s.settled = s.settled || state != "open"
	case s.Open():
		if status := w.settled(s); status != "waiting" {
			w.leave(s, status)
		}
	}
}

// reap ends what has waited for a worker for too long. Behaviour, "Timeout": "waiting for a place, a worker or a paused
// provider does not count and is bounded by a day, neutral at its end".
func (w *World) reap() {
	longest := slices.Clone(w.Sessions)
	slices.SortStableFunc(longest, func(a, b *Session) int { return a.From.Compare(b.From) })
	for _, s := range longest {
		most := waiting
		if s.had { // Open: an hour more where a worker had it
			most += time.Hour
		}
		if s.Status != "queued" || !s.From.Before(w.Now.Add(-most)) {
			continue
		}
		given := s.Given
		s.Given = false
		if r := s.Row; r != nil && r.InFlight() {
			if given {
				r.Turns = 1
			}
			r.Status, r.Why = "failed", "waiting"
			w.finish(s, true)
			continue
		}
		s.Replies = 0
		w.leave(s, "waiting")
	}
}

// gates tells of Loops that an open session holds. Behaviour, "Skips (Loop)": "a session held open at the review gate
// for over 60 minutes. Same one notice a streak".
func (w *World) gates() {
	for _, a := range w.Automations {
		if a.Gone || !a.Enabled || a.Trigger != Loop || !a.Due.IsZero() || a.streak != nil {
			continue
		}
		r := a.iteration()
		if r == nil || !r.Session.Open() || !r.Session.EndedAt.Before(w.Now.Add(-held)) {
			continue
		}
		row := &Row{Status: "skipped", Mark: "loop", For: w.Now, Last: w.Now, Count: 1}
		w.record(a, row)
		a.streak = row
		w.tell(a, "skipped", r.Session)
	}
}
