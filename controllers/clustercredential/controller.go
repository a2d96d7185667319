// Package clustercredential reconciles ClusterCredentials: it looks at the key, and tells how the provider answered to it.
package clustercredential

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

// Secrets of the keep and ConfigMaps of the programs' namespace are read by Roles there, which are in config/rbac/keeper_namespaces.yaml.
//
// +kubebuilder:rbac:groups=sandkeep.dev,resources=clustercredentials;apiproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=clustercredentials/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// reconciler judges ClusterCredentials.
type reconciler = keyhealth.Reconciler[*v1alpha1.ClusterCredential, world]

// SetupWithManager makes the manager judge ClusterCredentials.
func SetupWithManager(mgr ctrl.Manager, base acceptance.Base) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("clustercredential").
		For(&v1alpha1.ClusterCredential{}).
		Watches(&v1alpha1.APIProvider{}, handler.EnqueueRequestsFromMapFunc(ofProvider(base.Client))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(ofSecret(base.Client))).
		Watches(&corev1.ConfigMap{}, keyhealth.OnObservations(v1alpha1.CredentialKindClusterCredential)).
		WithOptions(keyhealth.Options()).
		Complete(reconcile.AsReconciler(base.Client, reconcilerFor(base)))
}

// reconcilerFor is the reconciler of ClusterCredentials.
func reconcilerFor(base acceptance.Base) *reconciler {
	return &reconciler{
		Base: base,
		Observe: func(ctx context.Context, c *v1alpha1.ClusterCredential) (world, error) {
			return observe(ctx, base.Client, c)
		},
		Facts:    world.facts,
		Checks:   checks,
		Accepted: accepted,
		Apply: func(c *v1alpha1.ClusterCredential, status *applyv1alpha1.CredentialStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.ClusterCredential(c.Name).WithUID(c.UID).WithResourceVersion(c.ResourceVersion).WithStatus(status)
		},
	}
}

// ofProvider maps an APIProvider to the ClusterCredentials that name it.
func ofProvider(reader client.Reader) handler.MapFunc {
	return of(reader, func(c *v1alpha1.ClusterCredential, provider client.Object) bool {
		return c.Spec.Provider == provider.GetName()
	})
}

// ofSecret maps a Secret of the keep to the ClusterCredentials whose key it holds.
func ofSecret(reader client.Reader) handler.MapFunc {
	return of(reader, func(c *v1alpha1.ClusterCredential, secret client.Object) bool {
		return secret.GetNamespace() == v1alpha1.NamespaceKeys && c.Spec.APIKey.SecretRef.Name == secret.GetName()
	})
}

// of maps an object to the ClusterCredentials that it matters to.
func of(reader client.Reader, matters func(*v1alpha1.ClusterCredential, client.Object) bool) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		var list v1alpha1.ClusterCredentialList
		if err := reader.List(ctx, &list); err != nil {
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			if c := &list.Items[i]; matters(c, o) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(c)})
			}
		}
		return requests
	}
}
