package credential

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Allows says whether Sessions of a namespace may use a ClusterCredential. Nothing that is absent or malformed allows anything.
func Allows(c *v1alpha1.ClusterCredential, namespace *corev1.Namespace) bool {
	if c.Spec.Allow == nil || c.Spec.Allow.Namespaces == nil || namespace == nil {
		return false
	}
	allowed := c.Spec.Allow.Namespaces
	switch {
	case allowed.From == v1alpha1.NamespacesFromAll:
		return true
	case allowed.Selector != nil:
		return selects(allowed.Selector, namespace)
	}
	return slices.Contains(allowed.Names, namespace.Name)
}

// selects never trusts the label of the name, which is read from the name itself: it cannot be forged there.
func selects(s *metav1.LabelSelector, namespace *corev1.Namespace) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() {
		return false
	}
	set := labels.Set{}
	maps.Copy(set, namespace.Labels)
	set[corev1.LabelMetadataName] = namespace.Name
	return selector.Matches(set)
}

// Deliveries are the ways in which a key may reach an agent, where a credential lists some or none.
func Deliveries(listed []v1alpha1.Delivery) []v1alpha1.Delivery {
	if len(listed) == 0 {
		return []v1alpha1.Delivery{v1alpha1.DeliveryProxy}
	}
	return listed
}
