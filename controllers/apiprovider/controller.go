// Package apiprovider reconciles APIProviders.
package apiprovider

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
)

// +kubebuilder:rbac:groups=sandkeep.dev,resources=apiproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=apiproviders/status,verbs=patch

// SetupWithManager makes the manager judge APIProviders.
func SetupWithManager(mgr ctrl.Manager, base acceptance.Base) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("apiprovider").
		For(&v1alpha1.APIProvider{}).
		Complete(reconcile.AsReconciler(base.Client, reconcilerFor(base)))
}

// reconcilerFor is the reconciler of APIProviders.
func reconcilerFor(base acceptance.Base) *acceptance.Reconciler[*v1alpha1.APIProvider] {
	return &acceptance.Reconciler[*v1alpha1.APIProvider]{
		Base:   base,
		Judge:  judge,
		Status: func(p *v1alpha1.APIProvider) v1alpha1.ObjectStatus { return p.Status },
		Apply: func(p *v1alpha1.APIProvider, status *applyv1alpha1.ObjectStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.APIProvider(p.Name).WithUID(p.UID).WithResourceVersion(p.ResourceVersion).WithStatus(status)
		},
	}
}

// judge accepts what the schema accepted: its rules say all there is to say about an APIProvider alone.
func judge(_ context.Context, _ client.Reader, p *v1alpha1.APIProvider) (acceptance.Verdict, error) {
	message := "Agents can be told about this provider"
	if len(p.Spec.Routes) == 0 {
		message += "; without spec.routes the gateway lets no request through to it, so keys can be delivered by Env and File only"
	}
	return acceptance.Accepted(message), nil
}
