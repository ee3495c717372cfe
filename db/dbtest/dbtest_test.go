package dbtest_test

import (
	"testing"

	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestEachTestHasAMigratedDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := dbtest.New(t), dbtest.New(t)
	for _, d := range []*db.DB{one, two} {
		if done, err := db.Migrated(t.Context(), d); err != nil || !done {
			t.Fatalf("migrated %v, %v; want true", done, err)
		}
	}
	if _, err := one.ExecContext(t.Context(), "CREATE TABLE mine (a int)"); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := two.NewRaw("SELECT to_regclass('mine') IS NOT NULL").Scan(t.Context(), &there); err != nil || there {
		t.Errorf("the other test's table is there: %v, %v", there, err)
	}
}
