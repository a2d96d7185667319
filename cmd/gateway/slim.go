package main

import (
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// slimPod keeps of a pod what tells who is asking.
func slimPod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	pod.ManagedFields, pod.Annotations, pod.Spec = nil, nil, corev1.PodSpec{}
	pod.Status = corev1.PodStatus{Phase: pod.Status.Phase, PodIPs: pod.Status.PodIPs}
	return pod, nil
}

// slimSession keeps of a Session what decides about its requests, and the prompts of all tenants out of the memory of what parses hostile traffic.
func slimSession(o any) (any, error) {
	session, ok := o.(*v1alpha1.Session)
	if !ok {
		return o, nil
	}
	session.ManagedFields, session.Annotations = nil, nil
	session.Spec = v1alpha1.SessionSpec{Owner: session.Spec.Owner}
	session.Status = v1alpha1.SessionStatus{
		ClassName: session.Status.ClassName, PodUID: session.Status.PodUID, Credentials: session.Status.Credentials, Conditions: session.Status.Conditions,
	}
	return session, nil
}
