package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/db"
)

// Deliverer sends copies of notices to people: by e-mail, and to their webhooks. Any number of processes may do so on
// one database. Nothing waits for it: a copy is a row, written with its notice. Its fields are set once, in main.
type Deliverer struct {
	DB    *db.DB
	Rules *automation.Service // sets aside what cannot be dealt with
	Mail  *Mail               // nil: there is no mail server, and copies by e-mail are left to processes that have one
	HTTP  *http.Client        // for webhooks: it must refuse what people may not reach through this server
	// Key opens the sealed secret of a person's webhook.
	Key       func(user uuid.UUID, sealed []byte) ([]byte, error)
	PublicURL *url.URL // base of links
	Now       func() time.Time
	Log       *slog.Logger

	patience time.Duration // bounds one attempt to reach a webhook; 0 is HookTimeout
}

// pauses are how long a copy waits after each attempt that failed. After the last attempt it is given up.
var pauses = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour}

// HookTimeout bounds one attempt to reach a webhook.
const HookTimeout = 10 * time.Second

const (
	// sendTimeout bounds one attempt by e-mail.
	sendTimeout = 30 * time.Second
	// claimFor is how long a copy is one process's. It is far longer than an attempt, so that a copy is tried by two
	// processes only when the first one died, and then perhaps before it could record what became of it.
	claimFor = 5 * time.Minute
	// atOnce is to how many people copies are sent at the same time.
	atOnce = 32
	// giveUpAfter bounds the age of a copy, whatever kept it from being tried: older than this it is no news.
	giveUpAfter = 24 * time.Hour
	// maxAnswer is how many bytes of a webhook's answer are read, so that its connection ends in order.
	maxAnswer = 16 << 10
)

// Emails sends what is to go by e-mail now.
func (d *Deliverer) Emails(ctx context.Context) error {
	if d.Mail == nil {
		return nil
	}
	return d.deliver(ctx, db.EmailChannel, d.email)
}

// Webhooks sends what is to go to webhooks now.
func (d *Deliverer) Webhooks(ctx context.Context) error {
	return d.deliver(ctx, db.WebhookChannel, d.webhook)
}

// tasks are the loops of the channels.
var tasks = map[db.CopyChannel]db.Task{db.EmailChannel: db.TaskEmails, db.WebhookChannel: db.TaskWebhooks}

// Expire gives up copies that are too old to be news.
func (d *Deliverer) Expire(ctx context.Context) error {
	now := d.Now()
	return db.ExpireCopies(ctx, d.DB, now.Add(-giveUpAfter), now)
}

// deliver sends the copies of a channel until no more is due, of each person one at a time: whoever's receiver is slow
// delays nobody else's copies. No transaction is open meanwhile.
func (d *Deliverer) deliver(ctx context.Context, channel db.CopyChannel,
	send func(context.Context, *db.ClaimedCopy) error) error {
	at := atWork{people: map[uuid.UUID]bool{}, freed: make(chan struct{}, 1)}
	for {
		people := at.now()
		now := d.Now()
		list, err := db.ClaimCopies(ctx, d.DB, channel, now, now.Add(claimFor), people, atOnce-len(people))
		if err != nil || ctx.Err() != nil || len(list) == 0 && len(people) == 0 {
			if ctx.Err() != nil { // the process stops, which is no trouble of the database
				err = nil
			}
			at.group.Wait()
			return errors.Join(err, at.err)
		}
		if len(list) > 0 {
			crash.Here(crash.CopyClaimed)
		}
		round := d.Rules.Round(tasks[channel])
		for i := range list {
			c := &list[i]
			row := automation.Row{Key: c.ID.String(), About: "the " + string(channel) + " copy of a notice"}
			at.begin(c.UserID, func() error {
				// What was sent must be recorded even when this process is told to stop just now, as long as the copy
				// is its own.
				recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimFor)
				defer cancel()
				return round.Deal(recording, row, func(recording context.Context) error {
					return d.attempt(ctx, recording, c, send)
				})
			})
		}
		select {
		case <-at.freed:
		case <-time.After(lookEvery): // copies of others may have come meanwhile
		case <-ctx.Done():
		}
	}
}

// lookEvery is how often new copies are looked for while others are being sent.
const lookEvery = time.Second

// atWork is who is being sent a copy.
type atWork struct {
	mu     sync.Mutex
	people map[uuid.UUID]bool
	err    error
	group  sync.WaitGroup
	freed  chan struct{} // somebody's is sent
}

func (a *atWork) now() []uuid.UUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.people))
}

// begin sends a copy to a person in the background.
func (a *atWork) begin(person uuid.UUID, send func() error) {
	a.mu.Lock()
	a.people[person] = true
	a.mu.Unlock()
	a.group.Go(func() {
		err := send()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.err = errors.Join(a.err, err)
		delete(a.people, person)
		select {
		case a.freed <- struct{}{}:
		default:
		}
	})
}

// gone says that there is no use in trying again.
type gone struct{ reason string }

func (g *gone) Error() string { return g.reason }

// attempt sends one copy, until ctx is over, and records what became of it, until recording is.
func (d *Deliverer) attempt(ctx, recording context.Context, c *db.ClaimedCopy,
	send func(context.Context, *db.ClaimedCopy) error) error {
	err := error(&gone{"it is not wanted any more"})
	if c.Wanted {
		err = send(ctx, c)
		crash.Here(crash.CopySent)
	}
	if err != nil && ctx.Err() != nil {
		// this process stops: that says nothing about the copy, which is tried again soon
		c.Status, c.NextAttemptAt = db.CopyQueued, d.Now().Add(pauses[0])
		return db.EndCopy(recording, d.DB, &c.Copy)
	}
	var final *gone
	switch {
	case err == nil:
		c.Status, c.SentAt, c.LastError = db.CopySent, d.Now(), ""
	case errors.As(err, &final), c.Attempts > len(pauses):
		c.Status, c.LastError = db.CopyFailed, oneLine(err.Error(), 300)
		d.Log.Warn("give up a copy of a notice", "channel", c.Channel, "delivery", c.ID, "user", c.UserID, "attempts",
			c.Attempts, "err", c.LastError)
	default:
		c.Status, c.LastError, c.NextAttemptAt = db.CopyQueued, oneLine(err.Error(), 300),
			d.Now().Add(pauses[c.Attempts-1])
		d.Log.Info("send a copy of a notice again later", "channel", c.Channel, "delivery", c.ID, "attempts",
			c.Attempts, "at", c.NextAttemptAt, "err", c.LastError)
	}
	if err := db.EndCopy(recording, d.DB, &c.Copy); err != nil {
		return err
	}
	crash.Here(crash.CopyEnded)
	return nil
}

// email sends a copy to the person's address.
func (d *Deliverer) email(ctx context.Context, c *db.ClaimedCopy) error {
	ctx, cancel := context.WithTimeout(ctx, d.Mail.timeout())
	defer cancel()
	return d.Mail.send(ctx, letter{to: c.Email, subject: c.Title, text: d.text(c), id: c.ID.String(), date: d.Now()})
}

// text is a notice as an e-mail.
func (d *Deliverer) text(c *db.ClaimedCopy) string {
	var b strings.Builder
	b.WriteString(oneLine(c.Title, 500) + "\n\n")
	if c.Body != "" {
		b.WriteString(c.Body + "\n\n")
	}
	line := func(label, address string) {
		if address != "" {
			b.WriteString(label + ": " + address + "\n")
		}
	}
	if c.AutomationID != uuid.Nil {
		line(oneLine(c.Automation, 200), d.link("automations", c.AutomationID))
	}
	if c.ExecutionID != uuid.Nil {
		line("What happened", d.link("executions", c.ExecutionID))
	}
	if c.SessionID != uuid.Nil {
		line("Session", d.link("sessions", c.SessionID))
	}
	line("Pull request", c.Link)
	line("In your inbox", d.link("inbox", c.NotificationID))
	b.WriteString("\nYou get this because your profile asks for copies by e-mail: " + d.PublicURL.JoinPath("settings",
		"profile").String() + "\n")
	return b.String()
}

// link is the page of a thing.
func (d *Deliverer) link(folder string, id uuid.UUID) string {
	return d.PublicURL.JoinPath(folder, id.String()).String()
}

// message is what is posted to a webhook.
type message struct {
	Type       string    `json:"type"` // the notice's kind
	Title      string    `json:"title"`
	Body       string    `json:"body"`
	Automation string    `json:"automation"` // its name; empty: about none
	URL        string    `json:"url"`        // page of the automation, else of the notice
	CreatedAt  time.Time `json:"created_at"`
}

// webhook posts a copy to the person's webhook, signed by Standard Webhooks.
func (d *Deliverer) webhook(ctx context.Context, c *db.ClaimedCopy) error {
	key, err := d.Key(c.UserID, c.Secret)
	if err != nil {
		return errors.New("the secret of the webhook cannot be opened; renew it in your profile")
	}
	m := message{
		Type: c.Kind, Title: c.Title, Body: c.Body, Automation: c.Automation, URL: d.link("inbox", c.NotificationID),
		CreatedAt: c.ToldAt.UTC(),
	}
	if c.AutomationID != uuid.Nil {
		m.URL = d.link("automations", c.AutomationID)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.patience, HookTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return &gone{"the address of the webhook is none any more"}
	}
	id, stamp := "msg_"+c.ID.String(), strconv.FormatInt(d.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Carillon")
	req.Header.Set("Webhook-Id", id) // the same for each attempt, so that a receiver can leave out what it has
	req.Header.Set("Webhook-Attempt", strconv.Itoa(c.Attempts))
	req.Header.Set("Webhook-Timestamp", stamp)
	req.Header.Set("Webhook-Signature", signature(key, id, stamp, body))
	res, err := d.HTTP.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // without the address, which may hold a secret
			err = cmp.Or(wrapped.Err, err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the webhook did not answer within %s", HookTimeout)
		}
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing was written
	// an answer that breaks off has its status all the same
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode >= 200 && res.StatusCode <= 299:
		return nil
	case res.StatusCode == http.StatusGone: // by Standard Webhooks: do not come back
		return &gone{"the webhook answered 410 Gone"}
	case res.StatusCode >= 300 && res.StatusCode <= 399:
		return fmt.Errorf("the webhook answered %d; redirects are not followed", res.StatusCode)
	}
	return fmt.Errorf("the webhook answered %d", res.StatusCode)
}

// signature signs a message by Standard Webhooks: the HMAC of its id, time and body.
func signature(key []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// oneLine is a text without line breaks and other control characters, at most so many bytes.
func oneLine(text string, most int) string { return strings.TrimSpace(db.Printable(text, most)) }
