package shape

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

func TestWrite(t *testing.T) {
	const message = `The key of "anthropic" may be used <10> times a minute; try again in 2 s`
	escaped := strings.ReplaceAll(message, `"`, `\"`)
	tests := map[string]struct {
		format     meter.Format
		status     int
		kind       string
		retryAfter time.Duration
		want       string
		wantRetry  string
	}{
		"Anthropic, a limit":       {meter.AnthropicMessages, 429, "RateLimited", 1500 * time.Millisecond, `{"error":{"message":"` + escaped + `","type":"rate_limit_error"},"type":"error"}`, "2"},
		"Anthropic, no key":        {meter.AnthropicMessages, 401, "NotAllowed", 0, `{"error":{"message":"` + escaped + `","type":"authentication_error"},"type":"error"}`, ""},
		"OpenAI, a limit":          {meter.OpenAI, 429, "RateLimited", time.Second, `{"error":{"code":"rate_limit_exceeded","message":"` + escaped + `","param":null,"type":"rate_limit_error"}}`, "1"},
		"OpenAI, an unknown route": {meter.OpenAI, 404, "RouteNotFound", 0, `{"error":{"code":"RouteNotFound","message":"` + escaped + `","param":null,"type":"invalid_request_error"}}`, ""},
		"OpenAI, no kind":          {meter.OpenAI, 502, "", 0, `{"error":{"code":null,"message":"` + escaped + `","param":null,"type":"server_error"}}`, ""},
		"Google, a limit": {meter.Gemini, 429, "RateLimited", time.Nanosecond, `{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","domain":"sandkeep.dev","reason":"RateLimited"},` +
			`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}],"message":"` + escaped + `","status":"RESOURCE_EXHAUSTED"}}`, "1"},
		"Google, no kind":   {meter.Gemini, 403, "", 0, `{"error":{"code":403,"message":"` + escaped + `","status":"PERMISSION_DENIED"}}`, ""},
		"any other service": {"", 413, "BodyTooLarge", 61 * time.Second, `{"error":{"message":"` + escaped + `","type":"BodyTooLarge"}}`, "61"},
		"an unknown format": {"Cohere", 500, "Internal", -time.Second, `{"error":{"message":"` + escaped + `","type":"Internal"}}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Write(w, tt.format, tt.status, tt.kind, message, tt.retryAfter)
			if diff := cmp.Diff(tt.want+"\n", w.Body.String()); diff != "" {
				t.Error(diff)
			}
			if w.Code != tt.status || w.Header().Get("Retry-After") != tt.wantRetry || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %d, %v", w.Code, w.Header())
			}
		})
	}
}

func TestStatusesHaveTheVendorsNames(t *testing.T) {
	type names struct{ Anthropic, OpenAI, Google string }
	tests := map[int]names{
		400: {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		401: {"authentication_error", "invalid_request_error", "UNAUTHENTICATED"},
		402: {"billing_error", "invalid_request_error", "INVALID_ARGUMENT"},
		403: {"permission_error", "invalid_request_error", "PERMISSION_DENIED"},
		404: {"not_found_error", "invalid_request_error", "NOT_FOUND"},
		405: {"invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		413: {"request_too_large", "invalid_request_error", "INVALID_ARGUMENT"},
		429: {"rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"},
		500: {"api_error", "server_error", "INTERNAL"},
		502: {"api_error", "server_error", "UNAVAILABLE"},
		503: {"api_error", "service_unavailable_error", "UNAVAILABLE"},
		504: {"timeout_error", "server_error", "DEADLINE_EXCEEDED"},
		529: {"overloaded_error", "server_error", "INTERNAL"},
	}
	for status, want := range tests {
		got := names{said(t, meter.AnthropicMessages, status).Type, said(t, meter.OpenAI, status).Type, said(t, meter.Gemini, status).Status}
		if got != want {
			t.Errorf("%d: got %v, want %v", status, got, want)
		}
	}
}

type body struct{ Type, Status string }

func said(t *testing.T, format meter.Format, status int) body {
	t.Helper()
	w := httptest.NewRecorder()
	Write(w, format, status, "Kind", "m", 0)
	var answer struct{ Error body }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Error
}

func TestMessagesCannotBreakOut(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, meter.OpenAI, 400, "K", "a\"}\r\n\xff\u2028</script>", 0)
	var answer struct{ Error struct{ Message string } }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error.Message != "a\"}\r\n\ufffd\u2028</script>" {
		t.Errorf("got %q, %v", answer.Error.Message, err)
	}
	if strings.Count(w.Body.String(), "\n") != 1 {
		t.Errorf("got %q", w.Body.String())
	}
}
