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

	"carillon/app/aside"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/db"
)

// Deliverer sends copies of notices to people, by e-mail and to their webhooks. Any number of processes may run one on
// the same database. A copy is a row that is written in the transaction of its notice, so no request waits for a
// delivery. The fields of a Deliverer are set once, in main.
type Deliverer struct {
	DB    *db.DB
	Rules *automation.Service // sets aside copies that cannot be processed
	Mail  *Mail               // nil: this process has no mail server and sends no e-mail
	HTTP  *http.Client        // for webhooks; it must refuse addresses that people may not reach through this server
	// Key opens the sealed secret of a person's webhook.
	Key       func(user uuid.UUID, sealed []byte) ([]byte, error)
	PublicURL *url.URL // base of links
	Now       func() time.Time
	Log       *slog.Logger

	timeout time.Duration // of one attempt to reach a webhook; 0: HookTimeout
}

// retryPauses are the pauses of a copy after its failed attempts. After the last attempt the copy fails for good.
var retryPauses = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour}

// HookTimeout bounds one attempt to reach a webhook.
const HookTimeout = 10 * time.Second

const (
	// sendTimeout bounds one attempt by e-mail.
	sendTimeout = 30 * time.Second
	// copyClaim is how long a claimed copy belongs to one process. It is far longer than an attempt: a second process
	// sends a copy only when the first one died, perhaps before it recorded that the copy was sent.
	copyClaim = 5 * time.Minute
	// maxRecipients bounds the people to whom copies are sent at the same time.
	maxRecipients = 32
	// giveUpAfter bounds the age of a copy. An older copy is not sent any more, whatever delayed it.
	giveUpAfter = 24 * time.Hour
	// maxAnswer bounds the bytes that are read of a webhook's answer. The answer is read so that the connection ends in
	// order.
	maxAnswer = 16 << 10
)

// Emails sends the copies by e-mail that are due.
func (d *Deliverer) Emails(ctx context.Context) error {
	if d.Mail == nil {
		return nil
	}
	return d.deliver(ctx, db.EmailChannel, d.email)
}

// Webhooks sends the copies to webhooks that are due.
func (d *Deliverer) Webhooks(ctx context.Context) error {
	return d.deliver(ctx, db.WebhookChannel, d.webhook)
}

// channelTasks are the tasks by which the channels' copies are set aside.
var channelTasks = map[db.CopyChannel]db.Task{db.EmailChannel: db.TaskEmails, db.WebhookChannel: db.TaskWebhooks}

// Expire ends copies as failed that are older than a day.
func (d *Deliverer) Expire(ctx context.Context) error {
	now := d.Now()
	return db.ExpireCopies(ctx, d.DB, now.Add(-giveUpAfter), now)
}

// deliver sends the copies of a channel until no more is due. Each person gets one copy at a time, so that a slow
// receiver delays nobody else's copies. No transaction is open while a copy is sent.
func (d *Deliverer) deliver(ctx context.Context, channel db.CopyChannel,
	send func(context.Context, *db.ClaimedCopy) error) error {
	sending := sending{people: map[uuid.UUID]bool{}, freed: make(chan struct{}, 1)}
	for {
		people := sending.recipients()
		now := d.Now()
		list, err := db.ClaimCopies(ctx, d.DB, channel, now, now.Add(copyClaim), people, maxRecipients-len(people))
		if err != nil || ctx.Err() != nil || len(list) == 0 && len(people) == 0 {
			if ctx.Err() != nil { // the process stops, which is not the database's fault
				err = nil
			}
			sending.group.Wait()
			return errors.Join(err, sending.err)
		}
		if len(list) > 0 {
			crash.Here(crash.CopyClaimed)
		}
		round := d.Rules.Round(channelTasks[channel])
		for i := range list {
			c := &list[i]
			row := aside.Row{Key: c.ID.String(), About: "the " + string(channel) + " copy of a notice"}
			sending.begin(c.UserID, func() error {
				// A sent copy must be recorded even while this process stops, as long as its claim lasts.
				recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyClaim)
				defer cancel()
				return round.Deal(recording, row, func(recording context.Context) error {
					return d.attempt(ctx, recording, c, send)
				})
			})
		}
		select {
		case <-sending.freed:
		case <-time.After(pollCopiesEvery): // copies for other people may be due by now
		case <-ctx.Done():
		}
	}
}

// pollCopiesEvery is how often new copies are claimed while others are being sent.
const pollCopiesEvery = time.Second

// sending is the set of people to whom copies are being sent.
type sending struct {
	mu     sync.Mutex
	people map[uuid.UUID]bool
	err    error
	group  sync.WaitGroup
	freed  chan struct{} // a copy was sent
}

func (a *sending) recipients() []uuid.UUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.people))
}

// begin sends a copy to a person in the background.
func (a *sending) begin(person uuid.UUID, send func() error) {
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

// permanentError is an error of a copy for which another attempt is useless.
type permanentError struct{ reason string }

func (g *permanentError) Error() string { return g.reason }

// attempt sends one copy until ctx ends, and records the result until recording ends.
func (d *Deliverer) attempt(ctx, recording context.Context, c *db.ClaimedCopy,
	send func(context.Context, *db.ClaimedCopy) error) error {
	err := error(&permanentError{"it is not wanted any more"})
	if c.Wanted {
		err = send(ctx, c)
		crash.Here(crash.CopySent)
	}
	if err != nil && ctx.Err() != nil {
		// this process stops: the copy itself has not failed and is sent again soon
		c.Status, c.NextAttemptAt = db.CopyQueued, d.Now().Add(retryPauses[0])
		return db.EndCopy(recording, d.DB, &c.Copy)
	}
	var final *permanentError
	switch {
	case err == nil:
		c.Status, c.SentAt, c.LastError = db.CopySent, d.Now(), ""
	case errors.As(err, &final), c.Attempts > len(retryPauses):
		c.Status, c.LastError = db.CopyFailed, oneLine(err.Error(), 300)
		d.Log.Warn("give up a copy of a notice", "channel", c.Channel, "delivery", c.ID, "user", c.UserID, "attempts",
			c.Attempts, "err", c.LastError)
	default:
		c.Status, c.LastError, c.NextAttemptAt = db.CopyQueued, oneLine(err.Error(), 300),
			d.Now().Add(retryPauses[c.Attempts-1])
		d.Log.Info("send a copy of a notice again later", "channel", c.Channel, "delivery", c.ID, "attempts",
			c.Attempts, "at", c.NextAttemptAt, "err", c.LastError)
	}
	if err := db.EndCopy(recording, d.DB, &c.Copy); err != nil {
		return err
	}
	crash.Here(crash.CopyEnded)
	return nil
}

// email sends a copy to the person's e-mail address.
func (d *Deliverer) email(ctx context.Context, c *db.ClaimedCopy) error {
	ctx, cancel := context.WithTimeout(ctx, d.Mail.timeout())
	defer cancel()
	return d.Mail.send(ctx, mailMessage{
		to: c.Email, subject: c.Title, text: d.text(c), id: c.ID.String(), date: d.Now(),
	})
}

// text is the text of the e-mail for a notice.
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

// link is the address of the page of a record.
func (d *Deliverer) link(folder string, id uuid.UUID) string {
	return d.PublicURL.JoinPath(folder, id.String()).String()
}

// webhookBody is the body of a request to a person's webhook.
type webhookBody struct {
	Type       string    `json:"type"` // the notice's kind
	Title      string    `json:"title"`
	Body       string    `json:"body"`
	Automation string    `json:"automation"` // its name; empty: the notice has no automation
	URL        string    `json:"url"`        // page of the automation, or else of the notice
	CreatedAt  time.Time `json:"created_at"`
}

// webhook posts a copy to the person's webhook, signed as the specification "Standard Webhooks" says.
func (d *Deliverer) webhook(ctx context.Context, c *db.ClaimedCopy) error {
	key, err := d.Key(c.UserID, c.Secret)
	if err != nil {
		return errors.New("the secret of the webhook cannot be opened; renew it in your profile")
	}
	m := webhookBody{
		Type: c.Kind, Title: c.Title, Body: c.Body, Automation: c.Automation, URL: d.link("inbox", c.NotificationID),
		CreatedAt: c.NoticeAt.UTC(),
	}
	if c.AutomationID != uuid.Nil {
		m.URL = d.link("automations", c.AutomationID)
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.timeout, HookTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return &permanentError{"the address of the webhook is none any more"}
	}
	id, stamp := "msg_"+c.ID.String(), strconv.FormatInt(d.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Carillon")
	req.Header.Set("Webhook-Id", id) // the same for each attempt, so that a receiver can drop duplicates
	req.Header.Set("Webhook-Attempt", strconv.Itoa(c.Attempts))
	req.Header.Set("Webhook-Timestamp", stamp)
	req.Header.Set("Webhook-Signature", signature(key, id, stamp, body))
	res, err := d.HTTP.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // without the address, which may contain a secret
			err = cmp.Or(wrapped.Err, err)
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the webhook did not answer within %s", HookTimeout)
		}
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing was written
	// the status counts even if the answer breaks off
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode >= 200 && res.StatusCode <= 299:
		return nil
	case res.StatusCode == http.StatusGone: // by Standard Webhooks: send nothing more
		return &permanentError{"the webhook answered 410 Gone"}
	case res.StatusCode >= 300 && res.StatusCode <= 399:
		return fmt.Errorf("the webhook answered %d; redirects are not followed", res.StatusCode)
	}
	return fmt.Errorf("the webhook answered %d", res.StatusCode)
}

// signature is the signature of Standard Webhooks: the HMAC of a message's id, time and body.
func signature(key []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// oneLine is a text of at most so many bytes, without line breaks and other control characters.
func oneLine(text string, most int) string { return strings.TrimSpace(db.Printable(text, most)) }
