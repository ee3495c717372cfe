package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carillon/app/account"
	promised "carillon/app/check"
	"carillon/app/web/webtest"
	"carillon/views"
	"carillon/views/help"
)

func TestTheHelpListsItsPagesAndEveryPromise(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Reader", account.RoleMember)
	b.Get("/").Expect(t, http.StatusOK, `href="/help"`)
	index := b.Get("/help")
	ids := regexp.MustCompile(`\sid="([^"]*)"`)
	for _, topic := range help.Pages() {
		address := views.ManualURL(topic.Name)
		index.Expect(t, http.StatusOK, `href="`+address+`"`)
		page := b.Get(address)
		page.Expect(t, http.StatusOK, `<h1 class="h1">`+topic.Title+`</h1>`)
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(page.Text, -1) {
			if seen[m[1]] {
				t.Errorf("%s has the id %s twice", address, m[1])
			}
			seen[m[1]] = true
		}
		for _, part := range topic.Parts {
			if part.Slot != "" && strings.Contains(page.Text, `id="`+part.Slot+`"></div>`) {
				t.Errorf("%s shows nothing in its place %s", address, part.Slot)
			}
		}
	}
	b.Get("/help/nothing").Expect(t, http.StatusNotFound, "")
	page := b.Get(views.PromisesURL())
	for _, p := range promised.List() {
		page.Expect(t, http.StatusOK, p.Sentence)
		page.Expect(t, http.StatusOK, ">"+p.Promise+"<")
	}
	if all := promised.Promises + 1; len(promised.List()) != all { // with that of a worker's folder
		t.Errorf("%d of %d promises are listed", len(promised.List()), all)
	}
}
