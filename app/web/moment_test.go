package web_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

// secondPass is 01:30:20 in New York, the second one of a night in which it occurs twice.
const secondPass = "2040-11-04T06:30:20Z"

// once makes a One-Time by the API and returns its id.
func once(p *webtest.Program, at, zone string) string {
	p.T.Helper()
	var made struct{ ID string }
	a := p.Call("POST", "/automations", webtest.Fields{
		"name": "Once", "workspace_id": p.Workspace, "provider": "agent", "prompt": "Look.", "trigger": "one_time",
		"run_at": at, "time_zone": zone,
	})
	a.Expect(p.T, 201, `"run_at":"`+at+`"`)
	a.Into(p.T, &made)
	return made.ID
}

// expectRunAt compares the stored time of a One-Time.
func expectRunAt(s *webtest.Site, id, want string) {
	s.T.Helper()
	a, err := db.AutomationByID(s.T.Context(), s.Server.DB, uuid.MustParse(id))
	webtest.Check(s.T, err)
	if got := a.RunAt.UTC().Format(time.RFC3339Nano); got != want {
		s.T.Errorf("it runs at %s; want %s", got, want)
	}
}

// editor opens the edit page of an automation and returns its form.
func editor(b *webtest.Browser, id string) pageForm {
	b.T.Helper()
	page := b.Get("/automations/" + id + "/edit")
	page.Expect(b.T, 200, `name="run_at"`)
	for _, f := range formsOf(b.T, page.Text) {
		if f.action == "/automations/"+id {
			return f
		}
	}
	b.T.Fatal("there is no form")
	return pageForm{}
}

func TestAnInstantGivenToTheAPIStaysWhatItIs(t *testing.T) {
	s := webtest.Open(t)
	p := s.As("Owner", account.RoleManager).Program()
	for _, at := range []string{"2040-11-04T05:30:00Z", "2040-11-04T06:30:00Z", secondPass,
		"2040-11-04T06:30:20.123456Z"} {
		id := once(p, at, "America/New_York")
		for version, change := range []webtest.Fields{{"name": "Renamed"}, {"time_zone": "Europe/Berlin"},
			{"time_zone": "America/New_York", "prompt": "Look again."}} {
			change["version"] = version + 1
			p.Call("PATCH", "/automations/"+id, change).Expect(t, 200, `"run_at":"`+at+`"`)
		}
		expectRunAt(s, id, at)
	}
}

func TestAnInstantThatTheFormShowsAndNobodyTouchesStaysWhatItIs(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Owner", account.RoleManager)
	p := b.Program()
	for _, at := range []string{"2040-11-04T05:30:00Z", "2040-11-04T06:30:00Z", secondPass,
		"2040-11-04T06:30:20.123456Z", "2040-07-01T10:00:00.5Z"} {
		id := once(p, at, "America/New_York")
		f := editor(b, id)
		f.values.Set("name", "Renamed")
		send(b, "POST", f.action, f.values).Expect(t, 303, "")
		expectRunAt(s, id, at)
	}
}

func TestTheSecondOfTwoTimesCanBeChosenInTheForm(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Owner", account.RoleManager)
	part := b.Get("/automations/moment?" + url.Values{
		"run_at": {"2040-11-04T01:30"}, "time_zone": {"America/New_York"},
	}.Encode())
	part.Expect(t, 200, "The second, 01:30 EST (UTC-05:00)")
	part.Expect(t, 200, `value="2040-11-04T05:30:00Z" checked`)
	id := once(b.Program(), "2040-11-04T05:30:00Z", "America/New_York")
	f := editor(b, id)
	f.values.Set("run_at_instant", "2040-11-04T06:30:00Z")
	send(b, "POST", f.action, f.values).Expect(t, 303, "")
	expectRunAt(s, id, "2040-11-04T06:30:00Z")
	f = editor(b, id)
	f.values.Set("run_at", "2040-11-05T01:30") // what was carried along belongs to another time
	send(b, "POST", f.action, f.values).Expect(t, 303, "")
	expectRunAt(s, id, "2040-11-05T06:30:00Z")
}

func TestTheFormSaysWhenAOneTimeRunsWhoseTimeDoesNotExist(t *testing.T) {
	b := webtest.Open(t).As("Owner", account.RoleManager)
	part := b.Get("/automations/moment?" + url.Values{
		"run_at": {"2040-03-11T02:30"}, "time_zone": {"America/New_York"},
	}.Encode())
	part.Expect(t, 200,
		"02:30 does not exist on 11 March 2040, when the clocks go forward from 02:00 to 03:00; runs at 03:00.")
	for _, query := range []string{"run_at=&time_zone=UTC", "run_at=2040-03-11T02:30&time_zone=Nowhere",
		"run_at=soon&time_zone=UTC&run_at_instant=x"} {
		if part := b.Get("/automations/moment?" + query); part.StatusCode != 200 ||
			strings.Contains(part.Text, "input") {
			t.Errorf("%s: %d %s; want nothing said", query, part.StatusCode, part.Text)
		}
	}
}

func TestAnInstantGivenToAToolStaysWhatItIs(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	s.Bearers.Person = func(context.Context, string) (account.Actor, error) { return b.Actor, nil }
	c := s.Tool("hers")
	for _, at := range []string{secondPass, "2040-11-04T01:30:20-05:00"} {
		made := s.Must(c, "create_automation", map[string]any{
			"name": "Once", "trigger": "one_time", "prompt": "x", "provider": "agent", "run_at": at,
			"time_zone": "America/New_York",
		})
		id := made["automation"].(map[string]any)["id"].(string)
		s.Must(c, "edit_automation", map[string]any{"automation": id, "name": "Renamed"})
		s.Must(c, "edit_automation", map[string]any{"automation": id, "time_zone": "Asia/Tokyo"})
		expectRunAt(s, id, secondPass)
	}
}
