package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/api"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/form"
	"carillon/app/payload"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/spec/spectest"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

// TestANightEnteredThroughEachDoorGivesTheSameRows enters automations of all types with all their fields, and edits of
// each, through the form, the API, the tools of MCP and YAML, over HTTP. The same night is lived through behind each
// door, and the rows that it leaves are compared. left says what is not compared.
func TestANightEnteredThroughEachDoorGivesTheSameRows(t *testing.T) {
	t.Parallel()
	nights := map[string][]string{}
	var mu sync.Mutex
	t.Run("nights", func(t *testing.T) {
		for _, name := range []string{"form", "API", "MCP", "YAML"} {
			t.Run(name, func(t *testing.T) {
				rows := liveBehind(t, name)
				mu.Lock()
				defer mu.Unlock()
				nights[name] = rows
			})
		}
	})
	want := nights["form"]
	for name, got := range nights {
		differences := 0
		for i := range max(len(got), len(want)) {
			a, b := at(want, i), at(got, i)
			if a == b {
				continue
			}
			if differences++; differences > 12 {
				t.Errorf("%s: and more", name)
				break
			}
			t.Errorf("row %d\nby the form: %s\nby %s: %s", i, apart(a, b), name, apart(b, a))
		}
	}
	if len(want) < 300 {
		t.Errorf("the night left %d rows; want a busy one", len(want))
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// apart is what one text has from where it differs from another, and the beginning that says what it is.
func apart(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	from := max(0, n-60)
	return a[:min(len(a), 40)] + " … " + a[from:min(len(a), n+160)]
}

// left are the columns that tell of the door and not of the night, and those that chance is in.
var left = map[string][]string{
	"automations":        {"signature_sealed"},                  // sealed anew each time
	"executions":         {"token_fingerprint"},                 // of a token that is made by chance
	"audit_events":       {"address", "token"},                  // how a person came
	"webhook_deliveries": {"fingerprint", "address", "headers"}, // the token, and the port of the server
	"sessions":           {}, "turns": {}, "notifications": {},
}

// doorsBegin is an evening before a night in which clocks change in Berlin.
var doorsBegin = time.Date(2027, 3, 27, 22, 0, 0, 0, time.UTC)

// behind is a night behind a door.
type behind struct {
	*webtest.Browser
	now   atomic.Int64
	door  door
	made  []entered
	bot   string
	steps string // the id of the workflow
}

// entered is an automation as it was entered last.
type entered struct {
	id, hook string
	in       automation.Input
}

// door is a way to enter automations.
type door interface {
	create(in automation.Input) (id, hook string)
	edit(e *entered, in automation.Input) (hook string)
	enable(e *entered, on bool)
}

func (n *behind) tick(d time.Duration) { n.now.Add(int64(d)) }

func liveBehind(t *testing.T, name string) []string {
	n := &behind{}
	s := webtest.Open(t)
	n.now.Store(doorsBegin.UnixNano())
	clock := func() time.Time { return time.Unix(0, n.now.Load()).UTC() }
	s.Rules.Now, s.Server.Now = clock, clock
	s.Rules.Providers.List = func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell script", Script: true},
			{ID: "agent", Name: "Agent", Models: []string{"small", "large"}}}
	}
	n.Browser = s.As("Mira", account.RoleAdministrator)
	n.exec("UPDATE workspaces SET git_url = 'https://github.com/acme/app.git', token_sealed = 'x'")
	flow, err := s.Workflows.Create(t.Context(), n.Actor, workflow.Input{
		Name: "Release", Workspace: s.Workspace,
		Steps: []workflow.StepInput{{Kind: "message", Text: "Mend $depth with $token."}},
		Parameters: []workflow.ParameterInput{{Alias: "depth", Type: "number", Default: "2", Required: true},
			{Alias: "token", Type: "secret"}},
	})
	webtest.Check(t, err)
	rita, err := s.Bots.Create(t.Context(), n.Actor, bot.Input{Bot: spec.Bot{
		Name: "Rita", Workspace: s.Workspace, Instructions: "Review.", Enabled: true,
	}})
	webtest.Check(t, err)
	n.steps, n.bot = flow.ID.String(), rita.ID.String()
	switch name {
	case "form":
		n.door = formDoor{n}
	case "API":
		n.door = apiDoor{n, n.Program()}
	case "MCP":
		n.door = mcpDoor{n, s.Tool(n.NewToken())}
	case "YAML":
		n.door = yamlDoor{n, n.Program()}
	}
	n.live()
	return n.rows()
}

// live is the night.
func (n *behind) live() {
	table := n.table()
	for _, in := range table {
		n.tick(time.Second)
		e := entered{in: in}
		e.id, e.hook = n.door.create(in)
		n.made = append(n.made, e)
	}
	n.hours(2)
	for i := range n.made { // each becomes another of the table
		n.tick(time.Second)
		e := &n.made[i]
		in := table[(i+7)%len(table)]
		in.Name = e.in.Name
		if hook := n.door.edit(e, in); hook != "" {
			e.hook = hook
		}
		e.in = in
	}
	n.hours(6)
	for _, on := range []bool{false, true} {
		for i := range n.made {
			if e := &n.made[i]; i%3 == 0 && e.in.Trigger != "http" && e.in.Trigger != "one_time" {
				n.tick(time.Second)
				n.door.enable(e, on)
			}
		}
		n.hours(1)
	}
}

// hours lets hours pass: each half hour what is due begins, people and senders start some more, and workers do what
// there is.
func (n *behind) hours(hours int) {
	n.T.Helper()
	for half := range 2 * hours {
		now := time.Unix(0, n.now.Load())
		n.now.Store(now.Truncate(30 * time.Minute).Add(30*time.Minute + time.Second).UnixNano())
		n.start()
		for i, e := range n.made {
			switch {
			case e.in.Trigger == "http" && (i+half)%2 == 0:
				n.send(e)
			case e.in.Trigger != "http" && (i+half)%9 == 0:
				n.tick(time.Second)
				n.Post("/automations/"+e.id+"/runs", "param.what", "by hand")
			}
		}
		n.work(half)
	}
}

func (n *behind) start() {
	for more := 1; more > 0; {
		var err error
		more, err = n.Rules.Schedules().StartDue(n.T.Context())
		webtest.Check(n.T, err)
	}
}

// send calls the webhook of an automation. Where its calls must be signed, this one is not, and is refused.
func (n *behind) send(e entered) {
	n.T.Helper()
	n.tick(time.Second)
	address, err := url.Parse(e.hook)
	webtest.Check(n.T, err)
	req, err := http.NewRequest(http.MethodPost, n.HTTP.URL+address.Path,
		strings.NewReader(`{"action":"1","what":"a call","depth":"4"}`))
	webtest.Check(n.T, err)
	req.Header.Set("Content-Type", "application/json")
	a := n.Do(req)
	if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusConflict &&
		a.StatusCode != http.StatusUnauthorized && a.StatusCode != http.StatusBadRequest {
		n.T.Errorf("a call of %s is answered %d %s", e.in.Name, a.StatusCode, a.Text)
	}
}

// work lets a worker do what is queued. Each fifth run fails, and each seventh goes on until the next time.
func (n *behind) work(round int) {
	n.T.Helper()
	var list []db.Session
	webtest.Check(n.T, n.Rules.DB.RunInTx(n.T.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 1000, n.Rules.Now(), n.Rules.Now().Add(time.Minute))
		return err
	}))
	slices.SortFunc(list, func(a, b db.Session) int {
		if by := strings.Compare(a.Title, b.Title); by != 0 {
			return by
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	for i, s := range list {
		if (i+round)%7 == 3 {
			continue
		}
		n.tick(time.Second)
		o := automation.Outcome{Status: db.Succeeded, Answer: "It is done.", FilesChanged: i%2 == 0}
		if (i+round)%5 == 2 {
			o = automation.Outcome{Status: db.Failed, Reason: "exit 1", Class: "agent"}
		}
		webtest.Check(n.T,
			n.Rules.Runs().Finish(n.T.Context(), db.Lease{Session: s.ID, Worker: s.Worker, Fence: s.Fence}, o))
	}
}

func (n *behind) exec(query string) {
	n.T.Helper()
	_, err := n.Rules.DB.NewRaw(query).Exec(n.T.Context())
	webtest.Check(n.T, err)
}

// table holds automations of each trigger with each kind of session, with every option that goes with them and without.
func (n *behind) table() []automation.Input {
	var list []automation.Input
	for _, trigger := range []db.Trigger{db.Manual, db.OneTime, db.Recurring, db.Loop, db.HTTP} {
		for i, session := range []string{"develop", "develop-workflow", "develop-plain", "chat", "bot"} {
			in := automation.Input{Automation: spec.Automation{
				Name:           string(trigger) + " " + session,
				Workspace:      n.Workspace,
				Trigger:        string(trigger),
				ExecutionType:  "inline",
				Provider:       "agent",
				Prompt:         "Look at {{what}}.\n\nThen report.",
				Parameters:     map[string]string{"what": "the: tests # all"},
				TimeoutMinutes: 360,
				Retries:        2,
				AutoComplete:   true,
			}}
			in.SessionType, _, _ = strings.Cut(session, "-")
			if session != "develop-plain" {
				in.BaseBranch, in.Model, in.MayAutomate, in.TimeoutMinutes, in.Retries = "release", "large", true, 90.5,
					0
				in.Gate = spec.Gate{Command: "test -f go.mod\nexit 0", BranchMoved: true, NoOpenPR: true}
				in.Success = spec.Success{Command: "go test ./...", Contains: "done"}
				in.Budget = spec.Budget{
					Run: spec.Limits{Money: 1.25, Turns: 3}, Day: spec.Limits{Tokens: 1000000},
					Month: spec.Limits{Money: 20, Minutes: 90.5},
				}
			}
			switch trigger {
			case db.OneTime: // a time that the clocks leave out, and one after each other
				in.RunAt, in.TimeZone = fmt.Sprintf("2027-03-28T0%d:30", 2+i%3*2), "Europe/Berlin"
			case db.Recurring:
				in.Cron, in.TimeZone, in.CatchUp = []string{"*/30 * * * *", "30 2 * * *", "0 0-4 * * sun",
					"15 1,3 * * *", "0 */2 28 * *"}[i], "Europe/Berlin", i%2 == 0
			case db.Loop:
				in.MaxIterations, in.StopText = []int{0, 3}[i%2], []string{"ALL DONE", ""}[i%2]
			case db.HTTP:
				in.AllowParallel, in.MaxParallel, in.AppendPayload = i%2 == 0, []int{3, 0}[i%2], i%2 == 1
				if session == "chat" {
					in.Sender, in.SignatureHeader, in.SignatureSecret = "hmac", "X-Signature", "a secret of some length"
				}
				if session != "develop-plain" {
					in.Filter = spec.Filter{
						Any: true, Conditions: []spec.Condition{{
							Field: "action", Operator: payload.OpEquals, Value: "1",
						}, {Field: "draft", Operator: payload.OpAbsent}},
					}
				}
			}
			switch session {
			case "develop":
				in.OnlyUnchanged, in.CreatePR, in.Toggles = true, true, []string{"edge_cases", "code_review"}
			case "develop-workflow":
				in.ExecutionType, in.Workflow, in.Prompt, in.AutoComplete = "workflow", n.steps, "", false
				in.Parameters = map[string]string{"depth": "3", "token": "a secret of some length"}
				in.Success.FilesChanged, in.Success.PullRequest = true, true
			case "bot":
				in.Bot = n.bot
			}
			list = append(list, in)
		}
	}
	spectest.FillRest(specsOf(list))
	return list
}

func specsOf(list []automation.Input) []*spec.Automation {
	var specs []*spec.Automation
	for i := range list {
		specs = append(specs, &list[i].Automation)
	}
	return specs
}

var hookAddress = regexp.MustCompile(`/api/automations/http-trigger/[A-Za-z0-9_-]{43}`)

// formDoor is the editor, filled in as a browser would.
type formDoor struct{ *behind }

func (d formDoor) create(in automation.Input) (id, hook string) {
	return d.send(d.Get("/automations/new"), "/automations", in)
}

func (d formDoor) edit(e *entered, in automation.Input) string {
	_, hook := d.send(d.Get("/automations/"+e.id+"/edit"), "/automations/"+e.id, in)
	return hook
}

func (d formDoor) send(page *webtest.Answer, action string, in automation.Input) (id, hook string) {
	d.T.Helper()
	forms := formsOf(d.T, page.Text)
	i := slices.IndexFunc(forms, func(f pageForm) bool { return f.action == action })
	if i < 0 {
		d.T.Fatalf("%s has no form for %s", page.Request.URL, action)
	}
	values := forms[i].values
	for name := range values {
		if strings.HasPrefix(name, "param.") || strings.HasPrefix(name, "filter_") {
			values.Del(name)
		}
	}
	typed := form.Write(&in.Automation)
	for name := range form.Kinds(&in.Automation) {
		values.Del(name)
	}
	maps.Copy(values, typed)
	if values.Del("filter_any"); in.Filter.Any {
		values.Set("filter_any", "true")
	}
	for _, c := range in.Filter.Conditions {
		values.Add("filter_field", c.Field)
		values.Add("filter_operator", c.Operator)
		values.Add("filter_value", c.Value)
	}
	var fields []string
	for name, list := range values {
		for _, value := range list {
			fields = append(fields, name, value)
		}
	}
	a := d.Post(action, fields...)
	if a.StatusCode != http.StatusSeeOther && a.StatusCode != http.StatusOK {
		d.T.Fatalf("the form of %s is answered %d %s", in.Name, a.StatusCode, wrongIn(a.Text))
	}
	shown := a.Text
	if where := a.Header.Get("Location"); where != "" {
		shown = d.Get(where).Text
	}
	webtest.Check(d.T, d.Rules.DB.NewRaw("SELECT id FROM automations WHERE name = ?", in.Name).Scan(d.T.Context(), &id))
	return id, hookAddress.FindString(shown)
}

var wrong = regexp.MustCompile(`(?s)class="[^"]*error[^"]*"[^>]*>(.{0,200})`)

func wrongIn(page string) string { return fmt.Sprint(wrong.FindAllString(page, 5)) }

func (d formDoor) enable(e *entered, on bool) {
	d.T.Helper()
	if a := d.Post("/automations/"+e.id+"/enabled", "enabled",
		strconv.FormatBool(on)); a.StatusCode != http.StatusSeeOther {
		d.T.Errorf("switching %s is answered %d", e.in.Name, a.StatusCode)
	}
}

// spelt is an automation as programs say it: every field by itself.
func spelt(in automation.Input) webtest.Fields {
	f := webtest.Fields(spec.Values(&in.Automation))
	for _, name := range []string{"id", "workspace", "workflow", "bot", "run_at"} { // each door has its own way
		delete(f, name)
	}
	f["toggles"] = append([]string{}, in.Toggles...)
	if in.SignatureSecret == "" {
		delete(f, "signature_secret")
	}
	if in.Trigger == "http" { // it does not apply, and saying it is a mistake
		delete(f, "auto_complete")
		delete(f, "only_unchanged")
	}
	return f
}

// over lets a change say of each stored parameter that the new version lacks that it goes.
func over(f webtest.Fields, before automation.Input) webtest.Fields {
	parameters := map[string]string{}
	for name := range before.Parameters {
		parameters[name] = ""
	}
	maps.Copy(parameters, f["parameters"].(map[string]string))
	f["parameters"] = parameters
	return f
}

// apiDoor is the HTTP API.
type apiDoor struct {
	*behind
	client *webtest.Program
}

func (d apiDoor) fields(in automation.Input) webtest.Fields {
	f := spelt(in).With("workspace_id", in.Workspace).With("workflow_id", in.Workflow).With("bot_id", in.Bot)
	if in.RunAt != "" { // the instant that the clock time means
		zone, err := time.LoadLocation(in.TimeZone)
		webtest.Check(d.T, err)
		at, err := time.ParseInLocation("2006-01-02T15:04", in.RunAt, zone)
		webtest.Check(d.T, err)
		if at.In(zone).Format("2006-01-02T15:04") != in.RunAt || at.Hour() == 2 || in.RunAt == "2027-03-28T02:30" {
			at = time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC) // it is left out
		}
		f["run_at"] = at.Format(time.RFC3339)
	}
	return f
}

func (d apiDoor) saved(a *webtest.Answer) (id, hook string) {
	d.T.Helper()
	if a.StatusCode >= 300 {
		d.T.Fatalf("%s is answered %d %s", a.Request.URL, a.StatusCode, a.Text)
	}
	var made api.Automation
	a.Into(d.T, &made)
	return made.ID, made.WebhookURL
}

func (d apiDoor) create(in automation.Input) (id, hook string) {
	return d.saved(d.client.Call("POST", "/automations", d.fields(in)))
}

func (d apiDoor) edit(e *entered, in automation.Input) string {
	var is api.Automation
	d.client.Call("GET", "/automations/"+e.id, nil).Into(d.T, &is)
	f := over(d.fields(in), e.in)
	f["version"] = is.Version
	_, hook := d.saved(d.client.Call("PATCH", "/automations/"+e.id, f))
	return hook
}

func (d apiDoor) enable(e *entered, on bool) {
	d.saved(d.client.Call("POST", "/automations/"+e.id+"/enabled", webtest.Fields{"enabled": on}))
}

// mcpDoor are the tools of a person's own agent.
type mcpDoor struct {
	*behind
	client *mcp.ClientSession
}

func (d mcpDoor) fields(in automation.Input) webtest.Fields {
	return spelt(in).With("workspace", in.Workspace).With("workflow", in.Workflow).With("bot", in.Bot).
		With("run_at", in.RunAt)
}

func (d mcpDoor) create(in automation.Input) (id, hook string) {
	made := d.Must(d.client, "create_automation", d.fields(in))
	hook, _ = made["webhook_url"].(string)
	return made["automation"].(map[string]any)["id"].(string), hook
}

func (d mcpDoor) edit(e *entered, in automation.Input) string {
	f := over(d.fields(in), e.in)
	f["automation"] = e.id
	hook, _ := d.Must(d.client, "edit_automation", f)["webhook_url"].(string)
	return hook
}

func (d mcpDoor) enable(e *entered, on bool) {
	d.Must(d.client, "enable_automation", map[string]any{"automation": e.id, "enabled": on})
}

// yamlDoor is a manifest that is planned and applied, as carillon apply does. JSON is YAML.
type yamlDoor struct {
	*behind
	client *webtest.Program
}

func (d yamlDoor) apply(in automation.Input, more webtest.Fields) (id, hook string) {
	d.T.Helper()
	f := spelt(in).With("run_at", in.RunAt)
	f["kind"] = "Automation"
	var w db.Workspace
	webtest.Check(d.T, d.Rules.DB.NewSelect().Model(&w).Where("w.id = ?", in.Workspace).Scan(d.T.Context()))
	f["workspace"] = w.Name
	if in.Workflow != "" {
		f["workflow"] = "Release"
	}
	if in.Bot != "" {
		f["bot"] = "Rita"
	}
	for name, value := range f { // what is as if left out, a manifest leaves out
		if (value == "" || value == false || value == 0.0) && name != "auto_complete" && name != "retries" &&
			name != "timeout_minutes" {
			delete(f, name)
		}
	}
	maps.Copy(f, more)
	text, err := json.Marshal(f)
	webtest.Check(d.T, err)
	body := webtest.Fields{"files": []webtest.Fields{{"name": "a.yaml", "content": string(text)}}}
	var plan api.Plan
	a := d.client.Call("POST", "/plans", body)
	a.Into(d.T, &plan)
	body["fingerprint"] = plan.Fingerprint
	if a = d.client.Call("POST", "/applications", body); a.StatusCode >= 300 {
		d.T.Fatalf("%s is answered %d %s", in.Name, a.StatusCode, a.Text)
	}
	a.Into(d.T, &plan)
	if len(plan.Webhooks) > 0 {
		hook = plan.Webhooks[0].URL
	}
	return plan.Changes[0].ID, hook
}

func (d yamlDoor) create(in automation.Input) (id, hook string) { return d.apply(in, nil) }

func (d yamlDoor) edit(e *entered, in automation.Input) string {
	_, hook := d.apply(in, webtest.Fields{"id": e.id})
	return hook
}

func (d yamlDoor) enable(e *entered, on bool) {
	d.apply(e.in, webtest.Fields{"id": e.id, "enabled": on})
}

// rows are all rows that the night has left, each as JSON, with names in the place of ids.
func (n *behind) rows() []string {
	n.T.Helper()
	names := map[string]string{
		n.Workspace: "the workspace", n.bot: "the bot", n.steps: "the workflow", n.Actor.ID.String(): "the person",
	}
	var list []string
	for _, table := range slices.Sorted(maps.Keys(left)) {
		var rows []json.RawMessage
		where := ""
		if table == "audit_events" {
			where = "WHERE subject_kind = 'automation'"
		}
		webtest.Check(n.T,
			n.Rules.DB.NewRaw("SELECT to_jsonb(t) FROM ? t ? ORDER BY id", bun.Ident(table), bun.Safe(where)).
				Scan(n.T.Context(), &rows))
		for i, row := range rows {
			var columns map[string]any
			webtest.Check(n.T, json.Unmarshal(row, &columns))
			for _, column := range left[table] {
				delete(columns, column)
			}
			if id, ok := columns["id"].(string); ok {
				names[id] = fmt.Sprintf("%s %d", table, i)
			}
			for _, side := range []any{columns, columns["before"], columns["after"]} {
				if side, ok := side.(map[string]any); ok && (table == "audit_events" || columns["trigger"] == "http") {
					delete(side, "auto_complete") // an HTTP Trigger has them and ignores them
					delete(side, "only_unchanged")
				}
			}
			text, err := json.Marshal(columns)
			webtest.Check(n.T, err)
			list = append(list, table+" "+string(text))
		}
	}
	for i := range list {
		list[i] = anID.ReplaceAllStringFunc(list[i], func(id string) string { return cmp.Or(names[id], id) })
		list[i] = sealedValue.ReplaceAllString(list[i], "sealed")
		list[i] = webtest.Marks.ReplaceAllString(list[i], "marks")
	}
	return list
}

// sealedValue is a secret as it is stored, or how the audit names that: both are different each time.
var sealedValue = regexp.MustCompile(`sealed:[A-Za-z0-9+/=_-]+|stored \([0-9a-f]{8}\)`)
