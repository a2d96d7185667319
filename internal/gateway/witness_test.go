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
