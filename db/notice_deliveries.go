package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Copy is a copy of a notice that is sent by one channel.
type Copy struct {
	bun.BaseModel `bun:"table:notice_deliveries,alias:nd"`

	ID             uuid.UUID   `bun:"id,pk,type:uuid"`
	NotificationID uuid.UUID   `bun:"notification_id,type:uuid"`
	Channel        CopyChannel `bun:"channel"`
	Status         CopyStatus  `bun:"status"`
	Attempts       int         `bun:"attempts"` // attempts that were begun
	NextAttemptAt  time.Time   `bun:"next_attempt_at"`
	LastError      string      `bun:"last_error"`
	CreatedAt      time.Time   `bun:"created_at"`
	SentAt         time.Time   `bun:"sent_at,nullzero"`
}

// CopyChannel is the channel by which a copy of a notice is sent.
type CopyChannel string

// The channels.
const (
	EmailChannel   CopyChannel = "email"
	WebhookChannel CopyChannel = "webhook"
)

// CopyStatus is the state of a copy.
type CopyStatus string

// The statuses of a copy.
const (
	CopyQueued CopyStatus = "queued"
	CopySent   CopyStatus = "sent"
	CopyFailed CopyStatus = "failed"
)

// ClaimedCopy is a copy with everything that is needed to send it.
type ClaimedCopy struct {
	Copy `bun:",extend"`

	UserID       uuid.UUID `bun:"user_id"`
	Email        string    `bun:"email"`
	Kind         string    `bun:"kind"`
	Title        string    `bun:"title"`
	Body         string    `bun:"body"`
	Link         string    `bun:"link"` // outside link, such as a pull request
	NoticeAt     time.Time `bun:"told_at"`
	AutomationID uuid.UUID `bun:"automation_id"` // zero: none, or it was deleted
	Automation   string    `bun:"automation"`
	ExecutionID  uuid.UUID `bun:"execution_id"`
	SessionID    uuid.UUID `bun:"session_id"`
	// the person is still active and a member of the automation's workspace, and has not switched the channel off
	Wanted bool   `bun:"wanted"`
	URL    string `bun:"url"`    // of the person's webhook
	Secret []byte `bun:"secret"` // of the person's webhook, sealed
}

// queueCopies writes the copies of notices for people who want copies, and notifies the processes that send them. An
// unconfirmed address gets no copies.
func queueCopies(ctx context.Context, q bun.IDB, written []Notification) error {
	if len(written) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, len(written))
	for i, n := range written {
		ids[i] = n.ID
	}
	res, err := q.NewRaw(`
		INSERT INTO notice_deliveries (id, notification_id, channel, status, attempts, next_attempt_at, created_at)
		SELECT gen_random_uuid(), n.id, c.channel, 'queued', 0, n.created_at, n.created_at
		FROM notifications n
		JOIN notice_preferences p ON p.user_id = n.user_id
		JOIN users u ON u.id = n.user_id
		CROSS JOIN LATERAL (
			VALUES ('email', p.email AND u.email_changed_at IS NULL), ('webhook', p.webhook_url <> '')
		) AS c(channel, wanted)
		WHERE n.id = ANY(?::uuid[]) AND c.wanted AND n.kind <> ALL(p.muted)`, UUIDs(ids)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("queue copies of notices: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return Notify(ctx, q, "delivery", uuid.Nil)
}

// dueCopies bounds how many due copies one claim considers, the longest due first.
const dueCopies = 1000

// ClaimCopies takes up to limit due copies of a channel, the longest due first, at most one for each person and none
// for people in except. A claim ends at the given time: then, if no result was recorded, another process may claim the
// copy. Several processes may claim at once.
func ClaimCopies(
	ctx context.Context, q bun.IDB, channel CopyChannel, now, until time.Time, except []uuid.UUID, limit int,
) ([]ClaimedCopy, error) {
	if limit <= 0 {
		return nil, nil
	}
	var list []ClaimedCopy
	err := q.NewRaw(`
		WITH oldest AS (
			SELECT d.id, d.next_attempt_at, n.user_id FROM notice_deliveries d
				JOIN notifications n ON n.id = d.notification_id
			WHERE d.status = 'queued' AND d.channel = ? AND d.next_attempt_at <= ? AND n.user_id <> ALL(?::uuid[])
				AND `+notSetAside("emails", "d.id")+` AND `+notSetAside("webhooks", "d.id")+`
			ORDER BY d.next_attempt_at, d.id LIMIT ?
		), first AS (
			SELECT DISTINCT ON (user_id) id FROM oldest ORDER BY user_id, next_attempt_at, id
		), due AS (
			SELECT d.id FROM notice_deliveries d WHERE d.id IN (SELECT id FROM first) AND d.status = 'queued'
				AND d.next_attempt_at <= ?
			ORDER BY d.next_attempt_at, d.id LIMIT ? FOR UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE notice_deliveries d SET attempts = d.attempts + 1, next_attempt_at = ? FROM due WHERE d.id = due.id
				RETURNING d.*
		)
		SELECT c.*, n.user_id, u.email, n.kind, n.title, n.body, n.link, n.created_at AS told_at, n.automation_id,
			coalesce(a.name, '') AS automation,
			n.execution_id, n.session_id, coalesce(p.webhook_url, '') AS url, p.webhook_secret AS secret,
			u.deactivated_at IS NULL AND coalesce(CASE c.channel WHEN 'email' THEN p.email
				AND u.email_changed_at IS NULL
				ELSE p.webhook_url <> '' END, false)
				AND (n.workspace_id IS NULL OR EXISTS (SELECT FROM workspace_members m
					WHERE m.workspace_id = n.workspace_id AND m.user_id = n.user_id)
					OR EXISTS (SELECT FROM user_roles ur JOIN roles r ON r.id = ur.role_id
						WHERE ur.user_id = n.user_id AND 'admin' = ANY(r.permissions)))
				AS wanted
		FROM claimed c
		JOIN notifications n ON n.id = c.notification_id
		JOIN users u ON u.id = n.user_id
		LEFT JOIN automations a ON a.id = n.automation_id
		LEFT JOIN notice_preferences p ON p.user_id = n.user_id
		ORDER BY n.id`, channel, now, UUIDs(except), now, now, dueCopies, now, limit, until).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim copies of notices: %w", err)
	}
	return list, nil
}

// EndCopy records the result of a claimed copy: Status, LastError, SentAt and, for a copy that stays queued,
// NextAttemptAt. It writes nothing if another process has claimed the copy since.
func EndCopy(ctx context.Context, q bun.IDB, c *Copy) error {
	_, err := q.NewUpdate().Model(c).Column("status", "last_error", "sent_at", "next_attempt_at").
		Where("nd.id = ?", c.ID).Where("nd.attempts = ?", c.Attempts).Where("nd.status = 'queued'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("record copy %s: %w", c.ID, err)
	}
	return nil
}

// ExpireCopies ends copies as failed that were written before a time and that no process is sending.
func ExpireCopies(ctx context.Context, q bun.IDB, before, now time.Time) error {
	_, err := q.NewUpdate().Model((*Copy)(nil)).Set("status = ?", CopyFailed).
		Set("last_error = CASE last_error WHEN '' THEN 'it could not be sent in time' ELSE last_error END").
		Where("nd.status = 'queued'").Where("nd.created_at < ?", before).Where("nd.next_attempt_at <= ?", now).Exec(ctx)
	if err != nil {
		return fmt.Errorf("expire copies: %w", err)
	}
	return nil
}

// DeleteQueuedCopies deletes a person's copies that have not been sent by a channel.
func DeleteQueuedCopies(ctx context.Context, q bun.IDB, user uuid.UUID, channel CopyChannel) error {
	_, err := q.NewDelete().Model((*Copy)(nil)).Where("nd.status = 'queued'").Where("nd.channel = ?", channel).
		Where("nd.notification_id IN (SELECT id FROM notifications WHERE user_id = ?)", user).Exec(ctx)
	if err != nil {
		return fmt.Errorf("delete queued copies: %w", err)
	}
	return nil
}

// LastCopy finds a person's newest copy by a channel that was tried. It returns nil when there is none.
func LastCopy(ctx context.Context, q bun.IDB, user uuid.UUID, channel CopyChannel) (*Copy, error) {
	var c Copy
	err := q.NewSelect().Model(&c).Join("JOIN notifications AS n ON n.id = nd.notification_id").
		Where("n.user_id = ?", user).
		Where("nd.channel = ?", channel).Where("nd.status <> 'queued' OR nd.last_error <> ''").
		OrderExpr("nd.notification_id DESC").Limit(1).Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find last copy: %w", err)
	}
	return &c, nil
}
