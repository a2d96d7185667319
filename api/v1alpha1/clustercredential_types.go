package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterCredential is an admin's permission to use a provider, shared with the namespaces that it allows. Its key is in a Secret of
// the namespace sandkeep-keys, which only the gateway and the keeper can read.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ccred,categories=sandkeep
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.status.tokenKind`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Last used",type=date,JSONPath=`.status.lastUsedTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterCredential struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is the permission.
	//
	// +required
	Spec ClusterCredentialSpec `json:"spec,omitzero"`
	// status says whether the credential is usable.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CredentialStatus `json:"status,omitzero"`
}

// ClusterCredentialList is a list of ClusterCredentials.
//
// +kubebuilder:object:root=true
type ClusterCredentialList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterCredential `json:"items"`
}

// ClusterCredentialSpec is an admin's permission to use a provider.
//
// +kubebuilder:validation:XValidation:rule="self.provider == oldSelf.provider",message="provider must not change; make a new ClusterCredential"
type ClusterCredentialSpec struct {
	// provider is the name of the APIProvider that the key opens. It is immutable.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Provider string `json:"provider,omitempty"`
	// apiKey says where the key is: in a Secret of the namespace sandkeep-keys, of type sandkeep.dev/api-key.
	//
	// +required
	APIKey APIKey `json:"apiKey,omitzero"`
	// hosts are those to which the key may go. An APIProvider that names another host is then not served with this key. When unset, the hosts of
	// the APIProvider at the time when this credential is first Ready are recorded in status, and count.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(h, h.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$'))",message="hosts must be DNS names in lower case, without scheme, port or path"
	Hosts []string `json:"hosts,omitempty"`
	// allow says who may use the credential. When unset, nobody may.
	//
	// +optional
	Allow *Allow `json:"allow,omitempty"`
	// deliveries are the ways in which the key may reach an agent. File and Env let it into sandboxes, by way of the gateway: the agent and everything
	// that it runs can read it there, and limits do not hold for what they do with it. When unset, it is Proxy only.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Deliveries []Delivery `json:"deliveries,omitempty"`
	// limits bound the use of the credential. When unset, there are none.
	//
	// +optional
	Limits *CredentialLimits `json:"limits,omitempty"`
	// priority orders the credentials of one provider that a Session may use: the highest comes first, of equal ones the first by name. When unset,
	// it is 0.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000000
	// +kubebuilder:validation:Maximum=1000000
	Priority *int32 `json:"priority,omitempty"`
}

// Allow says who may use a ClusterCredential.
//
// +kubebuilder:validation:MinProperties=1
type Allow struct {
	// namespaces are those whose Sessions may use it. When unset, none are.
	//
	// +optional
	Namespaces *AllowedNamespaces `json:"namespaces,omitempty"`
}

// AllowedNamespaces chooses namespaces in exactly one way.
//
// +kubebuilder:validation:ExactlyOneOf=names;selector;from
type AllowedNamespaces struct {
	// names lists them. When unset, selector or from chooses.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Names []string `json:"names,omitempty"`
	// selector chooses them by their labels kubernetes.io/metadata.name and access.sandkeep.dev/*; other labels can be set by people who may not
	// grant access, and are refused. When unset, names or from chooses.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.all(k, k == 'kubernetes.io/metadata.name' || k.startsWith('access.sandkeep.dev/'))) && (!has(self.matchExpressions) || self.matchExpressions.all(e, e.key == 'kubernetes.io/metadata.name' || e.key.startsWith('access.sandkeep.dev/')))",message="selector must use the labels kubernetes.io/metadata.name and access.sandkeep.dev/* only"
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="selector must not be empty; use from: All for every namespace"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// from is All for every namespace. When unset, names or selector chooses.
	//
	// +optional
	From NamespacesFrom `json:"from,omitempty"`
}

// NamespacesFrom chooses namespaces without naming them.
//
// +kubebuilder:validation:Enum=All
type NamespacesFrom string

// NamespacesFromAll is every namespace.
const NamespacesFromAll NamespacesFrom = "All"
