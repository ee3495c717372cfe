package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// order names the fields in the sentences about a text that has not five of them.
const order = "minute, hour, day of month, month, day of week"

// refuse explains texts that are not five fields, among them those that other programs take:
// macros, time zone prefixes, and the six and seven fields of Quartz.
func refuse(texts []string) error {
	switch {
	case len(texts) == 0:
		return &SyntaxError{Problem: "the expression is empty; write five fields: " + order}
	case strings.HasPrefix(texts[0], "@"):
		return refuseMacro(texts)
	case strings.HasPrefix(texts[0], "TZ="), strings.HasPrefix(texts[0], "CRON_TZ="):
		return refusePrefix(texts)
	case len(texts) < 5:
		return &SyntaxError{Problem: fmt.Sprintf("%s; write five: %s", count(len(texts)), order)}
	case len(texts) > 5:
		return refuseLong(texts)
	}
	return nil
}

func count(n int) string {
	if n == 1 {
		return "there is 1 field"
	}
	return fmt.Sprintf("there are %d fields", n)
}

func refuseMacro(texts []string) error {
	given := strings.Join(texts, " ")
	var instead string
	switch strings.ToLower(texts[0]) {
	case "@yearly", "@annually":
		instead = "0 0 1 1 *"
	case "@monthly":
		instead = "0 0 1 * *"
	case "@weekly":
		instead = "0 0 * * 0"
	case "@daily", "@midnight":
		instead = "0 0 * * *"
	case "@hourly":
		instead = "0 * * * *"
	case "@reboot":
		return &SyntaxError{Problem: "@reboot names no time; write five fields: " + order}
	case "@every":
		if len(texts) == 2 {
			instead = every(texts[1])
		}
	}
	if instead == "" {
		return &SyntaxError{Problem: fmt.Sprintf("%s is a macro; write five fields: %s", quote(given), order)}
	}
	return &SyntaxError{Problem: fmt.Sprintf("write %s instead of %s", instead, quote(given)), Instead: instead}
}

// every is the expression for a duration that divides the hour or the day, else nothing: the
// others cannot be said in five fields.
func every(text string) string {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < time.Minute || d%time.Minute != 0:
		return ""
	case d == time.Minute:
		return "* * * * *"
	case d < time.Hour && time.Hour%d == 0:
		return "*/" + strconv.Itoa(int(d/time.Minute)) + " * * * *"
	case d == time.Hour:
		return "0 * * * *"
	case d == 24*time.Hour:
		return "0 0 * * *"
	case d < 24*time.Hour && d%time.Hour == 0 && 24*time.Hour%d == 0:
		return "0 */" + strconv.Itoa(int(d/time.Hour)) + " * * *"
	}
	return ""
}

func refusePrefix(texts []string) error {
	problem := "the time zone is a setting of its own"
	instead := valid(strings.Join(texts[1:], " "))
	if instead != "" {
		problem += "; write " + instead + " alone"
	} else {
		problem += "; write five fields alone: " + order
	}
	return &SyntaxError{Problem: problem, Instead: instead}
}

// refuseLong tells the seconds and years of Quartz, and commands of a crontab, from the rest.
func refuseLong(texts []string) error {
	problem := fmt.Sprintf("%s, one of them may be seconds; write five: %s", count(len(texts)), order)
	if len(texts) > 7 || !timelike(texts[5]) {
		problem = fmt.Sprintf("%s; write the first five only: %s", count(len(texts)), order)
		if instead := valid(strings.Join(texts[:5], " ")); instead != "" && !timelike(texts[5]) {
			return &SyntaxError{
				Problem: fmt.Sprintf("only the time belongs here; write %s alone", instead), Instead: instead,
			}
		}
		return &SyntaxError{Problem: problem}
	}
	if len(texts) == 7 && texts[6] != "*" && texts[6] != "?" {
		return &SyntaxError{Problem: problem}
	}
	// Quartz counts weekdays from 1 for Sunday, others that have seconds from 0: only names are sure.
	weekday := texts[5]
	if texts[0] != "0" || weekday != "*" && strings.ContainsAny(weekday, "0123456789") {
		return &SyntaxError{Problem: problem}
	}
	if instead := valid(strings.Join(texts[1:6], " ")); instead != "" {
		problem = fmt.Sprintf("%s; without the seconds write %s", count(len(texts)), instead)
		return &SyntaxError{Problem: problem, Instead: instead}
	}
	return &SyntaxError{Problem: problem}
}

// timelike tells a sixth field from the first word of a command.
func timelike(text string) bool {
	if strings.Trim(text, "0123456789*/,-?#LW") == "" {
		return true
	}
	_, err := fields[4].parse(text)
	return err == nil
}
