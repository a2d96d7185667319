package scenario

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// What the kubelet and the agent do.

// newestPod is the Session's pod of the latest run, whoever's Session it was.
func newestPod(s Stage) *corev1.Pod {
	s.Helper()
	pods := Look(s).Pods
	if len(pods) == 0 {
		s.Fatal("the scenario speaks of a pod, but there is none")
	}
	newest := slices.MaxFunc(pods, func(a, b corev1.Pod) int { return int(sandbox.RunOf(&a) - sandbox.RunOf(&b)) })
	return &newest
}

// editPodStatus changes the status of the newest pod, on a node.
func editPodStatus(s Stage, edit func(*corev1.Pod)) *corev1.Pod {
	s.Helper()
	var pod *corev1.Pod
	retryConflicts(s, func() error {
		pod = newestPod(s)
		edit(pod)
		return s.API().Status().Update(s.Context(), pod)
	})
	return pod
}

// podScheduled puts the pod on a node.
func podScheduled(s Stage) {
	s.Helper()
	if pod := newestPod(s); pod.Spec.NodeName == "" {
		s.Bind(pod)
	}
}

// agentStarts is a pod whose agent is at work.
func agentStarts(s Stage) {
	s.Helper()
	podScheduled(s)
	editPodStatus(s, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.StartTime = new(metav1.NewTime(s.Now()))
		setPodCondition(pod, corev1.PodReady, "")
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{terminated(sandbox.InstallContainer, 0, "Completed", "")}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: sandbox.AgentContainer, Ready: true, Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}
	})
}

// containerWaits is a container that the kubelet cannot start.
func containerWaits(container, reason, message string) Action {
	return func(s Stage) {
		s.Helper()
		podScheduled(s)
		editPodStatus(s, func(pod *corev1.Pod) {
			pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{
				Name: container, Image: "registry.example/agent:1",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			}}
		})
	}
}

// noNode is a pod that the scheduler finds no node for.
func noNode(s Stage) {
	s.Helper()
	editPodStatus(s, func(pod *corev1.Pod) {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient memory.",
		})
	})
}

// agentReports is a pod that ends with a report of its agent.
func agentReports(r contract.Report) Action {
	return func(s Stage) {
		s.Helper()
		message, err := json.Marshal(r)
		must(s, err)
		endPod(s, exitCode(r.Outcome), "", string(message), nil)
	}
}

func exitCode(outcome contract.Outcome) int32 {
	if outcome == contract.OutcomeSucceeded {
		return 0
	}
	return 1
}

// podEnds is a pod that ends, changed as told, without a report.
func podEnds(change func(*corev1.Pod)) Action {
	return func(s Stage) {
		s.Helper()
		endPod(s, 137, "Error", "", change)
	}
}

// endPod stops the containers of the newest pod, and confirms its deletion where somebody wants that.
func endPod(s Stage, code int32, reason, message string, change func(*corev1.Pod)) {
	s.Helper()
	pod := editPodStatus(s, func(pod *corev1.Pod) {
		pod.Status.Phase = corev1.PodFailed
		if code == 0 {
			pod.Status.Phase = corev1.PodSucceeded
		}
		pod.Status.Conditions = slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{terminated(sandbox.AgentContainer, code, reason, message)}
		if change != nil {
			change(pod)
		}
	})
	if !pod.DeletionTimestamp.IsZero() {
		confirmDeletion(s, pod)
	}
}

// confirmDeletion is the kubelet's last word on a pod: nothing of it runs any more.
func confirmDeletion(s Stage, pod *corev1.Pod) {
	s.Helper()
	err := s.API().Delete(s.Context(), pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	must(s, client.IgnoreNotFound(err))
}

func terminated(container string, code int32, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message},
	}}
}

func setPodCondition(pod *corev1.Pod, kind corev1.PodConditionType, message string) {
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, Message: message})
}

// neverStarted is a pod that was deleted while it waited.
func neverStarted(pod *corev1.Pod) { pod.Status.ContainerStatuses = nil }

// evicted is a pod that its node threw out.
func evicted(pod *corev1.Pod) {
	pod.Status.Reason, pod.Status.Message = "Evicted", "The node was low on resource: memory."
}

// overused is a pod that its node threw out because it filled its disk.
func overused(pod *corev1.Pod) {
	pod.Status.Reason, pod.Status.Message = "Evicted", `Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". `
}

// drained is a pod that its node was emptied of.
func drained(pod *corev1.Pod) {
	setPodCondition(pod, corev1.DisruptionTarget, "Eviction API: evicting")
}

// pastDeadline is a pod whose time the kubelet found to be up.
func pastDeadline(pod *corev1.Pod) {
	pod.Status.Reason, pod.Status.Message = "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
}

// outOfMemory is a pod whose agent needed too much.
func outOfMemory(pod *corev1.Pod) {
	pod.Status.ContainerStatuses[0].State.Terminated.Reason = "OOMKilled"
}

// startError is a pod whose agent could not be started.
func startError(pod *corev1.Pod) {
	pod.Status.ContainerStatuses[0].State.Terminated.Reason = "StartError"
	pod.Status.ContainerStatuses[0].State.Terminated.Message = "exec: \"/sandkeep/bin/sandboxd\": permission denied"
}

// deletePod is kubectl delete pod.
func deletePod(s Stage) {
	s.Helper()
	must(s, s.API().Delete(s.Context(), newestPod(s)))
}

// unlabelPod takes every label of ours off the newest pod.
func unlabelPod(s Stage) {
	s.Helper()
	retryConflicts(s, func() error {
		pod := newestPod(s)
		pod.Labels = nil
		return s.API().Update(s.Context(), pod)
	})
}

// podUnready is a pod whose node, or whose sidecar, does not answer.
func podUnready(s Stage) {
	s.Helper()
	editPodStatus(s, func(pod *corev1.Pod) {
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
				c.Status, c.Reason = corev1.ConditionFalse, "NodeNotReady"
			}
		}
	})
}

// podVanishes is somebody who forces a pod out of the API server, our finalizer included.
func podVanishes(s Stage) {
	s.Helper()
	retryConflicts(s, func() error {
		pod := newestPod(s)
		pod.Finalizers = slices.DeleteFunc(pod.Finalizers, func(f string) bool { return f == v1alpha1.FinalizerResult })
		return s.API().Update(s.Context(), pod)
	})
	confirmDeletion(s, newestPod(s))
}
