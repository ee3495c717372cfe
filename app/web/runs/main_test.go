package runs_test

import (
	"testing"

	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
