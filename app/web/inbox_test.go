package web

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
)

var (
	buttonForm = regexp.MustCompile(
		`(?s)<form[^>]* method="post" action="([^"]+)"[^>]*>\s*<button([^>]*)>(.*?)</button>`)
	buttonSays = regexp.MustCompile(` (name|value)="([^"]*)"`)
	anyTag     = regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)
)

// press presses the button of a page that is a form of its own.
func (b *browser) press(page, label string) {
	b.t.Helper()
	for _, found := range buttonForm.FindAllStringSubmatch(b.get(page).body, -1) {
		if strings.TrimSpace(anyTag.ReplaceAllString(found[3], "")) != label {
			continue
		}
		said := map[string]string{}
		for _, a := range buttonSays.FindAllStringSubmatch(found[2], -1) {
			said[a[1]] = a[2]
		}
		b.post(found[1], said["name"], said["value"]).expect(b.t, http.StatusSeeOther, "")
		return
	}
	b.t.Fatalf("%s has no button %q", page, label)
}

func TestANoticeIsStarredUnstarredAndMarkedUnreadByItsButtons(t *testing.T) {
	s := open(t)
	ada := s.as("Ada", account.RoleMember)
	id := uuid.New()
	_, err := s.server.DB.NewRaw(
		`INSERT INTO notifications (id, user_id, kind, title, dedup_key, created_at) VALUES (?, ?, 'message', 'Look', 'a', now())`,
		id, ada.actor.ID).Exec(t.Context())
	check(t, err)
	page := "/inbox/" + id.String()
	for _, tt := range []struct {
		button        string
		starred, read bool
	}{{"Star", true, true}, {"Unstar", false, true}, {"Mark unread", false, false}} {
		ada.press(page, tt.button)
		var n db.Notification
		check(t, s.server.DB.NewSelect().Model(&n).Where("id = ?", id).Scan(t.Context()))
		if n.StarredAt.IsZero() == tt.starred || n.ReadAt.IsZero() == tt.read {
			t.Errorf("after %s it was starred at %s and read at %s; want starred: %t, read: %t", tt.button,
				n.StarredAt.Format(time.RFC3339), n.ReadAt.Format(time.RFC3339), tt.starred, tt.read)
		}
	}
}
