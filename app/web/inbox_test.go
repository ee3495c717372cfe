package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

var (
	buttonForm = regexp.MustCompile(
		`(?s)<form[^>]* method="post" action="([^"]+)"[^>]*>\s*<button([^>]*)>(.*?)</button>`)
	buttonSays = regexp.MustCompile(` (name|value)="([^"]*)"`)
	anyTag     = regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)
)

// press presses the button of a page that is a form of its own.
func press(b *webtest.Browser, page, label string) {
	b.T.Helper()
	for _, found := range buttonForm.FindAllStringSubmatch(b.Get(page).Text, -1) {
		if strings.TrimSpace(anyTag.ReplaceAllString(found[3], "")) != label {
			continue
		}
		said := map[string]string{}
		for _, a := range buttonSays.FindAllStringSubmatch(found[2], -1) {
			said[a[1]] = a[2]
		}
		b.Post(found[1], said["name"], said["value"]).Expect(b.T, http.StatusSeeOther, "")
		return
	}
	b.T.Fatalf("%s has no button %q", page, label)
}

func TestANoticeIsStarredUnstarredAndMarkedUnreadByItsButtons(t *testing.T) {
	s := webtest.Open(t)
	ada := s.As("Ada", account.RoleMember)
	id := uuid.New()
	_, err := s.Server.DB.NewRaw(
		`INSERT INTO notifications (id, user_id, kind, title, dedup_key, created_at) VALUES (?, ?, 'message', 'Look', 'a', now())`,
		id, ada.Actor.ID).Exec(t.Context())
	webtest.Check(t, err)
	page := "/inbox/" + id.String()
	for _, tt := range []struct {
		button        string
		starred, read bool
	}{{"Star", true, true}, {"Unstar", false, true}, {"Mark unread", false, false}} {
		press(ada, page, tt.button)
		var n db.Notification
		webtest.Check(t, s.Server.DB.NewSelect().Model(&n).Where("id = ?", id).Scan(t.Context()))
		if n.StarredAt.IsZero() == tt.starred || n.ReadAt.IsZero() == tt.read {
			t.Errorf("after %s it was starred at %s and read at %s; want starred: %t, read: %t", tt.button,
				n.StarredAt.Format(time.RFC3339), n.ReadAt.Format(time.RFC3339), tt.starred, tt.read)
		}
	}
}
