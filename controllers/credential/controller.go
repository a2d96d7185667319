// Package credential reconciles Credentials: it asks whether the gateway may read the key, and tells how the provider answered to it.
package credential

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
)

// +kubebuilder:rbac:groups=sandkeep.dev,resources=credentials;apiproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=credentials/status,verbs=patch
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// reconciler judges Credentials.
type reconciler = keyhealth.Reconciler[*v1alpha1.Credential, world]

// SetupWithManager makes the manager judge Credentials.
func SetupWithManager(mgr ctrl.Manager, base acceptance.Base) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("credential").
		For(&v1alpha1.Credential{}).
		Watches(&v1alpha1.APIProvider{}, handler.EnqueueRequestsFromMapFunc(ofProvider(base.Client))).
		Watches(&corev1.ConfigMap{}, keyhealth.OnObservations(v1alpha1.CredentialKindCredential)).
		WithOptions(keyhealth.Options()).
		Complete(reconcile.AsReconciler(base.Client, reconcilerFor(base)))
}

// reconcilerFor is the reconciler of Credentials.
func reconcilerFor(base acceptance.Base) *reconciler {
	return &reconciler{
		Base: base,
		Observe: func(ctx context.Context, c *v1alpha1.Credential) (world, error) {
			return observe(ctx, base.Client, c)
		},
		Facts:    world.facts,
		Checks:   checks,
		Accepted: accepted,
		Apply: func(c *v1alpha1.Credential, status *applyv1alpha1.CredentialStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.Credential(c.Name, c.Namespace).WithUID(c.UID).WithResourceVersion(c.ResourceVersion).WithStatus(status)
		},
	}
}

// ofProvider maps an APIProvider to the Credentials that name it.
func ofProvider(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, provider client.Object) []reconcile.Request {
		var list v1alpha1.CredentialList
		if err := reader.List(ctx, &list); err != nil {
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			if c := &list.Items[i]; c.Spec.Provider == provider.GetName() {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(c)})
			}
		}
		return requests
	}
}
