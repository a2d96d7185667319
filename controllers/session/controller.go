// Package session reconciles Sessions: it makes a sandbox pod for each, watches over it, and tells in status what became of
// it. The files are the steps: observe, plan, act, report.
package session

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessions,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessions/status,verbs=patch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessions/finalizers,verbs=update
// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessionclasses;apiproviders;credentials;clustercredentials,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps;persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Pace of the retries of reconciles that failed.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// Reconciler drives Sessions towards their specs. All of its fields are required.
type Reconciler struct {
	// Client reads from caches and writes.
	Client client.Client
	// Live reads from the API server, for the few questions that a cache must not answer.
	Live client.Reader
	// Access tells what the owners of Sessions may use.
	Access access.Reviewer
	// Recorder takes the events of Sessions.
	Recorder events.EventRecorder
	// Clock is the time.
	Clock clock.PassiveClock
	// Image is the Sandkeep image, from which sandboxd is copied into sandboxes.
	Image string
	// GatewayURL is where sandboxes find the gateway, SystemNamespace where its certificates are published.
	GatewayURL, SystemNamespace string
	// Metrics counts what happened.
	Metrics *Metrics
	// Patience is the time until the next look at what somebody else has to mend and nobody can watch.
	Patience workqueue.TypedRateLimiter[reconcile.Request]
}

// NewPatience waits from 1 s to 5 min, twice as long each time, as after an error.
func NewPatience() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, lastRetry)
}

// Reconcile drives one Session towards its spec and reports what it saw, once.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	w, err := r.observe(ctx, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	if w.session == nil {
		r.Patience.Forget(req)
		return ctrl.Result{}, r.sweep(ctx, w)
	}
	now := r.Clock.Now()
	p := planFor(w, now)
	out, actErr := r.act(ctx, w, p)
	p = p.after(out)
	err = errors.Join(actErr, r.report(ctx, w, p, now))
	switch {
	case err == nil && out.blocked != nil:
		p.wake = earlier(p.wake, now.Add(r.Patience.When(req)))
		return p.requeue(now), nil
	case err == nil:
		r.Patience.Forget(req)
		return p.requeue(now), nil
	case outrun(err):
		return ctrl.Result{RequeueAfter: firstRetry}, nil
	default:
		return ctrl.Result{}, err
	}
}

// outrun is true when nothing went wrong but that the world had moved on before the caches told: the next look will do.
func outrun(err error) bool {
	return errors.Is(err, errStale) || apierrors.IsConflict(err)
}

// SetupWithManager makes the manager run this reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, concurrency int) error {
	ofSession := handler.EnqueueRequestsFromMapFunc(sessionOf)
	waiting := handler.EnqueueRequestsFromMapFunc(r.waitingSessions)
	return ctrl.NewControllerManagedBy(mgr).
		Named("session").
		For(&v1alpha1.Session{}).
		Watches(&corev1.Pod{}, ofSession).
		Watches(&corev1.ConfigMap{}, ofSession).
		Watches(&corev1.PersistentVolumeClaim{}, ofSession).
		Watches(&v1alpha1.SessionClass{}, waiting).
		Watches(&v1alpha1.APIProvider{}, waiting).
		Watches(&v1alpha1.Credential{}, waiting).
		Watches(&v1alpha1.ClusterCredential{}, waiting).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.sessionsIn)).
		Watches(&corev1.ConfigMap{}, waiting, builder.WithPredicates(predicate.NewPredicateFuncs(r.isGatewayCA))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			RateLimiter:             NewPatience(),
		}).
		Complete(r)
}

// isGatewayCA is true for the object that holds the gateway's certificates.
func (r *Reconciler) isGatewayCA(o client.Object) bool {
	return o.GetNamespace() == r.SystemNamespace && o.GetName() == keep.GatewayBundle
}

// sessionOf maps an object to the Session that it is labelled for.
func sessionOf(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[v1alpha1.LabelSession]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
}
