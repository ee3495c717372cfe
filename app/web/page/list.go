package page

import (
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"carillon/app/cron"
	"carillon/views"
)

// Rows is how many rows a list shows at once.
const Rows = 50

// More is the address of this list with some parameters changed.
func More(r *http.Request, pairs ...string) string {
	q := r.URL.Query()
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return r.URL.Path + "?" + q.Encode()
}

// RefererPath is the page of ours that a request came from.
func RefererPath(r *http.Request, otherwise string) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host {
		return otherwise
	}
	return Local(u.RequestURI(), otherwise)
}

// DayStart is when a date begins in a person's zone; of nonsense it is none.
func DayStart(text string, z *time.Location) time.Time {
	start, _, _ := cron.Day(text, z) // zero with an error
	return start
}

// DayEnd is when a date is over in a person's zone; of nonsense it is none.
func DayEnd(text string, z *time.Location) time.Time {
	_, end, _ := cron.Day(text, z) // zero with an error
	return end
}

// Pager cuts a list that was asked for with one row too many, and finds the addresses of its neighbours: of the page
// that begins after the last row, and of the one that ends before the first. The keys are those of the query; the
// addresses are without what is named last.
func Pager[T any](r *http.Request, list *[]T, after, before uuid.UUID, limit int, idOf func(T) string, beforeKey,
	afterKey string, without ...string) views.Pager {
	var p views.Pager
	over := len(*list) == limit
	switch {
	case over && before != uuid.Nil:
		*list = (*list)[1:] // the one too many is the farthest from where the reader came
	case over:
		*list = (*list)[:limit-1]
	}
	if len(*list) == 0 {
		return p
	}
	address := func(key string, row T) string {
		q := r.URL.Query()
		for _, name := range append(without, beforeKey, afterKey) {
			q.Del(name)
		}
		q.Set(key, idOf(row))
		return r.URL.Path + "?" + q.Encode()
	}
	if after != uuid.Nil || before != uuid.Nil && over {
		p.Newer = address(beforeKey, (*list)[0])
	}
	if over || before != uuid.Nil {
		p.Older = address(afterKey, (*list)[len(*list)-1])
	}
	return p
}
