package install

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// rights are what an installation does, one right for each kind of object. Whoever may create roles with rights that they do not
// hold themselves has the verb escalate.
var rights = []authorizationv1.ResourceAttributes{
	{Verb: "create", Resource: "namespaces"},
	{Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"},
	{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
	{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
	{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"},
	{Verb: "create", Group: "apps", Resource: "deployments", Namespace: systemNamespace},
	{Verb: "create", Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: systemNamespace},
	{Verb: "create", Group: "sandkeep.dev", Resource: "sessionclasses"},
	{Verb: "create", Group: "sandkeep.dev", Resource: "apiproviders"},
}

// systemNamespace is where the programs run.
const systemNamespace = "sandkeep-system"

// engines are policy engines by the API group that each brings.
var engines = map[string]string{"kyverno.io": "Kyverno", "templates.gatekeeper.sh": "Gatekeeper"}

// looker asks one cluster.
type looker struct {
	kubernetes.Interface
	facts Facts
}

// look collects the facts. What the current user may not read stays unknown.
func look(ctx context.Context, clientset kubernetes.Interface) (Facts, error) {
	l := &looker{Interface: clientset}
	for _, ask := range []func(context.Context) error{l.version, l.rights, l.nodes, l.storage, l.network, l.engines, l.namespaces} {
		if err := ask(ctx); err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return Facts{}, fmt.Errorf("look at the cluster: %w", err)
		}
	}
	return l.facts, nil
}

func (l *looker) version(context.Context) error {
	v, err := l.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	l.facts.Version = v.GitVersion
	// Some providers write 33+.
	l.facts.Minor, err = strconv.Atoi(strings.TrimRight(v.Minor, "+"))
	return err
}

func (l *looker) rights(ctx context.Context) error {
	for _, right := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}
		answer, err := l.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if !answer.Status.Allowed {
			l.facts.Denied = append(l.facts.Denied, right.Verb+" "+right.Resource)
		}
	}
	return nil
}

func (l *looker) nodes(ctx context.Context) error {
	nodes, err := l.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		l.facts.Platforms = []string{platform} // who may not look cannot be told that anything is missing
	}
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if ready(node) {
			l.facts.Platforms = append(l.facts.Platforms, node.Status.NodeInfo.OperatingSystem+"/"+node.Status.NodeInfo.Architecture)
		}
	}
	slices.Sort(l.facts.Platforms)
	l.facts.Platforms = slices.Compact(l.facts.Platforms)
	return nil
}

func ready(node corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func (l *looker) storage(ctx context.Context) error {
	classes, err := l.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, class := range classes.Items {
		if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			l.facts.DefaultStorageClass = class.Name
		}
	}
	return nil
}

// network recognises a plugin by the DaemonSet that it runs.
func (l *looker) network(ctx context.Context) error {
	sets, err := l.AppsV1().DaemonSets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, set := range sets.Items {
		for _, plugin := range append(slices.Clone(enforcing), "flannel", "kindnet") {
			if strings.Contains(set.Name, plugin) && l.facts.NetworkPlugin == "" {
				l.facts.NetworkPlugin = plugin
			}
		}
	}
	return nil
}

func (l *looker) engines(context.Context) error {
	groups, err := l.Discovery().ServerGroups()
	if err != nil {
		return err
	}
	for _, group := range groups.Groups {
		if engine, known := engines[group.Name]; known {
			l.facts.Policies = append(l.facts.Policies, engine)
		}
	}
	slices.Sort(l.facts.Policies)
	return nil
}

func (l *looker) namespaces(ctx context.Context) error {
	namespaces, err := l.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, namespace := range namespaces.Items {
		level := namespace.Labels["pod-security.kubernetes.io/enforce"]
		if level != "" && level != "privileged" && namespace.Name != systemNamespace {
			l.facts.Enforcing = append(l.facts.Enforcing, namespace.Name)
		}
	}
	slices.Sort(l.facts.Enforcing)
	return nil
}
