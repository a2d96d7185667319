package credential

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Lost says why a Session at work can no longer use what it was given, or nil. Only keys that the gateway holds can be lost so: one that is in the
// sandbox stays there. The class does not count any more.
func Lost(w World) *Missing {
	for _, p := range w.Pinned {
		if p.Delivery != v1alpha1.DeliveryProxy {
			continue
		}
		if missing := w.lost(p); missing != nil {
			return missing
		}
	}
	return nil
}

// lost has the credential's own reason, where the credential says one.
func (w World) lost(p v1alpha1.ResolvedCredential) *Missing {
	found, missing := w.permission(p.Ref, p.Provider)
	if missing != nil {
		return missing
	}
	switch {
	case !slices.Contains(Deliveries(found.deliveries), p.Delivery):
		return &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"%s %q does not permit delivery %s any more; add it to spec.deliveries", p.Ref.Kind, p.Ref.Name, p.Delivery)}
	case byName(w.Providers, p.Provider) == nil:
		return &Missing{v1alpha1.ReasonProviderNotFound, fmt.Sprintf("APIProvider %q not found; ask an admin to create it", p.Provider)}
	}
	if missing := providerNotReady(byName(w.Providers, p.Provider)); missing != nil {
		return missing
	}
	ready := meta.FindStatusCondition(found.conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil:
		return &Missing{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf("%s %q is new, and is being checked", p.Ref.Kind, p.Ref.Name)}
	case ready.Status != metav1.ConditionTrue:
		return &Missing{ready.Reason, fmt.Sprintf("%s %q is not ready: %s", p.Ref.Kind, p.Ref.Name, ready.Message)}
	}
	return nil
}
