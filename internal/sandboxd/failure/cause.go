// Package failure keeps the real cause of a failed run and says which class of failure it is.
package failure

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cause is what is known of why an agent failed.
type Cause struct {
	// Status is the provider's HTTP status; 0 when it is not known.
	Status int
	// Types are the names that the error was given on its way: "authentication_error", "ProviderAuthError".
	Types []string
	// Text is the error in words.
	Text string
	// RetryAfter is the provider's wish; 0 when it gave none.
	RetryAfter time.Duration
	// Loose is true for text that is no error report but happened to be the last that an agent printed: any tool's output
	// may be in it, so that only words that a provider alone uses decide.
	Loose bool
}

// Empty reports that nothing is known.
func (c Cause) Empty() bool { return c.Status == 0 && len(c.Types) == 0 && c.Text == "" }

// Vague reports that the cause says only that there was an error.
func (c Cause) Vague() bool { return isGeneric(c.Text) }

// FromJSON reads an error in any of the shapes in which agents and providers pass them on: null, "", a string (which may be
// JSON again, or hold some), an array, or an object with message, description, data.message, error.{type,message} and so on.
func FromJSON(raw json.RawMessage) Cause {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return FromText(string(raw))
	}
	return FromValue(value)
}

// FromValue is FromJSON for a decoded value.
func FromValue(value any) Cause {
	var f finder
	f.walk(value, 0)
	return f.cause()
}

// FromText is FromJSON for a string.
func FromText(text string) Cause { return FromValue(text) }

// FromOutput is a Loose cause.
func FromOutput(text string) Cause { return Cause{Text: strings.TrimSpace(text), Loose: true} }

// The keys of an error object, in the order in which they are trusted.
var (
	textKeys   = []string{"message", "description", "error_description", "detail", "details", "reason", "title"}
	nestedKeys = []string{"error", "errors", "data", "cause", "body", "responseBody", "response", "result"}
	typeKeys   = []string{"type", "name", "errorName", "code", "status", "error"}
	statusKeys = []string{"statusCode", "status_code", "status", "code", "api_error_status"}
	retryKeys  = []string{"retryAfter", "retry_after", "retry-after", "Retry-After", "retryDelay"}
	headerKeys = []string{"responseHeaders", "headers"}
)

// generic are texts that say only that there was an error; whatever stands beside or below them is better.
var generic = []string{
	"", "error", "internal error", "unknown error", "an error occurred", "request failed", "unexpected error", "failed", "opencode service failure", "unexpected server error. check server logs for details", "invalid params",
	"agent failed to generate a response", "unknownerror", "apierror", "null", "undefined", "{}", "[object object]",
}

// finder collects what an error value holds.
type finder struct {
	texts  []string
	types  []string
	status int
	retry  time.Duration
}

// maxDepth ends the walk in errors that nest for ever.
const maxDepth = 8

func (f *finder) walk(value any, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := value.(type) {
	case string:
		f.walkText(v, depth)
	case []any:
		for _, element := range v {
			f.walk(element, depth+1)
		}
	case map[string]any:
		f.walkObject(v, depth)
	}
}

// walkText looks for JSON in a string: the whole of it, or from its first brace on, as in `API Error: 401 {"type":...}`.
func (f *finder) walkText(text string, depth int) {
	text = strings.TrimSpace(text)
	var inner any
	if strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "[") {
		if json.Unmarshal([]byte(text), &inner) == nil {
			f.walk(inner, depth+1)
			return
		}
	}
	brace := strings.IndexByte(text, '{')
	if brace >= 0 && json.NewDecoder(strings.NewReader(text[brace:])).Decode(&inner) == nil {
		f.noteStatus(statusIn(text[:brace]))
		before := len(f.texts)
		f.walk(inner, depth+1)
		if len(f.texts) > before {
			return
		}
	}
	f.noteStatus(statusIn(text))
	f.texts = append(f.texts, text)
}

func (f *finder) walkObject(object map[string]any, depth int) {
	for _, key := range typeKeys {
		if s, ok := object[key].(string); ok && isIdentifier(s) {
			f.types = append(f.types, s)
		}
	}
	for _, key := range statusKeys {
		f.noteStatus(asStatus(object[key]))
	}
	f.noteRetry(object)
	for _, key := range textKeys {
		if _, isText := object[key].(string); isText {
			f.walk(object[key], depth+1)
		}
	}
	for _, key := range append(nestedKeys, textKeys...) {
		if _, isText := object[key].(string); !isText || slices.Contains(nestedKeys, key) {
			f.walk(object[key], depth+1)
		}
	}
}

func (f *finder) noteStatus(status int) {
	if f.status == 0 {
		f.status = status
	}
}

func (f *finder) noteRetry(object map[string]any) {
	for _, key := range headerKeys {
		if headers, ok := object[key].(map[string]any); ok {
			f.noteRetry(headers)
		}
	}
	for _, key := range retryKeys {
		if d := asDelay(object[key]); f.retry == 0 && d > 0 {
			f.retry = d
		}
	}
}

// cause is the first text that says something, with everything else that was found.
func (f *finder) cause() Cause {
	c := Cause{Status: f.status, Types: slices.Compact(f.types), RetryAfter: f.retry}
	for _, text := range f.texts {
		if c.Text == "" || isGeneric(c.Text) {
			c.Text = text
		}
	}
	if isGeneric(c.Text) && len(c.Types) > 0 {
		c.Text = c.Types[0]
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = delayIn(c.Text)
	}
	return c
}

func isGeneric(text string) bool {
	return slices.Contains(generic, strings.ToLower(strings.Trim(text, " .:!")))
}

// isIdentifier tells "authentication_error" from a sentence.
func isIdentifier(s string) bool {
	return s != "" && !strings.ContainsAny(s, " {}\n\"") && len(s) <= 64
}

// asStatus reads a provider's HTTP status; anything that is not an error status is 0.
func asStatus(value any) int {
	n := 0
	switch v := value.(type) {
	case float64:
		n = int(v)
	case string:
		n, _ = strconv.Atoi(v)
	}
	if n < 400 || n > 599 {
		return 0
	}
	return n
}

// asDelay reads a number of seconds, or a duration as Google writes it ("37s").
func asDelay(value any) time.Duration {
	switch v := value.(type) {
	case float64:
		return seconds(v)
	case string:
		n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), "s"), 64)
		if err != nil {
			return 0
		}
		return seconds(n)
	default:
		return 0
	}
}

// maxRetryAfter caps what is believed: a wrong number must not park a session for good.
const maxRetryAfter = 24 * time.Hour

func seconds(n float64) time.Duration {
	if !(n > 0) {
		return 0
	}
	return time.Duration(min(n, maxRetryAfter.Seconds()) * float64(time.Second))
}

var (
	statusPattern = regexp.MustCompile(`(?i)(?:\bAPI error|\bstatus(?: code)?|\bHTTP(?:/\d(?:\.\d)?)?|\berror(?: code)?)[ :=]+\(?([45]\d\d)\b`)
	delayPattern  = regexp.MustCompile(`(?i)\b(?:retry|try again)[ -](?:after|in)[ :]+(\d+(?:\.\d+)?) ?(ms|s|sec|m|min|minute|h|hour)?`)
)

// statusIn finds a status that a text names as one.
func statusIn(text string) int {
	m := statusPattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	return asStatus(m[1])
}

// delayIn finds "try again in 20s" in a text.
func delayIn(text string) time.Duration {
	m := delayPattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	switch m[2] {
	case "ms":
		n /= 1000
	case "m", "min", "minute":
		n *= 60
	case "h", "hour":
		n *= 3600
	}
	return seconds(n)
}
