package jobs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	netmail "net/mail"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/outbound"
	"carillon/db"
)

func TestACopyIsMadeForEachChannelThatItsPersonChose(t *testing.T) {
	p := setupPost(t)
	p.tell(nil)
	if n := len(p.copies()); n != 0 {
		t.Errorf("somebody who chose nothing has %d copies", n)
	}
	p.wants(true, "")
	p.tell(nil)
	if c := p.only(); c.Channel != db.EmailChannel || c.Status != db.CopyQueued || c.Attempts != 0 {
		t.Errorf("got %+v; want one e-mail, queued", c)
	}
	p.wants(true, "https://hooks.example.com/x")
	p.tell(nil)
	if n := len(p.copies()); n != 3 {
		t.Errorf("there are %d copies; want one more for each of two channels", n)
	}
}

func TestKindsThatWereSwitchedOffHaveNoCopies(t *testing.T) {
	p := setupPost(t)
	_, err := p.accounts.UpdateNotices(t.Context(), p.mira,
		account.NoticesInput{Email: true, Kinds: []string{"skipped"}})
	check(t, err)
	p.tell(nil)
	if n := len(p.copies()); n != 0 {
		t.Errorf("a muted kind has %d copies", n)
	}
	p.tell(func(n *db.Notification) { n.Kind = "skipped" })
	p.tell(func(n *db.Notification) { n.Kind = "of a later version" })
	if n := len(p.copies()); n != 2 {
		t.Errorf("two kinds that are not muted have %d copies", n)
	}
}

func TestANoticeToldTwiceHasOneCopy(t *testing.T) {
	p := setupPost(t)
	p.wants(true, "")
	n := p.tell(nil)
	n.ID = db.NewID()
	_, err := db.InsertNotifications(t.Context(), p.DB, []db.Notification{n})
	check(t, err)
	p.only()
}

func TestACopyGoesWithTheTransactionOfItsNotice(t *testing.T) {
	p := setupPost(t)
	p.wants(true, "")
	err := p.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := db.InsertNotifications(ctx, tx, []db.Notification{{
			ID: db.NewID(), UserID: p.mira.ID, Kind: "disabled", Title: "x", DedupKey: "x", CreatedAt: p.clock(),
		}})
		check(t, err)
		return io.ErrUnexpectedEOF
	})
	if err == nil || len(p.copies()) != 0 {
		t.Errorf("a transaction that failed with %v left %d copies", err, len(p.copies()))
	}
}

func TestWebhooksGetTheNoticeSignedByStandardWebhooks(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	shown := p.wants(false, r.URL+"/hook?token=1")
	a := p.automation("Nightly\r\naudit <b>")
	n := p.tell(func(n *db.Notification) { n.AutomationID = a })
	check(t, p.Webhooks(t.Context()))
	calls := r.got()
	if len(calls) != 1 {
		t.Fatalf("got %d calls; want one", len(calls))
	}
	h := calls[0].header
	var m map[string]any
	check(t, json.Unmarshal([]byte(calls[0].body), &m))
	want := map[string]any{
		"type": "disabled", "title": "Audit was disabled", "body": "3 runs in a row failed.",
		"automation": "Nightly\r\naudit <b>",
		"url":        "https://carillon.example.com/automations/" + a.String(), "created_at": "2026-11-23T12:00:00Z",
	}
	if fmt.Sprint(m) != fmt.Sprint(want) {
		t.Errorf("posted %v; want %v", m, want)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(shown, "whsec_"))
	check(t, err)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "msg_%s.%d.%s", p.only().ID, p.clock().Unix(), calls[0].body)
	if got := h.Get("webhook-signature"); got != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %q is not that of the secret shown", got)
	}
	if h.Get("webhook-attempt") != "1" {
		t.Errorf("the attempt says its number as %q; want 1", h.Get("webhook-attempt"))
	}
	if h.Get("webhook-id") != "msg_"+p.only().ID.String() ||
		h.Get("webhook-timestamp") != fmt.Sprint(p.clock().Unix()) || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
	if c := p.only(); c.Status != db.CopySent || !c.SentAt.Equal(p.clock()) || c.NotificationID != n.ID ||
		c.LastError != "" {
		t.Errorf("the copy is %+v; want it sent", c)
	}
	check(t, p.Webhooks(t.Context()))
	if len(r.got()) != 1 {
		t.Error("it was sent again")
	}
}

func TestACopyIsTriedAgainAfterGrowingPausesAndThenGivenUp(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	p.wants(false, r.URL+"/T0PSECRET")
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	for i, pause := range []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour,
		12 * time.Hour} {
		if c := p.only(); c.Status != db.CopyQueued || c.Attempts != i+1 ||
			!c.NextAttemptAt.Equal(p.clock().Add(pause)) || c.LastError != "the webhook answered 500" {
			t.Fatalf("after attempt %d: %+v; want the next one in %v", i+1, c, pause)
		}
		p.later(pause - time.Second)
		check(t, p.Webhooks(t.Context()))
		if n := len(r.got()); n != i+1 {
			t.Fatalf("%d attempts a second before the pause of %v is over; want %d", n, pause, i+1)
		}
		p.later(time.Second)
		check(t, p.Webhooks(t.Context()))
	}
	if c := p.only(); c.Status != db.CopyFailed || c.Attempts != 6 {
		t.Errorf("after the last attempt: %+v; want it given up", c)
	}
	p.later(48 * time.Hour)
	check(t, p.Webhooks(t.Context()))
	calls := r.got()
	if len(calls) != 6 {
		t.Errorf("%d attempts; want 6", len(calls))
	}
	for _, c := range calls {
		if c.header.Get("webhook-id") != calls[0].header.Get("webhook-id") {
			t.Error("a later attempt has another id")
		}
	}
	if log := p.log.String(); !strings.Contains(log, "give up a copy") || strings.Contains(log, "T0PSECRET") {
		t.Errorf("the log says %s", log)
	}
}

func TestACopyIsSentWhenALaterAttemptSucceeds(t *testing.T) {
	p := setupPost(t)
	well := false
	r := newReceiver(t, nil)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	p.wants(false, r.URL)
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	well = true
	p.later(time.Minute)
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Status != db.CopySent || c.Attempts != 2 || c.LastError != "" {
		t.Errorf("got %+v; want it sent at the second attempt", c)
	}
}

func TestAWebhookThatIsGoneIsNotTriedAgain(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	p.wants(false, r.URL)
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Status != db.CopyFailed || c.Attempts != 1 {
		t.Errorf("got %+v; want it failed at once", c)
	}
}

func TestARedirectOfAWebhookIsAFailure(t *testing.T) {
	p := setupPost(t)
	target := newReceiver(t, nil)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, target.URL, http.StatusPermanentRedirect)
	})
	p.wants(false, r.URL)
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Status != db.CopyQueued || !strings.Contains(c.LastError, "308; redirects are not followed") ||
		len(target.got()) != 0 {
		t.Errorf("got %+v and %d calls to where it points", c, len(target.got()))
	}
}

func TestAWebhookInAPrivateNetworkIsRefusedWhenConnecting(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	p.HTTP = outbound.Policy{}.Client(patience)
	// as a name does that came to lead here after it was saved
	p.wants(false, strings.Replace(r.URL, "127.0.0.1", "localhost", 1)+"/T0PSECRET")
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	c := p.only()
	if len(r.got()) != 0 || !strings.Contains(c.LastError, "is not an address of the public internet") ||
		strings.Contains(c.LastError+p.log.String(), "T0PSECRET") {
		t.Errorf("%d calls, and the copy is %+v", len(r.got()), c)
	}
}

func TestAnAnswerWithoutEndIsReadUpToABound(t *testing.T) {
	p := setupPost(t)
	done := make(chan int, 1)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		chunk, n := make([]byte, 32<<10), 0
		for {
			m, err := w.Write(chunk)
			n += m
			if err != nil || req.Context().Err() != nil {
				done <- n
				return
			}
		}
	})
	p.wants(false, r.URL)
	p.tell(nil)
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Status != db.CopySent {
		t.Errorf("got %+v; want it sent, since the status said so", c)
	}
	if n := <-done; n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

func TestASlowReceiverDelaysNobodyElses(t *testing.T) {
	p := setupPost(t)
	release := make(chan struct{})
	var begun atomic.Int32
	slow := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		begun.Add(1)
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	quick := newReceiver(t, func(http.ResponseWriter, *http.Request) {
		if n := begun.Load(); n > 1 {
			t.Errorf("%d copies were being sent to the slow receiver before this one", n)
		}
	})
	p.wants(false, slow.URL)
	const queued = 40
	for range queued {
		p.tell(nil)
	}
	p.mira = p.person("Jonas")
	p.wants(false, quick.URL)
	p.later(time.Second) // the longest due come first
	p.tell(nil)
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := p.Webhooks(t.Context()); err != nil {
			t.Error(err)
		}
	})
	p.eventually("the quick receiver has its copy", func() bool { return len(quick.got()) == 1 })
	p.tell(nil) // it comes while the slow one is still being waited for
	p.eventually("the quick receiver has its next copy", func() bool { return len(quick.got()) == 2 })
	close(release)
	sending.Wait()
	for _, c := range p.copies() { // on a slow machine the first may have run out of its time, and is tried again later
		if c.Status != db.CopySent && c.Attempts == 0 {
			t.Errorf("a copy was not tried: %+v", c)
		}
	}
}

func TestNothingIsSentTwiceByTwoProcesses(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	p.wants(false, r.URL)
	const notices = 60
	for range notices {
		p.tell(nil)
	}
	var processes sync.WaitGroup
	for range 4 {
		other := *p.Deliverer
		processes.Go(func() {
			if err := other.Webhooks(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	processes.Wait()
	seen := map[string]int{}
	for _, c := range r.got() {
		seen[c.header.Get("webhook-id")]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(seen) != notices {
		t.Errorf("%d of %d were sent", len(seen), notices)
	}
}

func TestACopyWhoseProcessDiedIsTakenOverAndItsLateOutcomeLeftOut(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	p.wants(false, r.URL)
	p.tell(nil)
	dead, err := db.ClaimCopies(t.Context(), p.DB, db.WebhookChannel, p.clock(), p.clock().Add(copyClaim), nil, 10)
	check(t, err)
	check(t, p.Webhooks(t.Context()))
	if len(dead) != 1 || len(r.got()) != 0 {
		t.Fatalf("%d claimed, and %d sent while another process had it; want one and none", len(dead), len(r.got()))
	}
	p.later(copyClaim)
	check(t, p.Webhooks(t.Context()))
	dead[0].Status, dead[0].LastError = db.CopyFailed, "too late"
	check(t, db.EndCopy(t.Context(), p.DB, &dead[0].Copy))
	if c := p.only(); c.Status != db.CopySent || c.Attempts != 2 || len(r.got()) != 1 {
		t.Errorf("got %+v after %d calls; want it sent by the second process", c, len(r.got()))
	}
}

func TestWhatIsSwitchedOffIsTakenBack(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	p.wants(true, r.URL)
	p.tell(nil)
	p.wants(true, "")
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Channel != db.EmailChannel || len(r.got()) != 0 {
		t.Errorf("got %+v and %d calls; want the e-mail alone to wait", c, len(r.got()))
	}
}

func TestSomebodyDeactivatedGetsNoCopies(t *testing.T) {
	p := setupPost(t)
	r := newReceiver(t, nil)
	p.wants(false, r.URL)
	p.tell(nil)
	_, err := p.DB.NewUpdate().Table("users").Set("deactivated_at = ?", p.clock()).Where("id = ?", p.mira.ID).
		Exec(t.Context())
	check(t, err)
	check(t, p.Webhooks(t.Context()))
	if c := p.only(); c.Status != db.CopyFailed || len(r.got()) != 0 {
		t.Errorf("got %+v and %d calls", c, len(r.got()))
	}
}

func TestACopyOfADayAgoIsGivenUp(t *testing.T) {
	p := setupPost(t)
	p.wants(true, "")
	p.tell(nil)
	check(t, p.Emails(t.Context())) // there is no mail server: it waits
	check(t, p.Expire(t.Context()))
	if c := p.only(); c.Status != db.CopyQueued || c.Attempts != 0 {
		t.Errorf("got %+v; want it to wait for a process with a mail server", c)
	}
	p.later(24*time.Hour + time.Second)
	check(t, p.Expire(t.Context()))
	if c := p.only(); c.Status != db.CopyFailed || c.LastError != "it could not be sent in time" {
		t.Errorf("got %+v; want it given up", c)
	}
}

func TestASchedulerSendsWhatAnotherProcessAnnounced(t *testing.T) {
	p := setupPost(t)
	sent := make(chan struct{}, 1)
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) { sent <- struct{}{} })
	p.wants(false, r.URL)
	s := &Scheduler{DB: p.DB, Rules: p.rules, Now: p.clock, Log: p.Log, Copies: p.Deliverer}
	s.Init()
	ctx, cancel := context.WithCancel(t.Context())
	connected := make(chan struct{})
	over := make(chan error, 1)
	go func() {
		over <- p.DB.Listen(ctx, p.Log, func() { close(connected) }, func(topic string, _ uuid.UUID) {
			if topic == "delivery" {
				s.WakeCopies(ctx)
			}
		})
	}()
	<-connected
	p.tell(nil)
	select {
	case <-sent:
	case <-time.After(patience):
		t.Error("nothing was sent")
	}
	deadline := time.Now().Add(patience)
	for p.only().Status != db.CopySent && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	check(t, <-over)
}

// A mail server that takes the connection and says nothing must cost those who wait for it alone.
func TestADeadMailServerDelaysNoRun(t *testing.T) {
	p := setupPost(t)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer dead.Close() //nolint:errcheck // the test is over
	taken := make(chan struct{})
	go func() {
		conn, err := dead.Accept()
		if err == nil {
			close(taken)
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	p.Mail = &Mail{
		Server: &url.URL{Scheme: "smtp", Host: dead.Addr().String()},
		From:   netmail.Address{Address: "carillon@example.com"}, timeoutOverride: patience,
	}
	p.wants(true, "")
	p.tell(nil)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- p.Emails(ctx) }()
	<-taken // from here on the sender waits, and would for half a minute

	a := p.automation("Audit")
	_, err = p.rules.Runs().RunNow(t.Context(), p.mira, a, nil)
	check(t, err)
	var list []db.Session
	check(t, p.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, p.clock(), p.clock().Add(time.Minute))
		return err
	}))
	if len(list) != 1 {
		t.Fatalf("%d sessions to finish; want one", len(list))
	}
	quick, done := context.WithTimeout(t.Context(), patience)
	defer done()
	lease := db.Lease{Session: list[0].ID, Worker: list[0].Worker, Fence: list[0].Fence}
	if err := p.rules.Runs().Finish(quick, lease, automation.Outcome{
		Status: db.Failed, Reason: "exit 1", Class: "agent",
	}); err != nil {
		t.Errorf("while the mail server is silent, finishing a run says %v", err)
	}
	if n := len(p.copies()); n != 2 {
		t.Errorf("%d copies; want that of the failed run beside the one under way", n)
	}
	select {
	case err := <-stopped:
		t.Errorf("the sender ended with %v before the run did: the test proves nothing", err)
	default:
	}
	cancel()
	check(t, <-stopped)
	for _, c := range p.copies() {
		if c.Status != db.CopyQueued {
			t.Errorf("after the process stopped, a copy is %+v; want it to wait", c)
		}
	}
}
