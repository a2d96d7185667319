package sandbox

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// maxMessage bounds what other programs may add to a condition message, in bytes.
const maxMessage = 512

// Blockage is why a pod does not start. Reason is a condition reason, Message tells the user what to do.
type Blockage struct {
	Reason  string
	Message string
}

// What the kubelet says, in the waiting message of a container, about a secretKeyRef that it cannot follow
// (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables).
var (
	secretNotFound = regexp.MustCompile(`secrets? "([^"]+)" not found`)
	keyNotFound    = regexp.MustCompile(`couldn't find key (\S+) in Secret [^/\s]+/(\S+)`)
)

// Reasons of waiting containers, from the kubelet's images and kuberuntime packages.
var (
	imageReasons  = []string{"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
	configReasons = []string{"CreateContainerConfigError"}
	createReasons = []string{"CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)

// Waiting says why a live pod does not start; nil when it does, or when it only takes its time.
func Waiting(pod *corev1.Pod) *Blockage {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := status.State.Waiting; w != nil {
			if b := blockage(pod, status.Name, status.Image, *w); b != nil {
				return b
			}
		}
	}
	return unscheduled(pod)
}

// blockage reads the waiting state of one container.
func blockage(pod *corev1.Pod, container, image string, w corev1.ContainerStateWaiting) *Blockage {
	switch {
	case slices.Contains(configReasons, w.Reason):
		return configBlockage(pod, container, w.Message)
	case slices.Contains(imageReasons, w.Reason):
		return &Blockage{v1alpha1.ReasonImagePullFailed, fmt.Sprintf(
			"Image %q of container %q cannot be pulled; correct the class's image or give the namespace access to it%s",
			image, container, said(w.Message))}
	case slices.Contains(createReasons, w.Reason):
		return &Blockage{v1alpha1.ReasonStarting, fmt.Sprintf(
			"Container %q cannot be started%s", container, said(w.Message))}
	default:
		return nil
	}
}

// configBlockage tells a missing Secret from a missing key and from anything else.
func configBlockage(pod *corev1.Pod, container, message string) *Blockage {
	if m := keyNotFound.FindStringSubmatch(message); m != nil {
		return &Blockage{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf(
			"Secret %q in namespace %q has no key %q; ask whoever manages it to add the key", m[2], pod.Namespace, m[1])}
	}
	if m := secretNotFound.FindStringSubmatch(message); m != nil {
		return &Blockage{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf(
			"Secret %q not found in namespace %q; create it with the API key as its entry %q", m[1], pod.Namespace, entryOf(pod, m[1]))}
	}
	return &Blockage{v1alpha1.ReasonStarting, fmt.Sprintf(
		"Container %q is not configured as its pod asks%s", container, said(message))}
}

// entryOf is the entry of a Secret that the pod needs.
func entryOf(pod *corev1.Pod, secret string) string {
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, env := range container.Env {
			if from := env.ValueFrom; from != nil && from.SecretKeyRef != nil && from.SecretKeyRef.Name == secret {
				return from.SecretKeyRef.Key
			}
		}
	}
	return ""
}

// unscheduled says why no node takes the pod.
func unscheduled(pod *corev1.Pod) *Blockage {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return &Blockage{v1alpha1.ReasonStarting, fmt.Sprintf(
				"No node takes pod %q yet%s", pod.Name, said(c.Message))}
		}
	}
	return nil
}

// said is what another program says, as the end of a message: after a colon, in one line, without a final dot; empty when it says nothing.
func said(text string) string {
	text = strings.TrimRight(contract.OneLine(text, maxMessage), " .:")
	if text == "" {
		return ""
	}
	return ": " + text
}
