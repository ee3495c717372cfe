package agent

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// statuses are the kinds of failures by the HTTP status of a model's server.
var statuses = map[int]string{401: FailAuth, 403: FailAuth, 402: FailRateLimit, 404: FailModel, 408: FailTransient,
	413: FailContext, 429: FailRateLimit}

// errorNames are the kinds of failures by the error names of vendors and agents.
var errorNames = map[string]string{
	"authentication_error": FailAuth, "authentication_failed": FailAuth, "invalid_api_key": FailAuth,
	"permission_error": FailAuth,
	"unauthenticated":  FailAuth, "permission_denied": FailAuth, "providerautherror": FailAuth,
	"rate_limit": FailRateLimit, "rate_limit_error": FailRateLimit, "rate_limit_exceeded": FailRateLimit,
	"resource_exhausted": FailRateLimit,
	"insufficient_quota": FailRateLimit, "quota_exceeded": FailRateLimit, "usage_limit_reached": FailRateLimit,
	"usage_limit_exceeded": FailRateLimit,
	"billing_error":        FailRateLimit,
	"model_not_found":      FailModel, "providermodelnotfounderror": FailModel,
	"context_length_exceeded": FailContext, "contextoverflowerror": FailContext, "prompt_too_long": FailContext,
	"overloaded": FailTransient, "overloaded_error": FailTransient, "api_error": FailTransient,
	"server_error":          FailTransient,
	"internal_server_error": FailTransient, "unavailable": FailTransient, "deadline_exceeded": FailTransient,
}

// kindOfStatus gives the kind of a failure by an HTTP status; empty: unknown.
func kindOfStatus(status int) string {
	if status >= 500 && status < 600 {
		return FailTransient
	}
	return statuses[status]
}

// knownSentence is a sentence with a known kind of failure. The kind ofWords means that the first group is an HTTP
// status.
type knownSentence struct {
	kind  string
	words *regexp.Regexp
}

const ofWords = "status"

func sentence(kind, words string) knownSentence {
	return knownSentence{kind, regexp.MustCompile(`^(?:` + words + `)$`)}
}

// openCode are sentences of OpenCode and its forks. OpenCode passes on the text of a model's server without the status.
var openCode = []knownSentence{
	sentence(FailTransient, `Cannot connect to API: .*`),
	sentence(FailTransient,
		`Connection reset by server|Response decompression failed|Provider response headers timed out after \d+ ?ms`),
	sentence(FailRateLimit, `(?:[Rr]ate limit exceeded|Too [Mm]any [Rr]equests)\.?`),
	sentence(FailRateLimit, `This request would exceed (?:your organization's|the) rate limit .*`),
}

// knownSentences are sentences of the catalogue's programs for errors without a structured field. A sentence must match
// a whole line of the program's own output, so that paths, numbers and the output of tools decide nothing.
var knownSentences = map[string][]knownSentence{
	"claude": {
		sentence(FailUnknown, `No conversation found with session ID: [\w-]+`),
		sentence(FailContext, `Prompt is too long(?: · .*)?`),
		sentence(FailRateLimit, `Claude AI usage limit reached\|\d+`),
		sentence(FailRateLimit, `You've hit your [\w ]{0,30}limit(?:[.,]? [·∙—] .*|\..*)?`),
		sentence(FailRateLimit,
			`Your org(?:anization)? is out of usage(?: credits)?(?: · .*|\..*)?|Credit balance is too low`),
		sentence(FailAuth,
			`(?:Invalid API key|Not logged in|OAuth token (?:revoked|has expired|expired)|OAuth token has been revoked) · .*`),
		sentence(FailAuth, `Your account does not have access to Claude\..*`),
		sentence(FailModel,
			`There's an issue with the selected model \(.*\)\. It may not exist or you may not have access to it\..*`),
		sentence(FailTransient,
			`API Error: (?:Unable to connect to API(?: \(\w+\))?|Connection error\.|Connection closed mid-response\..*|Request timed out\..*|Request timed out)`),
		sentence(FailTransient, `Unable to connect to API(?: \(\w+\))?|Connection error\.|Request timed out\.?`),
	},
	"codex": {
		sentence(FailUnknown,
			`Error: thread/resume: thread/resume failed: no rollout found for thread id [\w-]+(?: \(code -?\d+\))?`),
		sentence(ofWords, `unexpected status (\d{3}) [^:]*: .*`),
		sentence(ofWords, `exceeded retry limit, last status: (\d{3}) [^:]*(?:, .*)?`),
		sentence(FailTransient, `We’re currently experiencing high demand, which may cause temporary errors\.`),
		sentence(FailTransient, `stream disconnected before completion(?:: .*)?`),
		sentence(FailContext, `Codex ran out of room in the model's context window\..*`),
		sentence(FailRateLimit,
			`You've hit your usage limit\..*|Quota exceeded\. Check your plan and billing details\.`),
		sentence(FailModel, `The '[^']*' model is not supported when using Codex with a ChatGPT account\.`),
	},
	"gemini": {
		sentence(FailUnknown, `No previous sessions found for this project\.|Invalid session identifier "[\w-]+"\.`),
	},
	"opencode": openCode,
	"kilo":     openCode,
	"qwen": {
		sentence(FailTransient,
			`Model stream ended with empty response text\.|terminated|Connection error\.|Request timed out\.|fetch failed`),
		sentence(ofWords, `(\d{3}) .*`),
	},
	"copilot": {
		sentence(ofWords, `Authentication failed with provider at \S+ \(HTTP (\d{3})\)\.`),
		sentence(FailModel, `Model '.*' not found on provider at \S+ \(HTTP 404\)\.`),
		sentence(FailContext, `.*rejected the prompt as too long.*`),
		sentence(ofWords, `Failed to get response from the AI model; retried \d+ times? \(.*\) Last error: (\d{3}) .*`),
		sentence(FailTransient, `Failed to get response from the AI model; retried \d+ times? \(.*\) Last error: .*`),
		sentence(FailTransient, `No response was returned\. Send your message again to retry\.`),
		sentence(ofWords, `(\d{3}) .*`),
	},
}

// vendors are sentences of models' servers, which agents pass on.
var vendors = []knownSentence{
	sentence(FailContext, `(?:\d{3} )?This model's maximum context length is \d+ tokens\..*`),
	sentence(FailContext, `(?:\d{3} )?prompt is too long: \d+ tokens > \d+ maximum`),
	sentence(FailContext,
		`(?:\d{3} )?The input token count \(\d+\) exceeds the maximum number of tokens allowed \(\d+\)\.`),
	sentence(FailContext, `(?:\d{3} )?Your input exceeds the context window of this model\..*`),
	sentence(FailTransient,
		`(?:\d{3} )?(?:[Ii]nternal server error|Overloaded|The model is overloaded\. Please try again later\.)`),
	sentence(FailTransient, `(?:\d{3} )?The server had an error while processing your request\..*`),
	sentence(FailRateLimit, `(?:\d{3} )?Rate limit reached(?: for .*)?\. .*`),
	sentence(FailRateLimit, `(?:\d{3} )?You exceeded your current quota.*`),
	sentence(FailAuth,
		`(?:\d{3} )?(?:invalid x-api-key|Incorrect API key provided: .*|API key not valid\. Please pass a valid API key\.)`),
	sentence(FailModel,
		`(?:\d{3} )?The (?:requested )?model '?[^ ']*'? does not exist(?: or you do not have access to it)?\.`),
}

// knownKind finds the kind of failure for a line of a program's own output; empty: the sentence is unknown.
func (r *run) knownKind(line string, more ...knownSentence) string {
	line = strings.TrimSpace(line)
	for _, s := range append(more, knownSentences[r.ID]...) {
		m := s.words.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if s.kind != ofWords {
			return s.kind
		}
		status, _ := strconv.Atoi(m[1])
		if kind := kindOfStatus(status); kind != "" {
			return kind
		}
	}
	return ""
}

// errorReport is a program's structured description of its failure.
type errorReport struct {
	text   string // for a person
	status int    // of HTTP; 0 is unknown
	name   string // of the error
}

// read reads an error from JSON, in the formats of vendors and agents.
func (t *errorReport) read(raw []byte) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return false
	}
	for _, key := range []string{"status", "statusCode", "status_code", "httpStatus", "code"} {
		var n int
		if json.Unmarshal(fields[key], &n) == nil && n >= 400 && n < 600 && t.status == 0 {
			t.status = n
		}
	}
	for _, key := range []string{"code", "type", "status", "name", "errorName", "errorKind"} {
		var word string
		if json.Unmarshal(fields[key], &word) == nil && (t.name == "" || errorNames[strings.ToLower(word)] != "") &&
			errorNames[strings.ToLower(t.name)] == "" {
			t.name = word
		}
	}
	for _, key := range []string{"message", "details", "errorMessage"} {
		var text string
		if json.Unmarshal(fields[key], &text) == nil && text != "" {
			t.text = text
			inner := errorReport{status: t.status, name: t.name}
			if strings.HasPrefix(strings.TrimSpace(text), "{") && inner.read([]byte(text)) && inner.text != "" {
				*t = inner
			}
			break
		}
	}
	for _, key := range []string{"error", "data", "cause"} {
		var text string
		switch raw := fields[key]; {
		case len(raw) == 0:
		case json.Unmarshal(raw, &text) == nil:
			if t.text == "" {
				t.text = text
			}
		default:
			inner := errorReport{status: t.status, name: t.name}
			if inner.read(raw) {
				if inner.text == "" {
					inner.text = t.text
				}
				*t = inner
			}
		}
	}
	return true
}

// plainError replaces JSON at the end of a text by the message in it. Other text is unchanged.
func plainError(text string) string {
	for range 3 { // vendors nest JSON in JSON texts
		at := strings.IndexAny(text, "{[")
		if at < 0 || !json.Valid([]byte(text[at:])) {
			return text
		}
		raw := json.RawMessage(text[at:])
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			raw = list[0]
		}
		var t errorReport
		t.read(raw)
		head := strings.TrimRight(text[:at], " :\t\r\n")
		switch {
		case head == "":
			text = t.text
		case t.text == "":
			text = head
		default:
			text = head + ": " + t.text
		}
	}
	return text
}

// failure makes a failure from a program's error. The structured fields decide its kind, and otherwise a known
// sentence. Any other error is a failure of the task.
func (r *run) failure(t errorReport, now time.Time) *Failure {
	// so the protocol's code is called
	t.text = strings.TrimPrefix(strings.TrimSpace(Clean(t.text)), "Internal error: ")
	if strings.HasPrefix(t.text, "{") {
		inner := errorReport{status: t.status, name: t.name}
		if inner.read([]byte(t.text)) && inner.text != "" {
			t = inner
		}
	}
	first, _, _ := strings.Cut(t.text, "\n")
	said := r.knownKind(first, vendors...)
	if said == FailUnknown && r.Resume != "" {
		return r.unknownConversation(first)
	}
	f := &Failure{Kind: FailAgent, Reason: shorten(plainError(t.text))}
	for _, kind := range []string{errorNames[strings.ToLower(t.name)], kindOfStatus(t.status), said} {
		if kind != "" && kind != FailUnknown {
			f.Kind = kind
			break
		}
	}
	if said == FailContext { // servers report it as an invalid request
		f.Kind = FailContext
	}
	if f.Reason == "" {
		f.Reason = "the agent failed without a reason"
		if t.status > 0 {
			f.Reason = fmt.Sprintf("the model's server answered %d", t.status)
		}
	}
	switch f.Kind {
	case FailAuth:
		f.Fix = r.SignIn
	case FailModel:
		f.Fix = "Choose another model, or none for the provider's default."
		if len(r.Models) > 0 {
			f.Fix = "Choose another model, such as " + strings.Join(r.Models, ", ") +
				", or none for the provider's default."
		}
	case FailContext:
		f.Fix = "Start a new session, or shorten the prompt."
	case FailRateLimit, FailTransient:
		f.RetryAt = retryAt(t.text, now)
	}
	return f
}

var (
	retryAfter = regexp.MustCompile(
		`(?i)(?:retry[- ]?after|(?:try|retry)(?:ing)?(?: again)? (?:in|after)|resets?[_ ]in(?:[_ ]seconds)?|retryDelay)["':= ]*((?:\d+(?:\.\d+)? ?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)?[ ,]*(?:and )?)+)`)
	duration  = regexp.MustCompile(`(?i)(\d+(?:\.\d+)?) ?(ms|milli|s|m|h|d)?`)
	resetAt   = regexp.MustCompile(`(?i)(?:limit reached\||resets?(?:_at|At| at)?["':= |]+)(\d{10})\b`)
	resetTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// retryAt finds the time of a retry in an agent's text; zero: there is none.
func retryAt(text string, now time.Time) time.Time {
	if m := resetAt.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseInt(m[1], 10, 64)
		return time.Unix(seconds, 0).UTC()
	}
	if m := retryAfter.FindStringSubmatch(text); m != nil {
		units := map[string]time.Duration{"ms": time.Millisecond, "milli": time.Millisecond, "": time.Second,
			"s": time.Second,
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

// unknownOption matches messages about unknown options.
var unknownOption = regexp.MustCompile(
	`(?im)^(?:error: )?((?:unknown|unrecognized|unexpected|invalid) (?:option|argument|flag|subcommand|command)s?\b[^\n]{0,100})`)

// exitFailure is the failure of a program that ended without an answer. Its standard error may contain anything, also
// output of tools and text of a prompt, so only a known last line decides the kind. A message about an unknown option
// counts only before the program has begun to work.
func (r *run) exitFailure(end ending, stderr string, now time.Time) *Failure {
	last := lastLine(stderr)
	f := &Failure{Kind: FailAgent}
	if end.Signal == "" && r.knownKind(last) != "" {
		if f = r.failure(errorReport{text: last}, now); f.Kind == FailUnknown {
			return f
		}
	}
	switch {
	case end.Signal == "" && f.Kind == FailAgent && !r.hasWorked() && unknownOption.MatchString(stderr):
		f.Kind, f.Reason = FailStart, fmt.Sprintf("this version of %s does not take what Carillon asks of it: %s",
			r.Name,
			unknownOption.FindStringSubmatch(stderr)[1])
		f.Fix = strings.TrimSpace("Install a newer one: " + r.Install)
	case end.Signal != "":
		f.Kind, f.Reason = FailAgent, fmt.Sprintf("%s was ended by a signal: %s", r.Name, end.Signal)
	case last == "":
		f.Reason = fmt.Sprintf("%s ended with exit %d before its answer was complete", r.Name, end.Exit)
	default:
		f.Reason = fmt.Sprintf("exit %d: %s", end.Exit, plainError(last))
	}
	return f
}

// gitAdvice are Git's lines of advice after a failure, for a person at a terminal.
var gitAdvice = map[string]bool{
	"Please make sure you have the correct access rights": true, "and the repository exists.": true,
	"Another git process seems to be running in this repository, e.g.": true,
	"an editor opened by 'git commit'. Please make sure all processes": true,
	"are terminated then try again. If it still fails, a git process":  true,
	"may have crashed in this repository earlier:":                     true,
	"remove the file manually to continue.":                            true,
}

// lastLine is the last meaningful line. It leaves out Git's advice, and puts the reason of ssh before Git's line.
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
