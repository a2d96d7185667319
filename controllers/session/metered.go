package session

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// Where every key stays in the gateway, a sandbox's word that its agent has worked is not enough: the gateway must have seen a provider answer.

// patienceWithGateway is how long after the end of a pod the gateway may take to write what it has seen.
const patienceWithGateway = 30 * time.Second

// awaitCount waits for the gateway where it may only be late. A run whose success nobody else has seen is none (I8).
func awaitCount(w *world, pod *corev1.Pod, e *sandbox.Ending, now time.Time) *plan {
	if e.Class != "" || !onlyProxied(w.pinOf(pod)) || answeredDuring(w, pod) {
		return nil
	}
	if late := sandbox.EndedAt(pod).Add(patienceWithGateway); now.Before(late) {
		return &plan{
			phase: stopping, pod: pod, reason: v1alpha1.ReasonTerminating, wake: late,
			message: fmt.Sprintf("Pod %q has ended; what the gateway has seen of its work is awaited", pod.Name),
		}
	}
	e.Class = v1alpha1.FailureAgentSilent
	e.Message = "The agent reported success, but the gateway saw no answer of a provider; look at the session's log"
	return nil
}

// pinOf is who pays for the run of a pod.
func (w *world) pinOf(pod *corev1.Pod) []v1alpha1.ResolvedCredential {
	if len(w.session.Status.Credentials) > 0 || w.configOf(sandbox.RunOf(pod)) == nil {
		return w.session.Status.Credentials
	}
	return w.remembered()
}

func onlyProxied(credentials []v1alpha1.ResolvedCredential) bool {
	other := func(c v1alpha1.ResolvedCredential) bool { return c.Delivery != v1alpha1.DeliveryProxy }
	return len(credentials) > 0 && !slices.ContainsFunc(credentials, other)
}

// answeredDuring is true when a provider accepted a request of the pod's run.
func answeredDuring(w *world, pod *corev1.Pod) bool {
	return slices.ContainsFunc(w.session.Status.CredentialsInUse, func(c v1alpha1.CredentialInUse) bool {
		return c.LastUsedTime != nil && !c.LastUsedTime.Before(&pod.CreationTimestamp)
	})
}
