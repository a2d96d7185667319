package door

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// seen is what became of the agent's requests. At rest, open holds at most one failure a provider, in the order in which they happened; a
// success takes its provider's away.
type seen struct {
	mu       sync.Mutex
	accepted int64
	open     []providerFailure
}

type providerFailure struct {
	provider string
	failure  failure.Failure
}

func (s *seen) succeeded(provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
	s.forget(provider)
}

func (s *seen) failed(provider string, f *failure.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(provider)
	s.open = append(s.open, providerFailure{provider, *f})
}

func (s *seen) forget(provider string) {
	s.open = slices.DeleteFunc(s.open, func(p providerFailure) bool { return p.provider == provider })
}

func (s *seen) successes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *seen) last() *failure.Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		return nil
	}
	return new(s.open[len(s.open)-1].failure)
}

// providerClasses are the failures that a provider's answer can show.
var providerClasses = []contract.FailureClass{
	contract.ProviderAuthenticationFailed, contract.ProviderRateLimited, contract.ProviderQuotaExhausted,
	contract.ProviderUnavailable, contract.ContextOverflow,
}

// Bounds of what an answer may make known.
const (
	maxMessage    = 600
	maxRetryAfter = 24 * time.Hour
)

// failureOf is the failure that the gateway says an answer is, nil where it says none.
func failureOf(answer *http.Response, now time.Time) *failure.Failure {
	class := contract.FailureClass(answer.Header.Get(contract.HeaderFailureClass))
	if !slices.Contains(providerClasses, class) {
		return nil
	}
	message := contract.OneLine(answer.Header.Get(contract.HeaderFailureMessage), maxMessage)
	if message == "" {
		message = "A request to the provider failed with status " + strconv.Itoa(answer.StatusCode)
	}
	return &failure.Failure{Class: class, Message: message, RetryAfter: retryAfter(answer.Header, now)}
}

// retryAfter reads what the gateway says apart, or Retry-After, a number of seconds or a date (RFC 9110, section 10.2.3); 0 where there is none to be believed.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := cmp.Or(h.Get(contract.HeaderRetryAfter), h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
