package db

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// Channel is the one channel on which processes tell each other, through the database, what has changed.
const Channel = "carillon"

// Notify tells all processes, once the transaction commits, that something of a topic changed: "session" with
// its id, "automation" with its id, "inbox" with its person's id, "queue", "schedule",
// "delivery", "providers" and "workers" with none; and to the worker of a session with its id: "cancel", "interrupt".
func Notify(ctx context.Context, q bun.IDB, topic string, id uuid.UUID) error {
	payload := topic
	if id != uuid.Nil {
		payload += " " + id.String()
	}
	if _, err := q.NewRaw("SELECT pg_notify(?, ?)", Channel, payload).Exec(ctx); err != nil {
		return fmt.Errorf("announce %s: %w", payload, err)
	}
	return nil
}

// NotifyEach announces a topic with each of some ids, as Notify does with one, in one statement.
func NotifyEach(ctx context.Context, q bun.IDB, topic string, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := q.NewRaw("SELECT pg_notify(?, ? || ' ' || id) FROM unnest(?::uuid[]) AS id", Channel, topic, UUIDs(ids)).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("announce %s of %d: %w", topic, len(ids), err)
	}
	return nil
}

// NotifyLater announces what has been committed, beside Notify, which is part of a transaction. PostgreSQL commits the
// transactions that announce something one after the other, each with a write to the disk of its own; so where many run
// at once, they leave it to this. It returns at once, and what comes in quick succession goes out together, each
// message once.
//
// What is announced in the moment before a process dies, or while the database is away, is lost: whoever hears
// announcements looks by themselves now and then, too.
func (d *DB) NotifyLater(topic string, ids ...uuid.UUID) {
	messages := []string{topic}
	if len(ids) > 0 {
		messages = messages[:0]
		for _, id := range ids {
			messages = append(messages, topic+" "+id.String())
		}
	}
	if d.later.add(messages) {
		go d.notifyAll()
	}
}

// notifyInterval is how long announcements wait for others when some went out just before.
const notifyInterval = 10 * time.Millisecond

// notifyAll sends announcements until none is waiting.
func (d *DB) notifyAll() {
	defer d.later.senders.Done()
	for {
		messages := d.later.take()
		if len(messages) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		// Nothing is lost with an announcement that is lost, so nobody waits for the disk.
		_, _ = d.Pool.Exec(ctx, `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
			SELECT pg_notify($1, message) FROM quick, unnest($2::text[]) AS message`, pgx.QueryExecModeCacheStatement,
			Channel, messages)
		cancel()
		time.Sleep(notifyInterval)
	}
}

// pending are those that wait to be sent.
type pending struct {
	mu      sync.Mutex
	waiting map[string]struct{}
	sending bool // somebody takes what is waiting
	ended   bool
	senders sync.WaitGroup
}

// add reports whether the caller must see to it that somebody sends.
func (a *pending) add(messages []string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return false
	}
	if a.waiting == nil {
		a.waiting = map[string]struct{}{}
	}
	for _, m := range messages {
		a.waiting[m] = struct{}{}
	}
	if a.sending {
		return false
	}
	a.sending = true
	a.senders.Add(1)
	return true
}

// take empties what is waiting. With nothing, the caller is no longer the one who sends.
func (a *pending) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]string, 0, len(a.waiting))
	for m := range a.waiting {
		list = append(list, m)
	}
	clear(a.waiting)
	a.sending = len(list) > 0
	return list
}

// end waits until all is sent, and lets nothing more in.
func (a *pending) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.senders.Wait()
}

// Listen calls heard for every announcement until ctx is over. After each connection, the first too, it calls
// connected: what was announced in between has been missed. A lost connection is made again.
func (d *DB) Listen(
	ctx context.Context, log *slog.Logger, connected func(), heard func(topic string, id uuid.UUID),
) error {
	pause := 100 * time.Millisecond
	for {
		begun := time.Now()
		err := d.listen(ctx, connected, heard)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > time.Minute {
			pause = 100 * time.Millisecond
		}
		log.Warn("listen to the database", "err", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func (d *DB) listen(ctx context.Context, connected func(), heard func(string, uuid.UUID)) error {
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// The connection is closed rather than given back: in the pool it would go on listening.
	raw := conn.Hijack()
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = raw.Close(done)
	}()
	if _, err := raw.Exec(ctx, "LISTEN "+Channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	connected()
	for {
		n, err := raw.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		topic, id, _ := strings.Cut(n.Payload, " ")
		parsed, _ := uuid.Parse(id) // absent: the topic has none
		heard(topic, parsed)
	}
}
