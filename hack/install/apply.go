package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldOwner is the field manager of what an installation applies.
const FieldOwner = "sandkeep-install"

// Paces of waiting.
const (
	glance      = 250 * time.Millisecond
	settleTime  = 30 * time.Second
	rolloutTime = 3 * time.Minute
)

// Apply applies objects server-side: namespaces and definitions first, and the rest once the API server knows the Kinds.
func Apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	first, rest := split(objects)
	for _, o := range first {
		if err := applyOne(ctx, c, o); err != nil {
			return err
		}
	}
	for _, o := range first {
		if err := established(ctx, c, o); err != nil {
			return err
		}
	}
	for _, o := range rest {
		err := applyOne(ctx, c, o)
		if dispensable(o) && meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dispensable is true for Kinds that came with Kubernetes 1.36, and without which the owner of a Session has to be given.
func dispensable(o *unstructured.Unstructured) bool {
	return o.GetKind() == "MutatingAdmissionPolicy" || o.GetKind() == "MutatingAdmissionPolicyBinding"
}

// split takes apart what others stand on from the rest; each part keeps its order.
func split(objects []*unstructured.Unstructured) (first, rest []*unstructured.Unstructured) {
	for _, o := range objects {
		if o.GetKind() == "Namespace" || o.GetKind() == "CustomResourceDefinition" {
			first = append(first, o)
			continue
		}
		rest = append(rest, o)
	}
	return first, rest
}

// applyOne tries again while the API server still serves what it knew before a definition came or changed.
func applyOne(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, glance, settleTime, true, func(ctx context.Context) (bool, error) {
		last = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner(FieldOwner), client.ForceOwnership)
		if last == nil || !passing(last) || dispensable(o) {
			return true, last
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), errors.Join(last, ctx.Err()))
	}
	return nil
}

// passing is true for errors that go away when the API server has taken up a definition.
func passing(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) || strings.Contains(err.Error(), "not declared in schema")
}

func established(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	if o.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	err := wait.PollUntilContextTimeout(ctx, glance, settleTime, true, func(ctx context.Context) (bool, error) {
		seen := o.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), seen); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		return hasCondition(seen, "Established"), nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not take up %s: %w; look at its conditions: kubectl describe crd %s", o.GetName(), err, o.GetName())
	}
	return nil
}

func hasCondition(o *unstructured.Unstructured, kind string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		m, ok := c.(map[string]any)
		return ok && m["type"] == kind && m["status"] == "True"
	})
}

// RollOut waits until every Deployment among the objects runs as it was applied.
func RollOut(ctx context.Context, c client.Client, detail io.Writer, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		if err := rollOut(ctx, c, client.ObjectKeyFromObject(o)); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(detail, "%s runs in namespace %s\n", o.GetName(), o.GetNamespace())
	}
	return nil
}

func rollOut(ctx context.Context, c client.Client, key client.ObjectKey) error {
	deployment := &appsv1.Deployment{}
	err := wait.PollUntilContextTimeout(ctx, glance, rolloutTime, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, key, deployment)
		return err == nil && rolledOut(deployment), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("deployment %s in namespace %s does not come up: %w\n%s\nSee more with: kubectl -n %s describe pods",
			key.Name, key.Namespace, err, obstacles(context.WithoutCancel(ctx), c, deployment), key.Namespace)
	}
	return nil
}

func rolledOut(d *appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas == wanted
}

// obstacles says what the pods of a Deployment wait for, one line each.
func obstacles(ctx context.Context, c client.Client, d *appsv1.Deployment) string {
	var pods corev1.PodList
	if d.Spec.Selector == nil {
		return ""
	}
	if err := c.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
		return err.Error()
	}
	var lines []string
	for _, pod := range pods.Items {
		lines = append(lines, waitingFor(pod)...)
	}
	return strings.Join(lines, "\n")
}

func waitingFor(pod corev1.Pod) []string {
	var lines []string
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			lines = append(lines, fmt.Sprintf("  pod %s: %s", pod.Name, condition.Message))
		}
	}
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if w := status.State.Waiting; w != nil {
			lines = append(lines, fmt.Sprintf("  pod %s, container %s: %s: %s", pod.Name, status.Name, w.Reason, w.Message))
		}
		if t := status.LastTerminationState.Terminated; t != nil {
			lines = append(lines, fmt.Sprintf("  pod %s, container %s: ended with exit code %d: %s", pod.Name, status.Name, t.ExitCode, t.Message))
		}
	}
	return lines
}
