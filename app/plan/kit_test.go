package plan

import (
	"testing"

	"carillon/app/apptest"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var (
	check   = apptest.Check
	wantErr = apptest.WantErr
)

// kit is the kit of all rules, with the operations of plans as its own.
type kit struct {
	*apptest.Kit
	*Service
	DB *db.DB // that of both
}

func setup(t *testing.T) *kit {
	t.Helper()
	k := apptest.New(t)
	return &kit{Kit: k, DB: k.DB, Service: &Service{
		DB: k.DB, Keys: k.Rules.Keys, Automations: k.Rules, Workflows: k.Workflows, Bots: k.Bots,
	}}
}
