package cron_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/cron"
)

func TestZoneRefusesWithTheNearestName(t *testing.T) {
	t.Parallel()
	const write = ": write an area and a city, such as Europe/Berlin"
	for name, want := range map[string]string{
		"": "unknown time zone: choose a time zone, such as Europe/Berlin",
		"Local": "unknown time zone: Local differs from server to server; choose one such as " +
			"Europe/Berlin",
		"US/Pacific-New":               "unknown time zone US/Pacific-New: did you mean America/Los_Angeles?",
		"Berlin":                       "unknown time zone Berlin: did you mean Europe/Berlin?",
		"europe/berlin":                "unknown time zone europe/berlin: did you mean Europe/Berlin?",
		" Europe/Berlin":               "unknown time zone  Europe/Berlin: did you mean Europe/Berlin?",
		"Europe/Berln":                 "unknown time zone Europe/Berln: did you mean Europe/Berlin?",
		"America/New York":             "unknown time zone America/New York: did you mean America/New_York?",
		"Asia/Beijing":                 "unknown time zone Asia/Beijing: did you mean Asia/Shanghai?",
		"PST":                          "unknown time zone PST: did you mean America/Los_Angeles?",
		"UTC+2":                        "unknown time zone UTC+2: did you mean Etc/GMT-2?",
		"GMT-05:00":                    "unknown time zone GMT-05:00: did you mean Etc/GMT+5?",
		"Factory":                      "unknown time zone Factory" + write,
		"posixrules":                   "unknown time zone posixrules" + write,
		"right/Europe/Berlin":          "unknown time zone right/Europe/Berlin" + write,
		"../../../etc/localtime":       "unknown time zone ../../../etc/localtime" + write,
		"/usr/share/zoneinfo/UTC":      "unknown time zone /usr/share/zoneinfo/UTC" + write,
		"Europe":                       "unknown time zone Europe" + write,
		"Europe/":                      "unknown time zone Europe/" + write,
		"Foo/Bar":                      "unknown time zone Foo/Bar" + write,
		"\x00":                         `unknown time zone "\x00"` + write,
		strings.Repeat("Europe/", 1e5): "unknown time zone Europe/Europe/Europe/Europe/Eu…" + write,
	} {
		zone, err := cron.Zone(name)
		if zone != nil || !errors.Is(err, cron.ErrZone) || err.Error() != want {
			t.Errorf("%.40q: got %v, %v; want %s", name, zone, err, want)
		}
	}
}

func TestZoneIsReadOnce(t *testing.T) {
	t.Parallel()
	first := zoneOf(t, "Europe/Berlin")
	if again := zoneOf(t, "Europe/Berlin"); again != first {
		t.Error("got two zones; want the same twice")
	}
	if got := zoneOf(t, "Asia/Kathmandu").String(); got != "Asia/Kathmandu" {
		t.Errorf("got a zone named %s", got)
	}
}

// The rules come from the program, whatever the machine has.
func TestZoneHasTheRulesOfTheRelease(t *testing.T) {
	t.Parallel()
	// Paraguay keeps summer time since October 2024, which older databases do not know.
	at := time.Date(2026, time.July, 1, 12, 0, 0, 0, time.UTC).In(zoneOf(t, "America/Asuncion"))
	if _, offset := at.Zone(); offset != -3*3600 {
		t.Errorf("Asunción is %d seconds from UTC in July 2026; want -10800", offset)
	}
}

func TestZonesIsSortedAndEachLoads(t *testing.T) {
	t.Parallel()
	names := cron.Zones()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Error("the zones are not sorted, or one is there twice")
	}
	for _, name := range names {
		zoneOf(t, name)
	}
	for _, name := range []string{"UTC", "Europe/Berlin", "Europe/Oslo", "America/New_York", "Asia/Kolkata",
		"America/Coyhaique", "Pacific/Kanton"} {
		if _, ok := slices.BinarySearch(names, name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
}
