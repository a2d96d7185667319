package session

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// phase is where a Session stands; status.go says what each looks like in conditions.
type phase int

const (
	waiting    phase = iota // for somebody else: a class, a credential, room in a quota
	starting                // a pod exists and its agent is not at work yet
	running                 // the agent is at work
	hindered                // the agent is at work, and its credential does not work for now
	stopping                // the pod is on its way out
	suspended               // spec.suspend, and no pod
	retrying                // between a failure and the next run
	succeeded               // over, with evidence of work
	failed                  // over, without
	impossible              // the spec can never work
)

// plan is what one reconcile does and what it found.
type plan struct {
	phase phase
	// reason and message are those of Ready.
	reason, message string
	// missing is why credentials could not be resolved, or nil.
	missing *credential.Missing
	// actions are done in order; the first that fails ends them.
	actions []action
	// pod is the live pod, as far as there is one.
	pod *corev1.Pod
	// pin is who pays for the run of pod, where the configuration of that run was seen.
	pin []v1alpha1.ResolvedCredential
	// ended is the run whose ending this plan records, or nil.
	ended *ending
	// wake is when to look again although nothing has changed; zero: never.
	wake time.Time
}

// ending is a run that ended and what follows from it.
type ending struct {
	sandbox.Ending
	run     int32
	podName string
	// pod is nil when it is gone.
	pod *corev1.Pod
	// counted and retried say what the failure costs; next is when the next run starts.
	counted, retried bool
	next             time.Time
}

// check looks at the world and either makes the plan or leaves it to the checks after it.
type check func(w *world, now time.Time) *plan

// checks are the specification of a Session's life: the first that answers decides.
var checks = []check{
	beingDeleted,         // the Session goes, and its pods with it
	over,                 // it ended: keep the sandbox for a while, then clean up
	runEnded,             // a pod ended, and status does not know yet how
	runLost,              // the pod that status speaks of is gone, without a word
	morePodsThanOne,      // nothing of ours makes a second live pod; if one is there, it goes
	podLeaving,           // the live pod was deleted, by us or by somebody else
	suspendAsked,         // there is a live pod, and spec.suspend says that there should be none
	deadlinePassed,       // it took longer than activeDeadlineSeconds
	credentialLost,       // the agent is at work, and something is wrong with the credential that it uses through the gateway
	podWorking,           // the agent is at work
	podOutdated,          // it cannot start, and what it was made from has been mended since
	podStarting,          // or it will be
	suspendedNow,         // no pod, and none is wanted
	backingOff,           // the next run is due later
	leftoversPresent,     // an earlier Session of this name still has a pod
	classMissing,         // there is no class, or it is not usable
	classNotAllowed,      // its owner may not use the class
	moreThanPermitted,    // the class does not permit what the Session asks for
	credentialsMissing,   // there is no credential, or it is not usable
	gatewayMissing,       // a key stays in the gateway, and nobody knows yet how to tell the gateway from others
	nothingInTheWayToRun, // make the sandbox
}

// planFor decides what to do about the world.
func planFor(w *world, now time.Time) plan {
	for _, c := range checks {
		if p := c(w, now); p != nil {
			if p.pod != nil || p.ended != nil {
				p.pin = w.remembered()
			}
			if p.phase == retrying && !w.suspended() { // else nobody has asked what the owner may use
				p.missing = credential.Lost(w.credentialWorld(w.pin())) // it is what the next run will wait for
			}
			if d := w.deadline(); now.Before(d) && !w.suspended() && !finished(w.session) && p.ended == nil {
				p.wake = earlier(p.wake, d)
			}
			p.actions = slices.Concat(relabels(w), releases(w), p.actions, removeEarlierRuns(w))
			return *p
		}
	}
	panic("unreachable: the last check always answers")
}

// after is the plan in the light of what acting brought: a pod was made, or something stood in the way.
func (p plan) after(out outcome) plan {
	if out.pod != nil {
		made := startingPlan(out.pod)
		made.pin = p.pin
		return made
	}
	if out.blocked != nil {
		p.phase, p.reason, p.message = waiting, out.blocked.Reason, out.blocked.Message
	}
	return p
}

// requeue is when to look again.
func (p plan) requeue(now time.Time) ctrl.Result {
	if p.wake.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(p.wake.Sub(now), time.Second)}
}

func beingDeleted(w *world, _ time.Time) *plan {
	if w.session.DeletionTimestamp.IsZero() {
		return nil
	}
	p := &plan{phase: stopping, reason: v1alpha1.ReasonTerminating, message: "The Session is being deleted", pod: w.live()}
	if finished(w.session) {
		p = &plan{phase: lastPhase(w), reason: w.wasReady().Reason, message: w.wasReady().Message}
	}
	for i := range w.pods {
		p.actions = append(p.actions, removal(&w.pods[i])...)
	}
	return p
}

// over keeps the ended sandbox for its time, and then the Session for its own.
func over(w *world, now time.Time) *plan {
	if !finished(w.session) {
		return nil
	}
	p := &plan{phase: lastPhase(w), reason: w.wasReady().Reason, message: w.wasReady().Message}
	terms, end := w.terms(), endOf(w, now)
	if keep := end.Add(terms.RetainSandbox); now.Before(keep) {
		p.wake = keep
	} else {
		p.actions = removeSandbox(w)
	}
	if terms.TTL == nil {
		return p
	}
	if gone := end.Add(*terms.TTL); now.Before(gone) {
		p.wake = earlier(p.wake, gone)
	} else {
		p.actions = append(p.actions, removal(w.session)...)
	}
	return p
}

// lastPhase is the phase in which a finished Session ended.
func lastPhase(w *world) phase {
	if w.wasReady().Reason == v1alpha1.ReasonSucceeded {
		return succeeded
	}
	return failed
}

func endOf(w *world, now time.Time) time.Time {
	if t := w.session.Status.CompletionTime; t != nil {
		return t.Time
	}
	return now
}

// earlier is the earlier of two times, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// removeSandbox deletes what a finished Session has left. The newest ConfigMap remembers the limits of a class that may be gone: it goes last, or
// with the Session where the time of that still counts.
func removeSandbox(w *world) []action {
	var actions []action
	for i := range w.pods {
		actions = append(actions, removal(&w.pods[i])...)
	}
	if w.workspace != nil {
		actions = append(actions, removal(w.workspace)...)
	}
	newest := w.newestConfig()
	for i := range w.configs {
		if c := &w.configs[i]; c != newest {
			actions = append(actions, removal(c)...)
		}
	}
	if newest != nil && w.terms().TTL == nil {
		actions = append(actions, removal(newest)...)
	}
	return actions
}

// removeEarlierRuns deletes what the runs before the last two have left, so that a Session that fails often keeps the log of its last
// failure, and not a pod for each.
func removeEarlierRuns(w *world) []action {
	if finished(w.session) || !w.session.DeletionTimestamp.IsZero() {
		return nil // everything goes, or nothing
	}
	var actions []action
	for i := range w.pods {
		if pod := &w.pods[i]; sandbox.Ended(pod) && sandbox.RunOf(pod) < w.run()-1 {
			actions = append(actions, removal(pod)...)
		}
	}
	for i := range w.configs {
		if c := &w.configs[i]; sandbox.RunOf(c) < w.run()-1 {
			actions = append(actions, removal(c)...)
		}
	}
	return actions
}

// relabels puts back the labels of our pods. Without them no cache shows a pod, and nobody would learn of its end.
func relabels(w *world) []action {
	var actions []action
	for i := range w.pods {
		if pod := &w.pods[i]; len(sandbox.LostLabels(pod, w.session)) > 0 {
			actions = append(actions, action{relabel, pod})
		}
	}
	return actions
}

// releases lets go of ended pods whose result is in status, of all pods of a Session that goes, and of those of another one.
func releases(w *world) []action {
	var actions []action
	for i := range w.pods {
		pod := &w.pods[i]
		if !w.session.DeletionTimestamp.IsZero() || (sandbox.Ended(pod) && w.recorded(pod)) {
			actions = append(actions, letGo(pod)...)
		}
	}
	return append(actions, leftovers(w)...)
}

// leftovers removes the pods of an earlier Session of this name: nobody will ever ask for their results.
func leftovers(w *world) []action {
	var actions []action
	for i := range w.leftovers {
		actions = append(actions, letGo(&w.leftovers[i])...)
		actions = append(actions, removal(&w.leftovers[i])...)
	}
	return actions
}

// removal deletes an object, unless it is already on its way.
func removal(o client.Object) []action {
	if !o.GetDeletionTimestamp().IsZero() {
		return nil
	}
	return []action{{remove, o}}
}

// letGo takes our finalizer off a pod that has it.
func letGo(pod *corev1.Pod) []action {
	if !slices.Contains(pod.Finalizers, v1alpha1.FinalizerResult) {
		return nil
	}
	return []action{{release, pod}}
}

// expiry ends a pod, unless that was already asked for. Where there is no kubelet yet to do so, the pod is deleted.
func expiry(pod *corev1.Pod) []action {
	if pod.Spec.NodeName == "" {
		return removal(pod)
	}
	if pod.Spec.ActiveDeadlineSeconds != nil {
		return nil
	}
	return []action{{expire, pod}}
}

func runEnded(w *world, now time.Time) *plan {
	pod := w.unrecorded()
	if pod == nil {
		return nil
	}
	e := sandbox.EndingOf(pod)
	if p := awaitCount(w, pod, &e, now); p != nil {
		return p
	}
	if asked(w) && (e.Class == v1alpha1.FailureNodeLost || e.Class == v1alpha1.FailureStopped) {
		p := suspendedPlan(w)
		p.message += unsaved(e)
		e.Message += unsaved(e)
		p.ended = &ending{Ending: e, run: sandbox.RunOf(pod), podName: pod.Name}
		return p
	}
	p := concluded(w, e, pod.Name, sandbox.RunOf(pod), sandbox.Started(pod), now)
	p.ended.pod = pod
	return p
}

// asked is true when a run that was stopped was stopped because the spec, now or at that time, asked for it.
func asked(w *world) bool {
	return w.suspended() || w.wasReady().Reason == v1alpha1.ReasonSuspending
}

// runLost is a pod that vanished with its result. The finalizer prevents that, unless somebody removes it by hand.
func runLost(w *world, now time.Time) *plan {
	status := w.session.Status
	if status.PodUID == "" {
		return nil
	}
	for i := range w.pods {
		if string(w.pods[i].UID) == status.PodUID {
			return nil
		}
	}
	return concluded(w, sandbox.Ending{
		Class:   v1alpha1.FailureResultLost,
		Message: fmt.Sprintf("Pod %q is gone and left no result", status.PodName),
		Untold:  !w.onVolume(w.run()),
	}, status.PodName, w.run(), true, now)
}
