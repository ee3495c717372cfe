package web

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	promised "carillon/app/check"
	"carillon/views"
)

func TestTheHelpListsItsPagesAndEveryPromise(t *testing.T) {
	s := open(t)
	b := s.as("Reader", account.RoleMember)
	b.get("/").expect(t, http.StatusOK, `href="/help"`)
	index := b.get("/help")
	for _, topic := range views.HelpTopics() {
		index.expect(t, http.StatusOK, `href="`+topic.URL+`"`)
		b.get(topic.URL).expect(t, http.StatusOK, strings.ReplaceAll(topic.Title, "'", "&#39;"))
	}
	page := b.get(views.PromisesURL())
	for _, p := range promised.List() {
		page.expect(t, http.StatusOK, p.Sentence)
		page.expect(t, http.StatusOK, ">"+p.Promise+"<")
	}
	if all := promised.Promises + 1; len(promised.List()) != all { // with that of a worker's folder
		t.Errorf("%d of %d promises are listed", len(promised.List()), all)
	}
}
