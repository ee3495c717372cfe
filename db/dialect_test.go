package db_test

import (
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"carillon/db/dbtest"
)

func TestJSONIsStoredAsItIs(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	type document struct {
		bun.BaseModel `bun:"table:documents"`

		ID   int               `bun:"id,pk"`
		Body map[string]string `bun:"body,type:jsonb"`
	}
	_, err := d.NewRaw("CREATE TABLE documents (id int PRIMARY KEY, body jsonb NOT NULL)").Exec(t.Context())
	check(t, err)
	for i, text := range []string{
		`\u0000`, `/[\u0000-\u001f]/`, `\\u0000`, `\`, `\'`, `'); DROP TABLE documents; --`, `"`, `?`, "\n\t",
		`<a href='x'>&amp;</a>`, "\u2028ü😀", `C:\users\u0000`,
	} {
		_, err := d.NewInsert().Model(&document{ID: i, Body: map[string]string{text: text}}).Exec(t.Context())
		if err != nil {
			t.Errorf("storing %q: %v", text, err)
			continue
		}
		var got document
		check(t, d.NewSelect().Model(&got).Where("id = ?", i).Scan(t.Context()))
		if got.Body[text] != text || len(got.Body) != 1 {
			t.Errorf("%q came back as %q", text, got.Body)
		}
	}
	_, err = d.NewInsert().Model(&document{ID: 1000, Body: map[string]string{"a": "\x00"}}).Exec(t.Context())
	if err == nil || !strings.Contains(err.Error(), "22P05") {
		t.Errorf("storing a NUL gave %v; want the refusal of PostgreSQL", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
