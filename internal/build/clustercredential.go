package build

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// ClusterCredentialBuilder makes a ClusterCredential.
type ClusterCredentialBuilder struct{ o v1alpha1.ClusterCredential }

// ClusterCredential begins a ClusterCredential that nobody has reconciled, for provider "anthropic", which nobody may use, whose key is
// api-key in the Secret of the same name.
func ClusterCredential(name string) *ClusterCredentialBuilder {
	return &ClusterCredentialBuilder{v1alpha1.ClusterCredential{
		ObjectMeta: objectMeta(name, ""),
		Spec: v1alpha1.ClusterCredentialSpec{
			Provider: "anthropic",
			APIKey:   v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: name, Key: "api-key"}},
		},
		Status: v1alpha1.CredentialStatus{ObservedGeneration: new(int64(-1))},
	}}
}

// Obj is the ClusterCredential; each call makes another copy.
func (b *ClusterCredentialBuilder) Obj() *v1alpha1.ClusterCredential { return b.o.DeepCopy() }

// With changes what no other method of the builder does.
func (b *ClusterCredentialBuilder) With(change func(*v1alpha1.ClusterCredential)) *ClusterCredentialBuilder {
	change(&b.o)
	return b
}

// Ready makes it accepted.
func (b *ClusterCredentialBuilder) Ready() *ClusterCredentialBuilder {
	b.o.Status = credentialReadiness(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The gateway has the key")
	return b
}

// NotReady makes it refused.
func (b *ClusterCredentialBuilder) NotReady(reason, message string) *ClusterCredentialBuilder {
	b.o.Status = credentialReadiness(metav1.ConditionFalse, reason, message)
	return b
}

// Allow lets the Sessions of namespaces use it.
func (b *ClusterCredentialBuilder) Allow(namespaces ...string) *ClusterCredentialBuilder {
	return b.AllowedBy(v1alpha1.AllowedNamespaces{Names: namespaces})
}

// AllowedBy lets the Sessions of the namespaces use it that are chosen.
func (b *ClusterCredentialBuilder) AllowedBy(chosen v1alpha1.AllowedNamespaces) *ClusterCredentialBuilder {
	b.o.Spec.Allow = &v1alpha1.Allow{Namespaces: &chosen}
	return b
}

// Priority orders it among those of its provider.
func (b *ClusterCredentialBuilder) Priority(priority int32) *ClusterCredentialBuilder {
	b.o.Spec.Priority = &priority
	return b
}

// Deleting makes it one that is being deleted.
func (b *ClusterCredentialBuilder) Deleting() *ClusterCredentialBuilder {
	deleting(&b.o)
	return b
}

// Provider names the provider.
func (b *ClusterCredentialBuilder) Provider(name string) *ClusterCredentialBuilder {
	b.o.Spec.Provider = name
	return b
}

// Secret says where the key is.
func (b *ClusterCredentialBuilder) Secret(name, key string) *ClusterCredentialBuilder {
	b.o.Spec.APIKey.SecretRef = v1alpha1.SecretKeyReference{Name: name, Key: key}
	return b
}
