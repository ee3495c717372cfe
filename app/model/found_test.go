package model

import "testing"

// What random sequences found, as they were printed, each with a name.

func TestFoundDeletedAtWork(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, B: 8},
		{Do: Take},
		{Do: Delete},
		{Do: End},
	}})
}

func TestFoundReplyAfterADeletion(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, B: 3},
		{Do: Take},
		{Do: Delete},
		{Do: Reply},
		{Do: Die},
		{Do: Take},
		{Do: End},
	}})
}

func TestFoundDisabledForAnOwnerWhoIsGone(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, Who: 2, B: 1},
		{Do: Leave, Who: 2},
		{Do: Wait, N: 3},
	}})
}

func TestFoundStreakThatGoesOnAcrossAnEdit(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, B: 2, N: 3},
		{Do: Wait, N: 3},
		{Do: Edit, B: 2, N: 1},
		{Do: Wait, N: 3},
	}})
}

func TestFoundDatabaseAwayWhileAnAutomationIsMade(t *testing.T) {
	t.Parallel()
	s := open(t)
	for n := range 14 {
		q := sequence{Ops: []Op{
			{Do: Blip, N: n},
			{Do: Create},
			{Do: Blip, N: n},
			{Do: Edit},
		}}
		if _, err := s.play(t.Context(), q); err != nil {
			t.Fatal(err, q.source())
		}
	}
}

func TestFoundTransferFromWhoHasLeftTheWorkspace(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, Who: 2},
		{Do: Member, Who: 2},
		{Do: Transfer},
	}})
}

func TestFoundDatabaseAwayAtTheEndOfACall(t *testing.T) {
	t.Parallel()
	s := open(t)
	for n := range 20 {
		if _, err := s.play(t.Context(), sequence{Ops: []Op{
			{Do: Create, B: 4},
			{Do: Blip, N: n},
			{Do: Call, N: 54},
		}}); err != nil {
			t.Fatal(n, err)
		}
	}
}

func TestFoundCanceledAfterItsWorkerWasLost(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create},
		{Do: RunNow},
		{Do: Take},
		{Do: Die},
		{Do: Cancel},
		{Do: Reply},
		{Do: Take},
		{Do: Die, N: 61},
	}})
}

func TestFoundDatabaseAwayWhileATokenIsIssued(t *testing.T) {
	t.Parallel()
	s := open(t)
	for n := range 20 {
		if _, err := s.play(t.Context(), sequence{Ops: []Op{
			{Do: Create, B: 14},
			{Do: Blip, N: n},
			{Do: Switch},
			{Do: Regenerate},
			{Do: Call},
		}}); err != nil {
			t.Fatal(n, err)
		}
	}
}
