package db

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// PeopleIDs are the ids of people, each once, in the form of a uuid[].
type PeopleIDs []uuid.UUID

// With is the list with more people behind it, each once and nobody for a zero id.
func (p PeopleIDs) With(more ...uuid.UUID) PeopleIDs {
	list := slices.Clone(p)
	for _, id := range more {
		if id != uuid.Nil && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// String is the list as PostgreSQL writes it.
func (p PeopleIDs) String() string {
	texts := make([]string, len(p))
	for i, id := range p {
		texts[i] = id.String()
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// Value is the list for the database.
func (p PeopleIDs) Value() (driver.Value, error) { return p.String(), nil }

// Scan reads a uuid[].
func (p *PeopleIDs) Scan(src any) error {
	*p = nil
	var text string
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("read people: unexpected %T", src)
	}
	for one := range strings.SplitSeq(strings.Trim(text, "{}"), ",") {
		if one == "" {
			continue
		}
		id, err := uuid.Parse(one)
		if err != nil {
			return fmt.Errorf("read people: %w", err)
		}
		*p = append(*p, id)
	}
	return nil
}

// Speaker is somebody on whose words a session acts.
type Speaker struct {
	User `bun:",extend"`

	Member bool `bun:"member,scanonly"` // of the session's workspace
}

// Speakers finds people with their permissions, and whether they are members of a workspace.
func Speakers(ctx context.Context, q bun.IDB, workspace uuid.UUID, people PeopleIDs) ([]Speaker, error) {
	var list []Speaker
	err := selectUsers(q, &list).
		ColumnExpr("EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = ? AND m.user_id = u.id) AS member", workspace).
		Where("u.id = ANY(?::uuid[])", UUIDs(people)).OrderExpr("lower(u.name), u.id").Scan(ctx)
	return list, wrapped(err, "find whose words a session acts on")
}

// Authors lists who wrote the messages of a session up to the one that is at work or, where none is, all of them; and who wrote
// the one at work, zero where nobody did or none is.
func Authors(ctx context.Context, q bun.IDB, session uuid.UUID) (all PeopleIDs, now uuid.UUID, err error) {
	var rows []struct {
		AuthorID uuid.UUID `bun:"author_id,type:uuid"`
		Now      bool      `bun:"now"`
	}
	err = q.NewRaw(`SELECT author_id, bool_or(status = 'running') AS now FROM turns WHERE session_id = ?0 AND author_id IS NOT NULL
		AND position <= coalesce((SELECT min(position) FROM turns WHERE session_id = ?0 AND status = 'running'), 2147483647)
		GROUP BY author_id ORDER BY min(position)`, session).Scan(ctx, &rows)
	for _, r := range rows {
		all = all.With(r.AuthorID)
		if r.Now {
			now = r.AuthorID
		}
	}
	return all, now, wrapped(err, "find who wrote to session "+session.String())
}

// CreatorOf is who owns an automation; zero where there is none.
func CreatorOf(ctx context.Context, q bun.IDB, automation uuid.UUID) (uuid.UUID, error) {
	var creator uuid.UUID
	err := q.NewRaw("SELECT creator_id FROM automations WHERE id = ?", automation).Scan(ctx, &creator)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	return creator, wrapped(err, "find the owner of automation "+automation.String())
}

// LockAutomating lists the automations whose sessions may manage automations and that use a bot or a workflow, by the column
// bot_id or workflow_id, and keeps others from changing them until the transaction ends.
func LockAutomating(ctx context.Context, tx bun.Tx, column string, id uuid.UUID) ([]Automation, error) {
	var list []Automation
	err := tx.NewSelect().Model(&list).Column(usedBy...).Where("a.may_automate").Where("a.? = ?", bun.Ident(column), id).OrderExpr("a.id").For("NO KEY UPDATE").Scan(ctx)
	return list, wrapped(err, "lock automations whose sessions manage automations")
}

// StopAutomating takes from the sessions of automations that they may manage automations.
func StopAutomating(ctx context.Context, q bun.IDB, automations []uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("may_automate = false").Set("version = a.version + 1").Set("updated_at = ?", now).
		Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	return wrapped(err, "stop sessions from managing automations")
}

// UsersByID finds people with their permissions, by their ids.
func UsersByID(ctx context.Context, q bun.IDB, ids PeopleIDs) (map[uuid.UUID]*User, error) {
	var list []User
	if err := selectUsers(q, &list).Where("u.id = ANY(?::uuid[])", UUIDs(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	byID := make(map[uuid.UUID]*User, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	return byID, nil
}
