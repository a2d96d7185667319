// Package acceptance reconciles Kinds that are data: each object is either usable or not, and its Ready condition says which
// and why.
package acceptance

import (
	"context"
	"fmt"
	"slices"
	"time"

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
	"github.com/sandkeep/sandkeep/internal/contract"
)

// maxNote is the most that the text of an event may have, in bytes.
const maxNote = 1024

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
	// FieldOwner is the field manager of the program that writes the status.
	FieldOwner client.FieldOwner
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
	after := v1alpha1.ObjectStatus{
		ObservedGeneration: new(o.GetGeneration()),
		Conditions:         Conditions(before.Conditions, o.GetGeneration(), v, r.Clock.Now()),
	}
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	apply := applyv1alpha1.ObjectStatus().WithObservedGeneration(*after.ObservedGeneration).WithConditions(ApplyConditions(after.Conditions)...)
	if err := r.Client.Status().Apply(ctx, r.Apply(o, apply), r.FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	r.Announce(o, before.Conditions, v)
	return nil
}

// Announce tells in an event that the reason of Ready is another than before.
func (b Base) Announce(o runtime.Object, before []metav1.Condition, v Verdict) {
	if was := meta.FindStatusCondition(before, v1alpha1.ConditionReady); was != nil && was.Reason == v.Reason {
		return
	}
	eventType := corev1.EventTypeWarning
	if v.Accepted {
		eventType = corev1.EventTypeNormal
	}
	b.Recorder.Eventf(o, nil, eventType, v.Reason, "Reconcile", "%s", contract.OneLine(v.Message, maxNote))
}

// Conditions are those of an object after a verdict. It is pure.
func Conditions(before []metav1.Condition, generation int64, v Verdict, now time.Time) []metav1.Condition {
	after := slices.Clone(before)
	ready := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v.Reason, Message: v.Message,
		ObservedGeneration: generation, LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
	}
	if v.Accepted {
		ready.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&after, ready)
	if !v.Stalled {
		meta.RemoveStatusCondition(&after, v1alpha1.ConditionStalled)
		return after
	}
	stalled := ready
	stalled.Type, stalled.Status = v1alpha1.ConditionStalled, metav1.ConditionTrue
	meta.SetStatusCondition(&after, stalled)
	return after
}

// ApplyConditions carry the conditions that are a verdict's, and others of the same owner; what they do not carry stays its owner's.
func ApplyConditions(conditions []metav1.Condition, others ...string) []*applymetav1.ConditionApplyConfiguration {
	var apply []*applymetav1.ConditionApplyConfiguration
	owned := append([]string{v1alpha1.ConditionReady, v1alpha1.ConditionStalled}, others...)
	for _, c := range conditions {
		if !slices.Contains(owned, c.Type) {
			continue
		}
		apply = append(apply, applymetav1.Condition().WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return apply
}
