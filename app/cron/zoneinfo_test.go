package cron

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Every zone of the database is one to choose, or a fixed offset, or today the same as one to
// choose: the list leaves no place in the world out.
func TestZonesIsComplete(t *testing.T) {
	t.Parallel()
	files, err := database()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 590 {
		t.Fatalf("the database has %d zones; want some 600", len(files))
	}
	same := make(map[string]bool)
	for _, name := range Zones() {
		same[clockOf(t, name)] = true
	}
	for name := range files {
		if _, ok := slices.BinarySearch(Zones(), name); ok || strings.HasPrefix(name, "Etc/") {
			continue
		}
		if !same[clockOf(t, name)] {
			t.Errorf("%s is not in the list, and nothing there is the same", name)
		}
	}
}

// clockOf is the offsets of a zone through the coming years.
func clockOf(t *testing.T, name string) string {
	zone, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2028; at = at.AddDate(0, 0, 5) {
		b.WriteString(at.In(zone).Format("-0700 "))
	}
	return b.String()
}

func TestSuggestedZonesExist(t *testing.T) {
	t.Parallel()
	for former, name := range formerZones {
		if _, ok := slices.BinarySearch(Zones(), name); !ok {
			t.Errorf("%s leads to %s, which is not to choose", former, name)
		}
		if former != strings.ToLower(former) {
			t.Errorf("%s is compared in lower case", former)
		}
	}
}
