package web

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
)

// secondPass is 01:30:20 in New York, the second one of a night in which it occurs twice.
const secondPass = "2040-11-04T06:30:20Z"

// once makes a One-Time by the API and returns its id.
func (p *program) once(at, zone string) string {
	p.t.Helper()
	var made struct{ ID string }
	a := p.call("POST", "/automations", fields{
		"name": "Once", "workspace_id": p.workspace, "provider": "agent", "prompt": "Look.", "trigger": "one_time",
		"run_at": at, "time_zone": zone,
	})
	a.expect(p.t, 201, `"run_at":"`+at+`"`)
	a.into(p.t, &made)
	return made.ID
}

// expectRunAt compares the stored time of a One-Time.
func (s *site) expectRunAt(id, want string) {
	s.t.Helper()
	a, err := db.AutomationByID(s.t.Context(), s.server.DB, uuid.MustParse(id))
	check(s.t, err)
	if got := a.RunAt.UTC().Format(time.RFC3339Nano); got != want {
		s.t.Errorf("it runs at %s; want %s", got, want)
	}
}

// editor opens the edit page of an automation and returns its form.
func (b *browser) editor(id string) pageForm {
	b.t.Helper()
	page := b.get("/automations/" + id + "/edit")
	page.expect(b.t, 200, `name="run_at"`)
	for _, f := range formsOf(b.t, page.body) {
		if f.action == "/automations/"+id {
			return f
		}
	}
	b.t.Fatal("there is no form")
	return pageForm{}
}

func TestAnInstantGivenToTheAPIStaysWhatItIs(t *testing.T) {
	s := open(t)
	p := s.as("Owner", account.RoleManager).program()
	for _, at := range []string{"2040-11-04T05:30:00Z", "2040-11-04T06:30:00Z", secondPass,
		"2040-11-04T06:30:20.123456Z"} {
		id := p.once(at, "America/New_York")
		for version, change := range []fields{{"name": "Renamed"}, {"time_zone": "Europe/Berlin"},
			{"time_zone": "America/New_York", "prompt": "Look again."}} {
			change["version"] = version + 1
			p.call("PATCH", "/automations/"+id, change).expect(t, 200, `"run_at":"`+at+`"`)
		}
		s.expectRunAt(id, at)
	}
}

func TestAnInstantThatTheFormShowsAndNobodyTouchesStaysWhatItIs(t *testing.T) {
	s := open(t)
	b := s.as("Owner", account.RoleManager)
	p := b.program()
	for _, at := range []string{"2040-11-04T05:30:00Z", "2040-11-04T06:30:00Z", secondPass,
		"2040-11-04T06:30:20.123456Z", "2040-07-01T10:00:00.5Z"} {
		id := p.once(at, "America/New_York")
		f := b.editor(id)
		f.values.Set("name", "Renamed")
		b.send("POST", f.action, f.values).expect(t, 303, "")
		s.expectRunAt(id, at)
	}
}

func TestTheSecondOfTwoTimesCanBeChosenInTheForm(t *testing.T) {
	s := open(t)
	b := s.as("Owner", account.RoleManager)
	part := b.get("/automations/moment?" + url.Values{
		"run_at": {"2040-11-04T01:30"}, "time_zone": {"America/New_York"},
	}.Encode())
	part.expect(t, 200, "The second, 01:30 EST (UTC-05:00)")
	part.expect(t, 200, `value="2040-11-04T05:30:00Z" checked`)
	id := b.program().once("2040-11-04T05:30:00Z", "America/New_York")
	f := b.editor(id)
	f.values.Set("run_at_instant", "2040-11-04T06:30:00Z")
	b.send("POST", f.action, f.values).expect(t, 303, "")
	s.expectRunAt(id, "2040-11-04T06:30:00Z")
	f = b.editor(id)
	f.values.Set("run_at", "2040-11-05T01:30") // what was carried along belongs to another time
	b.send("POST", f.action, f.values).expect(t, 303, "")
	s.expectRunAt(id, "2040-11-05T06:30:00Z")
}

func TestTheFormSaysWhenAOneTimeRunsWhoseTimeDoesNotExist(t *testing.T) {
	b := open(t).as("Owner", account.RoleManager)
	part := b.get("/automations/moment?" + url.Values{
		"run_at": {"2040-03-11T02:30"}, "time_zone": {"America/New_York"},
	}.Encode())
	part.expect(t, 200,
		"02:30 does not exist on 11 March 2040, when the clocks go forward from 02:00 to 03:00; runs at 03:00.")
	for _, query := range []string{"run_at=&time_zone=UTC", "run_at=2040-03-11T02:30&time_zone=Nowhere",
		"run_at=soon&time_zone=UTC&run_at_instant=x"} {
		if part := b.get("/automations/moment?" + query); part.StatusCode != 200 ||
			strings.Contains(part.body, "input") {
			t.Errorf("%s: %d %s; want nothing said", query, part.StatusCode, part.body)
		}
	}
}

func TestAnInstantGivenToAToolStaysWhatItIs(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	s.bearers.Person = func(context.Context, string) (account.Actor, error) { return b.actor, nil }
	c := s.tool("hers")
	for _, at := range []string{secondPass, "2040-11-04T01:30:20-05:00"} {
		made := s.must(c, "create_automation", map[string]any{
			"name": "Once", "trigger": "one_time", "prompt": "x", "provider": "agent", "run_at": at,
			"time_zone": "America/New_York",
		})
		id := made["automation"].(map[string]any)["id"].(string)
		s.must(c, "edit_automation", map[string]any{"automation": id, "name": "Renamed"})
		s.must(c, "edit_automation", map[string]any{"automation": id, "time_zone": "Asia/Tokyo"})
		s.expectRunAt(id, secondPass)
	}
}
