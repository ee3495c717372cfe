package automation_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/db"
)

func TestAServiceInATransactionHasAllThatTheServiceHas(t *testing.T) {
	k := setup(t)
	k.Providers.Changed = func(context.Context) error { return nil }
	k.Workspaces.LocalRepositories = []string{"/srv"}
	k.Workspaces.Sandboxed = func(context.Context) bool { return true }
	k.Workspaces.Conceals = func(string) string { return "" }
	bound := k.In(bun.Tx{})
	of := reflect.TypeFor[automation.Service]()
	for i := range of.NumField() {
		if f := of.Field(i); f.IsExported() && reflect.ValueOf(bound).Elem().Field(i).IsZero() {
			t.Errorf("%s is not there in a transaction", f.Name)
		}
	}
}

func TestAnOperationThatFailsInATransactionLeavesTheOthers(t *testing.T) {
	k := setup(t)
	check(t, k.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		within := k.In(tx)
		a, _, err := within.Definitions().Create(ctx, k.Jonas, k.Input())
		check(t, err)
		wrong := k.Input()
		wrong.Name = ""
		_, _, err = within.Definitions().Create(ctx, k.Jonas, wrong)
		wantInvalid(t, err, "name")
		in := k.Input()
		in.Name, in.Version = "Renamed", a.Version
		_, _, err = within.Definitions().Update(ctx, k.Jonas, a.ID, in)
		return err
	}))
	list, err := k.Definitions().List(t.Context(), k.Jonas, db.AutomationFilter{Limit: 10})
	if err != nil || len(list) != 1 || list[0].Name != "Renamed" {
		t.Errorf("there are %+v, %v; want the one that was made and renamed", list, err)
	}
}

func TestNothingStaysOfATransactionThatFailsAsAWhole(t *testing.T) {
	k := setup(t)
	stop := errors.New("stop")
	err := db.InTx(t.Context(), k.DB, func(ctx context.Context, tx bun.Tx) error {
		_, _, err := k.In(tx).Definitions().Create(ctx, k.Jonas, k.Input())
		check(t, err)
		return stop
	})
	wantErr(t, err, stop)
	list, err := k.Definitions().List(t.Context(), k.Jonas, db.AutomationFilter{Limit: 10})
	if err != nil || len(list) != 0 {
		t.Errorf("there are %+v, %v; want none", list, err)
	}
}
