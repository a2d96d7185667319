package redteam

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// plainPod is a pod that is no sandbox.
func plainPod(*place) *corev1.Pod {
	pod := podNamed(ownName).(*corev1.Pod)
	pod.Spec = corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{
			Name: "agent", Image: "registry.example/agent:1",
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	return pod
}

// pod makes a plain pod with a change.
func pod(change func(*place, *corev1.Pod)) func(*place) client.Object {
	return func(p *place) client.Object {
		pod := plainPod(p)
		pod.Name = "another"
		change(p, pod)
		return pod
	}
}

func podNamed(name string) client.Object {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func credentialNamed(name string) client.Object {
	return &v1alpha1.Credential{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func credential(p *place) *v1alpha1.Credential {
	return &v1alpha1.Credential{ObjectMeta: p.named(credentialName), Spec: v1alpha1.CredentialSpec{
		Provider: "anthropic", Sharing: v1alpha1.SharingNamespace, APIKey: keyIn("provider"),
	}}
}

func keyIn(secret string) v1alpha1.APIKey {
	return v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: secret, Key: "api-key"}}
}

func tokenVolume(audience string) corev1.Volume {
	return corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, Path: "token"}}},
	}}}
}

// ownedBySession is a reference to the Session of the sandbox.
func ownedBySession(p *place) metav1.OwnerReference {
	return p.sandbox.OwnerReferences[0]
}

func convert(from *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, into)
}

func provider(name string) *v1alpha1.APIProvider {
	return &v1alpha1.APIProvider{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.APIProviderSpec{
		Endpoints:   []v1alpha1.Endpoint{{Scheme: v1alpha1.EndpointSchemeHTTPS, Host: "api.example"}},
		AgentConfig: v1alpha1.AgentConfig{Env: []v1alpha1.EnvVar{{Name: "A", Value: new("b")}}},
	}}
}

func class(p *place) *v1alpha1.SessionClass {
	return &v1alpha1.SessionClass{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}, Spec: v1alpha1.SessionClassSpec{
		Agent:       v1alpha1.Agent{Protocol: v1alpha1.AgentProtocolCommand, Command: []string{"true"}},
		PodTemplate: corev1.PodTemplateSpec{Spec: plainPod(p).Spec},
	}}
}
