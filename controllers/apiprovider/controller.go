// Package apiprovider reconciles APIProviders.
package apiprovider

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/internal/gateway/dial"
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

// judge accepts what the schema accepted, but for certificates, into which its rules cannot look.
func judge(_ context.Context, _ client.Reader, p *v1alpha1.APIProvider) (acceptance.Verdict, error) {
	if problem := invalidEndpoint(p.Spec.Endpoints); problem != "" {
		return acceptance.Verdict{Stalled: true, Reason: v1alpha1.ReasonInvalidEndpoint, Message: problem}, nil
	}
	message := "Agents can be told about this provider"
	if len(p.Spec.Routes) == 0 {
		message += "; without spec.routes the gateway lets no request through to it, so keys can be delivered by Env and File only"
	}
	return acceptance.Accepted(message), nil
}

// invalidEndpoint says what the gateway could not work with; empty when it can with all.
func invalidEndpoint(endpoints []v1alpha1.Endpoint) string {
	for i, e := range endpoints {
		if e.CABundle == "" {
			continue
		}
		if _, ok := dial.Authorities(e.CABundle); !ok {
			return fmt.Sprintf("Field spec.endpoints[%d].caBundle, of host %q, has no certificate that can be read; "+
				"put the whole PEM of the authority there, or leave it out where a public one signs", i, e.Host)
		}
	}
	return ""
}
