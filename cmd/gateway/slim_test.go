package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Whoever reads more of these objects than this learns it here, rather than from an empty field.
func TestOnlyWhatDecidesIsRemembered(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "x", Namespace: "n", UID: "uid", Labels: map[string]string{"a": "b"}, OwnerReferences: []metav1.OwnerReference{{Name: "o"}}}
	full := *meta.DeepCopy()
	full.Annotations, full.ManagedFields = map[string]string{"a": "b"}, []metav1.ManagedFieldsEntry{{Manager: "m"}}
	pod := &corev1.Pod{
		ObjectMeta: full, Spec: corev1.PodSpec{NodeName: "node"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}, Message: "m"},
	}
	session := &v1alpha1.Session{
		ObjectMeta: full, Spec: v1alpha1.SessionSpec{Prompt: "secret plans", Owner: &v1alpha1.Owner{Username: "u"}},
		Status: v1alpha1.SessionStatus{
			ClassName: "c", PodUID: "uid", Credentials: []v1alpha1.ResolvedCredential{{Provider: "p"}}, Conditions: []metav1.Condition{{Type: "Finished"}},
			Usage: &v1alpha1.Usage{},
		},
	}
	for name, c := range map[string]struct {
		slim    func(any) (any, error)
		o, want any
	}{
		"pod": {slimPod, pod, &corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}}}},
		"session": {slimSession, session, &v1alpha1.Session{ObjectMeta: meta, Spec: v1alpha1.SessionSpec{Owner: &v1alpha1.Owner{Username: "u"}}, Status: v1alpha1.SessionStatus{
			ClassName: "c", PodUID: "uid", Credentials: []v1alpha1.ResolvedCredential{{Provider: "p"}}, Conditions: []metav1.Condition{{Type: "Finished"}},
		}}},
		"anything else": {slimPod, session.DeepCopy(), session.DeepCopy()},
	} {
		got, err := c.slim(c.o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
