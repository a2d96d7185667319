// Package build makes objects of Sandkeep's Kinds for tests: complete ones, as the API server would have defaulted them, of
// which a test says only what matters to it.
//
//	build.Session("fix-login").Class("opencode").Prompt("Fix the login").Obj()
package build

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Namespace is where namespaced objects are, unless told otherwise.
const Namespace = "team-a"

// Finalizer keeps objects that are being deleted: the fake client takes no others.
const Finalizer = "sandkeep.dev/test"

// Created is when every object was created.
var Created = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

// UID is the UID of the object of a name.
func UID(name string) types.UID { return types.UID("uid-of-" + name) }

func objectMeta(name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace, UID: UID(name), Generation: 1, CreationTimestamp: Created,
	}
}

// readiness is the status of an object whose reconciler has looked at it.
func readiness(status metav1.ConditionStatus, reason, message string) v1alpha1.ObjectStatus {
	return v1alpha1.ObjectStatus{
		ObservedGeneration: new(int64(1)),
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message,
			ObservedGeneration: 1, LastTransitionTime: Created,
		}},
	}
}

func deleting(o metav1.Object) {
	o.SetDeletionTimestamp(new(Created))
	o.SetFinalizers([]string{Finalizer})
}

// Env is one plain variable.
func Env(name, value string) v1alpha1.EnvVar {
	return v1alpha1.EnvVar{Name: name, Value: &value}
}

// Template is the least pod template of a class: the agent's container.
func Template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "agent", Image: "registry.example/agent:1"}},
	}}
}
