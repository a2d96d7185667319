// Package acceptance reconciles Kinds that are data: each object is either usable or not, and its Ready condition says which
// and why.
package acceptance

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// Verdict is what the Ready condition of an object says.
type Verdict struct {
	// Accepted makes Ready True.
	Accepted bool
	// Stalled says that only a change of the object's spec can help.
	Stalled bool
	// Reason and Message are those of Ready.
	Reason, Message string
}

// Accepted is the verdict on a usable object.
func Accepted(message string) Verdict {
	return Verdict{Accepted: true, Reason: v1alpha1.ReasonAccepted, Message: message}
}

// Base is what the reconcilers of all Kinds need alike. All of its fields are required.
type Base struct {
	Client   client.Client
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
}

// Reconciler judges the objects of one Kind. All of its fields are required.
type Reconciler[T client.Object] struct {
	Base
	// Judge looks at an object, and at what it refers to.
	Judge func(ctx context.Context, reader client.Reader, o T) (Verdict, error)
	// Status is the status of an object.
	Status func(o T) v1alpha1.ObjectStatus
	// Apply is the apply configuration that carries a status of an object.
	Apply func(o T, status *applyv1alpha1.ObjectStatusApplyConfiguration) runtime.ApplyConfiguration
}

// Reconcile judges one object and reports the verdict, once.
func (r *Reconciler[T]) Reconcile(ctx context.Context, o T) (ctrl.Result, error) {
	if !o.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, nil
	}
	v, err := r.Judge(ctx, r.Client, o)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.report(ctx, o, v)
}

// report writes the status when it differs, and then tells of a transition in an event.
func (r *Reconciler[T]) report(ctx context.Context, o T, v Verdict) error {
	before := r.Status(o)
	after := statusFor(before, o.GetGeneration(), v, metav1.NewTime(r.Clock.Now()).Rfc3339Copy())
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	if err := r.Client.Status().Apply(ctx, r.Apply(o, applyStatus(after)), client.FieldOwner(v1alpha1.FieldOwnerManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)
	if was == nil || was.Reason != v.Reason {
		r.Recorder.Eventf(o, nil, eventType(v), v.Reason, "Reconcile", "%s", v.Message)
	}
	return nil
}

// statusFor is the status after a verdict. It is pure.
func statusFor(status v1alpha1.ObjectStatus, generation int64, v Verdict, now metav1.Time) v1alpha1.ObjectStatus {
	after := *status.DeepCopy()
	after.ObservedGeneration = new(generation)
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v.Reason, Message: v.Message,
		ObservedGeneration: generation, LastTransitionTime: now,
	}
	if v.Accepted {
		ready.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&after.Conditions, ready)
	if !v.Stalled {
		meta.RemoveStatusCondition(&after.Conditions, v1alpha1.ConditionStalled)
		return after
	}
	stalled := ready
	stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
	meta.SetStatusCondition(&after.Conditions, stalled)
	return after
}

// applyStatus carries the fields and conditions that are this reconciler's; what it does not carry stays its owner's.
func applyStatus(s v1alpha1.ObjectStatus) *applyv1alpha1.ObjectStatusApplyConfiguration {
	apply := applyv1alpha1.ObjectStatus().WithObservedGeneration(*s.ObservedGeneration)
	for _, c := range s.Conditions {
		if c.Type != v1alpha1.ConditionReady && c.Type != v1alpha1.ConditionStalled {
			continue
		}
		apply.WithConditions(applymetav1.Condition().WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return apply
}

func eventType(v Verdict) string {
	if v.Accepted {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
