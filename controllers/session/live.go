package session

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// The checks of a Session with a live pod: should it live, and how is it.

func morePodsThanOne(w *world, _ time.Time) *plan {
	live := w.live()
	var extra []action
	for i := range w.pods {
		pod := &w.pods[i]
		if !sandbox.Ended(pod) && pod != live && sandbox.RunOf(pod) != w.run() {
			extra = append(extra, removal(pod)...)
		}
	}
	if len(extra) == 0 {
		return nil
	}
	return &plan{phase: stopping, reason: v1alpha1.ReasonTerminating, message: "Ending a pod that is one too many", pod: live, actions: extra}
}

// unreachableAfter is how long after the end of its grace period a pod's node is taken for unreachable.
const unreachableAfter = 30 * time.Second

func podLeaving(w *world, now time.Time) *plan {
	pod := w.live()
	if pod == nil || pod.DeletionTimestamp.IsZero() {
		return nil
	}
	p := &plan{phase: stopping, pod: pod, reason: v1alpha1.ReasonTerminating, message: fmt.Sprintf("Pod %q is ending", pod.Name)}
	if asked(w) {
		p.reason = v1alpha1.ReasonSuspending
	}
	// The deletion timestamp already lies a grace period ahead of the deletion.
	overdue := pod.DeletionTimestamp.Add(unreachableAfter)
	if now.Before(overdue) {
		p.wake = overdue
		return p
	}
	p.reason = v1alpha1.ReasonNodeUnreachable
	p.message = fmt.Sprintf("Pod %q should have ended, but node %q does not say so; bring the node back, or delete its Node object if it is gone for good",
		pod.Name, pod.Spec.NodeName)
	return p
}

func suspendAsked(w *world, _ time.Time) *plan {
	pod := w.live()
	if pod == nil || !w.suspended() {
		return nil
	}
	p := &plan{
		phase: stopping, pod: pod, reason: v1alpha1.ReasonSuspending,
		message: fmt.Sprintf("Pod %q is asked to end because spec.suspend is true", pod.Name),
	}
	if w.known(pod) {
		p.actions = removal(pod)
	}
	return p
}

func deadlinePassed(w *world, now time.Time) *plan {
	deadline := w.deadline()
	if deadline.IsZero() || now.Before(deadline) || w.suspended() {
		return nil
	}
	if pod := w.live(); pod != nil {
		p := &plan{
			phase: stopping, pod: pod, reason: v1alpha1.ReasonTerminating,
			message: fmt.Sprintf("Pod %q is asked to end because activeDeadlineSeconds has passed", pod.Name),
		}
		if w.known(pod) {
			p.actions = expiry(pod)
		}
		return p
	}
	return &plan{phase: failed, reason: v1alpha1.FailureDeadlineExceeded, message: w.deadlineMessage()}
}

// deadline is when the Session has to be over, or zero before it has started.
func (w *world) deadline() time.Time {
	start := w.session.Status.StartTime
	if start == nil {
		return time.Time{}
	}
	return start.Add(w.terms().ActiveDeadline)
}

func (w *world) deadlineMessage() string {
	message := fmt.Sprintf("The Session took longer than %s (activeDeadlineSeconds); make a new Session with more time", w.terms().ActiveDeadline)
	if f := w.session.Status.Failure; f != nil && f.Class != v1alpha1.FailureDeadlineExceeded && f.Class != v1alpha1.FailureNodeLost {
		message += fmt.Sprintf(". Its last run failed with %s: %s", f.Class, f.Message)
	}
	return message
}

// credentialLost leaves the agent at work: its requests may be answered again at any time.
func credentialLost(w *world, now time.Time) *plan {
	pod := w.working()
	if pod == nil {
		return nil
	}
	missing := credential.Lost(w.credentialWorld(w.pinOf(pod)))
	if missing == nil {
		return nil
	}
	return &plan{
		phase: hindered, pod: pod, reason: missing.Reason, missing: missing, wake: nextQuestion(w, now),
		message: fmt.Sprintf("The agent in pod %q is left at work; where it fails by this, it runs again once its credential works. %s", pod.Name, missing.Message),
	}
}

func podWorking(w *world, _ time.Time) *plan {
	pod := w.working()
	if pod == nil {
		return nil
	}
	return &plan{phase: running, pod: pod, reason: v1alpha1.ReasonRunning, message: atWorkMessage(pod)}
}

func atWorkMessage(pod *corev1.Pod) string {
	return fmt.Sprintf("The agent is at work in pod %q", pod.Name)
}

// working is the live pod while its agent is at work, or nil. When the agent has ended, the pod itself ends a moment later.
func (w *world) working() *corev1.Pod {
	pod := w.live()
	if pod == nil || !sandbox.Working(pod) && (!sandbox.AgentEnded(pod) || !atWork(w.session)) {
		return nil
	}
	return pod
}

func podOutdated(w *world, _ time.Time) *plan {
	pod := w.live()
	if pod == nil || !w.known(pod) || sandbox.Started(pod) || sandbox.Waiting(pod) == nil || !w.outdated(pod) {
		return nil
	}
	return &plan{
		phase: stopping, pod: pod, reason: v1alpha1.ReasonTerminating,
		message: fmt.Sprintf("Pod %q, which could not start, is made anew, since its class or credential has changed", pod.Name),
		actions: removal(pod),
	}
}

func podStarting(w *world, _ time.Time) *plan {
	pod := w.live()
	if pod == nil {
		return nil
	}
	p := startingPlan(pod)
	return &p
}

// startingPlan is a live pod whose agent is not at work yet, with what holds it up.
func startingPlan(pod *corev1.Pod) plan {
	p := plan{phase: starting, pod: pod, reason: v1alpha1.ReasonStarting, message: fmt.Sprintf("Pod %q is starting", pod.Name)}
	b := sandbox.Waiting(pod)
	if b == nil {
		return p
	}
	p.reason, p.message = b.Reason, b.Message
	if b.Reason == v1alpha1.ReasonCredentialNotReady {
		p.phase, p.missing = waiting, &credential.Missing{Reason: b.Reason, Message: b.Message}
	}
	return p
}
