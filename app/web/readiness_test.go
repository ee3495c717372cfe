package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"carillon/app/secret"
	"carillon/app/web/page"
	"carillon/db/dbtest"
)

func TestReadinessAsksTheDatabaseOnceForManyWhoAsk(t *testing.T) {
	t.Parallel()
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Site: page.Site{
		DB: dbtest.New(t), Keys: keys, PublicURL: &url.URL{}, Log: slog.New(slog.DiscardHandler),
	}}
	s.Init()
	// On a slow machine an answer may be older than a second before it is looked at.
	for deadline := time.Now().Add(10 * time.Minute); ; {
		s.ready(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/readyz", nil))
		kept, err := s.migrated.Get(func() (bool, error) { return false, nil })
		if err != nil {
			t.Fatal(err)
		}
		if kept {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the answer is not kept")
		}
		time.Sleep(time.Second)
	}
}
