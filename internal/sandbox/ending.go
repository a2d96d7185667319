package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// maxRetryAfter bounds the time that a report asks to wait for, in seconds: a week, after which every known quota is refilled.
const maxRetryAfter = 7 * 24 * 60 * 60

// Ended is true once no container of the pod runs, nor ever will again. A pod that is deleted before it has a node never gets
// one: the API server refuses to bind it.
func Ended(pod *corev1.Pod) bool {
	if !pod.DeletionTimestamp.IsZero() && pod.Spec.NodeName == "" && !Started(pod) {
		return true
	}
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Working is true while the agent is at work in the pod: its startup probe has succeeded, and it has not ended. Whether the pod is
// Ready is no question of the agent's: a sidecar or a node that is slow to answer takes that away for a while.
func Working(pod *corev1.Pod) bool {
	agent := agentStatus(pod)
	return pod.DeletionTimestamp.IsZero() && agent != nil && agent.State.Running != nil && agent.Started != nil && *agent.Started
}

// AgentEnded is true once the agent's container has ended; the pod itself ends a moment later.
func AgentEnded(pod *corev1.Pod) bool {
	agent := agentStatus(pod)
	return agent != nil && agent.State.Terminated != nil
}

// EndedAt is when the agent's container ended; the zero time where nobody says.
func EndedAt(pod *corev1.Pod) time.Time {
	if agent := agentStatus(pod); agent != nil && agent.State.Terminated != nil {
		return agent.State.Terminated.FinishedAt.Time
	}
	return time.Time{}
}

// Started is true once the agent's container has run at all.
func Started(pod *corev1.Pod) bool {
	agent := agentStatus(pod)
	return agent != nil && (agent.State.Running != nil || agent.State.Terminated != nil)
}

// Ending is how a run ended. Class is empty after a success.
type Ending struct {
	Class      string
	Message    string
	RetryAfter time.Duration
	// Report is what sandboxd left, or empty.
	Report contract.Report
	// WorkspaceGone is true when the workspace went with the pod.
	WorkspaceGone bool
	// Untold is true when it did so after the agent had started, and no report says what was in it.
	Untold bool
	// Overused is true for an eviction because the pod itself used more of its node's disk than it may.
	Overused bool
}

// EndingOf reads an ended pod.
func EndingOf(pod *corev1.Pod) Ending {
	report, reported := reportOf(pod)
	e := causeOf(pod, report, reported)
	e.Report, e.WorkspaceGone = report, workspaceGone(pod)
	e.Untold = e.WorkspaceGone && !final(report, reported) && agentRan(pod, report, reported)
	return e
}

// final is true for a report that was left at the end of a run.
func final(report contract.Report, reported bool) bool { return reported && !report.Interim }

// agentRan is what an interim report says, which knows when the repositories were cloned. Without one, the agent is taken to have
// begun with its container.
func agentRan(pod *corev1.Pod, report contract.Report, reported bool) bool {
	if reported {
		return report.AgentStarted
	}
	return Started(pod) && neverStarted(pod) == nil
}

// causeOf prefers what the run itself concluded: its success was one, and the cause of its failure was the cause, whatever became of the
// pod afterwards. Only where the run was stopped, or was ended before it could tell, Kubernetes knows why.
func causeOf(pod *corev1.Pod, report contract.Report, reported bool) Ending {
	whole := final(report, reported)
	oom := outOfMemory(pod)
	switch {
	case whole && report.Outcome == contract.OutcomeSucceeded:
		return Ending{}
	case whole && report.Class != contract.Stopped && (oom == nil || report.Class != contract.AgentCrashed):
		return told(report)
	}
	for _, e := range []*Ending{deadline(pod), evicted(pod), disrupted(pod), oom} {
		if e != nil {
			return *e
		}
	}
	if whole {
		return told(report)
	}
	return unreported(pod)
}

// told is the failure that a report tells of.
func told(r contract.Report) Ending {
	return Ending{Class: string(r.Class), Message: contract.OneLine(r.Message, 2*maxMessage), RetryAfter: retryAfter(r)}
}

// workspaceGone is true for a pod whose workspace was no volume of its own.
func workspaceGone(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Name == volumeWorkspace && v.EmptyDir != nil
	})
}

// retryAfter is the provider's wish for patience, which is a claim and may be absurd.
func retryAfter(r contract.Report) time.Duration {
	return time.Duration(min(max(r.RetryAfterSeconds, 0), maxRetryAfter)) * time.Second
}

// reportOf is the report of the agent's container. A claim of success by a container that failed is none.
func reportOf(pod *corev1.Pod) (contract.Report, bool) {
	agent := agentStatus(pod)
	if agent == nil || agent.State.Terminated == nil {
		return contract.Report{}, false
	}
	report, err := contract.DecodeReport(agent.State.Terminated.Message)
	if err != nil || (report.Outcome == contract.OutcomeSucceeded && agent.State.Terminated.ExitCode != 0) {
		return contract.Report{}, false
	}
	return report, true
}

func deadline(pod *corev1.Pod) *Ending {
	if pod.Status.Reason != "DeadlineExceeded" {
		return nil
	}
	return &Ending{Class: v1alpha1.FailureDeadlineExceeded, Message: "The Session took longer than activeDeadlineSeconds; make a new Session with more time"}
}

// evicted is a pod that its node threw out. The kubelet says of one that exceeds limits of its own that it does so
// (https://github.com/kubernetes/kubernetes, pkg/kubelet/eviction), and of all others what the node is short of.
func evicted(pod *corev1.Pod) *Ending {
	if pod.Status.Reason != "Evicted" {
		return nil
	}
	return &Ending{
		Class: v1alpha1.FailureEvicted, Message: fmt.Sprintf("Pod %q was evicted by its node%s", pod.Name, said(pod.Status.Message)),
		Overused: strings.Contains(pod.Status.Message, "exceed"),
	}
}

// disrupted is a pod that somebody or something took away: a drain, a preemption, a lost node, a deletion by hand.
func disrupted(pod *corev1.Pod) *Ending {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return &Ending{Class: v1alpha1.FailureNodeLost, Message: fmt.Sprintf(
				"Pod %q was taken away%s", pod.Name, said(c.Message))}
		}
	}
	if pod.Status.Reason == "NodeShutdown" || pod.Status.Reason == "Terminated" || pod.Status.Reason == "NodeLost" {
		return &Ending{Class: v1alpha1.FailureNodeLost, Message: fmt.Sprintf("The node of pod %q went away", pod.Name)}
	}
	if !pod.DeletionTimestamp.IsZero() {
		return &Ending{Class: v1alpha1.FailureNodeLost, Message: fmt.Sprintf("Pod %q was deleted before its agent had finished", pod.Name)}
	}
	return nil
}

func outOfMemory(pod *corev1.Pod) *Ending {
	statuses := pod.Status.InitContainerStatuses
	if agent := agentStatus(pod); agent != nil && Started(pod) {
		statuses = []corev1.ContainerStatus{*agent} // a sidecar's end says nothing of the agent's
	}
	for _, s := range statuses {
		if t := s.State.Terminated; t != nil && t.Reason == "OOMKilled" {
			return &Ending{Class: v1alpha1.FailureOutOfMemory, Message: fmt.Sprintf(
				"Container %q needed more memory than its limit; make a new Session with a greater resources.limits.memory", s.Name)}
		}
	}
	return nil
}

// unreported is a pod without a report: its agent never ran, or sandboxd was killed.
func unreported(pod *corev1.Pod) Ending {
	if s := neverStarted(pod); s != nil {
		return Ending{Class: v1alpha1.FailureAgentCrashed, Message: fmt.Sprintf(
			"Container %q failed with exit code %d%s", s.Name, s.State.Terminated.ExitCode, said(s.State.Terminated.Message))}
	}
	if !Started(pod) && pod.Status.Reason != "" {
		return Ending{Class: v1alpha1.FailureNodeLost, Message: fmt.Sprintf(
			"Pod %q never started (%s)%s", pod.Name, pod.Status.Reason, said(pod.Status.Message))}
	}
	return Ending{Class: v1alpha1.FailureResultLost, Message: fmt.Sprintf("Pod %q ended and left no result", pod.Name)}
}

// neverStarted is the container that failed before the agent could do anything, or nil. How sidecars end after that says nothing
// of the agent's work.
func neverStarted(pod *corev1.Pod) *corev1.ContainerStatus {
	if agent := agentStatus(pod); agent != nil && agent.State.Terminated != nil &&
		(agent.State.Terminated.Reason == "StartError" || agent.State.Terminated.Reason == "ContainerCannotRun") {
		return agent
	}
	if Started(pod) {
		return nil
	}
	for i := range pod.Status.InitContainerStatuses {
		if s := &pod.Status.InitContainerStatuses[i]; s.State.Terminated != nil && s.State.Terminated.ExitCode != 0 {
			return s
		}
	}
	return nil
}

// agentStatus is the status of the agent's container, or nil before the kubelet has written one.
func agentStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == AgentContainer {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}
