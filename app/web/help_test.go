package web

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carillon/app/account"
	promised "carillon/app/check"
	"carillon/views"
	"carillon/views/help"
)

func TestTheHelpListsItsPagesAndEveryPromise(t *testing.T) {
	s := open(t)
	b := s.as("Reader", account.RoleMember)
	b.get("/").expect(t, http.StatusOK, `href="/help"`)
	index := b.get("/help")
	ids := regexp.MustCompile(`\sid="([^"]*)"`)
	for _, topic := range help.Pages() {
		address := views.ManualURL(topic.Name)
		index.expect(t, http.StatusOK, `href="`+address+`"`)
		page := b.get(address)
		page.expect(t, http.StatusOK, `<h1 class="h1">`+topic.Title+`</h1>`)
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(page.body, -1) {
			if seen[m[1]] {
				t.Errorf("%s has the id %s twice", address, m[1])
			}
			seen[m[1]] = true
		}
		for _, part := range topic.Parts {
			if part.Slot != "" && strings.Contains(page.body, `id="`+part.Slot+`"></div>`) {
				t.Errorf("%s shows nothing in its place %s", address, part.Slot)
			}
		}
	}
	b.get("/help/nothing").expect(t, http.StatusNotFound, "")
	page := b.get(views.PromisesURL())
	for _, p := range promised.List() {
		page.expect(t, http.StatusOK, p.Sentence)
		page.expect(t, http.StatusOK, ">"+p.Promise+"<")
	}
	if all := promised.Promises + 1; len(promised.List()) != all { // with that of a worker's folder
		t.Errorf("%d of %d promises are listed", len(promised.List()), all)
	}
}
