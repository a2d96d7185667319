// Package acceptancetest puts the reconcilers of Kinds that are data on a stage without a cluster, and tests what all of them
// promise.
package acceptancetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoapplyconfigurations "k8s.io/client-go/applyconfigurations"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
)

// ErrFault is the answer to a call that fails on purpose.
var ErrFault = errors.New("the API server is gone")

// Stage is an API server in memory, a clock, and ears for events.
type Stage struct {
	// Client reads and writes; its calls are counted, and fail as asked.
	Client client.WithWatch
	// Clock stands still until it is set.
	Clock *clocktesting.FakePassiveClock
	// Calls counts all calls, Writes those that write.
	Calls, Writes int
	// FailAt makes the call of that number fail, from 1; 0 is none.
	FailAt int
	// Permits answers SubjectAccessReviews; nil permits nothing.
	Permits func(authorizationv1.SubjectAccessReviewSpec) bool
	// Events are those that were told, as "Normal Accepted: message".
	Events []string
}

// NewStage makes a stage on which some objects exist.
func NewStage(t *testing.T, objects ...client.Object) *Stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	s := &Stage{Clock: clocktesting.NewFakePassiveClock(time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC))}
	s.Client = fake.NewClientBuilder().WithScheme(scheme).
		WithTypeConverters(applyconfiguration.NewTypeConverter(scheme), clientgoapplyconfigurations.NewTypeConverter(scheme)).
		WithStatusSubresource(&v1alpha1.SessionClass{}, &v1alpha1.APIProvider{}, &v1alpha1.Credential{}, &v1alpha1.ClusterCredential{}).
		WithObjects(objects...).
		WithInterceptorFuncs(s.counted()).Build()
	return s
}

// counted counts every call that a reconciler of this package's Kinds can make, and lets one of them fail.
func (s *Stage) counted() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return s.call(false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return s.call(false, func() error { return c.List(ctx, list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if review, ok := o.(*authorizationv1.SubjectAccessReview); ok {
				return s.call(false, func() error { return s.review(review) })
			}
			return s.call(true, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return s.call(true, func() error { return c.Update(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return s.call(true, func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			return s.call(true, func() error { return c.Apply(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return s.call(true, func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, name string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return s.call(true, func() error { return c.SubResource(name).Apply(ctx, o, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			return s.call(true, func() error { return c.SubResource(name).Update(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return s.call(true, func() error { return c.SubResource(name).Patch(ctx, o, patch, opts...) })
		},
	}
}

// review answers a question; nothing is stored.
func (s *Stage) review(review *authorizationv1.SubjectAccessReview) error {
	review.Status.Allowed = s.Permits != nil && s.Permits(review.Spec)
	return nil
}

func (s *Stage) call(write bool, do func() error) error {
	s.Calls++
	if s.Calls == s.FailAt {
		return ErrFault
	}
	if write {
		s.Writes++
	}
	return do()
}

// Base is what a reconciler on this stage is made from.
func (s *Stage) Base() acceptance.Base {
	return acceptance.Base{Client: s.Client, Recorder: ears{s}, Clock: s.Clock, FieldOwner: "sandkeep-test"}
}

// ears is an event recorder.
type ears struct{ stage *Stage }

// Eventf hears an event.
func (e ears) Eventf(_, _ runtime.Object, kind, reason, _, note string, args ...any) {
	e.stage.Events = append(e.stage.Events, kind+" "+reason+": "+fmt.Sprintf(note, args...))
}

// Reconcile reconciles an object once, as a manager would, and expects to be asked for no other look.
func Reconcile[T client.Object](t *testing.T, s *Stage, r reconcile.ObjectReconciler[T], o T) error {
	t.Helper()
	again, err := Again(t, s, r, o)
	if again != 0 {
		t.Errorf("the reconciler asks for another look after %v", again)
	}
	return err
}

// Again reconciles an object once, as a manager would, and answers when the reconciler asks for another look; 0 is never.
func Again[T client.Object](t *testing.T, s *Stage, r reconcile.ObjectReconciler[T], o T) (time.Duration, error) {
	t.Helper()
	result, err := reconcile.AsReconciler(s.Client, r).Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
	if err != nil && !result.IsZero() {
		t.Errorf("the reconciler asks for another look beside an error: %+v", result)
	}
	return result.RequeueAfter, err
}

// Conditions are those of an object as the API server has it, by type, without their times.
func Conditions(t *testing.T, s *Stage, o client.Object) map[string]metav1.Condition {
	t.Helper()
	conditions := map[string]metav1.Condition{}
	_, stored := status(t, s, o)
	for _, c := range stored {
		c.LastTransitionTime = metav1.Time{}
		conditions[c.Type] = c
	}
	return conditions
}

// status is what the status of every Kind that is data has.
func status(t *testing.T, s *Stage, o client.Object) (observedGeneration *int64, conditions []metav1.Condition) {
	t.Helper()
	switch o := Now(t, s, o).(type) {
	case *v1alpha1.SessionClass:
		return o.Status.ObservedGeneration, o.Status.Conditions
	case *v1alpha1.APIProvider:
		return o.Status.ObservedGeneration, o.Status.Conditions
	case *v1alpha1.Credential:
		return o.Status.ObservedGeneration, o.Status.Conditions
	case *v1alpha1.ClusterCredential:
		return o.Status.ObservedGeneration, o.Status.Conditions
	}
	t.Fatalf("%T is not data", o)
	return nil, nil
}

// Now is an object as the API server has it.
func Now[T client.Object](t *testing.T, s *Stage, o T) T {
	t.Helper()
	fresh := o.DeepCopyObject().(T)
	if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(o), fresh); err != nil {
		t.Fatal(err)
	}
	return fresh
}
