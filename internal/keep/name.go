// Package keep knows the keep: what is where in it, what a key may look like, and to which hosts it may go. It is pure.
package keep

// Objects of the gateway. Its certificates are looked after by the keeper, so that the gateway, which parses hostile traffic, never holds the
// authority's key.
const (
	// GatewayService is the Service of the gateway, in v1alpha1.NamespaceSystem.
	GatewayService = "sandkeep-gateway"
	// GatewayServiceAccount is the identity of the gateway, in v1alpha1.NamespaceSystem.
	GatewayServiceAccount = "sandkeep-gateway"
	// GatewayAuthoritySecret holds certificates and keys of the authorities that sign the gateway's certificate, in v1alpha1.NamespaceVault.
	GatewayAuthoritySecret = "gateway-ca"
	// GatewayServingSecret holds the gateway's certificate and its key, in v1alpha1.NamespaceKeys, of type
	// v1alpha1.SecretTypeCertificate, as tls.crt and tls.key.
	GatewayServingSecret = "gateway-tls"
	// GatewayBundle is the ConfigMap of v1alpha1.NamespaceSystem that holds what sandboxes trust, as its entry GatewayBundleKey, in PEM.
	GatewayBundle = "sandkeep-gateway-ca"
	// GatewayBundleKey is the entry of GatewayBundle.
	GatewayBundleKey = "ca.crt"
)

// CredentialReader is the Role, and its RoleBinding, by which an admin lets the gateway read one Secret of a namespace; the name of the Secret
// follows it.
const CredentialReader = "sandkeep-credential-reader"
