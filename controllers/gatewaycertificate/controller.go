// Package gatewaycertificate keeps the certificates of the gateway in order. The gateway itself never sees the authority's key: it parses hostile
// traffic.
package gatewaycertificate

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/keep/certificate"
)

const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// longestRest is the most between two looks, should timers or watches fail.
	longestRest = 24 * time.Hour
)

// Reconciler keeps three objects in order that belong together. All of its fields are required.
type Reconciler struct {
	// Client reads from the API server, not from a cache, and writes.
	Client Client
	Clock  clock.PassiveClock
	// Metrics tells when the certificate ends.
	Metrics *Metrics
}

// Client is what the Reconciler needs of a client.
type Client interface {
	client.Reader
	Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error
	Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error
}

// Reconcile looks at all three objects, whichever of them has changed.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (ctrl.Result, error) {
	w, err := r.observe(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	now := r.Clock.Now()
	p, err := certificate.PlanFor(w.state(), now)
	if err != nil {
		return ctrl.Result{}, err
	}
	err = r.act(ctx, w, p)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: firstRetry}, nil // another keeper was faster
	case err != nil:
		return ctrl.Result{}, err
	}
	if p.Serving != nil {
		log.FromContext(ctx).Info("Gave the gateway a new certificate", "expires", p.Expires)
	}
	r.Metrics.served(p.Expires)
	return ctrl.Result{RequeueAfter: min(max(p.Next.Sub(now), firstRetry), longestRest)}, nil
}

// SetupWithManager makes the manager run this reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	only := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: keep.GatewayBundle}}
	ours := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		if !isOurs(o) {
			return nil
		}
		return []reconcile.Request{only}
	})
	// Nothing changes at first where nothing is.
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(only)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("gatewaycertificate").
		Watches(&corev1.Secret{}, ours).
		Watches(&corev1.ConfigMap{}, ours).
		WatchesRawSource(first).
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry),
		}).
		Complete(r)
}

// isOurs is true for the three objects.
func isOurs(o client.Object) bool {
	switch o.(type) {
	case *corev1.Secret:
		return client.ObjectKeyFromObject(o) == authoritiesKey || client.ObjectKeyFromObject(o) == servingKey
	case *corev1.ConfigMap:
		return client.ObjectKeyFromObject(o) == bundleKey
	}
	return false
}
