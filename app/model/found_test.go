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

func TestFoundDisabledForAnOwnerWhoIsGone(t *testing.T) {
	t.Parallel()
	replay(t, sequence{Ops: []Op{
		{Do: Create, Who: 2, B: 1},
		{Do: Leave, Who: 2},
		{Do: Wait, N: 3},
	}})
}
