// Package credential reconciles Credentials.
package credential

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
)

// +kubebuilder:rbac:groups=sandkeep.dev,resources=credentials;apiproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=credentials/status,verbs=patch

// SetupWithManager makes the manager judge Credentials.
func SetupWithManager(mgr ctrl.Manager, base acceptance.Base) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("credential").
		For(&v1alpha1.Credential{}).
		Watches(&v1alpha1.APIProvider{}, handler.EnqueueRequestsFromMapFunc(ofProvider(base.Client))).
		Complete(reconcile.AsReconciler(base.Client, reconcilerFor(base)))
}

// reconcilerFor is the reconciler of Credentials.
func reconcilerFor(base acceptance.Base) *acceptance.Reconciler[*v1alpha1.Credential] {
	return &acceptance.Reconciler[*v1alpha1.Credential]{
		Base:   base,
		Judge:  judge,
		Status: func(c *v1alpha1.Credential) v1alpha1.ObjectStatus { return c.Status },
		Apply: func(c *v1alpha1.Credential, status *applyv1alpha1.ObjectStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.Credential(c.Name, c.Namespace).WithUID(c.UID).WithResourceVersion(c.ResourceVersion).WithStatus(status)
		},
	}
}

// judge accepts a Credential whose provider exists. Whether its Secret does is not looked at: the manager has no rights on
// Secrets, and a sandbox that needs the key says when it is missing.
func judge(ctx context.Context, reader client.Reader, c *v1alpha1.Credential) (acceptance.Verdict, error) {
	err := reader.Get(ctx, client.ObjectKey{Name: c.Spec.Provider}, &v1alpha1.APIProvider{})
	if apierrors.IsNotFound(err) {
		return acceptance.Verdict{Reason: v1alpha1.ReasonProviderNotFound, Message: fmt.Sprintf(
			"APIProvider %q not found; ask an admin to create it, or make a new Credential for another provider", c.Spec.Provider)}, nil
	}
	if err != nil {
		return acceptance.Verdict{}, fmt.Errorf("read the APIProvider: %w", err)
	}
	ref := c.Spec.APIKey.SecretRef
	return acceptance.Accepted(fmt.Sprintf("Sessions get key %q of Secret %q; whether it is there shows when one starts", ref.Key, ref.Name)), nil
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
