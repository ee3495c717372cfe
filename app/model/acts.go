package model

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what somebody does, or what happens.
type Kind string

// The kinds of acts.
const (
	Wait       Kind = "Wait"       // time passes, and Carillon looks at what is due
	Create     Kind = "Create"     // a person makes an automation
	Edit       Kind = "Edit"       // a person changes one field
	Switch     Kind = "Switch"     // a person switches an automation on or off
	RunNow     Kind = "RunNow"     // a person runs it now
	Call       Kind = "Call"       // senders call an HTTP Trigger
	Regenerate Kind = "Regenerate" // a person makes a new token
	Cancel     Kind = "Cancel"     // a person cancels an execution
	Delete     Kind = "Delete"     // a person deletes an automation
	Transfer   Kind = "Transfer"   // a person gives it to another
	Reply      Kind = "Reply"      // a person writes to a session
	Stop       Kind = "Stop"       // a person stops what a session does
	Complete   Kind = "Complete"   // a person marks a session Done
	Reopen     Kind = "Reopen"     // a person opens a closed session again
	Link       Kind = "Link"       // a person notes the pull request of a session
	Forge      Kind = "Forge"      // the forge closes, merges or reopens it
	Leave      Kind = "Leave"      // somebody's account ends, or begins again
	Member     Kind = "Member"     // somebody leaves the workspace, or comes back
	Take       Kind = "Take"       // a worker takes what is queued
	End        Kind = "End"        // an agent ends
	Die        Kind = "Die"        // the workers die
	Down       Kind = "Down"       // the server is stopped for some time, workers too
	Watch      Kind = "Watch"      // the watchdogs look
	Raise      Kind = "Raise"      // a person raises a budget
	Remove     Kind = "Remove"     // a workflow is removed
	Print      Kind = "Print"      // an agent prints the address of somebody else's pull request
	Blip       Kind = "Blip"       // the database loses all connections in the middle of what comes next
)

// Kinds lists the kinds.
var Kinds = []Kind{Wait, Create, Edit, Switch, RunNow, Call, Regenerate, Cancel, Delete, Transfer, Reply, Stop,
	Complete, Reopen, Link, Forge, Leave, Member,
	Take, End, Die, Down, Watch, Raise, Remove, Print, Blip}

// Op is one act as a value. Numbers are taken modulo what there is, so that any op means something in any world, and a
// sequence of ops is the same in each of its runs.
type Op struct {
	Do  Kind
	Who int // which person
	A   int // which automation, session, execution or token
	B   int // which variant of the act
	N   int // how much, or which value
}

// String is the op as Go source.
func (o Op) String() string {
	text := "{Do: " + string(o.Do)
	for _, f := range []struct {
		name  string
		value int
	}{{"Who", o.Who}, {"A", o.A}, {"B", o.B}, {"N", o.N}} {
		if f.value != 0 {
			text += fmt.Sprintf(", %s: %d", f.name, f.value)
		}
	}
	return text + "}"
}

// Night is when and where a sequence begins.
type Night struct {
	Begin time.Time
	Zones []string
}

// Nights are evenings before nights on which clocks change, in zones with rules of their own, and one on which none
// does.
var Nights = []Night{
	{time.Date(2026, 6, 30, 20, 0, 20, 0, time.UTC), []string{"UTC", "Asia/Tokyo"}},
	{time.Date(2026, 10, 24, 20, 0, 20, 0, time.UTC), []string{"Europe/Berlin", "Europe/London"}},
	{time.Date(2026, 3, 28, 20, 0, 20, 0, time.UTC), []string{"Europe/Berlin", "UTC"}},
	{time.Date(2026, 11, 1, 1, 0, 20, 0, time.UTC), []string{"America/New_York", "America/Santiago"}},
	{time.Date(2026, 4, 23, 17, 0, 20, 0, time.UTC), []string{"Africa/Cairo", "Asia/Kathmandu"}},
	{time.Date(2026, 4, 4, 10, 0, 20, 0, time.UTC), []string{"Australia/Lord_Howe", "Pacific/Chatham"}},
	{time.Date(2026, 10, 3, 10, 0, 20, 0, time.UTC), []string{"Australia/Lord_Howe", "UTC"}},
}

// The values that ops choose from.
var (
	triggers = []Trigger{Manual, OneTime, Recurring, Loop, HTTP}
	crons    = []string{"0 * * * *", "*/10 * * * *", "30 2 * * *", "* * * * *", "15 1,2,3 * * *", "0 0 * * *"}
	prompts  = []string{"Look around.", "Look at {{x}}.", "Look at {{x}} and {{y.z}}."}
	ahead    = []time.Duration{time.Hour, time.Minute, -time.Minute, 90*time.Minute + 7*time.Second,
		-4*time.Minute - 40*time.Second, 5 * time.Second, 26 * time.Hour, -6 * time.Minute, 10 * time.Minute}
	times = []time.Duration{
		time.Second, time.Minute, 10 * time.Minute, time.Hour, 16 * time.Second, 6 * time.Minute, 125 * time.Second,
		31 * time.Second, 3 * time.Hour, 65 * time.Minute,
		12 * time.Hour, 26 * time.Hour,
	}
	downs = []time.Duration{time.Minute, 20 * time.Second, 4 * time.Minute, 7 * time.Minute, time.Hour,
		3*time.Hour + 4*time.Minute, 26 * time.Hour}
	// Outcomes are the ends of an agent's work.
	Outcomes = []Outcome{
		{Status: "succeeded"},
		{Status: "failed", Why: "agent"},
		{Status: "succeeded", Changed: true},
		{Status: "failed", Why: "agent", Changed: true},
		{Status: "timed_out", Why: "timeout"},
		{Status: "succeeded", Answer: "ALL DONE"},
		{Status: "failed", Why: "transient"},
		{Status: "failed", Why: "outage"},
	}
	// Bodies are what calls bring: as JSON unless a type is named.
	Bodies = []Body{
		{Text: ``}, {Text: `{"x":"the moon"}`, Good: map[string]string{"x": "the moon"}},
		{Text: `{"x":1,"y":{"z":"stars"}}`, Good: map[string]string{"x": "1", "y.z": "stars"}},
		{Text: `{"x":"the moon"}`, Type: "application/x-www-form-urlencoded", Good: map[string]string{"x": "the moon"}},
		{Text: `x=the+moon`, Type: "application/x-www-form-urlencoded", Good: map[string]string{"x": "the moon"}},
		{Text: `{"y":{"z":"a\u0000b"}}`, Bad: true}, {Text: `["x"]`, Bad: true}, {Text: `{"x":`, Bad: true},
		{Text: `{"ticket":"T-9"}`, Good: map[string]string{"ticket": "T-9"}},
		{Text: `{"target":""}`, Good: map[string]string{"target": ""}},
		{Text: `{"ticket":null,"target":"main"}`, Good: map[string]string{"ticket": "", "target": "main"}},
		{Text: `{"x":"{{y.z}}","y":{"z":null}}`, Good: map[string]string{"x": "{{y.z}}", "y.z": ""}},
	}
)

// Body is the body of a call.
type Body struct {
	Text, Type string
	Good       map[string]string // what placeholders find in it
	Bad        bool              // 400
}

// Carry is how a call is made.
type Carry struct {
	Method, Header, Path string // of the token: good, bad, none, empty, misshapen
	Query                map[string]string
	Status               int // what is answered whatever the token; 0: what the automation says
}

// Carries are the ways to call. Specification, "How it works": "GET: in the URL path, or in the Api-Authentication
// header. The header wins if both are supplied", "POST: in the Api-Authentication header". Behaviour: "no token, or one
// of the wrong shape: 401"; "an empty header counts as absent"; "every other method: 405"; "On key collision, the body
// wins".
var Carries = []Carry{
	{Method: "POST", Header: "good"},
	{Method: "GET", Path: "good", Query: map[string]string{"x": "asked"}},
	{Method: "POST", Path: "good", Query: map[string]string{"x": "asked"}},
	{Method: "POST", Header: "good", Path: "bad"},
	{Method: "GET", Header: "empty", Path: "good"},
	{Method: "GET", Header: "bad", Path: "good", Status: 404},
	{Method: "POST", Status: 401},
	{Method: "POST", Header: "misshapen", Path: "good", Status: 401},
	{Method: "PUT", Header: "good", Status: 405},
	{Method: "HEAD", Header: "good", Status: 405},
}

// MostCalls is how many calls come at once at most.
const MostCalls = 12

// WaitTicks is at how many due times a Wait ends early.
const WaitTicks = 30

func at[T any](list []T, i int) T { return list[i%len(list)] }

// New is a world at the beginning of a night.
func New(night Night) *World {
	w := &World{Now: night.Begin, People: []*Person{
		{Name: "Mira", Admin: true},
		{Name: "Jonas", Manage: true},
		{Name: "Ada", Manage: true},
		{Name: "Max", ManageAll: true},
		{Name: "Vera", ViewAll: true},
		{Name: "Otto", ViewOwn: true},
		{Name: "Nora", Manage: true, Outside: true},
	}}
	w.back, w.Flows = w.Now, 1
	for _, p := range w.People {
		p.told, p.toldSession = map[*Automation]bool{}, map[*Session]bool{}
	}
	return w
}

// Act is an op with what it refers to.
type Act struct {
	Op
	Who        *Person
	Automation *Automation
	Session    *Session
	Row        *Row
	To         *Person
	Settings   Settings // of Create and Edit: all that is to be
	For        time.Duration
	Outcome    Outcome
	Body       Body
	Carry      Carry
	Calls      int
	Yes        bool
	State      string
	Pull       string // of Forge: which pull request, and how Carillon hears of it
}

// The pull requests that a forge may tell of.
const (
	askedPull  = "asked"  // the session's, since Carillon asks
	toldPull   = "told"   // the one of its branch, by a webhook
	othersPull = "others" // somebody else's
)

// Means finds what an op refers to. ok is false where there is nothing for it, or where the person cannot sign in.
func (w *World) Means(o Op, night Night) (act Act, ok bool) {
	act = Act{Op: o, Who: at(w.People, o.Who)}
	if len(w.Automations) > 0 {
		act.Automation = at(w.Automations, o.A)
	}
	if len(w.Sessions) > 0 {
		act.Session = at(w.Sessions, o.A)
	}
	person := !act.Who.Inactive
	switch o.Do {
	case Wait:
		act.For = at(times, o.N)
		return act, true
	case Down:
		act.For, act.Yes = at(downs, o.N), o.B/2%2 == 0
		return act, true
	case Create:
		act.Settings = w.settings(Settings{AutoComplete: true}, at(triggers, o.B), o.N, night)
		n := o.N / 8
		act.Settings.AutoComplete, act.Settings.OnlyUnchanged = n%4 != 1, n%4 == 2
		act.Settings.CatchUp, act.Settings.Parallel = n/4%2 == 1, n/4%2 == 1
		act.Settings.MostTurns, act.Settings.MaxIterations = n/8%4, n/8%4
		act.Settings.MaxParallel = n / 8 % 4
		act.Settings.Prompt = at(prompts, n)
		if o.B/5%4 == 3 {
			act.Settings.Flow, act.Settings.Branch, act.Settings.Ticket = w.Flows, at([]string{"", "release"}, n),
				at([]string{"T-1", ""}, n/2)
		}
		act.Settings = act.Settings.applying()
		return act, person && len(w.Automations) < 6
	case Edit:
		if act.Automation == nil || act.Automation.Gone {
			return act, false
		}
		s := act.Automation.Settings
		switch o.B % 16 {
		case 0:
			s.Prompt = at(prompts, o.N)
		case 1:
			s = w.settings(s, at(triggers, o.N), o.N/5, night)
		case 2:
			s.Cron = at(crons, o.N)
		case 3:
			s.Zone = at(night.Zones, o.N)
		case 4:
			s.RunAt = w.Now.Add(at(ahead, o.N))
		case 5:
			s.CatchUp = !s.CatchUp
		case 6:
			s.AutoComplete = !s.AutoComplete
		case 7:
			s.OnlyUnchanged = !s.OnlyUnchanged
		case 8:
			s.Parallel = !s.Parallel
		case 9:
			s.MaxParallel = o.N % 4
		case 10:
			s.MaxIterations = o.N % 4
		case 11:
			s.StopText = []string{"ALL DONE", ""}[o.N%2]
		case 12:
			s.MostTurns = o.N % 5
		case 13:
			s.Flow, s.Ticket = w.Flows, "T-1"
		case 14:
			s.Flow, s.Prompt = 0, at(prompts, o.N)
		case 15:
			s.Branch, s.Ticket = at([]string{"", "release"}, o.N), at([]string{"T-1", "", "T-2"}, o.N)
		}
		act.Settings = s.applying()
		return act, person
	case Switch:
		act.Yes = act.Automation != nil && !act.Automation.Enabled
		return act, person && act.Automation != nil
	case RunNow, Delete, Regenerate, Raise:
		return act, person && act.Automation != nil
	case Transfer:
		act.To = at(w.People, o.N)
		return act, person && act.Automation != nil
	case Cancel:
		if act.Automation == nil || act.Automation.Gone || len(act.Automation.Rows) == 0 {
			return act, false
		}
		rows := act.Automation.Rows
		act.Row = rows[len(rows)-1-o.N%len(rows)]
		return act, person
	case Call:
		act.Automation = nil
		if i := o.A % (len(w.Tokens) + 1); i < len(w.Tokens) {
			act.Automation = w.Tokens[len(w.Tokens)-1-i]
			act.A = len(w.Tokens) - i // the token's number
		} else {
			act.A = 0
		}
		act.Calls, act.Body, act.Carry = 1, at(Bodies, o.B), Carries[0]
		if o.N%4 == 3 {
			act.Carry = at(Carries, o.N/4)
		}
		if act.Carry.Method == "GET" {
			act.Body = Body{}
		}
		if o.N%8 == 6 {
			act.Calls = MostCalls
		}
		return act, true
	case Reply, Stop, Complete, Reopen, Link:
		return act, person && act.Session != nil
	case Forge:
		act.State, act.Pull = at([]string{"closed", "merged", "open"}, o.N),
			at([]string{askedPull, toldPull, othersPull}, o.B)
		s := act.Session
		return act, s != nil && (act.Pull == askedPull && s.Pull != "" || act.Pull == toldPull && s.had ||
			act.Pull == othersPull)
	case Leave, Member:
		return act, !act.Who.Admin
	case Take:
		act.Yes = o.N%4 != 3 // it gives the agents their messages before it dies
		return act, true
	case End:
		act.Session = nil
		var atWork []*Session
		for _, s := range w.Sessions {
			if s.Status == "in_progress" && s.Busy {
				atWork = append(atWork, s)
			}
		}
		if len(atWork) == 0 {
			return act, false
		}
		act.Session, act.Outcome = at(atWork, o.A), at(Outcomes, o.N)
		return act, true
	case Print:
		return act, act.Session != nil && act.Session.Status == "in_progress" && act.Session.Busy
	case Die:
		act.Yes = o.N%2 == 0
		return act, true
	}
	return act, true
}

// settings are settings with another trigger.
func (w *World) settings(s Settings, t Trigger, n int, night Night) Settings {
	s.Trigger = t
	switch t {
	case OneTime:
		s.RunAt, s.Zone = w.Now.Add(at(ahead, n)), at(night.Zones, n)
	case Recurring:
		s.Cron, s.Zone = at(crons, n), at(night.Zones, n)
	}
	return s
}

// applying leaves out of settings what does not apply to the trigger. Specification, "Key behaviors": "the schedule
// fields don't apply"; "Options".
func (s Settings) applying() Settings {
	if s.Trigger != Recurring {
		s.Cron, s.CatchUp = "", false
	}
	if s.Trigger != OneTime {
		s.RunAt = time.Time{}
	}
	if s.Trigger != OneTime && s.Trigger != Recurring {
		s.Zone = ""
	}
	if s.Trigger != Loop {
		s.MaxIterations, s.StopText = 0, ""
	}
	if s.Trigger != HTTP {
		s.Parallel, s.MaxParallel = false, 0
	}
	if s.Flow != 0 {
		s.Prompt = ""
	} else {
		s.Branch, s.Ticket = "", ""
	}
	s.OnlyUnchanged = s.OnlyUnchanged && s.AutoComplete
	return s
}

// Placeholders are the prompt with values filled in, and the names that nobody supplied. Specification: "for Inline
// prompts they substitute {{name}} placeholders"; "{{name}} placeholders the caller didn't supply (empty array when all
// resolved)". Behaviour: "One pass: a value that contains {{x}} is never expanded again".
func placeholders(prompt string, values map[string]string) (text string, missing []string) {
	for {
		before, rest, found := strings.Cut(prompt, "{{")
		text += before
		if !found {
			return text, missing
		}
		name, after, _ := strings.Cut(rest, "}}")
		if value, ok := values[name]; ok {
			text += value
		} else {
			text += "{{" + name + "}}"
			missing = append(missing, name)
		}
		prompt = after
	}
}
