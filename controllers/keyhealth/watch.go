package keyhealth

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// Options are those of controllers of credentials. The default rate limiter is too eager at first and too slow in the end.
func Options() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: 4,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, 5*time.Minute),
	}
}

// Observed is what the replicas of the gateway saw of one credential. What cannot be read counts as not seen; the watch has told of it.
func Observed(ctx context.Context, reader client.Reader, ref observation.Ref) ([]observation.Observation, error) {
	var list corev1.ConfigMapList
	if err := reader.List(ctx, &list, client.InNamespace(v1alpha1.NamespaceSystem), client.HasLabels{v1alpha1.LabelObservations}); err != nil {
		return nil, fmt.Errorf("list the observations: %w", err)
	}
	var observed []observation.Observation
	for i := range list.Items {
		all, err := observation.Decode(list.Items[i].Data[observation.ConfigMapKey])
		if err == nil {
			observed = append(observed, observation.Of(ref, all)...)
		}
	}
	return observed, nil
}

// OnObservations wakes the credentials of a Kind of which a replica of the gateway tells something new.
func OnObservations(kind v1alpha1.CredentialKind) handler.EventHandler {
	tell := func(ctx context.Context, before, after client.Object, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		for _, request := range news(kind, decoded(ctx, before), decoded(ctx, after)) {
			queue.Add(request)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			tell(ctx, nil, e.Object, queue)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			tell(ctx, e.ObjectOld, e.ObjectNew, queue)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			tell(ctx, e.Object, nil, queue)
		},
	}
}

// decoded are the observations in a ConfigMap; none when it holds others, or none that can be read.
func decoded(ctx context.Context, o client.Object) []observation.Observation {
	cm, ok := o.(*corev1.ConfigMap)
	if _, labelled := labelsOf(cm)[v1alpha1.LabelObservations]; !ok || !labelled {
		return nil
	}
	all, err := observation.Decode(cm.Data[observation.ConfigMapKey])
	if err != nil {
		log.FromContext(ctx).Info("Ignored what a gateway tells of credentials", "configMap", cm.Name, "reason", err.Error())
	}
	return all
}

func labelsOf(cm *corev1.ConfigMap) map[string]string {
	if cm == nil {
		return nil
	}
	return cm.Labels
}

// news asks for the credentials of a Kind of which before and after tell different things.
func news(kind v1alpha1.CredentialKind, before, after []observation.Observation) []reconcile.Request {
	told := map[observation.Ref]observation.Observation{}
	for _, o := range before {
		told[o.Ref] = o
	}
	var refs []observation.Ref
	for _, o := range after {
		if was, ok := told[o.Ref]; !ok || !reflect.DeepEqual(was, o) {
			refs = append(refs, o.Ref)
		}
		delete(told, o.Ref)
	}
	for ref := range told {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, observation.Ref.Compare)
	var requests []reconcile.Request
	for _, ref := range refs {
		if ref.Kind == kind {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}})
		}
	}
	return requests
}
