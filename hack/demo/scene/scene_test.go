package scene

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

func TestProviderDiffersFromTheShippedOneInItsAddressOnly(t *testing.T) {
	shipped := &v1alpha1.APIProvider{Spec: v1alpha1.APIProviderSpec{
		Endpoints:   []v1alpha1.Endpoint{{Host: "api.anthropic.com"}},
		AgentConfig: v1alpha1.AgentConfig{Env: []v1alpha1.EnvVar{{Name: "ANTHROPIC_API_KEY", Value: new("$(API_KEY)")}}},
	}}
	got := (&Scene{Namespace: "demo"}).Provider(shipped, "scripted")
	want := &v1alpha1.APIProvider{Spec: *shipped.Spec.DeepCopy()}
	want.Name = "scripted"
	want.Spec.Endpoints = []v1alpha1.Endpoint{{Scheme: "http", Host: "provider.demo.svc", Port: new(int32(8080)), AllowPrivate: new(true)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestClassDiffersFromTheShippedOneInItsProviderOnly(t *testing.T) {
	shipped := &v1alpha1.SessionClass{Spec: v1alpha1.SessionClassSpec{
		Agent:       v1alpha1.Agent{Name: "opencode", Command: []string{"opencode", "acp"}},
		Credentials: []v1alpha1.ClassCredential{{Provider: "anthropic", Requirement: v1alpha1.RequirementAnyOf}},
	}}
	shipped.Annotations = map[string]string{v1alpha1.AnnotationDefaultClass: "true"}
	got := Class(shipped, "scripted", "scripted", v1alpha1.DeliveryProxy)
	want := &v1alpha1.SessionClass{Spec: *shipped.Spec.DeepCopy()}
	want.Name = "scripted"
	want.Spec.Credentials = []v1alpha1.ClassCredential{{Provider: "scripted", Requirement: "Required", Delivery: "Proxy"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestContainer(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	pod := &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "agent", State: running}}}}
	if got := Container(pod, "agent"); got == nil || got.Running == nil {
		t.Errorf("got %v, want the state of the agent", got)
	}
	if got := Container(pod, "other"); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
}
