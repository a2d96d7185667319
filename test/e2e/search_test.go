package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// searchForKey looks for the key of the test in everything that its namespace holds but Secrets, in what users may read beside it, and in the logs of its pods.
func (p *play) searchForKey() {
	ctx := context.WithoutCancel(p.Context()) // it is called at the end
	for _, list := range []client.ObjectList{
		&v1alpha1.SessionList{}, &v1alpha1.CredentialList{}, &corev1.PodList{}, &corev1.ConfigMapList{},
		&corev1.PersistentVolumeClaimList{}, &eventsv1.EventList{},
		&v1alpha1.SessionClassList{}, &v1alpha1.APIProviderList{}, &v1alpha1.ClusterCredentialList{}, // which have no namespace
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

// systemNamespace is where the manager runs.
const systemNamespace = "sandkeep-system"

// searchManager looks for the keys of all tests in the logs and the metrics of the manager.
func (s *stage) searchManager(ctx context.Context) ([]string, error) {
	var pods corev1.PodList
	if err := s.client.List(ctx, &pods, client.InNamespace(systemNamespace)); err != nil {
		return nil, err
	}
	var leaked []string
	for _, pod := range pods.Items {
		log, err := s.clientset.CoreV1().Pods(systemNamespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			return nil, err
		}
		metrics, err := s.metrics(ctx, pod)
		if err != nil {
			return nil, err
		}
		leaked = append(leaked, testsWhoseKeyIsIn(log)...)
		leaked = append(leaked, testsWhoseKeyIsIn(metrics)...)
	}
	return leaked, nil
}

// testsWhoseKeyIsIn names the tests whose keys a text holds.
func testsWhoseKeyIsIn(text []byte) []string {
	var leaked []string
	keys.Range(func(key, test any) bool {
		if bytes.Contains(text, []byte(key.(string))) {
			leaked = append(leaked, test.(string))
		}
		return true
	})
	return leaked
}

// metricsPort is where a program serves its metrics.
func metricsPort(pod corev1.Pod) string {
	for _, port := range pod.Spec.Containers[0].Ports {
		if port.Name == "metrics" {
			return strconv.Itoa(int(port.ContainerPort))
		}
	}
	return "8443"
}

// metrics asks a program as Prometheus would: with the token of an account that may read them, from inside the cluster.
func (s *stage) metrics(ctx context.Context, pod corev1.Pod) ([]byte, error) {
	token, err := s.metricsToken(ctx)
	if err != nil {
		return nil, err
	}
	cmd := s.kubectlCommand(ctx, stageName, "exec", "--stdin", "deployment/git", "--",
		"curl", "--silent", "--show-error", "--fail", "--insecure", "--config", "-", "https://"+net.JoinHostPort(pod.Status.PodIP, metricsPort(pod))+"/metrics")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("header = \"Authorization: Bearer %s\"\n", token))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", pod.Name, err)
	}
	return out, nil
}

// metricsToken makes an account that may read metrics, unless it exists, and a token for it.
func (s *stage) metricsToken(ctx context.Context) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "metrics", Namespace: stageName}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: stageName + "-metrics"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "sandkeep-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: stageName}},
	}
	for _, o := range []client.Object{account, binding} {
		if err := s.client.Create(ctx, o); client.IgnoreAlreadyExists(err) != nil {
			return "", err
		}
	}
	request := &authenticationv1.TokenRequest{}
	err := s.client.SubResource("token").Create(ctx, account, request)
	return request.Status.Token, err
}
