package session

import (
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// announce emits an event for a transition of Ready: what a person who reads kubectl describe wants to see happen. That somebody else pays than the
// namespace itself is worth one of its own, once.
func (r *Reconciler) announce(w *world, p plan, status v1alpha1.SessionStatus) {
	if text := passedOver(status.Credentials); text != "" && len(w.session.Status.Credentials) == 0 {
		r.Recorder.Eventf(w.session, nil, corev1.EventTypeWarning, v1alpha1.ReasonCredentialPassedOver, "Reconcile", "%s",
			contract.OneLine(resolvedMessage(&status), maxConditionMessage))
	}
	if w.wasReady().Reason == p.reason {
		return
	}
	r.Recorder.Eventf(w.session, nil, eventType(p.phase), p.reason, "Reconcile", "%s", contract.OneLine(p.message, maxConditionMessage))
}

// eventType is Warning for what somebody may have to do something about.
func eventType(ph phase) string {
	switch ph {
	case waiting, hindered, retrying, failed, impossible:
		return corev1.EventTypeWarning
	case starting, running, stopping, suspended, succeeded:
	}
	return corev1.EventTypeNormal
}
