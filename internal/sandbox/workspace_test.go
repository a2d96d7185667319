package sandbox

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// onEmptyDir gives a pod a workspace that goes with it, onClaim one that stays.
func onEmptyDir(pod *corev1.Pod) *corev1.Pod {
	return onWorkspace(pod, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
}

func onClaim(pod *corev1.Pod) *corev1.Pod {
	return onWorkspace(pod, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "fix-login-workspace"}})
}

func onWorkspace(pod *corev1.Pod, source corev1.VolumeSource) *corev1.Pod {
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volumeWorkspace, VolumeSource: source})
	return pod
}

// stillRunning is a pod whose node went away before it could say how the agent ended.
func stillRunning() *corev1.Pod {
	pod := ended(137, "")
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	return pod
}

// TestI11AnEndingKnowsWhatNobodyTold: what was in a workspace that is gone is told by the last report, or by nobody.
func TestI11AnEndingKnowsWhatNobodyTold(t *testing.T) {
	const (
		stopReport = `{"outcome":"Failed","class":"Stopped","message":"Stopped"}`
		cloning    = `{"outcome":"Failed","class":"AgentCrashed","message":"Ended","interim":true}`
		working    = `{"outcome":"Failed","class":"AgentCrashed","message":"Ended","interim":true,"agentStarted":true}`
	)
	cases := map[string]struct {
		pod    *corev1.Pod
		untold bool
	}{
		"a success":                             {ended(0, successReport), false},
		"a failure":                             {ended(1, failureReport), false},
		"a deletion, and a report":              {deleted(ended(1, stopReport)), false},
		"an eviction, and a report":             {because(ended(1, stopReport), "Evicted", "low"), false},
		"an eviction":                           {because(ended(137, ""), "Evicted", "low"), true},
		"a deletion":                            {deleted(ended(143, "")), true},
		"a deletion, and the agent was at work": {deleted(ended(137, working)), true},
		"a deletion while repositories came":    {deleted(ended(137, cloning)), false},
		"a lost node":                           {takenAway(stillRunning(), corev1.ConditionTrue, "gone"), true},
		"out of memory":                         {killed(ended(137, working), "agent"), true},
		"out of memory while repositories came": {killed(ended(137, cloning), "agent"), false},
		"no result":                             {ended(0, ""), true},
		"a claim of success that is none":       {ended(1, successReport), true},
		"the deadline, and no report":           {because(ended(137, ""), "DeadlineExceeded", ""), true},
		"sandboxd could not be copied":          {neverRan(terminated(1, "Error", "")), false},
		"sandboxd could not be started":         {notStarted(), false},
		"a deletion before the container":       {deleted(neverRan(terminated(0, "Completed", ""))), false},
		"the node did not admit the pod":        {because(&corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, "OutOfcpu", "full"), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if e := EndingOf(onEmptyDir(c.pod.DeepCopy())); e.Untold != c.untold || !e.WorkspaceGone {
				t.Errorf("without a volume: untold %t, gone %t", e.Untold, e.WorkspaceGone)
			}
			if e := EndingOf(onClaim(c.pod.DeepCopy())); e.Untold || e.WorkspaceGone {
				t.Errorf("with a volume: untold %t, gone %t", e.Untold, e.WorkspaceGone)
			}
		})
	}
}

func notStarted() *corev1.Pod {
	pod := ended(128, "exec format error")
	pod.Status.ContainerStatuses[0].State.Terminated.Reason = "StartError"
	return pod
}
