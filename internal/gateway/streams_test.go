package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// unending is a provider that sends one event and never ends, after an answer has begun or not.
func unending(begun bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if begun {
			w.Header().Set("Content-Type", stream)
			_, _ = w.Write([]byte("event: ping\ndata: {}\n\n"))
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// revocations are all the ways in which a permission ends, and the reason that is told.
var revocations = map[string]struct {
	reason string
	change func(context.Context, *stage) error
}{
	"the credential is deleted": {v1alpha1.ReasonCredentialNotFound, func(ctx context.Context, s *stage) error { return s.api.Delete(ctx, s.credential) }},
	"the namespace is not allowed any more": {v1alpha1.ReasonCredentialNotAllowed, func(ctx context.Context, s *stage) error {
		s.credential.Spec.Allow = nil
		return s.api.Update(ctx, s.credential)
	}},
	"the Secret is deleted": {v1alpha1.ReasonSecretNotFound, func(ctx context.Context, s *stage) error { return s.api.Delete(ctx, s.secret) }},
	"the owner may not use the credential any more": {v1alpha1.ReasonCredentialNotAllowed, func(_ context.Context, s *stage) error {
		s.owners.answer(true, nil)
		return nil
	}},
	"the provider is deleted": {v1alpha1.ReasonProviderNotFound, func(ctx context.Context, s *stage) error { return s.api.Delete(ctx, s.provider) }},
	"the pod has ended": {"NotLive", func(ctx context.Context, s *stage) error {
		s.pod.Status.Phase = corev1.PodSucceeded
		return s.api.Status().Update(ctx, s.pod)
	}},
	"the Session runs in another pod": {"NotLive", func(ctx context.Context, s *stage) error {
		s.session.Status.PodUID = "another"
		return s.api.Status().Update(ctx, s.session)
	}},
	"the key is of a kind that is not permitted any more": {v1alpha1.ReasonTokenKindDenied, func(ctx context.Context, s *stage) error {
		s.credential.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonTokenKindDenied}}
		return s.api.Update(ctx, s.credential)
	}},
}

func TestI4RevocationCutsOpenStreams(t *testing.T) {
	for name, r := range revocations {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, unending(true))
			ctx, cancel := context.WithTimeout(t.Context(), patience) // a stream that is not cut must not hold the test up
			defer cancel()
			open, err := s.agent.Do(s.request(http.MethodPost, messages, "").WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			s.cutRevoked(t.Context(), true)
			if err := r.change(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			s.cutRevoked(t.Context(), true)
			if got := s.read(open, nil); !got.cut || ctx.Err() != nil {
				t.Errorf("the stream was not cut: %q", got.body)
			}
			if events := strings.Join(s.told.list(), "\n"); !strings.Contains(events, "Warning "+r.reason+` Forward: Answers of provider "anthropic" were cut: `) {
				t.Errorf("no event with reason %s:\n%s", r.reason, events)
			}
			s.counts("answers_cut_total{class=opencode,namespace=" + s.session.Namespace + ",provider=anthropic,reason=" + r.reason + ",} 1")
		})
	}
}

func TestRequestThatIsRevokedBeforeItsAnswerIsTold(t *testing.T) {
	s := newStage(t, unending(false))
	s.revokedTime = 50 * time.Millisecond
	s.refusedAs(<-s.revokedBeforeItsAnswer())
}

// revokedBeforeItsAnswer is what comes of a request whose credential is deleted when the provider has the question.
func (s *stage) revokedBeforeItsAnswer() <-chan answer {
	s.t.Helper()
	got := make(chan answer, 1)
	go func() { got <- s.post("") }()
	s.eventually("the request at the provider", func() bool { return len(s.upstream.requests()) == 1 })
	if err := s.api.Delete(s.t.Context(), s.credential); err != nil {
		s.t.Fatal(err)
	}
	s.cutRevoked(s.t.Context(), true)
	return got
}

// refusedAs fails unless the agent was told that the credential is gone.
func (s *stage) refusedAs(a answer) {
	s.t.Helper()
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, `ClusterCredential \"shared\" does not exist any more`) {
		s.t.Errorf("got %s %s, want 403 and why", a.Status, a.body)
	}
}

func TestStreamsThatNobodyCanConfirmAreCutInTime(t *testing.T) {
	s := newStage(t, unending(true))
	now := clocktesting.NewFakeClock(time.Now())
	s.Clock = now
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	open, err := s.agent.Do(s.request(http.MethodPost, messages, "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	now.Step(time.Hour)
	s.cutRevoked(t.Context(), true) // it is permitted now, whenever it began
	s.Cache, s.Identity.Cache, s.Live = away{s.api}, away{s.api}, away{s.api}
	now.Step(confirmTime - time.Second)
	s.cutRevoked(t.Context(), true)
	if events := s.told.list(); len(events) != 0 {
		t.Errorf("cut while the API server is away for a moment: %v", events)
	}
	now.Step(time.Second)
	s.cutRevoked(t.Context(), true)
	if got := s.read(open, nil); !got.cut || ctx.Err() != nil {
		t.Errorf("not cut after %s in which nobody could tell whether it is permitted", confirmTime)
	}
	if events := strings.Join(s.told.list(), "\n"); !strings.Contains(events, "Warning Unconfirmed Forward") {
		t.Errorf("no event: %s", events)
	}
}

func TestStreamsAreNotCutByWatchesThatAreBehind(t *testing.T) {
	s := newStage(t, unending(true))
	behind := s.objects
	behind.session = behind.session.DeepCopy()
	behind.session.Status.PodUID = "the-pod-before"
	s.Identity.Cache = behind.client()
	open, err := s.agent.Do(s.request(http.MethodPost, messages, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Body.Close() }()
	s.cutRevoked(t.Context(), true)
	if events := s.told.list(); len(events) != 0 {
		t.Errorf("cut, though the API server knows better: %v", events)
	}
}

// TestStreamIsCutOnce also where the agent reads nothing, so that the answer's end cannot be written.
func TestStreamIsCutOnce(t *testing.T) {
	s := newStage(t, unending(true))
	open, err := s.agent.Do(s.request(http.MethodPost, messages, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Body.Close() }()
	if err := s.api.Delete(t.Context(), s.credential); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.cutRevoked(t.Context(), true)
	}
	if events := s.told.list(); len(events) != 1 {
		t.Errorf("%d events, want one: %v", len(events), events)
	}
}
