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

// Channel is the PostgreSQL channel on which processes notify each other of changes.
const Channel = "carillon"

// Notify notifies all processes, when the transaction commits, of a change in a topic: "session" with its id,
// "automation" with its id, "inbox" with its person's id, and "queue", "schedule", "delivery", "providers" and
// "workers" without an id. "cancel" and "interrupt" with the id of a session are for the session's worker.
func Notify(ctx context.Context, q bun.IDB, topic string, id uuid.UUID) error {
	payload := topic
	if id != uuid.Nil {
		payload += " " + id.String()
	}
	if _, err := q.NewRaw("SELECT pg_notify(?, ?)", Channel, payload).Exec(ctx); err != nil {
		return fmt.Errorf("notify %s: %w", payload, err)
	}
	return nil
}

// NotifyEach is Notify for several ids, in one statement.
func NotifyEach(ctx context.Context, q bun.IDB, topic string, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := q.NewRaw("SELECT pg_notify(?, ? || ' ' || id) FROM unnest(?::uuid[]) AS id", Channel, topic, UUIDs(ids)).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("notify %s of %d: %w", topic, len(ids), err)
	}
	return nil
}

// NotifyLater notifies of a change that has been committed already. It returns at once. Notifications in quick
// succession are sent together, each once. PostgreSQL commits transactions with Notify one after the other, each with
// its own write to the disk, so code that runs often at once uses NotifyLater.
//
// A notification is lost when the process dies just after, or while the database cannot be reached. So each listener
// also polls.
func (d *DB) NotifyLater(topic string, ids ...uuid.UUID) {
	messages := []string{topic}
	if len(ids) > 0 {
		messages = messages[:0]
		for _, id := range ids {
			messages = append(messages, topic+" "+id.String())
		}
	}
	if d.notifications.add(messages) {
		go d.notifyAll()
	}
}

// notifyInterval is how long notifications wait for others after some were sent.
const notifyInterval = 10 * time.Millisecond

// notifyAll sends notifications until none is waiting.
func (d *DB) notifyAll() {
	defer d.notifications.senders.Done()
	for {
		messages := d.notifications.take()
		if len(messages) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		// A notification may be lost, so the commit does not wait for the disk.
		_, _ = d.Pool.Exec(ctx, `WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
			SELECT pg_notify($1, message) FROM quick, unnest($2::text[]) AS message`, pgx.QueryExecModeCacheStatement,
			Channel, messages)
		cancel()
		time.Sleep(notifyInterval)
	}
}

// notifyQueue is the queue of notifications to be sent.
type notifyQueue struct {
	mu      sync.Mutex
	waiting map[string]struct{}
	sending bool // a goroutine sends the waiting ones
	ended   bool
	senders sync.WaitGroup
}

// add queues messages. It reports whether the caller must start a goroutine that sends.
func (a *notifyQueue) add(messages []string) bool {
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

// take empties the queue. After an empty list the caller must stop sending.
func (a *notifyQueue) take() []string {
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

// end refuses further messages and waits until all are sent.
func (a *notifyQueue) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.senders.Wait()
}

// Listen calls heard for every notification until ctx ends. It reconnects after a lost connection. It calls connected
// after each connection, also the first: notifications before it were missed.
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
	// The connection is closed and not returned to the pool, where it would continue to listen.
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
		parsed, _ := uuid.Parse(id) // missing: the topic has no id
		heard(topic, parsed)
	}
}
