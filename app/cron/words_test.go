package cron_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"carillon/app/cron"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"* * * * *":               "Every minute",
		"*/1 * * * *":             "Every minute",
		"0-59 0-23 1-31 1-12 0-7": "Every minute",
		"*/30 * * * *":            "Every 30 minutes",
		"0,30 * * * *":            "Every 30 minutes",
		"*/7 * * * *":             "At minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour",
		"5-59/20 * * * *":         "At minutes 5, 25 and 45 of every hour",
		"10-20,50 * * * *":        "At minutes 10 to 20 and 50 of every hour",
		"0 * * * *":               "Every hour",
		"*/90 * * * *":            "Every hour",
		"5 * * * 1":               "Every hour at minute 5 on Mondays",
		"0 2 * * *":               "Every day at 02:00",
		"0,30 2 * * *":            "Every day at 02:00 and 02:30",
		"*/20 2 * * *":            "Every day at 02:00, 02:20 and 02:40",
		"0 */12 * * *":            "Every day at 00:00 and 12:00",
		"0 */6 * * *":             "Every 6 hours, at 00:00, 06:00, 12:00 and 18:00",
		"0 */2 * * *":             "Every 2 hours from 00:00 to 22:00",
		"30 1-23/2 * * *":         "Every 2 hours from 01:30 to 23:30",
		"0 */23 * * *":            "Every day at 00:00 and 23:00",
		"7 3-23/5 * * *":          "Every 5 hours from 03:07 to 23:07",
		"0 9-17 * * 1-5":          "Every hour from 09:00 to 17:00 on weekdays",
		"0 1,2,4,8,16 * * *":      "Every day at 01:00, 02:00, 04:00, 08:00 and 16:00",
		"*/15 9-17 * * 1-5":       "Every 15 minutes between 09:00 and 17:59 on weekdays",
		"* 9 * * *":               "Every minute between 09:00 and 09:59",
		"*/10 8-11,13-17 * * 6,0": "Every 10 minutes between 08:00 and 11:59, and between 13:00 and 17:59, on weekends",
		"*/10 */6 * * *":          "Every 10 minutes during the hours 00, 06, 12 and 18",
		"1,2,3,40 1,3,5,7 * * *":  "At minutes 1 to 3 and 40 of the hours 01, 03, 05 and 07",
		"15,45 9-17 * * *":        "At minutes 15 and 45 of every hour between 09:00 and 17:59",
		"30 7 * * 1-5":            "Weekdays at 07:30",
		"30 7 * * mon-FRI":        "Weekdays at 07:30",
		"0 16 * * 5":              "Fridays at 16:00",
		"0 8 * * 6,7":             "Weekends at 08:00",
		"0 8 * * fri-sun":         "Fridays, Saturdays and Sundays, at 08:00",
		"0 3 * * 1-6":             "Every day except Sunday at 03:00",
		"0 9,12,15,18 * * 1,4":    "Mondays and Thursdays at 09:00, 12:00, 15:00 and 18:00",
		"0 0 1 * *":               "On day 1 of every month at 00:00",
		"0 0 31 * *":              "On day 31 of every month that has one at 00:00",
		"0 0 15,31 * *":           "On the 15th and 31st of every month (where there is one) at 00:00",
		"0 0 2,3,11-13,21,22 * *": "On the 2nd, 3rd, 11th to 13th, 21st and 22nd of every month, at 00:00",
		"0 8 25 12 *":             "On 25 December at 08:00",
		"0 0 29 2 *":              "On 29 February (leap years only) at 00:00",
		"0 0 1 1,7 *":             "On day 1 of January and July at 00:00",
		"0 0 31 3,4 *":            "On day 31 of March and April (where there is one) at 00:00",
		"0 0 * 6 *":               "Every day in June at 00:00",
		"0 0 * 6-8 *":             "Every day from June to August at 00:00",
		"0 0 * 1,6-8 *":           "Every day in January and June to August at 00:00",
		"*/5 * * 6 *":             "Every 5 minutes in June",
		"0 12 * jan-mar mon-wed":  "Mondays, Tuesdays and Wednesdays from January to March, at 12:00",
		"0 0 1-31 * 1":            "Every day at 00:00",
		"0 0 13 * 0-6":            "Every day at 00:00",
		"0 0 13 * 5":              "On day 13 of every month, and on Fridays, at 00:00",
		"30 4 1,15 * 1":           "On the 1st and 15th of every month, and on Mondays, at 04:30",
		"0 0 10 3 mon,tue":        "On 10 March, and on Mondays and Tuesdays in March, at 00:00",
		"*/5 0 1 * 0":             "Every 5 minutes between 00:00 and 00:59, on day 1 of every month, and on Sundays",
		"0 0 */10 * 1":            "On Mondays that fall on the 1st, 11th, 21st or 31st, at 00:00",
		"0 0 1-7 * */7":           "On Sundays that fall on the 1st to 7th at 00:00",
		"0 0 1-7 3,9 */7":         "On Sundays in March and September that fall on the 1st to 7th at 00:00",
		"0 0 1 * */2":             "On Tuesdays, Thursdays, Saturdays and Sundays that fall on the 1st, at 00:00",
	} {
		if got := parse(t, text).Words(); got != want {
			t.Errorf("%q: got %q; want %q", text, got, want)
		}
	}
	if got := (cron.Expression{}).Words(); got != "Never" {
		t.Errorf("zero Expression: got %q; want Never", got)
	}
}

// Two expressions of the same words run at the same times: the words leave nothing out.
func TestTheSameWordsAreTheSameSchedule(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	seen := make(map[string]cron.Expression)
	same := 0
	check := func(text string) {
		e, err := cron.Parse(text)
		if err != nil {
			return
		}
		words := e.Words()
		other, ok := seen[words]
		if !ok {
			seen[words] = e
			return
		}
		if other == e {
			return
		}
		same++
		a, b := instant(t, "2027-12-01T00:00:00Z"), instant(t, "2027-12-01T00:00:00Z")
		for range 60 {
			a, b = e.Next(a, time.UTC), other.Next(b, time.UTC)
			if !a.Equal(b) {
				t.Errorf("%q and %q are both %q, but %v is not %v", e, other, words, a, b)
				return
			}
		}
	}
	for range 10_000 {
		check(randomExpression(random))
	}
	// Few values to choose from, so that many expressions are near each other.
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	for range 10_000 {
		check(pick("*", "0", "30", "0,30", "*/15", "0-59", "1-59/2", "0-58/2", "5,6") + " " +
			pick("*", "0", "9-17", "*/6", "0-23", "1-23/2", "0,23", "*/8", "9-11,13-15") + " " +
			pick("*", "1", "29", "31", "1-31", "*/2", "1-29/2", "1-30", "1,15") + " " +
			pick("*", "1", "2", "1-12", "*/2", "2,4", "6-8", "4") + " " +
			pick("*", "1", "1-5", "0-7", "0,6", "1-6", "*/7", "*/2", "0"))
	}
	if same < 500 {
		t.Errorf("compared %d pairs only; the test has lost its sense", same)
	}
}
