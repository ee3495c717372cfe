package agent

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// faults tell the kind of a failure by the words of an agent or of a vendor's server. The first that
// matches decides.
var faults = []struct {
	kind  string
	words *regexp.Regexp
}{
	{FailContext, regexp.MustCompile(`(?i)context[ _](length|window|limit)|prompt is too long|input is too long|maximum context|exceeds? the (maximum|context)|too many (input )?tokens`)},
	{FailRateLimit, regexp.MustCompile(`(?i)\b429\b|rate.?limit|too many requests|quota|usage.?limit|(hit|reached) your .{0,20}limit|resource.?exhausted|credit balance|insufficient.?(credit|funds|balance)|\b402\b`)},
	{FailModel, regexp.MustCompile(`(?i)(unknown|invalid|unsupported|no such) model|model.{0,80}(not found|not exist|not supported|not available|invalid|unknown|no access)|model_not_found|(issue with|access to) (the selected|the) model`)},
	{FailAuth, regexp.MustCompile(`(?i)\b401\b|\b403\b|unauthori[sz]ed|authenticat|permission_error|(invalid|incorrect|missing|expired|no).{0,20}(api.?key|token|credential)|api.?key.{0,30}(not valid|invalid|missing|required|not set)|not logged in|log ?in|sign ?in|/login|invalid auth`)},
	{FailTransient, regexp.MustCompile(`(?i)\b5\d\d\b|\b408\b|overloaded|high demand|server.?error|bad gateway|unavailable|temporar|timed? ?out|ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|network|fetch failed|connection (error|reset|refused|closed|failed)|stream (disconnected|closed)|reconnecting`)},
}

// statuses are HTTP statuses that an agent tells apart from its words.
var statuses = map[int]string{401: FailAuth, 403: FailAuth, 402: FailRateLimit, 429: FailRateLimit, 408: FailTransient, 413: FailContext, 529: FailTransient}

// sayings are whole sentences of the programs of the catalogue whose meaning is known, where they give it no field of its own.
// A sentence is looked for as a whole line.
var sayings = map[string][]struct {
	kind  string
	words *regexp.Regexp
}{
	"claude": {{FailUnknown, regexp.MustCompile(`^No conversation found with session ID: [\w-]+$`)}},
	"codex":  {{FailUnknown, regexp.MustCompile(`^Error: thread/resume: thread/resume failed: no rollout found for thread id [\w-]+( \(code -?\d+\))?$`)}},
	"gemini": {{FailUnknown, regexp.MustCompile(`^(Internal error: )?(No previous sessions found for this project\.|Invalid session identifier "[\w-]+"\.)$`)}},
}

// said finds the kind of a failure in what a program said last; empty where that is no sentence that is known of it.
func (r *run) said(line string) string {
	line = strings.TrimSpace(line)
	for _, s := range sayings[r.ID] {
		if s.words.MatchString(line) {
			return s.kind
		}
	}
	return ""
}

// classify makes a failure of what an agent said. A status of 0 is unknown.
func (r *run) classify(text string, status int, now time.Time) *Failure {
	text = strings.TrimSpace(Clean(text))
	if r.said(lastLine(text)) == FailUnknown && r.Resume != "" {
		return r.unknownConversation(lastLine(text))
	}
	f := &Failure{Kind: FailAgent, Reason: shorten(text)}
	switch kind, ok := statuses[status]; {
	case ok:
		f.Kind = kind
	case status >= 500:
		f.Kind = FailTransient
	default:
		for _, fault := range faults {
			if fault.words.MatchString(text) {
				f.Kind = fault.kind
				break
			}
		}
	}
	if f.Reason == "" {
		f.Reason = "the agent failed without a reason"
		if status > 0 {
			f.Reason = fmt.Sprintf("the model's server answered %d", status)
		}
	}
	switch f.Kind {
	case FailAuth:
		f.Fix = r.SignIn
	case FailModel:
		f.Fix = "Choose another model, or none for the provider's default."
		if len(r.Models) > 0 {
			f.Fix = "Choose another model, such as " + strings.Join(r.Models, ", ") + ", or none for the provider's default."
		}
	case FailContext:
		f.Fix = "Start a new session, or shorten the prompt."
	case FailRateLimit, FailTransient:
		f.RetryAt = retryAt(text, now)
	}
	return f
}

var (
	retryAfter = regexp.MustCompile(`(?i)(?:retry[- ]?after|(?:try|retry)(?:ing)?(?: again)? (?:in|after)|resets?[_ ]in(?:[_ ]seconds)?|retryDelay)["':= ]*((?:\d+(?:\.\d+)? ?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)?[ ,]*(?:and )?)+)`)
	duration   = regexp.MustCompile(`(?i)(\d+(?:\.\d+)?) ?(ms|milli|s|m|h|d)?`)
	resetAt    = regexp.MustCompile(`(?i)(?:limit reached\||resets?(?:_at|At| at)?["':= |]+)(\d{10})\b`)
	resetTime  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// retryAt finds when an agent says that trying again makes sense; zero if it does not say.
func retryAt(text string, now time.Time) time.Time {
	if m := resetAt.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseInt(m[1], 10, 64)
		return time.Unix(seconds, 0).UTC()
	}
	if m := retryAfter.FindStringSubmatch(text); m != nil {
		units := map[string]time.Duration{"ms": time.Millisecond, "milli": time.Millisecond, "": time.Second, "s": time.Second,
			"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
		var wait time.Duration
		for _, part := range duration.FindAllStringSubmatch(m[1], -1) {
			n, _ := strconv.ParseFloat(part[1], 64)
			wait += time.Duration(n * float64(units[strings.ToLower(part[2])]))
		}
		if wait > 0 && wait < 31*24*time.Hour {
			return now.Add(wait).UTC()
		}
	}
	if strings.Contains(strings.ToLower(text), "reset") {
		if t, err := time.Parse(time.RFC3339Nano, resetTime.FindString(text)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// otherVersion are the words with which programs refuse options that they do not know.
var otherVersion = regexp.MustCompile(`(?i)(unknown|unrecognized|unexpected|invalid) (option|argument|flag|subcommand|command)s?\b[^\n]{0,100}`)

// died is the failure of a program that ended without an answer.
func (r *run) died(end ending, stderr string, now time.Time) *Failure {
	f := r.classify(stderr, 0, now)
	if f.Kind == FailUnknown {
		return f
	}
	switch last := lastLine(stderr); {
	case end.Signal == "" && otherVersion.MatchString(stderr):
		f.Kind, f.Reason = FailStart, fmt.Sprintf("this version of %s does not take what Carillon asks of it: %s", r.Name, otherVersion.FindString(stderr))
		f.Fix = strings.TrimSpace("Install a newer one: " + r.Install)
		f.RetryAt = time.Time{}
	case end.Signal != "":
		f.Kind, f.Reason = FailAgent, fmt.Sprintf("%s was ended by a signal: %s", r.Name, end.Signal)
	case last == "":
		f.Reason = fmt.Sprintf("%s ended with exit %d before its answer was complete", r.Name, end.Exit)
	default:
		f.Reason = fmt.Sprintf("exit %d: %s", end.Exit, last)
	}
	return f
}

// gitAdvice are the lines by which Git follows a failure, for a person at a terminal.
var gitAdvice = map[string]bool{
	"Please make sure you have the correct access rights": true, "and the repository exists.": true,
	"Another git process seems to be running in this repository, e.g.": true, "an editor opened by 'git commit'. Please make sure all processes": true,
	"are terminated then try again. If it still fails, a git process": true, "may have crashed in this repository earlier:": true,
	"remove the file manually to continue.": true,
}

// lastLine is the last line that says something. Where Git has failed its advice is left out, and what ssh said of the reason
// stands before Git's own line.
func lastLine(text string) string {
	before, last := "", ""
	for line := range strings.Lines(Clean(text)) {
		if line = strings.TrimSpace(line); line != "" && !gitAdvice[line] {
			before, last = last, line
		}
	}
	if last == "fatal: Could not read from remote repository." && before != "" {
		last = before + " " + last
	}
	return shorten(last)
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > 500 {
		return string(runes[:500]) + "…"
	}
	return text
}
