package session

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// announce emits an event for a transition of Ready: what a person who reads kubectl describe wants to see happen.
func (r *Reconciler) announce(s *v1alpha1.Session, now v1alpha1.SessionStatus) {
	before := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
	after := meta.FindStatusCondition(now.Conditions, v1alpha1.ConditionReady)
	if after == nil || (before != nil && before.Reason == after.Reason && before.Status == after.Status) {
		return
	}
	r.Recorder.Eventf(s, nil, eventType(now, *after), after.Reason, "Reconcile", "%s", after.Message)
}

// eventType is Warning for what somebody may have to do something about.
func eventType(s v1alpha1.SessionStatus, ready metav1.Condition) string {
	onItsWay := meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionReconciling) &&
		!meta.IsStatusConditionPresentAndEqual(s.Conditions, v1alpha1.ConditionReconciling, metav1.ConditionUnknown)
	if ready.Status == metav1.ConditionTrue || (onItsWay && ready.Reason != retryReason(s)) {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// retryReason is the reason of Ready between a failure and the next run.
func retryReason(s v1alpha1.SessionStatus) string {
	if s.Failure == nil || s.NextRunTime == nil {
		return ""
	}
	return s.Failure.Class
}
