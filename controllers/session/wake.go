package session

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// waitingSessions maps a class, provider or credential to the Sessions that may have waited for it: those whose agent is not at work. The limits of
// a class hold for those at work as well, and so does what becomes of a credential that the gateway holds for them.
func (r *Reconciler) waitingSessions(ctx context.Context, o client.Object) []reconcile.Request {
	namespace := o.GetNamespace()
	if r.isGatewayCA(o) {
		namespace = metav1.NamespaceAll
	}
	class, isClass := o.(*v1alpha1.SessionClass)
	return r.unfinished(ctx, namespace, func(s *v1alpha1.Session) bool {
		return !atWork(s) || isClass && s.Status.ClassName == class.Name || dependsOn(s, o)
	})
}

// dependsOn is true for a Session that was given a credential by Proxy, and o is that, its provider, or the namespace that must be allowed it.
func dependsOn(s *v1alpha1.Session, o client.Object) bool {
	return slices.ContainsFunc(s.Status.Credentials, func(c v1alpha1.ResolvedCredential) bool {
		if c.Delivery != v1alpha1.DeliveryProxy {
			return false
		}
		switch o.(type) {
		case *v1alpha1.Credential:
			return c.Ref == v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: o.GetName()}
		case *v1alpha1.ClusterCredential:
			return c.Ref == v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: o.GetName()}
		case *v1alpha1.APIProvider:
			return c.Provider == o.GetName()
		case *corev1.Namespace:
			return c.Ref.Kind == v1alpha1.CredentialKindClusterCredential
		}
		return false
	})
}

// sessionsIn maps a namespace, whose labels may have changed, to the Sessions in it that may have waited for that, or run on what that allowed.
func (r *Reconciler) sessionsIn(ctx context.Context, o client.Object) []reconcile.Request {
	return r.unfinished(ctx, o.GetName(), func(s *v1alpha1.Session) bool { return !atWork(s) || dependsOn(s, o) })
}

// unfinished are those Sessions of a namespace, or of all, that have not ended and that are meant.
func (r *Reconciler) unfinished(ctx context.Context, namespace string, meant func(*v1alpha1.Session) bool) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if s := &list.Items[i]; !finished(s) && meant(s) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		}
	}
	return requests
}

func atWork(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSandboxReady)
}

// finished is true once a Session has ended either way.
func finished(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished)
}
