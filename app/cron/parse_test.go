package cron_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"carillon/app/cron"
)

func TestSyntaxErrorsNameFieldValueAndWhatToWriteInstead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, instead string }{
		{"61 * * * *", "minute: 61 is not between 0 and 59", ""},
		{"0 24 * * *", "hour: 24 is not between 0 and 23", ""},
		{"0 0 0 * *", "day of month: 0 is not between 1 and 31", ""},
		{"0 0 * 13 *", "month: 13 is not between 1 and 12", ""},
		{"0 0 * * 8", "day of week: 8 is not between 0 and 7", ""},
		{"0 0 * foo *", "month: foo is not a number between 1 and 12 or a name such as feb", ""},
		{"a * * * *", "minute: a is not a number between 0 and 59", ""},
		{strings.Repeat("9", 80) + " * * * *", "minute: 999999999999999999999999999999… is not between 0 and 59", ""},
		{"0\x00 * * * *", `minute: "0\x00" is not a number between 0 and 59`, ""},
		{"\xff * * * *", `minute: "\xff" is not a number between 0 and 59`, ""},
		{"@daily", "write 0 0 * * * instead of @daily", "0 0 * * *"},
		{" @Hourly ", "write 0 * * * * instead of @Hourly", "0 * * * *"},
		{"@midnight", "write 0 0 * * * instead of @midnight", "0 0 * * *"},
		{"@weekly", "write 0 0 * * 0 instead of @weekly", "0 0 * * 0"},
		{"@monthly", "write 0 0 1 * * instead of @monthly", "0 0 1 * *"},
		{"@yearly", "write 0 0 1 1 * instead of @yearly", "0 0 1 1 *"},
		{"@annually", "write 0 0 1 1 * instead of @annually", "0 0 1 1 *"},
		{"@every 5m", "write */5 * * * * instead of @every 5m", "*/5 * * * *"},
		{"@every 1m", "write * * * * * instead of @every 1m", "* * * * *"},
		{"@every 1h", "write 0 * * * * instead of @every 1h", "0 * * * *"},
		{"@every 6h", "write 0 */6 * * * instead of @every 6h", "0 */6 * * *"},
		{"@every 24h", "write 0 0 * * * instead of @every 24h", "0 0 * * *"},
		{"@every 7m", "@every 7m is a macro; write five fields: minute, hour, day of month, month, day of week", ""},
		{"@every -5m", "@every -5m is a macro; write five fields: minute, hour, day of month, month, day of week", ""},
		{"@reboot", "@reboot names no time; write five fields: minute, hour, day of month, month, day of week", ""},
		{"TZ=UTC 0 0 * * *", "the time zone is a setting of its own; write 0 0 * * * alone", "0 0 * * *"},
		{"CRON_TZ=Asia/Tokyo 0 0 * * *", "the time zone is a setting of its own; write 0 0 * * * alone", "0 0 * * *"},
		{"TZ=UTC", "the time zone is a setting of its own; write five fields alone: minute, hour, day of month, " +
			"month, day of week", ""},
		{"CRON_TZ= @daily", "the time zone is a setting of its own; write 0 0 * * * alone", "0 0 * * *"},
		{"* * * *", "there are 4 fields; write five: minute, hour, day of month, month, day of week", ""},
		{"*", "there is 1 field; write five: minute, hour, day of month, month, day of week", ""},
		{"", "the expression is empty; write five fields: minute, hour, day of month, month, day of week", ""},
		{"0 0 0 * * *", "there are 6 fields; without the seconds write 0 0 * * *", "0 0 * * *"},
		{"0 0 12 ? * MON-FRI *", "there are 7 fields; without the seconds write 0 12 * * MON-FRI", "0 12 * * MON-FRI"},
		{"0 0 12 ? * 2-6",
			"there are 6 fields, one of them may be seconds; write five: minute, hour, day of month, month, " +
				"day of week", ""},
		{"*/10 * * * * *",
			"there are 6 fields, one of them may be seconds; write five: minute, hour, day of month, month, " +
				"day of week", ""},
		{"0 0 12 * * ? 2027",
			"there are 7 fields, one of them may be seconds; write five: minute, hour, day of month, month, " +
				"day of week", ""},
		{"0 0 * * * /usr/bin/backup now", "only the time belongs here; write 0 0 * * * alone", "0 0 * * *"},
		{"0 0 ? * *", "day of month: ? is a sign of Quartz; write * instead of ?", "0 0 * * *"},
		{"0 0 ?/2 * ?", "day of month: ? is a sign of Quartz; write * instead of ?", "0 0 */2 * *"},
		{"0 0 L * *", "day of month: L: the sign L (last) of Quartz cannot be written in five fields", ""},
		{"0 0 * * 5L", "day of week: 5L: the sign L (last) of Quartz cannot be written in five fields", ""},
		{"0 0 15W * *", "day of month: 15W: the sign W (nearest weekday) of Quartz cannot be written in five fields",
			""},
		{"0 0 * * mon#1", "day of week: mon#1: the sign # of Quartz cannot be written in five fields", ""},
		{"~ * * * *", "minute: ~: random times (~) are not supported", ""},
		{"5/15 * * * *", "minute: a step needs a range; write 5-59/15 instead of 5/15", "5-59/15 * * * *"},
		{"1/2 0 5/10 * 1/2", "minute: a step needs a range; write 1-59/2 instead of 1/2", "1-59/2 0 5-31/10 * 1-6/2"},
		{"/5 * * * *", "minute: a step needs a range; write */5 instead of /5", "*/5 * * * *"},
		{"0 1,22-2 * * *", "hour: 22-2 runs backwards; write 22-23,0-2 instead of 22-2", "0 1,22-23,0-2 * * *"},
		{"0 22-3/2 * * *", "hour: 22-3/2 runs backwards; write 22,0,2 instead of 22-3/2", "0 22,0,2 * * *"},
		{"0 0 * nov-feb *", "month: nov-feb runs backwards; write nov-dec,jan-feb instead of nov-feb",
			"0 0 * nov-dec,jan-feb *"},
		{"0 0 * * fri-mon", "day of week: fri-mon runs backwards; write fri-sat,sun-mon instead of fri-mon",
			"0 0 * * fri-sat,sun-mon"},
		{"0 0 * * 6-1", "day of week: 6-1 runs backwards; write 6,0-1 instead of 6-1", "0 0 * * 6,0-1"},
		{"0 0 * * 7-sat", "day of week: 7-sat runs backwards; write 7,0-6 instead of 7-sat", "0 0 * * 7,0-6"},
		{"0 0 * * monday-friday", "day of week: write mon instead of monday", "0 0 * * mon-fri"},
		{"0 0 * september *", "month: write sep instead of september", "0 0 * sep *"},
		{"0 0 31 february *", "month: write feb instead of february", ""},
		{"1,,2 * * * *", "minute: a comma has nothing before or after it", ""},
		{"-5 * * * *", "minute: -5 is not a range; write two values, such as 0-4", ""},
		{"1-5-9 * * * *", "minute: 5-9 is not a number between 0 and 59", ""},
		{"*/0 * * * *", "minute: */0 has a step of 0; a step is 1 or more", ""},
		{"*/x * * * *", "minute: */x has no step; write a number after the slash, such as */5", ""},
		{"*/5/5 * * * *", "minute: */5/5 has no step; write a number after the slash, such as */5", ""},
		{"*/99999999999999999999 * * * *", "minute: */99999999999999999999 has a step that is too large", ""},
		{"*5 * * * *", "minute: *5 is not a value; only a step may follow a star, such as */5", ""},
		{strings.Repeat("*", 501), "an expression has at most 500 characters", ""},
	} {
		_, err := cron.Parse(c.text)
		var syntax *cron.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: got %v; want a SyntaxError", c.text, err)
			continue
		}
		if err.Error() != c.want || syntax.Instead != c.instead {
			t.Errorf("%q:\n got %s (instead %q)\nwant %s (instead %q)", c.text, err, syntax.Instead, c.want, c.instead)
		}
	}
}

func TestStringIsTheTextWithSingleSpaces(t *testing.T) {
	t.Parallel()
	if got := parse(t, "\t 0  2 *\u00a0JAN mon-Fri\n").String(); got != "0 2 * JAN mon-Fri" {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range append([]string{"@daily", "@every 5m", "TZ=", "CRON_TZ=x 1 2 3 4 5", "0 0 * * fri-sun",
		"5/15 22-2 ? L mon#1", "1/2,1/2,5-1/3 * * * *", "\xff\x00,,--//", "0 0 12 ? * MON-FRI *"}, expressions...) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := cron.Parse(text)
		if err != nil {
			var syntax *cron.SyntaxError
			if !errors.As(err, &syntax) && !errors.Is(err, cron.ErrNever) || err.Error() == "" {
				t.Fatalf("%q: got %v; want a SyntaxError or ErrNever", text, err)
			}
			if syntax != nil && syntax.Instead != "" {
				parse(t, syntax.Instead)
			}
			return
		}
		if again := parse(t, e.String()); again != e {
			t.Fatalf("%q reads differently as %q", text, e)
		}
		if e.Words() == "" {
			t.Fatalf("%q has no words", text)
		}
		from := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
		if at := e.Next(from, time.UTC); !at.After(from) {
			t.Fatalf("%q after %v: got %v", text, from, at)
		}
		if e.ShortestGap(from, time.UTC) < time.Minute {
			t.Fatalf("%q: the shortest gap is below a minute", text)
		}
	})
}

func FuzzNext(f *testing.F) {
	for i, seed := range expressions {
		f.Add(seed, uint8(i), int64(1774659600+i*86400)) // around 28 March 2026
		f.Add(seed, uint8(i), int64(1793512800))         // 1 November 2026
		f.Add(seed, uint8(9), int64(1325152800))         // 29 December 2011, Apia
	}
	f.Fuzz(func(t *testing.T, text string, zone uint8, at int64) {
		e, err := cron.Parse(text)
		const first, last = -4_000_000_000, 8_000_000_000 // the years 1843 to 2223
		if err != nil || at < first || at > last {
			return
		}
		from := time.Unix(at, 0)
		compare(t, e, zoneOf(t, zones[int(zone)%len(zones)]), from, from.AddDate(0, 0, 3))
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := cron.Parse("*/15 9-17 * * mon-fri"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct{ name, text, zone string }{
		{"fixed", "30 2 * * *", "Europe/Berlin"},
		{"wildcard", "*/15 * * * *", "America/New_York"},
		{"leap", "0 0 29 2 *", "UTC"},
		{"never in this zone", "*/30 2 8-14 3 */7", "America/New_York"},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, zone := parse(b, c.text), zoneOf(b, c.zone)
			from := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
			at := from
			b.ReportAllocs()
			for b.Loop() {
				if at = e.Next(at, zone); at.IsZero() || at.Year() > 2100 {
					at = from
				}
			}
		})
	}
}
