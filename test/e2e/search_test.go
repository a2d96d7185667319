package e2e

import (
	"context"
	"encoding/base64"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// searchForKey looks for the key of the test in everything that its namespace holds but Secrets, and in the logs of its pods.
func (p *play) searchForKey() {
	ctx := context.WithoutCancel(p.Context()) // it is called at the end
	for _, list := range []client.ObjectList{
		&v1alpha1.SessionList{}, &v1alpha1.CredentialList{}, &corev1.PodList{}, &corev1.ConfigMapList{},
		&corev1.PersistentVolumeClaimList{}, &eventsv1.EventList{},
	} {
		if err := p.client.List(ctx, list, client.InNamespace(p.namespace)); err != nil {
			p.Errorf("Search for the key: %v", err)
			continue
		}
		text, err := yaml.Marshal(list)
		if err != nil {
			p.Errorf("Search for the key: %v", err)
		}
		p.expectNoKey(string(text), "an object")
		if pods, ok := list.(*corev1.PodList); ok {
			p.searchLogs(ctx, pods)
		}
	}
}

func (p *play) searchLogs(ctx context.Context, pods *corev1.PodList) {
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Waiting != nil {
				continue
			}
			text, err := p.clientset.CoreV1().Pods(p.namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: status.Name}).DoRaw(ctx)
			if err != nil {
				p.Errorf("Search the log of %s: %v", pod.Name, err)
			}
			p.expectNoKey(string(text), "the log of "+pod.Name)
		}
	}
}

// expectNoKey says where the key was found, and never what it is.
func (p *play) expectNoKey(text, where string) {
	for form, key := range map[string]string{"plain": p.key, "base64": base64.StdEncoding.EncodeToString([]byte(p.key))} {
		if at := strings.Index(text, key); at >= 0 {
			p.Errorf("%s in namespace %s holds the key (%s), after %q", where, p.namespace, form, text[max(0, at-80):at])
		}
	}
}
