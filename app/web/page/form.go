package page

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxForm is the most bytes of a form. It is far above what any field may hold, so that a text that is too long comes
// back to its form with a sentence about it, and is not lost.
const MaxForm = 16 << 20

// MaxStrangersForm is the same of a browser that has no cookie of a sign-in: a form takes several times its size in
// memory, and anybody may send one.
const MaxStrangersForm = 2 << 20

var errForm = errors.New("something in it is not text")

// Checked reads forms within a bound and refuses what no text column can hold.
func (s *Site) Checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0) {
			s.Refuse(w, r, http.StatusNotFound, "Not found", "There is nothing here, or you may not see it.")
			return
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") {
			// No form of ours is one, and what would be read of it later has not been looked at here.
			s.Refuse(w, r, http.StatusUnsupportedMediaType, "Not available here",
				"This address takes no forms of this kind.")
			return
		}
		most := int64(MaxForm)
		if _, err := s.LoginID(r); err != nil {
			most = MaxStrangersForm
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		if err := r.ParseForm(); err != nil {
			s.Fail(w, r, fmt.Errorf("%w (%w)", errForm, err))
			return
		}
		for name, values := range r.Form {
			for _, v := range append(values, name) {
				if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
					s.Fail(w, r, errForm)
					return
				}
			}
		}
		lines(r.Form)
		lines(r.PostForm)
		next.ServeHTTP(w, r)
	})
}

// lines writes the ends of lines as they are stored: browsers send each as two characters, whatever it was when the
// form was made.
func lines(values url.Values) {
	for _, list := range values {
		for i, v := range list {
			list[i] = strings.ReplaceAll(v, "\r\n", "\n")
		}
	}
}
