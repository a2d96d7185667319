// Package sessionclass reconciles SessionClasses.
package sessionclass

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
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessionclasses;apiproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups=sandkeep.dev,resources=sessionclasses/status,verbs=patch

// SetupWithManager makes the manager judge SessionClasses.
func SetupWithManager(mgr ctrl.Manager, base acceptance.Base) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("sessionclass").
		For(&v1alpha1.SessionClass{}).
		Watches(&v1alpha1.APIProvider{}, handler.EnqueueRequestsFromMapFunc(allClasses(base.Client))).
		Complete(reconcile.AsReconciler(base.Client, reconcilerFor(base)))
}

// reconcilerFor is the reconciler of SessionClasses.
func reconcilerFor(base acceptance.Base) *acceptance.Reconciler[*v1alpha1.SessionClass] {
	return &acceptance.Reconciler[*v1alpha1.SessionClass]{
		Base:   base,
		Judge:  judge,
		Status: func(c *v1alpha1.SessionClass) v1alpha1.ObjectStatus { return c.Status },
		Apply: func(c *v1alpha1.SessionClass, status *applyv1alpha1.ObjectStatusApplyConfiguration) runtime.ApplyConfiguration {
			return applyv1alpha1.SessionClass(c.Name).WithUID(c.UID).WithResourceVersion(c.ResourceVersion).WithStatus(status)
		},
	}
}

// judge accepts a class whose template can become a sandbox and whose required providers exist.
func judge(ctx context.Context, reader client.Reader, class *v1alpha1.SessionClass) (acceptance.Verdict, error) {
	if problem := sandbox.InvalidTemplate(class); problem != "" {
		return acceptance.Verdict{Stalled: true, Reason: v1alpha1.ReasonInvalidTemplate, Message: "Field " + problem}, nil
	}
	for _, need := range class.Spec.Credentials {
		if need.Requirement != v1alpha1.RequirementRequired {
			continue
		}
		err := reader.Get(ctx, client.ObjectKey{Name: need.Provider}, &v1alpha1.APIProvider{})
		if apierrors.IsNotFound(err) {
			return acceptance.Verdict{Reason: v1alpha1.ReasonProviderNotFound, Message: fmt.Sprintf(
				"APIProvider %q, which the class requires, not found; create it", need.Provider)}, nil
		}
		if err != nil {
			return acceptance.Verdict{}, fmt.Errorf("read the APIProvider: %w", err)
		}
	}
	return acceptance.Accepted("Sessions can use this class"), nil
}

// allClasses asks for every class when an APIProvider comes or goes; there are few of both.
func allClasses(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		var list v1alpha1.SessionClassList
		if err := reader.List(ctx, &list); err != nil {
			return nil
		}
		var requests []reconcile.Request
		for i := range list.Items {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
		return requests
	}
}
