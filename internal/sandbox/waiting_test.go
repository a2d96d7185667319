package sandbox

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// The messages of these cases are those of kubelet, containerd and scheduler, word for word.
func TestWaitingSaysWhyAPodDoesNotStart(t *testing.T) {
	install := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{waiting("sandkeep-install", "registry.example/sandkeep:v1", reason, message)},
			ContainerStatuses:     []corev1.ContainerStatus{waiting("agent", "registry.example/agent:1", "PodInitializing", "")},
		}
	}
	agent := func(reason, message string) corev1.PodStatus {
		return corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{{Name: "sandkeep-install", State: terminated(0, "Completed", "")}},
			ContainerStatuses:     []corev1.ContainerStatus{waiting("agent", "registry.example/agent:1", reason, message)},
		}
	}
	scheduled := func(status corev1.ConditionStatus, message string) corev1.PodStatus {
		return corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: status, Reason: "Unschedulable", Message: message}}}
	}
	image := func(text string) *Blockage {
		return &Blockage{v1alpha1.ReasonImagePullFailed, `Image "registry.example/agent:1" of container "agent" cannot be pulled; ` +
			"correct the class's image or give the namespace access to it" + text}
	}
	cases := map[string]struct {
		status corev1.PodStatus
		want   *Blockage
	}{
		"a pod that nobody has looked at": {corev1.PodStatus{}, nil},
		"containers being made":           {install("ContainerCreating", ""), nil},
		"the agent waits for its turn":    {agent("PodInitializing", ""), nil},
		"a running agent": {corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "agent", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		}}, nil},
		"the Secret is missing": {
			install("CreateContainerConfigError", `secret "anthropic" not found`),
			&Blockage{v1alpha1.ReasonCredentialNotReady, `Secret "anthropic" not found in namespace "team-a"; create it with the API key as its entry "api-key"`},
		},
		"the Secret is missing, as the API server says it": {
			install("CreateContainerConfigError", `secrets "anthropic" not found`),
			&Blockage{v1alpha1.ReasonCredentialNotReady, `Secret "anthropic" not found in namespace "team-a"; create it with the API key as its entry "api-key"`},
		},
		"the key is missing": {
			install("CreateContainerConfigError", "couldn't find key api-key in Secret team-a/anthropic"),
			&Blockage{v1alpha1.ReasonCredentialNotReady, `Secret "anthropic" in namespace "team-a" has no key "api-key"; ask whoever manages it to add the key`},
		},
		"a ConfigMap is missing": {
			agent("CreateContainerConfigError", `configmap "settings" not found`),
			&Blockage{v1alpha1.ReasonStarting, `Container "agent" is not configured as its pod asks: configmap "settings" not found`},
		},
		"an image of root": {
			agent("CreateContainerConfigError", `container has runAsNonRoot and image will run as root (pod: "fix-login-sandbox-1_team-a(u)", container: agent)`),
			&Blockage{v1alpha1.ReasonStarting, `Container "agent" is not configured as its pod asks: container has runAsNonRoot and image will run as root (pod: "fix-login-sandbox-1_team-a(u)", container: agent)`},
		},
		"an image that does not exist": {
			agent("ErrImagePull", `rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/agent:1": failed to resolve reference "registry.example/agent:1": registry.example/agent:1: not found`),
			image(`: rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/agent:1": failed to resolve reference "registry.example/agent:1": registry.example/agent:1: not found`),
		},
		"an image that is pulled again later": {
			agent("ImagePullBackOff", `Back-off pulling image "registry.example/agent:1": ErrImagePull: pull access denied`),
			image(`: Back-off pulling image "registry.example/agent:1": ErrImagePull: pull access denied`),
		},
		"an image that must not be pulled": {
			agent("ErrImageNeverPull", `Container image "registry.example/agent:1" is not present with pull policy of Never`),
			image(`: Container image "registry.example/agent:1" is not present with pull policy of Never`),
		},
		"an image of no valid name": {
			agent("InvalidImageName", `Failed to apply default image tag "A:B:C": couldn't parse image name "A:B:C": invalid reference format`),
			image(`: Failed to apply default image tag "A:B:C": couldn't parse image name "A:B:C": invalid reference format`),
		},
		"an image about which nothing is said": {agent("ImagePullBackOff", ""), image("")},
		"a sidecar that keeps ending": {
			corev1.PodStatus{InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "sandkeep-install", State: terminated(0, "Completed", "")},
				waiting("database", "i", "CrashLoopBackOff", "back-off 10s restarting failed container=database pod=fix-login-sandbox-1_team-a(u)"),
			}},
			&Blockage{v1alpha1.ReasonStarting, `Container "database" cannot be started: back-off 10s restarting failed container=database pod=fix-login-sandbox-1_team-a(u)`},
		},
		"a program that does not exist, in several lines": {
			agent("RunContainerError", "failed to create containerd task: failed to create shim task:\n\tOCI runtime create failed:\r\n  exec: \"/x\": no such file\n"),
			&Blockage{v1alpha1.ReasonStarting, `Container "agent" cannot be started: failed to create containerd task: failed to create shim task: OCI runtime create failed: exec: "/x": no such file`},
		},
		"control characters in a message": {
			agent("CreateContainerError", "bad\x1b[31m name\u202e"),
			&Blockage{v1alpha1.ReasonStarting, `Container "agent" cannot be started: bad[31m name`},
		},
		"no node has room": {
			scheduled(corev1.ConditionFalse, "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."),
			&Blockage{v1alpha1.ReasonStarting, `No node takes pod "fix-login-sandbox-1" yet: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling`},
		},
		"a node took it": {scheduled(corev1.ConditionTrue, ""), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "fix-login-sandbox-1"}, Status: c.status}
			pod.Spec.InitContainers = []corev1.Container{{Name: InstallContainer, Env: []corev1.EnvVar{{
				ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "anthropic"}, Key: "api-key",
				}},
			}}}}
			got := Waiting(pod)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("blockage (-want +got):\n%s", diff)
			}
			if got != nil {
				wellPut(t, got.Message)
			}
		})
	}
}

func TestAnEndlessMessageIsCut(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
		waiting("agent", "i", "CreateContainerError", strings.Repeat("word ", 4000)),
	}}}
	if got := len(Waiting(pod).Message); got > maxMessage+64 {
		t.Errorf("the message has %d bytes", got)
	}
}

func waiting(container, image, reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: container, Image: image, State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}}
}

func terminated(exitCode int32, reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: reason, Message: message}}
}

// wellPut checks the form of a message: a capital first, one line, no final dot.
func wellPut(t *testing.T, message string) {
	t.Helper()
	if message == "" || strings.ContainsAny(message, "\n\r\t") || strings.HasSuffix(message, ".") || strings.HasSuffix(message, ": ") {
		t.Errorf("message %q is not one line without a final dot", message)
	}
	if first := message[:min(1, len(message))]; strings.ToUpper(first) != first {
		t.Errorf("message %q does not begin with a capital letter", message)
	}
}
