package db

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// UUIDs makes ids an argument for = ANY(?) and unnest(?::uuid[]), also for an empty list.
func UUIDs(ids []uuid.UUID) any {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return textArray(texts)
}

// textArray makes texts an argument for text[]. A nil list is an empty array, not NULL.
func textArray(list []string) any {
	if list == nil {
		list = []string{}
	}
	return pgdialect.Array(list)
}

func intArray(list []int64) any { return pgdialect.Array(list) }

// orNull makes a zero id an argument that is NULL.
func orNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}

// containing is a pattern for LIKE that matches values that contain a text.
func containing(text string) string { return "%" + likeEscaper.Replace(text) + "%" }

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Printable makes a text valid for a text column: valid UTF-8, without control characters, at most so many bytes.
func Printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// PeopleIDs are the ids of people, each once, in the form of a uuid[].
type PeopleIDs []uuid.UUID

// With appends people to the list, each once and without zero ids.
func (p PeopleIDs) With(more ...uuid.UUID) PeopleIDs {
	list := slices.Clone(p)
	for _, id := range more {
		if id != uuid.Nil && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return list
}

// String is the list in the text form of PostgreSQL.
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

// ids and times are arrays that pgx encodes without reflection. A zero value is NULL.
type (
	ids   = pgtype.FlatArray[pgtype.UUID]
	times = pgtype.FlatArray[pgtype.Timestamptz]
)

func idValue(id uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: id, Valid: id != uuid.Nil} }

func timeValue(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}

// arrayOrNull is a list in the text form of a text[]; nil is NULL.
func arrayOrNull(list []string) *string {
	if list == nil {
		return nil
	}
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	text := "{" + strings.Join(quoted, ",") + "}"
	return &text
}
