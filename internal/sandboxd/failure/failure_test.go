package failure

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// TestCauseSurvivesEveryShape: errors are passed on in many shapes, and the cause is in each of them somewhere.
func TestCauseSurvivesEveryShape(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want Cause
	}{
		"null":                       {`null`, Cause{}},
		"an empty string":            {`""`, Cause{}},
		"an empty object":            {`{}`, Cause{}},
		"a string":                   {`"boom"`, Cause{Text: "boom"}},
		"no JSON at all":             {`boom: it broke`, Cause{Text: "boom: it broke"}},
		"message":                    {`{"message":"boom"}`, Cause{Text: "boom"}},
		"description":                {`{"description":"boom"}`, Cause{Text: "boom"}},
		"data.message":               {`{"name":"APIError","data":{"message":"boom","statusCode":401}}`, Cause{Status: 401, Types: []string{"APIError"}, Text: "boom"}},
		"error.message":              {`{"error":{"type":"authentication_error","message":"boom"}}`, Cause{Types: []string{"authentication_error"}, Text: "boom"}},
		"error as text":              {`{"error":"boom and bust"}`, Cause{Text: "boom and bust"}},
		"error as a name":            {`{"error":"invalid_grant","error_description":"boom"}`, Cause{Types: []string{"invalid_grant"}, Text: "boom"}},
		"JSON in a string":           {`"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"`, Cause{Types: []string{"error", "overloaded_error"}, Text: "Overloaded"}},
		"JSON in a message":          {`{"message":"{\"error\":{\"message\":\"boom\"}}"}`, Cause{Text: "boom"}},
		"JSON three times":           {quote(quote(`{"error":{"message":"boom"}}`)), Cause{Text: "boom"}},
		"JSON after words":           {`"API Error: 401 {\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"boom\"}}"`, Cause{Status: 401, Types: []string{"error", "authentication_error"}, Text: "boom"}},
		"braces that are no JSON":    {`"expected } but found {"`, Cause{Text: "expected } but found {"}},
		"a list of errors":           {`[{"message":"boom"},{"message":"bust"}]`, Cause{Text: "boom"}},
		"a list of texts":            {`["boom"]`, Cause{Text: "boom"}},
		"a generic message":          {`{"message":"Internal error","data":{"details":"boom"}}`, Cause{Text: "boom"}},
		"only a generic message":     {`{"message":"Internal error"}`, Cause{Text: "Internal error"}},
		"only a name":                {`{"name":"ProviderAuthError"}`, Cause{Types: []string{"ProviderAuthError"}, Text: "ProviderAuthError"}},
		"a response body":            {`{"name":"APIError","data":{"statusCode":429,"responseHeaders":{"retry-after":"7"},"responseBody":"{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}"}}`, Cause{Status: 429, Types: []string{"APIError", "rate_limit_error"}, Text: "slow down", RetryAfter: 7 * time.Second}},
		"Google's status and delay":  {`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota","details":[{"retryDelay":"37s"}]}}`, Cause{Status: 429, Types: []string{"RESOURCE_EXHAUSTED"}, Text: "quota", RetryAfter: 37 * time.Second}},
		"a code that is no status":   {`{"code":-32603,"message":"boom"}`, Cause{Text: "boom"}},
		"a delay in words":           {`"Rate limit reached. Please try again in 20s."`, Cause{Text: "Rate limit reached. Please try again in 20s.", RetryAfter: 20 * time.Second}},
		"a delay in minutes":         {`"try again in 3 minutes"`, Cause{Text: "try again in 3 minutes", RetryAfter: 3 * time.Minute}},
		"a delay beyond belief":      {`{"message":"x y","retryAfter":1e300}`, Cause{Text: "x y", RetryAfter: maxRetryAfter}},
		"a status in words":          {`"unexpected status 503 Service Unavailable: x"`, Cause{Status: 503, Text: "unexpected status 503 Service Unavailable: x"}},
		"a number that is no status": {`"read 500 files"`, Cause{Text: "read 500 files"}},
		"a fallen number":            {`42`, Cause{}},
		"nested for ever":            {strings.Repeat(`{"error":`, 50) + `"deep"` + strings.Repeat(`}`, 50), Cause{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, FromJSON(json.RawMessage(tt.raw))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func quote(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}

func TestClassify(t *testing.T) {
	tests := map[contract.FailureClass][]Cause{
		contract.ProviderAuthenticationFailed: {
			{Status: 401, Text: "x"}, {Status: 403, Text: "x"},
			{Types: []string{"ProviderAuthError"}}, {Types: []string{"error", "authentication_error"}, Text: "x"},
			{Text: "invalid x-api-key"}, {Text: "Not logged in · Please run /login"}, {Text: "Incorrect API key provided: sk-..."},
			{Text: "API key not valid. Please pass a valid API key."}, {Text: "Missing environment variable: `OPENAI_API_KEY`"},
			FromOutput("Error: Not logged in"),
		},
		contract.ProviderRateLimited: {
			{Status: 429, Text: "x"}, {Types: []string{"rate_limit_error"}, Text: "x"}, {Text: "This request would exceed your organization's rate limit"},
			{Text: "Too Many Requests"}, {Status: 429, Text: "You exceeded your current quota, please check your plan and billing details.", RetryAfter: time.Second},
			FromOutput(`{"type":"rate_limit_error"}`),
		},
		contract.ProviderQuotaExhausted: {
			{Status: 400, Text: "Your credit balance is too low to access the Anthropic API"}, {Types: []string{"insufficient_quota"}, Status: 429},
			{Status: 429, Text: "You exceeded your current quota, please check your plan and billing details."}, {Status: 402, Text: "x"},
			{Text: "You've hit your usage limit"}, {Types: []string{"billing_error"}, Text: "x"}, FromOutput("Credit balance is too low"),
		},
		contract.ProviderUnavailable: {
			{Status: 500}, {Status: 502}, {Status: 503}, {Status: 504}, {Status: 529}, {Types: []string{"overloaded_error"}, Text: "x"},
			{Text: "Overloaded"}, {Text: "connect ECONNREFUSED 127.0.0.1:4141"}, {Text: "Cannot connect to API: The socket connection was closed unexpectedly"},
			{Text: "stream disconnected before completion: x"}, {Text: "Unable to connect to API (ConnectionRefused)"}, {Text: "fetch failed"},
			{Status: 500, Types: []string{"api_error"}, Text: "Internal server error"}, FromOutput("overloaded_error"),
		},
		contract.ContextOverflow: {
			{Status: 400, Text: "prompt is too long: 250000 tokens > 200000 maximum"}, {Types: []string{"context_length_exceeded"}, Status: 400},
			{Text: "This model's maximum context length is 128000 tokens"}, {Types: []string{"ContextOverflowError"}, Text: "x"}, {Status: 413, Text: "x"},
			FromOutput("Prompt is too long"),
		},
		contract.AgentCrashed: {
			{}, {Text: "index out of range"}, {Status: 400, Text: "messages: at least one message is required"}, {Status: 404, Text: "model not found"},
			FromOutput("npm ERR! 403 Forbidden"), FromOutput("dial tcp: connection refused"), FromOutput("HTTP 500 from the test server"), FromOutput("timed out"),
		},
	}
	for class, causes := range tests {
		for _, c := range causes {
			if got := Classify(c); got != class {
				t.Errorf("%+v: got %s, want %s", c, got, class)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	tests := map[string]struct {
		cause Cause
		want  string
	}{
		"status and text":       {Cause{Status: 401, Text: "bad key"}, "The provider refused the credential (status 401): bad key; check the key in the credential's Secret"},
		"status in the text":    {Cause{Status: 401, Text: "API Error: 401 bad key"}, "The provider refused the credential: API Error: 401 bad key; check the key in the credential's Secret"},
		"status alone":          {Cause{Status: 529}, "The provider did not answer properly (status 529); it is tried again; check the provider's status page if it goes on"},
		"nothing":               {Cause{}, "The agent failed; the session's log has the details"},
		"several lines":         {Cause{Text: "one\n\ttwo\x1b[0m"}, "The agent failed: one two[0m; the session's log has the details"},
		"a text without an end": {Cause{Text: strings.Repeat("x", 5000)}, "The agent failed: " + strings.Repeat("x", maxCause-3) + "…; the session's log has the details"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := FromCause(tt.cause).Message; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if f := FromCause(Cause{Status: 429, RetryAfter: time.Minute}); f.RetryAfter != time.Minute {
		t.Errorf("the provider's wish is lost: %+v", f)
	}
}

// FuzzFromJSON: whatever comes, there is an answer, and a text that was given is not lost.
func FuzzFromJSON(f *testing.F) {
	for _, seed := range []string{`null`, `{"error":{"message":"x"}}`, `"{\"a\":"`, `[[["x"]]]`, `{"message":{"message":"x"}}`, "\xff{"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c := FromJSON(json.RawMessage(raw))
		if c.RetryAfter < 0 || c.RetryAfter > maxRetryAfter || c.Status != 0 && (c.Status < 400 || c.Status > 599) {
			t.Errorf("%+v", c)
		}
		if Classify(c) == "" || FromCause(c).Message == "" {
			t.Errorf("no verdict on %+v", c)
		}
	})
}
