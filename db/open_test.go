package db_test

import (
	"testing"
	"time"

	"carillon/db"
	"carillon/db/dbtest"
)

func TestATransactionWhoseClientIsSilentIsEndedByTheServer(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	var after int64
	if err := d.NewRaw("SELECT setting::bigint FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'").
		Scan(t.Context(), &after); err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(after) * time.Millisecond; got != db.LeaseFor {
		t.Errorf("it is ended after %s; want %s", got, db.LeaseFor)
	}
	tx, err := d.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var process int
	if err := tx.NewRaw(`SELECT pg_backend_pid() FROM (SELECT set_config('idle_in_transaction_session_timeout', '1',
		false)) s`).Scan(t.Context(), &process); err != nil {
		t.Fatal(err)
	}
	for begun, there := time.Now(), 1; there > 0; time.Sleep(10 * time.Millisecond) {
		if err := d.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE pid = ?", process).
			Scan(t.Context(), &there); err != nil {
			t.Fatal(err)
		}
		if time.Since(begun) > 10*time.Minute {
			t.Fatal("the server does not end it")
		}
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT 1"); !db.IsUnavailable(err) {
		t.Errorf("who goes on in it gets %v; want something that passes", err)
	}
	_ = tx.Rollback()
}
