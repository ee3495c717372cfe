package cron

import (
	"archive/zip"
	_ "embed" // the zone database and the list of zones
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// The zone database is the one of the Go release in go.mod, in the public domain. Package time
// would ask the machine's own files first, and then servers that share a schedule would differ in
// it; here every server has the same rules.
//
//go:generate sh -c "cp \"$(go env GOROOT)/lib/time/zoneinfo.zip\" zoneinfo.zip"
//go:embed zoneinfo.zip
var zoneinfo string

// zoneList is the zones of the database's zone.tab, one or more for each country, and UTC.
//
//go:embed zones.txt
var zoneList string

// loaded keeps each zone that was asked for: reading one takes a hundred times as long as a run of
// Next, and a scheduler asks for the same few.
var loaded sync.Map // name to *time.Location

var database = sync.OnceValues(func() (map[string]*zip.File, error) {
	archive, err := zip.NewReader(strings.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		return nil, fmt.Errorf("read the zone database: %w", err)
	}
	files := make(map[string]*zip.File)
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, "/") && f.Name != "Factory" {
			files[f.Name] = f
		}
	}
	return files, nil
})

// ErrZone is the error of a name that the zone database does not have.
var ErrZone = errors.New("unknown time zone")

// Zone is the time zone of an IANA name, old names such as US/Pacific included. The database is
// part of the program, so the answer does not depend on the machine. The error of a name that is
// not known is ErrZone, with a sentence that offers the nearest one that is.
func Zone(name string) (*time.Location, error) {
	if zone, ok := loaded.Load(name); ok {
		return zone.(*time.Location), nil
	}
	files, err := database()
	if err != nil {
		return nil, err
	}
	file, ok := files[name]
	if !ok {
		return nil, unknownZone(name, files)
	}
	content, err := file.Open()
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	defer content.Close()
	data, err := io.ReadAll(content)
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("read time zone %s: %w", name, err)
	}
	kept, _ := loaded.LoadOrStore(name, zone)
	return kept.(*time.Location), nil
}

// ZoneOrUTC is a time zone by its name; UTC where that is no zone, or none any more.
func ZoneOrUTC(name string) *time.Location {
	zone, err := Zone(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// Zones lists the names to choose from, sorted: those of every country, and UTC. Zone knows more,
// old names and fixed offsets, each the same as one of these or named Etc/.
func Zones() []string { return strings.Fields(zoneList) }

func unknownZone(name string, files map[string]*zip.File) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: choose a time zone, such as Europe/Berlin", ErrZone)
	case name == "Local":
		return fmt.Errorf("%w: Local differs from server to server; choose one such as Europe/Berlin", ErrZone)
	}
	if near := nearestZone(name, files); near != "" {
		return fmt.Errorf("%w %s: did you mean %s?", ErrZone, quote(name), near)
	}
	return fmt.Errorf("%w %s: write an area and a city, such as Europe/Berlin", ErrZone, quote(name))
}

// formerZones are names that people still write and no rule below leads to: abolished ones and
// abbreviations that stand for one zone in most mouths.
var formerZones = map[string]string{
	"us/pacific-new": "America/Los_Angeles",

	"asia/riyadh87":            "Asia/Riyadh",
	"asia/riyadh88":            "Asia/Riyadh",
	"asia/riyadh89":            "Asia/Riyadh",
	"mideast/riyadh87":         "Asia/Riyadh",
	"mideast/riyadh88":         "Asia/Riyadh",
	"mideast/riyadh89":         "Asia/Riyadh",
	"canada/east-saskatchewan": "America/Regina",
	"asia/beijing":             "Asia/Shanghai",
	"asia/mumbai":              "Asia/Kolkata",
	"asia/delhi":               "Asia/Kolkata",
	"pst":                      "America/Los_Angeles",
	"pdt":                      "America/Los_Angeles",
	"mdt":                      "America/Denver",
	"cst":                      "America/Chicago",
	"cdt":                      "America/Chicago",
	"edt":                      "America/New_York",
	"bst":                      "Europe/London",
	"cest":                     "Europe/Berlin",
	"eest":                     "Europe/Athens",
	"msk":                      "Europe/Moscow",
	"ist":                      "Asia/Kolkata",
	"jst":                      "Asia/Tokyo",
	"kst":                      "Asia/Seoul",
	"aest":                     "Australia/Sydney",
	"aedt":                     "Australia/Sydney",
	"nzst":                     "Pacific/Auckland",
	"nzdt":                     "Pacific/Auckland",
	"z":                        "UTC",
}

// nearestZone guesses which zone was meant: another spelling, a city alone, a typing mistake.
func nearestZone(name string, files map[string]*zip.File) string {
	const longest = 50 // the longest name has 32 characters
	if len(name) > longest {
		return ""
	}
	want := strings.ToLower(strings.Join(strings.Fields(name), "_"))
	if former, ok := formerZones[want]; ok {
		return former
	}
	if offset, ok := fixedOffset(want); ok {
		if _, ok := files[offset]; ok {
			return offset
		}
	}
	names := Zones()
	for old := range files {
		if _, listed := slices.BinarySearch(names, old); !listed {
			names = append(names, old)
		}
	}
	slices.Sort(names[len(Zones()):]) // the usual names first, so that they win a tie
	for _, n := range names {
		if strings.ToLower(n) == want {
			return n
		}
	}
	for _, n := range names {
		if lower := strings.ToLower(n); lower[strings.LastIndex(lower, "/")+1:] == want {
			return n
		}
	}
	best, distance := "", max(1, min(3, len(want)/4))+1
	for _, n := range names {
		lower := strings.ToLower(n)
		d := min(edits(want, lower), edits(want, lower[strings.LastIndex(lower, "/")+1:]))
		if d < distance {
			best, distance = n, d
		}
	}
	return best
}

// fixedOffset is the IANA name of utc+2 and the like, whose sign is the other way round.
func fixedOffset(lower string) (string, bool) {
	rest, ok := strings.CutPrefix(lower, "utc")
	if !ok {
		if rest, ok = strings.CutPrefix(lower, "gmt"); !ok {
			return "", false
		}
	}
	if len(rest) < 2 {
		return "", false
	}
	hours := strings.TrimLeft(strings.TrimSuffix(rest[1:], ":00"), "0")
	if !digits(hours) {
		return "", false
	}
	switch rest[0] {
	case '+':
		return "Etc/GMT-" + hours, true
	case '-':
		return "Etc/GMT+" + hours, true
	}
	return "", false
}

// edits is the number of letters to change, add or take away to come from a to b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
