package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
)

// limited gives the credential of a stage limits.
func limited(change func(*v1alpha1.CredentialLimits)) func(*objects) {
	return func(o *objects) {
		o.credential.Spec.Limits = &v1alpha1.CredentialLimits{}
		change(o.credential.Spec.Limits)
	}
}

func TestReachedLimitIsToldToEverybody(t *testing.T) {
	s := newStage(t, fine, limited(func(l *v1alpha1.CredentialLimits) { l.RequestsPerMinute = new(int32(1)) }))
	if got := s.post(""); got.StatusCode != http.StatusOK {
		t.Fatalf("the first request: %s", got.Status)
	}
	got := s.post("")
	if got.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("the second request: %s, want 429", got.Status)
	}
	const told = `ClusterCredential "shared" is limited to 1 requests per minute`
	for what, holds := range map[string]bool{
		"Retry-After":         got.Header.Get("Retry-After") != "" && got.Header.Get("Retry-After") != "0",
		"Anthropic's shape":   strings.Contains(got.body, `"type":"rate_limit_error"`) && strings.Contains(got.body, `ClusterCredential \"shared\" is limited to 1 requests per minute`),
		"the failure's class": got.Header.Get(contract.HeaderFailureClass) == string(contract.ProviderRateLimited),
		"an event":            strings.Contains(strings.Join(s.told.list(), "\n"), "Warning LimitReached Forward: A request was refused because "+told),
	} {
		if !holds {
			t.Errorf("%s is missing in\n%v\n%s\n%v", what, got.Header, got.body, s.told.list())
		}
	}
	if n := len(s.upstream.requests()); n != 1 {
		t.Errorf("%d requests reached the provider, want one: the other was refused before it cost money", n)
	}
	s.counts("refusals_total{class=opencode,namespace=" + s.session.Namespace + ",provider=anthropic,reason=LimitReached,} 1")
}

// TestAgentsAreNotSentToSleepUntilTomorrow: the limit may be raised before.
func TestAgentsAreNotSentToSleepUntilTomorrow(t *testing.T) {
	for after, want := range map[time.Duration][2]string{
		0: {"", ""}, time.Second: {"1", ""}, time.Minute: {"60", ""}, 5 * time.Hour: {"60", "18000"},
	} {
		w := httptest.NewRecorder()
		(&Server{}).refuse(w, "", refusal{http.StatusTooManyRequests, "LimitReached", "m", contract.ProviderRateLimited, after})
		if got := [2]string{w.Header().Get("Retry-After"), w.Header().Get(contract.HeaderRetryAfter)}; got != want {
			t.Errorf("%s: agents and sandboxd are told %q, want %q", after, got, want)
		}
	}
}

func TestStreamHoldsItsPlaceUntilItEnds(t *testing.T) {
	release := make(chan struct{})
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", stream)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-release
	}, limited(func(l *v1alpha1.CredentialLimits) { l.ConcurrentRequests = new(int32(1)) }))
	open, err := s.agent.Do(s.request(http.MethodPost, messages, ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.post(""); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("beside an open stream: %s, want 429", got.Status)
	}
	close(release)
	s.read(open, nil)
	s.eventually("room for another request", func() bool { return s.post("").StatusCode == http.StatusOK })
}

func TestTokensOfAnswersCount(t *testing.T) {
	s := newStage(t, says(http.StatusOK, json, `{"type":"message","usage":{"input_tokens":70,"output_tokens":40}}`),
		limited(func(l *v1alpha1.CredentialLimits) { l.TokensPerDay = new(int64(100)) }))
	if got := s.post(""); got.StatusCode != http.StatusOK {
		t.Fatalf("the first request: %s", got.Status)
	}
	s.eventually("the refusal of a request after 110 of 100 tokens", func() bool {
		return strings.Contains(s.post("").body, "is limited to 100 tokens per day (UTC)")
	})
}

// away is an API server that answers nothing.
type away struct{ client.WithWatch }

func (away) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("etcd is away")
}

func TestNothingIsSentWhileLimitsCannotBeKept(t *testing.T) {
	s := newStage(t, fine, limited(func(l *v1alpha1.CredentialLimits) { l.RequestsPerMinute = new(int32(1)) }))
	s.Limits = limit.New(away{s.api}, s.api, s.api, clock.RealClock{}, "gateway")
	got := s.post("")
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, Retry-After %q; want 503 and when to try again", got.Status, got.Header.Get("Retry-After"))
	}
	if n := len(s.upstream.requests()); n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
}
