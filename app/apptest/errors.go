package apptest

import (
	"errors"
	"testing"

	"carillon/app/fault"
)

// Check ends a test at an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantErr expects an error.
func WantErr(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v; want %v", got, want)
	}
}

// WantInvalid expects a mistake in one field, and returns its sentence.
func WantInvalid(t testing.TB, err error, field string) string {
	t.Helper()
	var bad fault.Invalid
	if !errors.As(err, &bad) || bad[field] == "" {
		t.Fatalf("got error %v; want something about the field %s", err, field)
	}
	return bad[field]
}
