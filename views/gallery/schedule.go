package gallery

import (
	"strings"
	"time"

	"carillon/views"
)

func scheduleSpecimens() []Specimen {
	day := func(d, h, m int) time.Time { return time.Date(2027, 3, d, h, m, 0, 0, berlin()) }
	summer := time.FixedZone("CEST", 7200)
	utc := func(t time.Time) time.Time { return t.UTC() }
	autumn := []time.Time{
		time.Date(2027, 10, 31, 2, 30, 0, 0, summer), time.Date(2027, 10, 31, 2, 30, 0, 0, time.FixedZone("CET", 3600)),
	}
	var often []views.UpcomingRun
	for i := range 47 {
		often = append(often, views.UpcomingRun{Name: "Sync translations",
			At: now.Add(time.Duration(i)*30*time.Minute + 14*time.Minute)})
	}
	often = append(often, views.UpcomingRun{Name: "Dependency audit", At: now.Add(14*time.Hour + 14*time.Minute)},
		views.UpcomingRun{Name: "Roll the release branch", At: now.Add(14*time.Hour + 30*time.Minute)},
		views.UpcomingRun{Name: "Standup digest", At: now.Add(23*time.Hour + 30*time.Minute)})
	runs := sampleBars("succeeded succeeded failed succeeded canceled skipped succeeded timed_out running")
	return []Specimen{
		{Name: "schedule-preview", Body: views.SchedulePreview(views.Schedule{Words: "Every day at 02:30, Berlin time",
			Now: now, Runs: []views.NextRun{
				{At: day(27, 2, 30), Here: utc(day(27, 2, 30))},
				{
					At:   time.Date(2027, 3, 28, 3, 0, 0, 0, summer),
					Note: "Clocks go forward: 02:30 does not exist, so it runs at 03:00",
				},
				{
					At:   time.Date(2027, 3, 29, 0, 30, 0, 0, summer),
					Here: utc(time.Date(2027, 3, 29, 0, 30, 0, 0, summer)),
				},
			}})},
		{
			Name: "schedule-preview-error",
			Body: views.SchedulePreview(views.Schedule{Error: "minute: 61 is not between 0 and 59"}),
		},
		{Name: "schedule-preview-empty", Body: views.SchedulePreview(views.Schedule{})},
		{Name: "moment-twice", Body: views.MomentPart(views.MomentData{Carried: autumn[1], Both: autumn})},
		{
			Name: "moment-moved",
			Body: views.MomentPart(views.MomentData{
				Carried: now,
				Note: "02:30 does not exist on 28 March 2027, when the clocks go forward from 02:00 to 03:00; " +
					"runs at 03:00.",
			}),
		},
		{Name: "placeholders", Body: views.Placeholders([]views.Placeholder{{Name: "service", Value: "payments-api"},
			{Name: "severity", Value: "high"}, {Name: "report_url", Missing: true}})},
		{Name: "next-day", Body: views.NextDay(views.Upcoming{Now: now, Runs: often})},
		{Name: "next-day-empty", Body: views.NextDay(views.Upcoming{Now: now})},
		{Name: "spark", Body: inline(views.Spark(nil), views.Spark(runs),
			views.Spark(append(sampleBars(manyTimes("succeeded", 40)), runs...)))},
	}
}

func sampleUpcoming() []views.UpcomingRun {
	var list []views.UpcomingRun
	for i := range 47 {
		list = append(list, views.UpcomingRun{Name: "Sync translations",
			At: now.Add(time.Duration(i)*30*time.Minute + 14*time.Minute)})
	}
	return append(list, views.UpcomingRun{Name: "Dependency audit", At: now.Add(14*time.Hour + 14*time.Minute)},
		views.UpcomingRun{Name: "Standup digest", At: now.Add(19*time.Hour + 44*time.Minute)})
}

func sampleBars(statuses string) []views.Bar {
	var list []views.Bar
	for i, s := range strings.Fields(statuses) {
		list = append(list, views.Bar{Status: s, Took: time.Duration(60+(i*97)%240) * time.Second})
	}
	return list
}

func manyTimes(word string, n int) string { return strings.TrimSpace(strings.Repeat(word+" ", n)) }
