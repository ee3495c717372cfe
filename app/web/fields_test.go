package web_test

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	dom "golang.org/x/net/html"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

// form is a form of a page as a browser would send it.
type pageForm struct {
	method, action string
	values         url.Values
	ids            []string // fields that take ids: choices, and what already holds one
	texts          []string // fields that take any text
}

var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func attribute(n *dom.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func textOf(n *dom.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == dom.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// formsOf reads the forms of a page. What a person would have to write is written.
func formsOf(t *testing.T, page string) []pageForm {
	t.Helper()
	doc, err := dom.Parse(strings.NewReader(page))
	webtest.Check(t, err)
	var list []pageForm
	outside := map[string][]*dom.Node{} // fields that name their form
	for n := range doc.Descendants() {
		if id, ok := attribute(n, "form"); ok && n.Type == dom.ElementNode {
			outside[id] = append(outside[id], n)
		}
	}
	for n := range doc.Descendants() {
		if n.Type != dom.ElementNode || n.Data != "form" {
			continue
		}
		f := pageForm{values: url.Values{}}
		f.method, _ = attribute(n, "method")
		f.method = strings.ToUpper(cmp.Or(f.method, "get"))
		f.action, _ = attribute(n, "action")
		fields := slices.Collect(n.Descendants())
		if id, ok := attribute(n, "id"); ok {
			fields = append(fields, outside[id]...)
		}
		for _, field := range fields {
			f.read(field)
		}
		slices.Sort(f.ids)
		f.ids = slices.Compact(f.ids)
		list = append(list, f)
	}
	return list
}

func (f *pageForm) read(n *dom.Node) {
	name, named := attribute(n, "name")
	if n.Type != dom.ElementNode || !named || name == "" {
		return
	}
	value, has := attribute(n, "value")
	_, checked := attribute(n, "checked")
	switch kind, _ := attribute(n, "type"); {
	case n.Data == "select":
		f.ids = append(f.ids, name)
		first, chosen := "", ""
		for o := range n.Descendants() {
			if o.Type != dom.ElementNode || o.Data != "option" {
				continue
			}
			v, ok := attribute(o, "value")
			if !ok {
				v = textOf(o)
			}
			first = cmp.Or(first, v)
			if _, ok := attribute(o, "selected"); ok {
				chosen = v
			}
		}
		f.values.Add(name, cmp.Or(chosen, first))
	case n.Data == "textarea":
		f.texts = append(f.texts, name)
		f.values.Add(name, cmp.Or(textOf(n), "Look."))
	case n.Data == "button" && anID.MatchString(value):
		f.ids = append(f.ids, name)
	case n.Data != "input":
	case kind == "checkbox" || kind == "radio":
		if anID.MatchString(value) {
			f.ids = append(f.ids, name)
		}
		if checked {
			f.values.Add(name, value)
		}
	default:
		if anID.MatchString(value) {
			f.ids = append(f.ids, name)
		}
		if kind == "" || kind == "text" || kind == "search" {
			f.texts = append(f.texts, name)
		}
		if !has && kind != "password" || value == "" && slices.Contains([]string{"name", "title"}, name) {
			value = "Mine"
		}
		f.values.Add(name, value)
	}
}

// mentions is a fingerprint of all rows, by table, that hold one of some ids. Refusals are written down, and sign-ins
// are used.
func mentions(s *webtest.Site, ids []string) map[string]string {
	s.T.Helper()
	var tables []string
	webtest.Check(s.T, s.Server.DB.NewRaw(
		"SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT "+
			"IN ('audit_events', 'logins') AND relname NOT LIKE 'bun_%'").Scan(s.T.Context(), &tables))
	if len(tables) < 20 {
		s.T.Fatalf("there are %d tables", len(tables))
	}
	found := map[string]string{}
	for _, table := range tables {
		var sum string
		webtest.Check(s.T, s.Server.DB.NewRaw(
			"SELECT count(*) || ' rows ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM ? t "+
				"WHERE t::text ~ ?", bun.Ident(table), strings.Join(ids, "|")).Scan(s.T.Context(), &sum))
		found[table] = sum
	}
	return found
}

// Somebody who may do everything but administer, in a workspace of their own, writes the ids of things of another
// workspace into every field of every form that takes an id. Nothing of there changes, nothing of theirs refers to it,
// and no page tells of it.
func TestNoFieldOfAnyFormReachesIntoAnotherWorkspace(t *testing.T) {
	x := webtest.NewWalk(t)
	eve := x.Who["elsewhere"]
	var most []account.Permission
	for _, p := range account.Permissions {
		if p.Permission != account.Admin {
			most = append(most, p.Permission)
		}
	}
	x.Custom(eve, "Chief of elsewhere", most...)
	foreign := map[string]string{"workspace": x.Workspace, "user": x.Who["owner"].Actor.ID.String()}
	for _, kind := range []string{"automation", "hook", "execution", "waiting", "ticket", "workflow", "bot", "notice",
		"token"} {
		foreign[kind] = webtest.Subjects[kind](x).String()
	}
	foreign["delivery"] = delivered(x, uuid.MustParse(foreign["hook"])).String()
	x.WorkspaceOf("A second", "elsewhere") // to choose from
	ids := slices.Sorted(maps.Values(foreign))
	pages := append(settled(eve), "/settings/users/"+foreign["user"], "/automations/parameters?workflow=ID",
		"/automations/models?provider=ID", "/tickets/assignees?workspace=ID", "/automations/new?from=ID",
		"/automations/new?template=ID&workspace=ID", "/automations/new?workspace=ID")
	before := mentions(x.Site, ids)
	sent, fields, tried := 0, map[string]bool{}, map[string]bool{}
	for _, page := range pages {
		if strings.Contains(page, "ID") {
			for _, kind := range slices.Sorted(maps.Keys(foreign)) {
				if got := eve.Get(strings.ReplaceAll(page, "ID", foreign[kind])); strings.Contains(got.Text,
					webtest.Hush) ||
					got.StatusCode >= 500 {
					t.Errorf("%s with the id of another %s answers %d and tells of it", page, kind, got.StatusCode)
				}
			}
			continue
		}
		for _, f := range formsOf(t, eve.Get(page).Text) {
			if f.action == "/logout" || f.action == "" {
				continue
			}
			for _, field := range f.ids {
				name, seen := f.method+" "+anID.ReplaceAllString(f.action, "{id}")+" "+field,
					f.method+" "+f.action+" "+field
				if tried[seen] || fields[name] && !strings.HasSuffix(page, "/edit") {
					// of editors each, since what one takes depends on what it edits
					continue
				}
				fields[name], tried[seen] = true, true
				for _, kind := range slices.Sorted(maps.Keys(foreign)) {
					if kind == "user" && (strings.HasSuffix(f.action, "/members") ||
						strings.HasPrefix(f.action, "/settings/audit")) {
						continue // people are not of a workspace: who manages workspaces may let anybody in
					}
					values := maps.Clone(f.values)
					values[field] = []string{foreign[kind]}
					sent++
					got := send(eve, f.method, f.action, values)
					if got.StatusCode == http.StatusSeeOther && f.values.Has("version") {
						// it was saved, so the next one begins from there
						for _, again := range formsOf(t, eve.Get(page).Text) {
							if again.action == f.action && again.values.Has("version") {
								f.values = again.values
							}
						}
					}
					if strings.Contains(got.Text, webtest.Hush) || got.StatusCode >= 500 {
						t.Errorf("%s %s with the id of another %s as %s answers %d and tells of it: %.300s", f.method,
							f.action, kind, field, got.StatusCode, got.Text)
					}
				}
				if f.action == "/preferences/workspace" {
					eve.Post(f.action) // else the lists that follow would be empty
				}
				after := mentions(x.Site, ids)
				for table, sum := range before {
					if after[table] != sum {
						t.Errorf("%s %s with ids of another workspace as %s changed %s: %s became %s", f.method,
							f.action, field, table, sum, after[table])
					}
				}
				before = after
			}
		}
	}
	for _, want := range []string{
		"POST /automations workspace", "POST /automations workflow", "POST /automations bot",
		"POST /automations/{id} workspace", "POST /automations/{id} workflow", "POST /automations/{id} bot",
		"POST /automations/{id}/transfer to", "POST /automations/bulk id", "POST /tickets workspace",
		"POST /tickets/{id} assignee", "POST /bots workspace", "POST /bots/{id} workspace",
		"POST /workflows workspace", "POST /workflows/{id} workspace", "POST /workspaces/{id}/members user",
		"POST /settings/users/{id}/memberships workspace", "POST /settings/users roles",
		"POST /preferences/workspace workspace",
	} {
		if !fields[want] {
			t.Errorf("no page had the field %s, so it was not tried", want)
		}
	}
	t.Logf("%d fields of %d pages, %d requests", len(fields), len(pages), sent)
}

func send(b *webtest.Browser, method, path string, values url.Values) *webtest.Answer {
	b.T.Helper()
	if method == http.MethodGet {
		return b.Get(path + "?" + values.Encode())
	}
	req, err := http.NewRequest(method, b.HTTP.URL+path, strings.NewReader(values.Encode()))
	webtest.Check(b.T, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.Do(req)
}

// settled gives somebody one of everything in their own workspace, and returns the addresses of the pages of that.
func settled(b *webtest.Browser) []string {
	b.T.Helper()
	ctx, rules := b.T.Context(), b.Rules
	list, err := rules.Workspaces.List(ctx, b.Actor)
	webtest.Check(b.T, err)
	own := list[0].ID.String()
	flow, err := b.Workflows.Create(ctx, b.Actor, workflow.Input{
		Name: "My flow", Workspace: own, Steps: []workflow.StepInput{{Kind: "message", Text: "Look."}},
	})
	webtest.Check(b.T, err)
	bot, err := b.Bots.Create(ctx, b.Actor, bot.Input{Bot: spec.Bot{
		Name: "My bot", Workspace: own, Instructions: "Look.", Enabled: true,
	}})
	webtest.Check(b.T, err)
	input := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "My own",
		Workspace:      own,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		Retries:        2,
	}}
	var pages []string
	for _, change := range []func(*automation.Input){
		func(*automation.Input) {}, func(in *automation.Input) { in.Trigger = "http" },
		func(in *automation.Input) {
			in.ExecutionType, in.Workflow, in.Prompt = "workflow", flow.ID.String(), ""
		},
		func(in *automation.Input) { in.SessionType, in.Bot = "bot", bot.ID.String() },
	} {
		in := input
		change(&in)
		a, _, err := rules.Definitions().Create(ctx, b.Actor, in)
		webtest.Check(b.T, err)
		path := "/automations/" + a.ID.String()
		pages = append(pages, path, path+"/edit", path+"/settings", path+"/runs", path+"/deliveries")
		if in.Trigger == "http" {
			x := webtest.Walk{Site: b.Site}
			pages = append(pages, path+"/deliveries/"+delivered(&x, a.ID).String(), path+"/trial")
		}
		run, err := rules.Runs().RunNow(ctx, b.Actor, a.ID, nil)
		webtest.Check(b.T, err)
		pages = append(pages, "/executions/"+run.Execution.ID.String(), "/sessions/"+run.Session.ID.String(),
			"/sessions/"+run.Session.ID.String()+"/tickets")
	}
	ticket, err := b.Server.Tickets.Create(ctx, b.Actor, ticket.Input{Workspace: own, Title: "My ticket"})
	webtest.Check(b.T, err)
	for _, path := range []string{"/tickets/" + ticket.ID.String(), "/workflows/" + flow.ID.String(),
		"/bots/" + bot.ID.String(), "/workspaces/" + own} {
		pages = append(pages, path, path+"/edit")
	}
	return append(pages,
		"/", "/automations", "/automations/new", "/executions", "/sessions", "/inbox", "/tickets", "/tickets/new",
		"/workflows", "/workflows/new", "/bots", "/bots/new", "/workspaces", "/workspaces/new",
		"/settings/profile", "/settings/tokens", "/settings/users", "/settings/users/new",
		"/settings/users/"+b.Actor.ID.String(), "/settings/roles", "/settings/usage", "/settings/audit",
		"/settings/providers",
	)
}

// delivered records a call of an HTTP Trigger.
func delivered(x *webtest.Walk, hook uuid.UUID) uuid.UUID {
	x.T.Helper()
	d := &db.Delivery{
		ID: db.NewID(), AutomationID: hook, At: time.Now(), LastAt: time.Now(), Method: "POST",
		Headers: map[string]string{"Content-Type": "application/json"}, Body: []byte(`{}`), Size: 2, Verdict: "started",
		Status: 200, Answer: []byte(`{}`),
	}
	webtest.Check(x.T, db.InsertDelivery(x.T.Context(), x.Server.DB, d))
	return d.ID
}
