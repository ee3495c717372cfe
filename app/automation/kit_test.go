package automation_test

import (
	"testing"

	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	check       = apptest.Check
	wantErr     = apptest.WantErr
	wantInvalid = apptest.WantInvalid
	begun       = apptest.Begun
	lease       = apptest.Lease
	loop        = apptest.Loop
	recurring   = apptest.Recurring
	success     = apptest.Success
	failure     = apptest.Failure
)

// kit is the kit of all rules, with the operations of automations as its own.
type kit struct {
	*apptest.Kit
	*automation.Service
	DB *db.DB // that of both
}

func setup(t *testing.T) *kit {
	t.Helper()
	k := apptest.New(t)
	return &kit{Kit: k, Service: k.Rules, DB: k.DB}
}
