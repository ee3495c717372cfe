package cron

import (
	"testing"
	"time"
)

// FuzzRead reads clock times as people and programs write them. What a form shows of an instant means that instant.
func FuzzRead(f *testing.F) {
	f.Add("2027-03-28T02:30", "Europe/Berlin", int64(1806195600))
	f.Add("2027-10-31T02:30:15", "Europe/Berlin", int64(1825032615))
	f.Add("2027-04-04T01:45", "Australia/Lord_Howe", int64(1806767100))
	f.Add("2027-01-01T00:00:00.123456789+05:45", "Asia/Kathmandu", int64(0))
	f.Add("9999-12-31T23:59", "Pacific/Kiritimati", int64(-62135596800))
	f.Fuzz(func(t *testing.T, text, name string, at int64) {
		zone, err := Zone(name)
		if err != nil {
			return
		}
		if o, err := Read(text, zone, time.Time{}); err == nil {
			again, err := Read(Written(o.At, zone), zone, time.Time{})
			if err != nil || !again.At.Equal(o.At) {
				t.Errorf("%q in %s is %s; written and read it is %s (%v)", text, name, o.At, again.At, err)
			}
		}
		if at < 0 || at > lastInstant-2*86400 {
			return
		}
		shown := time.Unix(at, 0)
		if o, err := Read(Shown(shown, zone), zone, shown); err != nil || !o.At.Equal(shown) {
			t.Errorf("%s is shown in %s as %s, which is read as %s (%v)", shown.UTC(), name, Shown(shown, zone),
				o.At.UTC(), err)
		}
	})
}
