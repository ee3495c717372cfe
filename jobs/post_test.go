package jobs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/outbound"
	"carillon/app/spec"
	"carillon/db"
	"carillon/db/dbtest"
)

// post is a database with a person and those who send copies, at a clock that tests move.
type post struct {
	*Deliverer
	t        *testing.T
	rules    *automation.Service
	accounts *account.Service
	mira     account.Actor
	log      *lines
	mu       sync.Mutex
	now      time.Time
	told     int
}

// lines is a log to be looked at.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (p *post) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *post) later(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func setupPost(t *testing.T) *post {
	t.Parallel()
	d := dbtest.New(t)
	keys := apptest.Keys()
	p := &post{t: t, log: &lines{}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	log := slog.New(slog.NewTextHandler(p.log, nil))
	p.accounts = &account.Service{
		DB: d, Now: p.clock, PasswordMemory: 64, Keys: keys, Log: log, Outbound: outbound.Policy{Private: true},
		Mail: true, NoticeKinds: []string{"disabled", "skipped"},
	}
	p.rules = apptest.NewRules(d, p.clock)
	p.rules.Log = log
	apptest.Prepare(t, d, p.rules)
	p.mira = apptest.NewPerson(t, d, p.rules, "Mira", account.RoleAdministrator)
	base, err := url.Parse("https://carillon.example.com")
	check(t, err)
	p.Deliverer = &Deliverer{
		DB: d, Rules: &automation.Service{DB: d, Now: p.clock, Log: log},
		HTTP: outbound.Policy{Private: true}.Client(patience), Key: p.accounts.WebhookKey, PublicURL: base,
		Now: p.clock, Log: log, timeout: patience,
	}
	return p
}

// person makes another person with an inbox.
func (p *post) person(name string) account.Actor {
	p.t.Helper()
	return apptest.NewPerson(p.t, p.Deliverer.DB, p.rules, name, account.RoleMember)
}

// wants makes Mira's choice of copies and returns the secret of her webhook when it is new.
func (p *post) wants(email bool, hook string) string {
	p.t.Helper()
	secret, err := p.accounts.UpdateNotices(p.t.Context(), p.mira, account.NoticesInput{
		Email: email, WebhookURL: hook, Kinds: []string{"disabled", "skipped"},
	})
	check(p.t, err)
	return secret
}

// tell puts a notice into Mira's inbox.
func (p *post) tell(change func(n *db.Notification)) db.Notification {
	p.t.Helper()
	p.told++
	n := db.Notification{
		ID: db.NewID(), UserID: p.mira.ID, Kind: "disabled", Title: "Audit was disabled",
		Body: "3 runs in a row failed.", DedupKey: fmt.Sprint("told ", p.told), CreatedAt: p.clock(),
	}
	if change != nil {
		change(&n)
	}
	list, err := db.InsertNotifications(p.t.Context(), p.DB, []db.Notification{n})
	check(p.t, err)
	return list[0]
}

// copies lists every copy there is, oldest notice first.
func (p *post) copies() []db.Copy {
	p.t.Helper()
	var list []db.Copy
	check(p.t, p.DB.NewSelect().Model(&list).OrderExpr("nd.notification_id, nd.channel").Scan(p.t.Context()))
	return list
}

func (p *post) only() db.Copy {
	p.t.Helper()
	list := p.copies()
	if len(list) != 1 {
		p.t.Fatalf("there are %d copies; want one", len(list))
	}
	return list[0]
}

// call is what a webhook received.
type call struct {
	header http.Header
	body   string
}

// receiver is a webhook that notes what it gets and answers as told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	answer func(w http.ResponseWriter, r *http.Request)
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.calls = append(r.calls, call{req.Header.Clone(), string(body)})
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]call(nil), r.calls...)
}

// automation inserts an automation of a name that no form would take.
func (p *post) automation(name string) uuid.UUID {
	p.t.Helper()
	list, err := p.rules.Workspaces.List(p.t.Context(), p.mira)
	check(p.t, err)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      list[0].ID.String(),
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look around.",
		Provider:       "agent",
		Retries:        2,
	}}
	a, _, err := p.rules.Definitions().Create(p.t.Context(), p.mira, in)
	check(p.t, err)
	_, err = p.DB.NewUpdate().Table("automations").Set("name = ?", name).Where("id = ?", a.ID).Exec(p.t.Context())
	check(p.t, err)
	return a.ID
}

// eventually waits until something is so.
func (p *post) eventually(what string, so func() bool) {
	p.t.Helper()
	for end := time.Now().Add(10 * time.Minute); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("it never came to be that %s", what)
		}
	}
}
