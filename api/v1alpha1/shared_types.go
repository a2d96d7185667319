package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// EnvVar is a plain environment variable. It cannot refer to a Secret: keys come from credentials only.
//
// +kubebuilder:validation:XValidation:rule=`!has(self.value) || !self.value.matches(r'\b(sk-|glpat-|AIza|github_pat_|gh[pousr]_|xox[abpr]-)[\w-]{20}|AKIA\w{16}|PRIVATE KEY-----')`,message="value must not be a key; put it into a Secret and make a Credential for it"
type EnvVar struct {
	// name is the name of the variable. Names that begin with SANDKEEP_ are taken.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",message="name must consist of letters, digits and underscores, and must not begin with a digit",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('SANDKEEP_')",message="name must not begin with SANDKEEP_, which is reserved",reason=FieldValueForbidden
	Name string `json:"name,omitempty"`
	// value is the value of the variable, as it is: nothing in it is expanded. When unset, the variable is set and empty.
	//
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=8192
	Value *string `json:"value,omitempty"`
}

// Resources are the compute resources of the agent container.
//
// +kubebuilder:validation:MinProperties=1
type Resources struct {
	// requests is what the scheduler sets aside. When unset for a resource, the class decides.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// limits is the most that the agent may use. An agent that needs more memory is killed, and the Session fails with
	// OutOfMemory. When unset for a resource, the class decides.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// Workspace asks for a volume that outlives the pods of a Session.
//
// +kubebuilder:validation:MinProperties=1
type Workspace struct {
	// size is how much space the volume has, such as 20Gi. When unset, the class decides, and where it says nothing, 10Gi.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? isQuantity(self) && quantity(self).isGreaterThan(quantity('0')) : self > 0",message="size must be a positive quantity, such as 20Gi"
	Size *resource.Quantity `json:"size,omitempty"`
	// storageClassName is the StorageClass of the volume. When unset, the class decides, and where it says nothing, the
	// cluster's default StorageClass is used.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
}

// Delivery is how a key reaches the agent.
//
// +kubebuilder:validation:Enum=Proxy;Env;File
type Delivery string

// The deliveries.
const (
	// DeliveryProxy keeps the key in the gateway: the agent holds a placeholder, and the gateway puts the key on its requests.
	DeliveryProxy Delivery = "Proxy"
	// DeliveryEnv puts the key into the agent's environment, where the agent and everything that it starts can read it.
	DeliveryEnv Delivery = "Env"
	// DeliveryFile gives the agent a file that holds the key, on a memory-backed volume.
	DeliveryFile Delivery = "File"
)

// CredentialReference names a credential.
type CredentialReference struct {
	// kind is the Kind of the credential: Credential, in the namespace of the Session, or ClusterCredential.
	//
	// +required
	Kind CredentialKind `json:"kind,omitempty"`
	// name is the name of the credential.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// CredentialKind is a Kind of credential.
//
// +kubebuilder:validation:Enum=Credential;ClusterCredential
type CredentialKind string

// The Kinds of credentials.
const (
	// CredentialKindCredential is a credential of a namespace.
	CredentialKindCredential CredentialKind = "Credential"
	// CredentialKindClusterCredential is a credential of an admin, for the namespaces that it allows.
	CredentialKindClusterCredential CredentialKind = "ClusterCredential"
)
