package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// deployed is the manager as config/manager deploys it.
var deployed = client.ObjectKey{Namespace: "sandkeep-system", Name: "sandkeep-manager"}

// annotationReplicas is on a Deployment that sleeps and holds how many replicas it had, for the benchmark after one that was killed.
const annotationReplicas = "sandkeep-bench/replicas"

// takeOver makes sure that no other manager does any of the work, nor has work of its own.
func (b *bench) takeOver(ctx context.Context, detail io.Writer) error {
	if err := b.nobodyAtWork(ctx); err != nil {
		return err
	}
	d := &appsv1.Deployment{}
	err := b.client.Get(ctx, deployed, d)
	if apierrors.IsNotFound(err) {
		_, _ = fmt.Fprintln(detail, "no manager is deployed")
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the deployed manager: %w", err)
	}
	replicas := replicasOf(d)
	if replicas == 0 {
		_, _ = fmt.Fprintln(detail, "the deployed manager has no replicas, and will have none afterwards")
		return nil
	}
	b.Undo(fmt.Sprintf("Bring the deployed manager back to %d replicas", replicas), func(ctx context.Context, _ io.Writer) error {
		return b.scale(ctx, replicas, nil)
	})
	if err := b.scale(ctx, 0, new(strconv.Itoa(int(replicas)))); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(detail, "the deployed manager sleeps until the end; it has %d replicas then\n", replicas)
	return b.asleep(ctx, d)
}

// nobodyAtWork refuses to take the manager away from Sessions that need it.
func (b *bench) nobodyAtWork(ctx context.Context) error {
	var list v1alpha1.SessionList
	if err := b.client.List(ctx, &list); err != nil {
		return fmt.Errorf("list the Sessions of the cluster: %w", err)
	}
	for i := range list.Items {
		s := &list.Items[i]
		left := s.Namespace == forSessions || s.Namespace == forBaseline
		if !left && !meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished) {
			return fmt.Errorf("session %s in namespace %s has not finished; wait until it has, or delete it", s.Name, s.Namespace)
		}
	}
	return nil
}

// replicasOf is how many replicas a Deployment has, or had before an earlier benchmark put it to sleep.
func replicasOf(d *appsv1.Deployment) int32 {
	if had, err := strconv.ParseInt(d.Annotations[annotationReplicas], 10, 32); err == nil {
		return int32(had)
	}
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func (b *bench) scale(ctx context.Context, replicas int32, remembered *string) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]*string{annotationReplicas: remembered}},
		"spec":     map[string]int32{"replicas": replicas},
	})
	if err != nil {
		return err
	}
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = deployed.Namespace, deployed.Name
	if err := b.client.Patch(ctx, d, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("scale the deployed manager to %d: %w", replicas, err)
	}
	return nil
}

// asleep waits until the pods are gone: one that is ending still works.
func (b *bench) asleep(ctx context.Context, d *appsv1.Deployment) error {
	err := wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := b.client.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels))
		return len(pods.Items) == 0, err
	})
	if err != nil {
		return errors.Join(errors.New("the pods of the deployed manager do not end"), err)
	}
	return nil
}
