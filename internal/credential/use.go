package credential

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/owner"
)

// use takes a credential by name, if it opens the provider, is accepted, and permits the delivery.
func (w World) use(providerName string, ref v1alpha1.CredentialReference, delivery v1alpha1.Delivery) (Resolved, *Missing) {
	p, missing := w.permission(ref, providerName)
	if missing != nil {
		return Resolved{}, missing
	}
	switch {
	case p.provider != providerName:
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"%s %q is for provider %q, not for %q; name another one", ref.Kind, ref.Name, p.provider, providerName)}
	case !slices.Contains(Deliveries(p.deliveries), delivery):
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"%s %q does not permit delivery %s, which class %q asks for; add it to spec.deliveries or choose another class",
			ref.Kind, ref.Name, delivery, w.Class.Name)}
	}
	provider := byName(w.Providers, providerName)
	if provider == nil {
		return Resolved{}, &Missing{v1alpha1.ReasonProviderNotFound, fmt.Sprintf(
			"APIProvider %q not found; ask an admin to create it", providerName)}
	}
	if missing := notReady(provider, ref, p.conditions); missing != nil {
		return Resolved{}, missing
	}
	return Resolved{
		Provider: provider, Ref: ref, Secret: p.secret, Delivery: delivery, Source: p.source, Method: v1alpha1.CredentialMethodAPIKey,
	}, nil
}

// permission is what credentials of both Kinds have in common.
type permission struct {
	provider   string
	secret     v1alpha1.SecretKeyReference
	source     v1alpha1.CredentialSource
	deliveries []v1alpha1.Delivery
	conditions []metav1.Condition
}

// permission looks a credential up, if the Session may use it at all.
func (w World) permission(ref v1alpha1.CredentialReference, provider string) (permission, *Missing) {
	if ref.Kind == v1alpha1.CredentialKindClusterCredential {
		c := byName(w.ClusterCredentials, ref.Name)
		if c == nil || !c.DeletionTimestamp.IsZero() {
			return permission{}, &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
				"ClusterCredential %q not found; ask an admin to create it for provider %q", ref.Name, provider)}
		}
		if !Allows(c, w.Namespace) {
			return permission{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
				"ClusterCredential %q does not allow namespace %q; ask an admin to add it to spec.allow.namespaces", ref.Name, w.Session.Namespace)}
		}
		if !slices.Contains(w.Usable, ref.Name) {
			return permission{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, owner.Denied(w.Session.Spec.Owner, owner.ClusterCredential(ref.Name))}
		}
		return permission{c.Spec.Provider, c.Spec.APIKey.SecretRef, v1alpha1.CredentialSourceCluster, c.Spec.Deliveries, c.Status.Conditions}, nil
	}
	c := byName(w.Credentials, ref.Name)
	if c == nil || !c.DeletionTimestamp.IsZero() {
		return permission{}, &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
			"Credential %q not found in namespace %q; create it for provider %q", ref.Name, w.Session.Namespace, provider)}
	}
	return permission{c.Spec.Provider, c.Spec.APIKey.SecretRef, v1alpha1.CredentialSourceNamespace, c.Spec.Deliveries, c.Status.Conditions}, nil
}

// notReady reports the first of provider and credential that its own reconciler has not accepted.
func notReady(provider *v1alpha1.APIProvider, ref v1alpha1.CredentialReference, conditions []metav1.Condition) *Missing {
	if missing := providerNotReady(provider); missing != nil {
		return missing
	}
	if message, ok := accepted(conditions); !ok {
		return &Missing{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf("%s %q is not ready: %s", ref.Kind, ref.Name, message)}
	}
	return nil
}

func providerNotReady(provider *v1alpha1.APIProvider) *Missing {
	if message, ok := accepted(provider.Status.Conditions); !ok {
		return &Missing{v1alpha1.ReasonProviderNotReady, fmt.Sprintf("APIProvider %q is not ready: %s", provider.Name, message)}
	}
	return nil
}

// accepted is true with a Ready condition that is True; otherwise it answers with that condition's message.
func accepted(conditions []metav1.Condition) (string, bool) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "it is new, and is being checked", false
	}
	return ready.Message, ready.Status == metav1.ConditionTrue
}
