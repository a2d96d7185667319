// Package shape writes errors of the gateway as the provider would have written them, so that agents understand them, retry what can be
// retried, and show people the message.
package shape

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

// object is an object of JSON.
type object = map[string]any

// bodies write an error in the shape of a format.
var bodies = map[meter.Format]func(failure) any{
	meter.AnthropicMessages: anthropic,
	meter.OpenAI:            openAI,
	meter.Gemini:            google,
}

// failure is what a body is made of.
type failure struct {
	status        int
	kind, message string
	retryAfter    string // whole seconds, or empty
}

// Write answers a request with an error. Kind is our own name of what failed, of letters: it is the "code" of OpenAI's shape, where that has no code of
// its own for the status, the "reason" of Google's, and the "type" of any other; Anthropic's has no place for it. Message is one line for people.
// With retryAfter above zero, the answer says when to come back: in whole seconds, rounded up.
func Write(w http.ResponseWriter, format meter.Format, status int, kind, message string, retryAfter time.Duration) {
	f := failure{status: status, kind: kind, message: message}
	if retryAfter > 0 {
		f.retryAfter = strconv.FormatInt(int64((retryAfter-1)/time.Second)+1, 10)
		w.Header().Set("Retry-After", f.retryAfter)
	}
	body, ok := bodies[format]
	if !ok {
		body = other
	}
	text := encode(body(f))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(text) // whoever asked has gone
}

// encode leaves "<" and ">" legible: the answer is no HTML.
func encode(body any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // maps of strings and numbers always have a JSON form
	return b.Bytes()
}

// other is the shape for services that we know nothing of.
func other(f failure) any {
	return object{"error": object{"type": f.kind, "message": f.message}}
}

// anthropicTypes are those of https://docs.claude.com/en/api/errors; other codes below 500 are invalid_request_error, as the page says, and
// other ones api_error. That of 402 and 504 are from the vendor's own SDKs.
var anthropicTypes = map[int]string{
	http.StatusUnauthorized:          "authentication_error",
	http.StatusPaymentRequired:       "billing_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusGatewayTimeout:        "timeout_error",
	529:                              "overloaded_error",
}

func anthropic(f failure) any {
	return object{"type": "error", "error": object{"type": byStatus(anthropicTypes, f.status, "invalid_request_error", "api_error"), "message": f.message}}
}

// openAITypes and openAICodes are what OpenAI's API says with these statuses (https://platform.openai.com/docs/guides/error-codes).
var (
	openAITypes = map[int]string{http.StatusTooManyRequests: "rate_limit_error", http.StatusServiceUnavailable: "service_unavailable_error"}
	openAICodes = map[int]string{http.StatusUnauthorized: "invalid_api_key", http.StatusTooManyRequests: "rate_limit_exceeded"}
)

func openAI(f failure) any {
	var code any
	if own := openAICodes[f.status]; own != "" {
		code = own
	} else if f.kind != "" {
		code = f.kind
	}
	return object{"error": object{
		"message": f.message, "type": byStatus(openAITypes, f.status, "invalid_request_error", "server_error"), "param": nil, "code": code,
	}}
}

// googleStatuses are the codes of google.rpc.Code by their mapping to HTTP (https://cloud.google.com/apis/design/errors).
var googleStatuses = map[int]string{
	http.StatusUnauthorized:                 "UNAUTHENTICATED",
	http.StatusForbidden:                    "PERMISSION_DENIED",
	http.StatusNotFound:                     "NOT_FOUND",
	http.StatusConflict:                     "ABORTED",
	http.StatusRequestedRangeNotSatisfiable: "OUT_OF_RANGE",
	http.StatusTooManyRequests:              "RESOURCE_EXHAUSTED",
	499:                                     "CANCELLED",
	http.StatusNotImplemented:               "UNIMPLEMENTED",
	http.StatusBadGateway:                   "UNAVAILABLE",
	http.StatusServiceUnavailable:           "UNAVAILABLE",
	http.StatusGatewayTimeout:               "DEADLINE_EXCEEDED",
}

// google also says when to come back in the body, since Google's clients look for it there (google.rpc.RetryInfo), and what failed (google.rpc.ErrorInfo).
func google(f failure) any {
	e := object{"code": f.status, "message": f.message, "status": byStatus(googleStatuses, f.status, "INVALID_ARGUMENT", "INTERNAL")}
	var details []object
	if f.kind != "" {
		details = append(details, object{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f.kind, "domain": "sandkeep.dev"})
	}
	if f.retryAfter != "" {
		details = append(details, object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f.retryAfter + "s"})
	}
	if details != nil {
		e["details"] = details
	}
	return object{"error": e}
}

// byStatus is what stands for a status, or else for its class.
func byStatus(names map[int]string, status int, client, server string) string {
	if name, ok := names[status]; ok {
		return name
	}
	if status < http.StatusInternalServerError {
		return client
	}
	return server
}
