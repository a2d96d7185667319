package gateway

import (
	"context"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// TestTheKeeperIsToldOfAKeyThatTheProviderRefuses: without that, no credential would ever be KeyRejected.
func TestTheKeeperIsToldOfAKeyThatTheProviderRefuses(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, http.StatusUnauthorized)
	})
	s.post("")
	s.post("")
	s.wantTold(func(o observation.Observation) bool { return len(o.RejectedTimes) == observation.RejectionsThatCount })
}

// TestASandboxTakesASharedKeyFromNobody: providers repeat the name of a model in errors, and a sandbox may name it after any failure.
func TestASandboxTakesASharedKeyFromNobody(t *testing.T) {
	for _, word := range []string{"insufficient_quota", "authentication_error", "rate_limit_error", "billing_error"} {
		t.Run(word, func(t *testing.T) {
			s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
				http.Error(w, `{"error":{"type":"not_found_error","code":"model_not_found","message":"model: `+r.URL.Path+`"}}`, http.StatusNotFound)
			})
			for range observation.RejectionsThatCount {
				s.do(s.request(http.MethodGet, contract.GatewayProviders+"anthropic/v1/models/"+word, ""))
			}
			s.wantTold(func(o observation.Observation) bool {
				return !o.LastUsedTime.IsZero() && len(o.RejectedTimes) == 0 && o.QuotaExhaustedTime.IsZero() && o.RateLimitedTime.IsZero()
			})
		})
	}
}

// TestAnOutageMakesNoRefusedKeyGood: a provider that is down has not looked at the key.
func TestAnOutageMakesNoRefusedKeyGood(t *testing.T) {
	statuses := make(chan int, 3)
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{}`, <-statuses) })
	for _, status := range []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusServiceUnavailable} {
		statuses <- status
		s.post("")
	}
	s.wantTold(func(o observation.Observation) bool {
		return len(o.RejectedTimes) == observation.RejectionsThatCount && o.AcceptedTime.IsZero()
	})
}

// wantTold waits for what the keeper is told, which is of one credential.
func (s *stage) wantTold(want func(observation.Observation) bool) {
	t := s.t
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Witness.Run(ctx, func(err error) { t.Errorf("write: %v", err) })
	}()
	defer func() { stop(); <-done }()
	told := &corev1.ConfigMap{}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		err := s.api.Get(ctx, client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + "gateway"}, told)
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatalf("The keeper was told nothing: %v", err)
	}
	all, err := observation.Decode(told.Data[observation.ConfigMapKey])
	if err != nil || len(all) != 1 || !want(all[0]) {
		t.Errorf("the keeper was told %+v, error %v", all, err)
	}
}
