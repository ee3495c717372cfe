package automation_test

import (
	"errors"
	"testing"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

// offered is an automation of Jonas's that a person is asked to take over by another.
func (k *kit) offered(by, to account.Actor) *db.Automation {
	k.T.Helper()
	a := k.Make(nil)
	offered, err := k.Transfers().Transfer(k.T.Context(), by, a.ID, to.ID)
	check(k.T, err)
	if !offered || k.Reload(a).CreatorID != k.Jonas.ID {
		k.T.Fatalf("%s gives it to %s without asking", by.Name, to.Name)
	}
	return a
}

func TestWhoMayDoMoreIsAskedBeforeAnAutomationIsTheirs(t *testing.T) {
	k := setup(t)
	manager, lee := k.Person("Max", account.RoleManager), k.Person("Lee", account.RoleMember)
	a := k.offered(k.Jonas, manager)
	k.ExpectInbox(manager, inbox.Transferred)
	for _, other := range []account.Actor{k.Jonas, k.Mira} {
		wantErr(t, k.Transfers().Accept(t.Context(), other, a.ID, a.Version), fault.ErrNotFound)
		wantErr(t, k.Transfers().Decline(t.Context(), other, a.ID), fault.ErrNotFound)
	}
	wantErr(t, k.Transfers().Accept(t.Context(), manager, a.ID, a.Version+1), fault.ErrStale)
	check(t, k.Transfers().Accept(t.Context(), manager, a.ID, a.Version))
	if got := k.Reload(a); got.CreatorID != manager.ID || got.Version != a.Version+1 {
		t.Errorf("after the consent it is %s's, version %d", got.CreatorID, got.Version)
	}
	wantErr(t, k.Transfers().Accept(t.Context(), manager, a.ID, a.Version+1), fault.ErrNotFound)
	k.ExpectInbox(k.Jonas, inbox.Transferred)

	b := k.offered(manager, k.Mira) // who manages everyone's asks an administrator too
	check(t, k.Transfers().Decline(t.Context(), k.Mira, b.ID))
	if got := k.Reload(b); got.CreatorID != k.Jonas.ID {
		t.Error("it changed hands all the same")
	}
	k.ExpectInbox(manager, inbox.Transferred, inbox.Transferred)
	wantErr(t, k.Transfers().Withdraw(t.Context(), k.Jonas, b.ID), fault.ErrNotFound)

	c := k.offered(k.Jonas, manager)
	wantErr(t, k.Transfers().Withdraw(t.Context(), lee, c.ID), fault.ErrNotFound)
	check(t, k.Transfers().Withdraw(t.Context(), k.Jonas, c.ID))
	wantErr(t, k.Transfers().Accept(t.Context(), manager, c.ID, c.Version), fault.ErrNotFound)

	// Who manages everyone's takes it over themselves without a question.
	if offered, err := k.Transfers().Transfer(t.Context(), manager, c.ID, manager.ID); err != nil || offered {
		t.Errorf("taking it over is offered %v (%v)", offered, err)
	}
}

func TestAnOfferIsWorthWhatItsMakerMayDoNow(t *testing.T) {
	k := setup(t)
	manager, lee := k.Person("Max", account.RoleManager), k.Person("Lee", account.RoleMember)
	a := k.offered(k.Jonas, manager)
	offered, err := k.Transfers().Transfer(t.Context(), k.Mira, a.ID, lee.ID) // it has another owner meanwhile
	check(t, err)
	if offered {
		t.Fatal("an administrator has to ask a member")
	}
	wantErr(t, k.Transfers().Accept(t.Context(), manager, a.ID, a.Version+1), fault.ErrNotFound)

	b := k.offered(k.Jonas, manager)
	k.Deactivate(k.Jonas)
	var invalid fault.Invalid
	if err := k.Transfers().Accept(t.Context(), manager, b.ID, b.Version); !errors.As(err, &invalid) ||
		k.Reload(b).CreatorID != k.Jonas.ID {
		t.Errorf("an offer of somebody who has left is accepted: %v", err)
	}
	bearer := manager
	bearer.Token = db.NewID()
	wantErr(t, k.Transfers().Accept(t.Context(), bearer, b.ID, b.Version), fault.ErrNotFound)
}
