package failure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// Failure is a verdict: a class, and a message for the user.
type Failure struct {
	Class      contract.FailureClass
	Message    string
	RetryAfter time.Duration
}

// New is a Failure with a formatted message.
func New(class contract.FailureClass, format string, args ...any) *Failure {
	return &Failure{Class: class, Message: fmt.Sprintf(format, args...)}
}

// rule recognises one class. Statuses and types are a provider's own words for it; phrases are looked for in any text,
// strong ones also in loose text.
type rule struct {
	class    contract.FailureClass
	statuses []int
	types    []string
	strong   []string
	phrases  []string
}

// rules are tried in order. Context and quota come first, because providers report them under statuses that mean something
// else too: 400, 403 and 429.
var rules = []rule{
	{
		class:    contract.ContextOverflow,
		statuses: []int{413},
		types:    []string{"context_length_exceeded", "ContextOverflowError", "request_too_large"},
		strong:   []string{"prompt is too long", "exceeds model limit", "context_length_exceeded", "maximum context length", "exceeds the context window"},
		phrases:  []string{"context window", "input is too long", "exceeds the maximum number of tokens"},
	},
	{
		class:    contract.ProviderQuotaExhausted,
		statuses: []int{402},
		types:    []string{"insufficient_quota", "billing_error", "billing_not_active", "usage_limit_reached"},
		strong:   []string{"credit balance is too low", "insufficient_quota", "exceeded your current quota"},
		phrases:  []string{"credit balance", "insufficient credit", "out of credits", "usage limit", "spend limit", "billing"},
	},
	{
		class:    contract.ProviderAuthenticationFailed,
		statuses: []int{401, 403},
		types: []string{
			"authentication_error", "permission_error", "invalid_api_key", "ProviderAuthError", "authentication_failed",
			"LoadAPIKeyError", "AI_LoadAPIKeyError", "UNAUTHENTICATED", "PERMISSION_DENIED",
		},
		strong: []string{
			"not logged in", "invalid x-api-key", "invalid api key", "incorrect api key", "api key not valid",
			"api key is missing", "missing api key", "please run /login", "providerautherror", "authentication_error",
		},
		phrases: []string{"unauthorized", "authentication", "invalid bearer token", "no auth credentials", "forbidden", "does not have permission",
			"missing environment variable",
		},
	},
	{
		class:    contract.ProviderRateLimited,
		statuses: []int{429},
		types:    []string{"rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED", "rate_limit"},
		strong:   []string{"rate_limit_error", "rate_limit_exceeded"},
		phrases:  []string{"rate limit", "rate-limit", "too many requests"},
	},
	{
		class:    contract.ProviderUnavailable,
		statuses: []int{408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529},
		types:    []string{"overloaded_error", "api_error", "server_error", "overloaded", "timeout_error", "UNAVAILABLE", "ECONNREFUSED", "ECONNRESET", "ConnectionRefused"},
		strong:   []string{"overloaded_error", "stream disconnected before completion"},
		phrases: []string{
			"overloaded", "connection refused", "connection reset", "connection error", "connection closed", "econnrefused", "econnreset",
			"enotfound", "etimedout", "getaddrinfo", "socket hang up", "fetch failed", "unable to connect", "cannot connect",
			"network error", "stream disconnected", "stream ended", "stream closed", "unexpected eof", "premature close",
			"socket connection was closed", "incomplete response", "internal server error", "bad gateway", "service unavailable",
			"gateway timeout", "timed out", "timeout", "terminated", "error sending request", "high demand",
		},
	},
}

// Classify says what kind of failure a cause is. AgentCrashed is the class of everything that no provider is known to say.
func Classify(c Cause) contract.FailureClass {
	// A quota that is filled again in seconds is a rate: Google uses the same words for both and adds the delay.
	if c.Status == 429 && c.RetryAfter > 0 {
		return contract.ProviderRateLimited
	}
	for _, match := range []func(rule, Cause) bool{matchesSpecific, matchesStatus, matchesPhrase} {
		for _, r := range rules {
			if match(r, c) {
				return r.class
			}
		}
	}
	return contract.AgentCrashed
}

// matchesSpecific matches what only this class is called.
func matchesSpecific(r rule, c Cause) bool {
	return slices.ContainsFunc(c.Types, func(t string) bool { return slices.Contains(r.types, t) && !isVague(t) }) ||
		containsAny(c.Text, r.strong)
}

// isVague is true for types under which providers put other failures as well, told apart by the status.
func isVague(t string) bool {
	return t == "api_error" || t == "server_error" || t == "permission_error"
}

func matchesStatus(r rule, c Cause) bool { return !c.Loose && slices.Contains(r.statuses, c.Status) }

func matchesPhrase(r rule, c Cause) bool {
	return !c.Loose && (containsAny(c.Text, r.phrases) ||
		slices.ContainsFunc(c.Types, func(t string) bool { return slices.Contains(r.types, t) }))
}

func containsAny(text string, phrases []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(text, p) })
}

// phrasing is how a class is told, around the cause, and what to do about it.
var phrasing = map[contract.FailureClass]struct{ happened, next string }{
	contract.ContextOverflow:              {"The task outgrew the model's context", "make a new Session with a smaller task or a model with a larger context"},
	contract.ProviderQuotaExhausted:       {"The provider's quota or credit is used up", "raise it with the provider, then make a new Session"},
	contract.ProviderAuthenticationFailed: {"The provider refused the credential", "check the key in the credential's Secret"},
	contract.ProviderRateLimited:          {"The provider limits the rate of requests", "it is tried again after the time that the provider named"},
	contract.ProviderUnavailable:          {"The provider did not answer properly", "it is tried again; check the provider's status page if it goes on"},
	contract.AgentCrashed:                 {"The agent failed", "the session's log has the details"},
}

// maxCause bounds the cause inside a message.
const maxCause = 600

// FromCause is the verdict on a cause.
func FromCause(c Cause) *Failure {
	class := Classify(c)
	p := phrasing[class]
	f := New(class, "%s%s; %s", p.happened, causeText(c), p.next)
	if class == contract.ProviderRateLimited || class == contract.ProviderUnavailable {
		f.RetryAfter = c.RetryAfter
	}
	return f
}

func causeText(c Cause) string {
	text := contract.OneLine(c.Text, maxCause)
	switch {
	case text == "" && c.Status == 0:
		return ""
	case text == "":
		return fmt.Sprintf(" (status %d)", c.Status)
	case c.Status != 0 && !strings.Contains(text, fmt.Sprint(c.Status)):
		return fmt.Sprintf(" (status %d): %s", c.Status, text)
	default:
		return ": " + text
	}
}
