package build

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// ProviderBuilder makes an APIProvider.
type ProviderBuilder struct{ o v1alpha1.APIProvider }

// Provider begins an APIProvider that nobody has reconciled, at https://api.<name>.example.
func Provider(name string) *ProviderBuilder {
	return &ProviderBuilder{v1alpha1.APIProvider{
		ObjectMeta: objectMeta(name, ""),
		Spec: v1alpha1.APIProviderSpec{
			Endpoints: []v1alpha1.Endpoint{{Scheme: v1alpha1.EndpointSchemeHTTPS, Host: "api." + name + ".example"}},
		},
		Status: v1alpha1.ObjectStatus{ObservedGeneration: new(int64(-1))},
	}}
}

// Obj is the APIProvider; each call makes another copy.
func (b *ProviderBuilder) Obj() *v1alpha1.APIProvider { return b.o.DeepCopy() }

// With changes what no other method of the builder does.
func (b *ProviderBuilder) With(change func(*v1alpha1.APIProvider)) *ProviderBuilder {
	change(&b.o)
	return b
}

// Deleting makes it one that is being deleted.
func (b *ProviderBuilder) Deleting() *ProviderBuilder {
	deleting(&b.o)
	return b
}

// Ready makes it accepted.
func (b *ProviderBuilder) Ready() *ProviderBuilder {
	b.o.Status = readiness(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "Agents can be told about this provider")
	return b
}

// NotReady makes it refused.
func (b *ProviderBuilder) NotReady(reason, message string) *ProviderBuilder {
	b.o.Status = readiness(metav1.ConditionFalse, reason, message)
	return b
}

// Env adds a variable for every agent.
func (b *ProviderBuilder) Env(name, value string) *ProviderBuilder {
	b.o.Spec.AgentConfig.Env = append(b.o.Spec.AgentConfig.Env, Env(name, value))
	return b
}

// File adds a file for every agent.
func (b *ProviderBuilder) File(path, content string) *ProviderBuilder {
	b.o.Spec.AgentConfig.Files = append(b.o.Spec.AgentConfig.Files, v1alpha1.AgentFile{Path: path, Content: content})
	return b
}

// ForAgent adds what one agent is told.
func (b *ProviderBuilder) ForAgent(config v1alpha1.NamedAgentConfig) *ProviderBuilder {
	b.o.Spec.AgentConfig.Agents = append(b.o.Spec.AgentConfig.Agents, config)
	return b
}

// UnsetEnv adds names of variables that are taken away from every agent.
func (b *ProviderBuilder) UnsetEnv(names ...string) *ProviderBuilder {
	b.o.Spec.AgentConfig.UnsetEnv = append(b.o.Spec.AgentConfig.UnsetEnv, names...)
	return b
}

// CredentialBuilder makes a Credential.
type CredentialBuilder struct{ o v1alpha1.Credential }

// Credential begins a Credential that nobody has reconciled, for provider "anthropic", shared with its namespace, whose key
// is api-key in the Secret of the same name.
func Credential(name string) *CredentialBuilder {
	return &CredentialBuilder{v1alpha1.Credential{
		ObjectMeta: objectMeta(name, Namespace),
		Spec: v1alpha1.CredentialSpec{
			Provider: "anthropic",
			APIKey:   v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: name, Key: "api-key"}},
			Sharing:  v1alpha1.SharingNamespace,
		},
		Status: v1alpha1.CredentialStatus{ObservedGeneration: new(int64(-1))},
	}}
}

// Obj is the Credential; each call makes another copy.
func (b *CredentialBuilder) Obj() *v1alpha1.Credential { return b.o.DeepCopy() }

// With changes what no other method of the builder does.
func (b *CredentialBuilder) With(change func(*v1alpha1.Credential)) *CredentialBuilder {
	change(&b.o)
	return b
}

// Namespace puts the Credential elsewhere.
func (b *CredentialBuilder) Namespace(namespace string) *CredentialBuilder {
	b.o.Namespace = namespace
	return b
}

// Deleting makes it one that is being deleted.
func (b *CredentialBuilder) Deleting() *CredentialBuilder {
	deleting(&b.o)
	return b
}

// Ready makes it accepted.
func (b *CredentialBuilder) Ready() *CredentialBuilder {
	b.o.Status = credentialReadiness(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "Sessions get the key")
	return b
}

// NotReady makes it refused.
func (b *CredentialBuilder) NotReady(reason, message string) *CredentialBuilder {
	b.o.Status = credentialReadiness(metav1.ConditionFalse, reason, message)
	return b
}

// Provider names the provider.
func (b *CredentialBuilder) Provider(name string) *CredentialBuilder {
	b.o.Spec.Provider = name
	return b
}

// Secret says where the key is.
func (b *CredentialBuilder) Secret(name, key string) *CredentialBuilder {
	b.o.Spec.APIKey.SecretRef = v1alpha1.SecretKeyReference{Name: name, Key: key}
	return b
}

// Deliveries permits some deliveries only.
func (b *CredentialBuilder) Deliveries(deliveries ...v1alpha1.Delivery) *CredentialBuilder {
	b.o.Spec.Deliveries = deliveries
	return b
}

func credentialReadiness(status metav1.ConditionStatus, reason, message string) v1alpha1.CredentialStatus {
	s := readiness(status, reason, message)
	return v1alpha1.CredentialStatus{ObservedGeneration: s.ObservedGeneration, Conditions: s.Conditions}
}
