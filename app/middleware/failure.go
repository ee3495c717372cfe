package middleware

import (
	"net/http"

	"carillon/db"
)

// AwaySeconds is after how many seconds what failed while the database is away is worth another try: the value of
// Retry-After.
const AwaySeconds = "5"

// AwayText says that the database is away. What the request was to change may have been changed: the answer alone may
// be lost.
const AwayText = "Carillon cannot reach its database at the moment. Running sessions continue. Try again in some " +
	"seconds. Check first whether your change was already made."

// Failure is the status and the sentence's end with which programs are answered what failed on our side: 503 with
// Retry-After while the database is away, else 500.
func Failure(w http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	if db.IsUnavailable(err) {
		w.Header().Set("Retry-After", AwaySeconds)
		return http.StatusServiceUnavailable, "the database is away; try again in some seconds"
	}
	return http.StatusInternalServerError, "something went wrong on our side; it was noted as " + RequestID(r)
}
