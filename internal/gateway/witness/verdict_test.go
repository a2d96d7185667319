package witness

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	noCredit   = `Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.`
	badGoogle  = `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}`
	busyGoogle = `{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{},{"retryDelay":"37s"}]}}`
)

func invalid(message string) string {
	return `{"type":"error","error":{"type":"invalid_request_error","message":"` + message + `"}}`
}

func TestWhatAnAnswerSaysOfTheKey(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
		want   Verdict
	}{
		"success":                       {200, "", Accepted},
		"a WebSocket":                   {101, "", Accepted},
		"what is not modified":          {304, "", Accepted},
		"401":                           {401, "<html>no</html>", Rejected},
		"403":                           {403, `{"error":{"type":"permission_error","message":"no"}}`, Rejected},
		"403 without a word":            {403, "", Rejected},
		"403 for a model":               {403, `{"error":{"type":"invalid_request_error","code":"model_not_found","message":"no access to x"}}`, ""},
		"403 for a moderated input":     {403, `{"error":{"code":403,"message":"flagged","metadata":{"flagged_input":"x"}}}`, ""},
		"403 for an account":            {403, `{"error":{"code":"billing_not_active"}}`, NoCredit},
		"402":                           {402, "", NoCredit},
		"402 of OpenRouter":             {402, `{"error":{"code":402,"message":"Insufficient credits"}}`, NoCredit},
		"429":                           {429, `{"error":{"type":"rate_limit_error","message":"slow"}}`, RateLimited},
		"429 without a word":            {429, "", RateLimited},
		"429 without credit, by code":   {429, `{"error":{"code":"insufficient_quota"}}`, NoCredit},
		"429 without credit, by type":   {429, `{"error":{"type":"insufficient_quota","code":null}}`, NoCredit},
		"429 that speaks of credit":     {429, `{"error":{"message":"insufficient_quota for model insufficient_quota"}}`, RateLimited},
		"429 with a code further down":  {429, `{"error":{"message":"x","param":{"code":"insufficient_quota"}},"code":"insufficient_quota"}`, RateLimited},
		"429 with odd details":          {429, `{"error":{"details":"x","metadata":1,"type":{},"code":"insufficient_quota"}}`, NoCredit},
		"429 of Google":                 {429, busyGoogle, RateLimited},
		"400":                           {400, invalid("prompt is too long"), ""},
		"400 without credit, Anthropic": {400, invalid(noCredit), NoCredit},
		"400 without credit, by code":   {400, `{"error":{"code":"billing_hard_limit_reached","type":"image_error"}}`, NoCredit},
		"400 that repeats a field":      {400, invalid(noCredit + ": Extra inputs are not permitted"), ""},
		"400 that repeats a model":      {400, invalid("model: " + noCredit), ""},
		"400 of another type":           {400, strings.Replace(invalid(noCredit), "invalid_request_error", "x", 1), ""},
		"400 for a key of Google":       {400, badGoogle, Rejected},
		"400 for it, in a stream":       {400, " [" + badGoogle + "]", Rejected},
		"400 that speaks of such a key": {400, `{"error":{"message":"API_KEY_INVALID","details":"API_KEY_INVALID"}}`, ""},
		"404":                           {404, `{"error":{"type":"authentication_error","code":"insufficient_quota"}}`, ""},
		"413":                           {413, "", ""},
		"500":                           {500, `{"error":{"type":"authentication_error","message":"x"}}`, ""},
		"529":                           {529, `{"error":{"type":"overloaded_error","message":"x"}}`, ""},
		"nobody waited":                 {0, "", ""},
		"a list of nothing":             {429, "[]", RateLimited},
		"an error that is a text":       {429, `{"error":"insufficient_quota"}`, RateLimited},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, _ := Judge(c.status, http.Header{}, []byte(c.body)); got != c.want {
				t.Errorf("verdict %q, want %q", got, c.want)
			}
		})
	}
}

func TestPatienceIsWhatTheProviderAsksFor(t *testing.T) {
	cases := map[string]struct {
		status      int
		after, body string
		want        time.Duration
	}{
		"in the header":                {429, "17", busyGoogle, 17 * time.Second},
		"in details":                   {429, "", busyGoogle, 37 * time.Second},
		"as a date":                    {429, "Wed, 21 Oct 2026 07:28:00 GMT", "", 0},
		"less than none":               {429, "-5", `{"error":{"details":[{"retryDelay":"-5s"}]}}`, 0},
		"in words, which anybody says": {429, "", `{"error":{"message":"try again in 600s"}}`, 0},
		"of an outage":                 {503, "17", "", 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if c.after != "" {
				header.Set("Retry-After", c.after)
			}
			if _, got := Judge(c.status, header, []byte(c.body)); got != c.want {
				t.Errorf("patience %s, want %s", got, c.want)
			}
		})
	}
}
