package api

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/jsontext"
)

// ListQuery asks for a page of a list.
type ListQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25" doc:"How many items a page has at most."`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next_cursor of the page before. Without it the list begins."`
}

// PageOf is a page of a list of items.
type PageOf[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"There are more: pass it as cursor. Absent on the last page."`
}

// paginate makes a page of a list that was asked for with one row too many. The next page begins after what key says of
// the last row.
func paginate[R, T any](rows []R, limit int, item func(*R) T, key func(*R) []string) PageOf[T] {
	p := PageOf[T]{Items: []T{}}
	if len(rows) > limit {
		rows = rows[:limit]
		p.NextCursor = cursor(key(&rows[limit-1])...)
	}
	for i := range rows {
		p.Items = append(p.Items, item(&rows[i]))
	}
	return p
}

// cursor packs where a page ended. What is in it is nobody's business but ours.
func cursor(key ...string) string {
	text, _ := json.Marshal(key) // of texts: it cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

var errCursor = fault.Invalid{"cursor": "This is no cursor of this list. Pass next_cursor of the page before."}

// after unpacks a cursor of n parts. Without a cursor it returns nil.
func (q ListQuery) after(n int) ([]string, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return nil, errCursor
	}
	var key []string
	if json.Unmarshal(text, &key) != nil || len(key) != n || jsontext.HoldsNUL(string(text)) {
		return nil, errCursor
	}
	for _, part := range key {
		if jsontext.HoldsNUL(part) {
			return nil, errCursor
		}
	}
	return key, nil
}

// afterID is the id in a cursor of lists that go by it; zero without a cursor.
func (q ListQuery) afterID() (uuid.UUID, error) {
	key, err := q.after(1)
	if err != nil || key == nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(key[0])
	if err != nil {
		return uuid.Nil, errCursor
	}
	return id, nil
}

// afterName is the name and the id in a cursor of lists that go by name.
func (q ListQuery) afterName() (name string, id uuid.UUID, err error) {
	key, err := q.after(2)
	if err != nil || key == nil {
		return "", uuid.Nil, err
	}
	if id, err = uuid.Parse(key[1]); err != nil {
		return "", uuid.Nil, errCursor
	}
	return key[0], id, nil
}

// OneByID names a thing in a path.
type OneByID struct {
	ID string `path:"id" format:"uuid"`
}

// id is the id in the path. It was checked before.
func (o OneByID) id() uuid.UUID { return form.OptionalID(o.ID) }

// Named is a thing that something else refers to.
type Named struct {
	ID   string `json:"id" format:"uuid"`
	Name string `json:"name"`
}

// moment is a time for JSON: absent for none, else in UTC.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
