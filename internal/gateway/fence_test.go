package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/policy"
)

// inForce are all policies and their bindings, but those named.
func inForce(without string) []client.Object {
	var list []client.Object
	for _, name := range policy.Names() {
		if name == without {
			continue
		}
		list = append(list, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}},
			&admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			}})
	}
	return list
}

func fenceOver(t *testing.T, objects ...client.Object) Fence {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := admissionv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return PolicyFence(fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build())
}

func TestI3NothingIsTrustedWhileAPolicyIsMissing(t *testing.T) {
	if err := fenceOver(t, inForce("")...)(t.Context()); err != nil {
		t.Errorf("all policies are in force, but %v", err)
	}
	for _, name := range policy.Names() {
		if err := fenceOver(t, inForce(name)...)(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is missing, but the fence says %v", name, err)
		}
	}
}

func TestI3TheGatewayServesNothingBehindABrokenFence(t *testing.T) {
	s := &Server{Fence: fenceOver(t), Metrics: NewMetrics(), Log: logr.Discard()}
	for _, path := range []string{contract.GatewayProviders + "anthropic/v1/messages", contract.GatewayHeartbeat, contract.GatewayReport, contract.GatewayKey} {
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "PolicyMissing") {
			t.Errorf("%s is answered with %d: %s", path, answer.Code, answer.Body)
		}
	}
}

func TestFenceThatHoldsIsLookedAtOnceASecond(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(time.Now())
	var broken error
	looks := 0
	fence := Remembered(func(context.Context) error { looks++; return broken }, c)
	for range 5 {
		if err := fence(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if looks != 1 {
		t.Errorf("%d looks for 5 requests of one moment, want 1", looks)
	}
	broken = errors.New("a policy is missing")
	c.SetTime(c.Now().Add(fenceTime))
	for range 3 {
		if err := fence(t.Context()); !errors.Is(err, broken) {
			t.Errorf("got %v, a second after the fence broke", err)
		}
	}
	if looks != 4 {
		t.Errorf("%d looks, want one for each request while the fence is broken", looks)
	}
}
