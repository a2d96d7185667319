package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

const lost = `Pod "fix-login-sandbox-1" ended and left no result`

// ended is a pod whose agent ended with an exit code and a termination message.
func ended(exitCode int32, message string) *corev1.Pod {
	reason, phase := "Completed", corev1.PodSucceeded
	if exitCode != 0 {
		reason, phase = "Error", corev1.PodFailed
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "fix-login-sandbox-1"},
		Status: corev1.PodStatus{
			Phase:                 phase,
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "sandkeep-install", State: terminated(0, "Completed", "")}},
			ContainerStatuses:     []corev1.ContainerStatus{{Name: "agent", State: terminated(exitCode, reason, message)}},
		},
	}
}

// neverRan is a failed pod whose agent waits for ever.
func neverRan(install corev1.ContainerState) *corev1.Pod {
	pod := ended(1, "")
	pod.Status.InitContainerStatuses[0].State = install
	pod.Status.ContainerStatuses[0] = waiting("agent", "i", "PodInitializing", "")
	return pod
}

// because makes Kubernetes say something of a pod.
func because(pod *corev1.Pod, reason, message string) *corev1.Pod {
	pod.Status.Reason, pod.Status.Message = reason, message
	return pod
}

// takenAway makes a pod one with the condition DisruptionTarget.
func takenAway(pod *corev1.Pod, status corev1.ConditionStatus, message string) *corev1.Pod {
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: status, Message: message})
	return pod
}

func deleted(pod *corev1.Pod) *corev1.Pod {
	pod.DeletionTimestamp = new(metav1.NewTime(time.Unix(1, 0)))
	return pod
}

// killed makes a container of a pod one that the kernel killed.
func killed(pod *corev1.Pod, container string) *corev1.Pod {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.Name == container {
			s.State.Terminated.Reason = "OOMKilled"
		}
	}
	return pod
}

func withSidecar(pod *corev1.Pod, state corev1.ContainerState) *corev1.Pod {
	pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, corev1.ContainerStatus{Name: "database", State: state})
	return pod
}

const (
	successReport = `{"outcome":"Succeeded","summary":"Done"}`
	failureReport = `{"outcome":"Failed","class":"CloneFailed","message":"Repository not found","pushStarted":true}`
)

func TestAnEndIsWhatSandboxdSaysAndElseWhatKubernetesSays(t *testing.T) {
	done := contract.Report{Outcome: contract.OutcomeSucceeded, Summary: "Done"}
	notCloned := contract.Report{Outcome: contract.OutcomeFailed, Class: contract.CloneFailed, Message: "Repository not found", PushStarted: true}
	const stopReport = `{"outcome":"Failed","class":"Stopped","message":"Stopped"}`
	const crashReport = `{"outcome":"Failed","class":"AgentCrashed","message":"Killed"}`
	const interimReport = `{"outcome":"Failed","class":"AgentCrashed","message":"Ended","interim":true,"pushStarted":true}`
	stopped := contract.Report{Outcome: contract.OutcomeFailed, Class: contract.Stopped, Message: "Stopped"}
	crashed := contract.Report{Outcome: contract.OutcomeFailed, Class: contract.AgentCrashed, Message: "Killed"}
	interim := contract.Report{Outcome: contract.OutcomeFailed, Class: contract.AgentCrashed, Message: "Ended", Interim: true, PushStarted: true}
	cases := map[string]struct {
		pod  *corev1.Pod
		want Ending
	}{
		"a failure, then a deletion":  {deleted(ended(1, failureReport)), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned}},
		"a failure, then a lost node": {takenAway(ended(1, failureReport), corev1.ConditionTrue, "gone"), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned}},
		"a report from before the end": {
			ended(137, interimReport), Ending{Class: "ResultLost", Message: `Pod "fix-login-sandbox-1" ended and left no result`, Report: interim},
		},
		"a report from before a deletion": {
			deleted(ended(137, interimReport)), Ending{Class: "NodeLost", Message: `Pod "fix-login-sandbox-1" was deleted before its agent had finished`, Report: interim},
		},
		"a sidecar that was out of memory": {
			withSidecar(ended(1, failureReport), terminated(137, "OOMKilled", "")), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned},
		},
		"a success":                        {ended(0, successReport), Ending{Report: done}},
		"a success, then an eviction":      {because(ended(0, successReport), "Evicted", "The node was low on resource: memory. "), Ending{Report: done}},
		"a success, then a lost node":      {takenAway(ended(0, successReport), corev1.ConditionTrue, "gone"), Ending{Report: done}},
		"a success, then a deletion":       {deleted(ended(0, successReport)), Ending{Report: done}},
		"a success with a failing sidecar": {withSidecar(ended(0, successReport), terminated(143, "Error", "")), Ending{Report: done}},
		"a failure": {
			ended(1, failureReport), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned},
		},
		"a failure of a program that ended well": {
			ended(0, failureReport), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned},
		},
		"deadline": {
			because(ended(1, stopReport), "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
			Ending{Class: "DeadlineExceeded", Message: "The Session took longer than activeDeadlineSeconds; make a new Session with more time", Report: stopped},
		},
		"eviction": {
			because(ended(137, ""), "Evicted", "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. "),
			Ending{Class: "Evicted", Message: `Pod "fix-login-sandbox-1" was evicted by its node: The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi`},
		},
		"eviction for its own use of disk": {
			because(ended(137, ""), "Evicted", `Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". `),
			Ending{Class: "Evicted", Message: `Pod "fix-login-sandbox-1" was evicted by its node: Usage of EmptyDir volume "workspace" exceeds the limit "10Gi"`, Overused: true},
		},
		"eviction of which nothing is said": {
			because(ended(137, ""), "Evicted", ""), Ending{Class: "Evicted", Message: `Pod "fix-login-sandbox-1" was evicted by its node`},
		},
		"eviction goes before disruption, which comes with it": {
			takenAway(because(ended(1, stopReport), "Evicted", "low"), corev1.ConditionTrue, "low"),
			Ending{Class: "Evicted", Message: `Pod "fix-login-sandbox-1" was evicted by its node: low`, Report: stopped},
		},
		"preemption": {
			takenAway(ended(143, ""), corev1.ConditionTrue, "default-scheduler: preempting to accommodate a higher priority pod"),
			Ending{Class: "NodeLost", Message: `Pod "fix-login-sandbox-1" was taken away: default-scheduler: preempting to accommodate a higher priority pod`},
		},
		"a drain, and sandboxd reports that it was stopped": {
			takenAway(ended(1, stopReport), corev1.ConditionTrue, "Eviction API: evicting"),
			Ending{Class: "NodeLost", Message: `Pod "fix-login-sandbox-1" was taken away: Eviction API: evicting`,
				Report: stopped},
		},
		"a disruption that was called off": {
			takenAway(ended(1, failureReport), corev1.ConditionFalse, ""), Ending{Class: "CloneFailed", Message: "Repository not found", Report: notCloned},
		},
		"node shutdown": {
			because(ended(137, ""), "Terminated", "Pod was terminated in response to imminent node shutdown."),
			Ending{Class: "NodeLost", Message: `The node of pod "fix-login-sandbox-1" went away`},
		},
		"node shutdown, as older kubelets say it": {
			because(ended(137, ""), "NodeShutdown", ""), Ending{Class: "NodeLost", Message: `The node of pod "fix-login-sandbox-1" went away`},
		},
		"node lost": {
			because(ended(137, ""), "NodeLost", ""), Ending{Class: "NodeLost", Message: `The node of pod "fix-login-sandbox-1" went away`},
		},
		"a deletion by hand": {
			deleted(ended(143, "")), Ending{Class: "NodeLost", Message: `Pod "fix-login-sandbox-1" was deleted before its agent had finished`},
		},
		"out of memory": {
			killed(ended(137, ""), "agent"),
			Ending{Class: "OutOfMemory", Message: `Container "agent" needed more memory than its limit; make a new Session with a greater resources.limits.memory`},
		},
		"out of memory goes before a crash, which it explains": {
			killed(ended(1, crashReport), "agent"),
			Ending{Class: "OutOfMemory", Message: `Container "agent" needed more memory than its limit; make a new Session with a greater resources.limits.memory`, Report: crashed},
		},
		"out of memory on a node that goes away": {
			because(killed(ended(137, ""), "agent"), "Terminated", ""), Ending{Class: "NodeLost", Message: `The node of pod "fix-login-sandbox-1" went away`},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { wantEnding(t, c.want, c.pod) })
	}
}

func TestAnEndWithoutAReportIsNeverASuccess(t *testing.T) {
	cases := map[string]struct {
		pod  *corev1.Pod
		want Ending
	}{
		"nothing was written":                      {ended(0, ""), Ending{Class: "ResultLost", Message: lost}},
		"words were written":                       {ended(0, "Succeeded"), Ending{Class: "ResultLost", Message: lost}},
		"a report was cut":                         {ended(0, successReport[:len(successReport)-1]), Ending{Class: "ResultLost", Message: lost}},
		"success is claimed with exit code 1":      {ended(1, successReport), Ending{Class: "ResultLost", Message: lost}},
		"success is claimed with a failure class":  {ended(0, `{"outcome":"Succeeded","class":"AgentCrashed"}`), Ending{Class: "ResultLost", Message: lost}},
		"a class is claimed that nobody knows":     {ended(1, `{"outcome":"Failed","class":"Bad luck"}`), Ending{Class: "ResultLost", Message: lost}},
		"sandboxd was killed":                      {ended(137, ""), Ending{Class: "ResultLost", Message: lost}},
		"sandboxd was killed, and a sidecar ended": {withSidecar(ended(137, ""), terminated(143, "Error", "")), Ending{Class: "ResultLost", Message: lost}},
		"only a sidecar claims success": {
			withSidecar(ended(137, ""), terminated(0, "Completed", successReport)), Ending{Class: "ResultLost", Message: lost},
		},
		"the kubelet lost sight of the container": {
			func() *corev1.Pod {
				pod := ended(137, "The container could not be located when the pod was terminated")
				pod.Status.ContainerStatuses[0].State.Terminated.Reason = "ContainerStatusUnknown"
				return pod
			}(), Ending{Class: "ResultLost", Message: lost},
		},
		"no status at all": {
			&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "fix-login-sandbox-1"}, Status: corev1.PodStatus{Phase: corev1.PodFailed}},
			Ending{Class: "ResultLost", Message: lost},
		},
		"sandboxd could not be copied": {
			neverRan(terminated(1, "Error", "copy: no space left on device\n")),
			Ending{Class: "AgentCrashed", Message: `Container "sandkeep-install" failed with exit code 1: copy: no space left on device`},
		},
		"sandboxd could not be copied, and nobody says why": {
			neverRan(terminated(2, "Error", "")), Ending{Class: "AgentCrashed", Message: `Container "sandkeep-install" failed with exit code 2`},
		},
		"sandboxd could not be started": {
			func() *corev1.Pod {
				pod := ended(128, "failed to create containerd task: exec format error")
				pod.Status.ContainerStatuses[0].State.Terminated.Reason = "StartError"
				return pod
			}(),
			Ending{Class: "AgentCrashed", Message: `Container "agent" failed with exit code 128: failed to create containerd task: exec format error`},
		},
		"the node did not admit the pod": {
			because(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "fix-login-sandbox-1"}, Status: corev1.PodStatus{Phase: corev1.PodFailed}},
				"OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 250, used: 1900, capacity: 2000"),
			Ending{Class: "NodeLost", Message: `Pod "fix-login-sandbox-1" never started (OutOfcpu): Pod was rejected: Node didn't have enough resource: cpu, requested: 250, used: 1900, capacity: 2000`},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { wantEnding(t, c.want, c.pod) })
	}
}

func TestEveryReportedClassIsAFailureClassOfTheAPI(t *testing.T) {
	cases := map[contract.FailureClass]string{
		contract.CloneFailed: v1alpha1.FailureCloneFailed, contract.AgentCrashed: v1alpha1.FailureAgentCrashed,
		contract.AgentSilent: v1alpha1.FailureAgentSilent, contract.ProviderAuthenticationFailed: v1alpha1.FailureProviderAuthenticationFailed,
		contract.ProviderRateLimited: v1alpha1.FailureProviderRateLimited, contract.ProviderQuotaExhausted: v1alpha1.FailureProviderQuotaExhausted,
		contract.ProviderUnavailable: v1alpha1.FailureProviderUnavailable, contract.ContextOverflow: v1alpha1.FailureContextOverflow,
		contract.OutOfMemory: v1alpha1.FailureOutOfMemory, contract.PushRejected: v1alpha1.FailurePushRejected, contract.Stopped: v1alpha1.FailureStopped,
	}
	for class, want := range cases {
		report := contract.Report{Outcome: contract.OutcomeFailed, Class: class, Message: "Because"}
		data, err := report.Encode(4096)
		if err != nil {
			t.Fatal(err)
		}
		wantEnding(t, Ending{Class: want, Message: "Because", Report: report}, ended(1, string(data)))
	}
}

func TestWhatASandboxClaimsIsTamed(t *testing.T) {
	cases := map[string]struct {
		report  string
		message string
		after   time.Duration
	}{
		"several lines and controls": {`{"outcome":"Failed","class":"AgentCrashed","message":"a\nb\u001b[2J\u202ec"}`, "a b[2Jc", 0},
		"an endless message":         {`{"outcome":"Failed","class":"AgentCrashed","message":"` + strings.Repeat("x", 3000) + `"}`, strings.Repeat("x", 1021) + "…", 0},
		"patience":                   {`{"outcome":"Failed","class":"AgentCrashed","message":"m","retryAfterSeconds":90}`, "m", 90 * time.Second},
		"negative patience":          {`{"outcome":"Failed","class":"AgentCrashed","message":"m","retryAfterSeconds":-90}`, "m", 0},
		"patience without an end":    {`{"outcome":"Failed","class":"AgentCrashed","message":"m","retryAfterSeconds":9223372036854775807}`, "m", 7 * 24 * time.Hour},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := EndingOf(ended(1, c.report))
			got.Report = contract.Report{}
			if diff := cmp.Diff(Ending{Class: "AgentCrashed", Message: c.message, RetryAfter: c.after}, got); diff != "" {
				t.Errorf("ending (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheWayOfAPod(t *testing.T) {
	type way struct{ Ended, Working, Started bool }
	pod := func(phase corev1.PodPhase, ready corev1.ConditionStatus, state corev1.ContainerState) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{
			Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: state, Started: new(ready != corev1.ConditionFalse)}},
		}}
	}
	atWork := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	cases := map[string]struct {
		pod  *corev1.Pod
		want way
	}{
		"just made":                    {&corev1.Pod{}, way{}},
		"containers being made":        {pod(corev1.PodPending, corev1.ConditionFalse, waiting("", "", "ContainerCreating", "").State), way{}},
		"repositories being cloned":    {pod(corev1.PodRunning, corev1.ConditionFalse, atWork), way{Started: true}},
		"at work":                      {pod(corev1.PodRunning, corev1.ConditionTrue, atWork), way{Started: true, Working: true}},
		"at work, and told to end":     {deleted(pod(corev1.PodRunning, corev1.ConditionTrue, atWork)), way{Started: true}},
		"on a node that is silent":     {pod(corev1.PodRunning, corev1.ConditionUnknown, atWork), way{Started: true, Working: true}},
		"ended":                        {ended(0, successReport), way{Ended: true, Started: true}},
		"failed":                       {ended(1, failureReport), way{Ended: true, Started: true}},
		"failed before it had begun":   {neverRan(terminated(1, "Error", "")), way{Ended: true}},
		"deleted before it had a node": {deleted(&corev1.Pod{}), way{Ended: true}},
		"a sidecar runs, nobody else":  {withSidecar(pod(corev1.PodPending, corev1.ConditionFalse, corev1.ContainerState{}), atWork), way{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, way{Ended(c.pod), Working(c.pod), Started(c.pod)}); diff != "" {
				t.Errorf("way (-want +got):\n%s", diff)
			}
		})
	}
}

func wantEnding(t *testing.T, want Ending, pod *corev1.Pod) {
	t.Helper()
	got := EndingOf(pod)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ending (-want +got):\n%s", diff)
	}
	if got.Class != "" {
		wellPut(t, got.Message)
	}
}
