package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/program"
)

// clear removes everything of a benchmark, and waits until it is gone. It needs neither the manager nor kwok, so that it also works after one
// that was killed.
func (b *bench) clear(ctx context.Context) error {
	for _, namespace := range []string{forSessions, forBaseline} {
		if err := b.clearNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	labelled := client.MatchingLabels{partOf: ours}
	for _, kind := range []client.Object{&corev1.Namespace{}, &corev1.Node{}, &v1alpha1.SessionClass{}} {
		if err := b.deleteEach(ctx, kind, labelled); err != nil {
			return err
		}
	}
	return b.cleared(ctx, labelled)
}

// clearNamespace takes Sessions and pods away, without waiting for kubelets that are not there.
func (b *bench) clearNamespace(ctx context.Context, namespace string) error {
	in := client.InNamespace(namespace)
	if err := b.client.DeleteAllOf(ctx, &v1alpha1.Session{}, in); ignoreMissing(err) != nil {
		return fmt.Errorf("delete the Sessions in %s: %w", namespace, err)
	}
	var pods corev1.PodList
	if err := b.client.List(ctx, &pods, in); err != nil {
		return fmt.Errorf("list the pods in %s: %w", namespace, err)
	}
	if err := inParallel(b.clients, pods.Items, func(pod corev1.Pod) error { return b.releasePod(ctx, &pod) }); err != nil {
		return fmt.Errorf("release the pods in %s: %w", namespace, err)
	}
	if err := b.client.DeleteAllOf(ctx, &corev1.Pod{}, in, client.GracePeriodSeconds(0)); err != nil {
		return fmt.Errorf("delete the pods in %s: %w", namespace, err)
	}
	return nil
}

func (b *bench) releasePod(ctx context.Context, pod *corev1.Pod) error {
	if len(pod.Finalizers) == 0 {
		return nil
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	return client.IgnoreNotFound(b.client.Patch(ctx, pod, patch))
}

// deleteEach deletes what a selector finds; namespaces cannot be deleted together.
func (b *bench) deleteEach(ctx context.Context, kind client.Object, selector client.MatchingLabels) error {
	found, err := b.listed(ctx, kind, selector)
	if err != nil {
		return err
	}
	for _, o := range found {
		if err := b.client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", o.GetName(), err)
		}
	}
	return nil
}

// listed is every object of a Kind that a selector finds; none where the API server does not know the Kind.
func (b *bench) listed(ctx context.Context, kind client.Object, selector client.MatchingLabels) ([]client.Object, error) {
	gvk, err := b.client.GroupVersionKindFor(kind)
	if err != nil {
		return nil, err
	}
	gvk.Kind += "List"
	made, err := b.client.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	list := made.(client.ObjectList)
	if err := b.client.List(ctx, list, selector); err != nil {
		return nil, ignoreMissing(err)
	}
	var objects []client.Object
	items, err := meta.ExtractList(list)
	for _, item := range items {
		objects = append(objects, item.(client.Object))
	}
	return objects, err
}

// cleared waits for the end of namespaces, which the API server empties in its own time.
func (b *bench) cleared(ctx context.Context, selector client.MatchingLabels) error {
	err := wait.PollUntilContextTimeout(ctx, glance, program.CleanUpTime, true, func(ctx context.Context) (bool, error) {
		left := 0
		for _, kind := range []client.Object{&corev1.Namespace{}, &corev1.Node{}} {
			found, err := b.listed(ctx, kind, selector)
			if err != nil {
				return false, err
			}
			left += len(found)
		}
		return left == 0, nil
	})
	if err != nil {
		return fmt.Errorf("namespaces or nodes with label %s=%s do not go away: %w", partOf, ours, err)
	}
	return nil
}

// ignoreMissing is nil where the API server does not know the Kind.
func ignoreMissing(err error) error {
	if meta.IsNoMatchError(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}

// inParallel does the same to all items, some at a time.
func inParallel[T any](workers int, items []T, do func(T) error) error {
	queue := make(chan T)
	errs := make([]error, workers)
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			for item := range queue {
				if errs[i] == nil {
					errs[i] = do(item)
				}
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	running.Wait()
	return errors.Join(errs...)
}
