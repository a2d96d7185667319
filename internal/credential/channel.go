package credential

import v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"

// ByChannel is true where the sandbox gets the key from the gateway: it is in the keep, which no pod can refer to.
func (r Resolved) ByChannel() bool {
	return r.Ref.Kind == v1alpha1.CredentialKindClusterCredential && r.Delivery != v1alpha1.DeliveryProxy
}

// NeedsGateway is true where a sandbox can do nothing with a credential but by the gateway.
func (r Resolved) NeedsGateway() bool { return r.Delivery == v1alpha1.DeliveryProxy || r.ByChannel() }
