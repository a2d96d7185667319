package acceptancetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/test/fixtures/argocd"
)

// Case is an object, what else exists, and the verdict on the object.
type Case[T client.Object] struct {
	Object T
	Others []client.Object
	// Permits answers SubjectAccessReviews; nil permits nothing.
	Permits func(authorizationv1.SubjectAccessReviewSpec) bool
	Want    acceptance.Verdict
	// Again is the least time to the other look that is asked for; up to a fifth is added, so that not all look at once.
	Again time.Duration
}

// Verdicts tests that a reconciler comes to these verdicts, tells each once, then rests, gets there whatever call fails, and
// writes nothing about a version of an object that is no longer the newest.
func Verdicts[T client.Object, R reconcile.ObjectReconciler[T]](t *testing.T, reconciler func(acceptance.Base) R, cases map[string]Case[T]) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := c.stage(t)
			r := reconciler(s.Base())
			c.reconcile(t, s, r)
			calls := s.Calls
			wantTold(t, s, c)
			s.Writes = 0
			c.reconcile(t, s, r)
			if diff := cmp.Diff(0, s.Writes); diff != "" {
				t.Errorf("writes of a second reconcile (-want +got):\n%s", diff)
			}
			wantTold(t, s, c)
			for call := 1; call <= calls; call++ {
				wantSettledAfterFault(t, reconciler, c, call)
			}
			wantConflict(t, reconciler, c)
		})
	}
}

func (c Case[T]) stage(t *testing.T) *Stage {
	t.Helper()
	s := NewStage(t, append([]client.Object{c.Object.DeepCopyObject().(T)}, c.Others...)...)
	s.Permits = c.Permits
	return s
}

// reconcile reconciles once, without an error.
func (c Case[T]) reconcile(t *testing.T, s *Stage, r reconcile.ObjectReconciler[T]) {
	t.Helper()
	again, err := Again(t, s, r, c.Object)
	if err != nil {
		t.Fatal(err)
	}
	if again < c.Again || again > c.Again*6/5 {
		t.Errorf("another look is asked for after %v, want %v", again, c.Again)
	}
}

// wantTold checks what status and events say of a verdict, and what Argo CD makes of it.
func wantTold[T client.Object](t *testing.T, s *Stage, c Case[T]) {
	t.Helper()
	if diff := cmp.Diff(told(c.Want, c.Object.GetGeneration()), Conditions(t, s, c.Object)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	observed, _ := status(t, s, c.Object)
	if diff := cmp.Diff(new(c.Object.GetGeneration()), observed); diff != "" {
		t.Errorf("observedGeneration (-want +got):\n%s", diff)
	}
	kind, health := corev1.EventTypeWarning, argocd.Health{Status: "Degraded", Message: c.Want.Message}
	if c.Want.Accepted {
		kind, health.Status = corev1.EventTypeNormal, "Healthy"
	}
	shown, err := argocd.HealthOf(Now(t, s, client.Object(c.Object)))
	if diff := cmp.Diff(health, shown); diff != "" || err != nil {
		t.Errorf("health that Argo CD shows (-want +got):\n%s%v", diff, err)
	}
	if diff := cmp.Diff([]string{kind + " " + c.Want.Reason + ": " + c.Want.Message}, s.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// told are the conditions of a verdict.
func told(v acceptance.Verdict, generation int64) map[string]metav1.Condition {
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v.Reason, Message: v.Message, ObservedGeneration: generation,
	}
	if v.Accepted {
		ready.Status = metav1.ConditionTrue
	}
	conditions := map[string]metav1.Condition{ready.Type: ready}
	if v.Stalled {
		stalled := ready
		stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
		conditions[stalled.Type] = stalled
	}
	return conditions
}

// wantSettledAfterFault lets one call fail and checks that the failure is told to the manager, and nothing to anybody else, and
// that the next reconcile makes it good.
func wantSettledAfterFault[T client.Object, R reconcile.ObjectReconciler[T]](t *testing.T, reconciler func(acceptance.Base) R, c Case[T], call int) {
	t.Helper()
	s := c.stage(t)
	r := reconciler(s.Base())
	s.FailAt = call
	if _, err := Again(t, s, r, c.Object); !errors.Is(err, ErrFault) {
		t.Errorf("after call %d failed: error %v", call, err)
	}
	if s.Writes > 0 || len(s.Events) > 0 {
		t.Errorf("after call %d failed: %d writes, events %q", call, s.Writes, s.Events)
	}
	c.reconcile(t, s, r)
	wantTold(t, s, c)
}

// wantConflict changes an object behind the reconciler's back.
func wantConflict[T client.Object, R reconcile.ObjectReconciler[T]](t *testing.T, reconciler func(acceptance.Base) R, c Case[T]) {
	t.Helper()
	s := c.stage(t)
	r := reconciler(s.Base())
	old := Now(t, s, c.Object)
	changed := Now(t, s, c.Object)
	changed.SetAnnotations(map[string]string{"changed": "true"})
	if err := s.Client.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), old); !apierrors.IsConflict(err) {
		t.Errorf("after a reconcile of an old version: error %v, want a conflict", err)
	}
	if diff := cmp.Diff(changed, Now(t, s, c.Object)); diff != "" {
		t.Errorf("after a reconcile of an old version: object (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), s.Events); diff != "" {
		t.Errorf("after a reconcile of an old version: events (-want +got):\n%s", diff)
	}
}
