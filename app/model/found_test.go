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
