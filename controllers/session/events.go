package session

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// announce emits an event for a transition of Ready: what a person who reads kubectl describe wants to see happen.
func (r *Reconciler) announce(w *world, p plan) {
	if w.wasReady().Reason == p.reason {
		return
	}
	r.Recorder.Eventf(w.session, nil, eventType(p.phase), p.reason, "Reconcile", "%s", contract.OneLine(p.message, maxConditionMessage))
}

// eventType is Warning for what somebody may have to do something about.
func eventType(ph phase) string {
	switch ph {
	case waiting, retrying, failed, impossible:
		return corev1.EventTypeWarning
	case starting, running, stopping, suspended, succeeded:
	}
	return corev1.EventTypeNormal
}
