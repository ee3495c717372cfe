package db

import (
	"bytes"
	"errors"

	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// postgres is bun's dialect of PostgreSQL with another way to write JSON. The dialect of bun 1.3.0 takes the text
// \u0000 within a string for the escape of a NUL and doubles its backslash. It turns the text that JSON writes as
// \\u0000 into a NUL, which PostgreSQL refuses.
type postgres struct{ *pgdialect.Dialect }

// AppendJSON appends JSON as a literal of SQL, unchanged. It refuses a NUL byte, which is not valid in JSON and would
// end the statement.
func (postgres) AppendJSON(b, text []byte) []byte {
	if bytes.IndexByte(text, 0) >= 0 {
		return dialect.AppendError(b, errNUL)
	}
	b = append(b, '\'')
	b = append(b, bytes.ReplaceAll(text, []byte("'"), []byte("''"))...)
	return append(b, '\'')
}

// sharedDialect is the dialect of all databases of the process. It caches the models, which are the same for each
// database and expensive to analyze.
var sharedDialect = postgres{pgdialect.New()}

var errNUL = errors.New("a NUL byte in JSON")
