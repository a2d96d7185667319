package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Credential is permission to use a provider, with a key that is in a Secret of the same namespace. Sandkeep's manager never
// reads the Secret: by Env and File it is given to sandboxes by reference, and by Proxy the gateway reads it, after an admin has permitted that.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cred,categories=sandkeep
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Sharing",type=string,JSONPath=`.spec.sharing`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Credential struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is the permission.
	//
	// +required
	Spec CredentialSpec `json:"spec,omitzero"`
	// status says whether the credential is usable.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status CredentialStatus `json:"status,omitzero"`
}

// CredentialList is a list of Credentials.
//
// +kubebuilder:object:root=true
type CredentialList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Credential `json:"items"`
}

// CredentialSpec is permission to use a provider.
//
// +kubebuilder:validation:XValidation:rule="self.provider == oldSelf.provider",message="provider must not change; make a new Credential"
type CredentialSpec struct {
	// provider is the name of the APIProvider that the key opens. It is immutable.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Provider string `json:"provider,omitempty"`
	// apiKey says where the key is.
	//
	// +required
	APIKey APIKey `json:"apiKey,omitzero"`
	// sharing is Namespace when every Session of the namespace may use the credential.
	//
	// +required
	Sharing Sharing `json:"sharing,omitempty"`
	// deliveries are the ways in which the key may reach an agent. When unset, it is Proxy only.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Deliveries []Delivery `json:"deliveries,omitempty"`
	// limits bound the use of the credential by Proxy. When unset, there are none.
	//
	// +optional
	Limits *CredentialLimits `json:"limits,omitempty"`
}

// CredentialLimits bound the use of a credential by Proxy, by all Sessions together and by those of each owner.
//
// +kubebuilder:validation:MinProperties=1
type CredentialLimits struct {
	Limits `json:",inline"`
	// perOwner bounds the use by the Sessions of each owner. When unset, an owner may use as much as all may together.
	//
	// +optional
	PerOwner *Limits `json:"perOwner,omitempty"`
}

// Limits bound use. The gateway refuses requests beyond them with status 429 before they are sent, in the provider's own error format, with
// Retry-After.
//
// +kubebuilder:validation:MinProperties=1
type Limits struct {
	// requestsPerMinute is how many requests may begin within any minute. When unset, any number may.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	RequestsPerMinute *int32 `json:"requestsPerMinute,omitempty"`
	// concurrentRequests is how many requests may be under way at the same time. When unset, any number may.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	ConcurrentRequests *int32 `json:"concurrentRequests,omitempty"`
	// tokensPerDay is how many tokens, input and output together as the provider counts them, may be used in a day (UTC). Tokens are known after they
	// were used, so requests that are under way when the limit is reached may exceed it. When unset, any number may be used.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	TokensPerDay *int64 `json:"tokensPerDay,omitempty"`
	// sessions is how many Sessions may use the credential at the same time: from a Session's first request until it has finished. When unset,
	// any number may.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2000
	Sessions *int32 `json:"sessions,omitempty"`
}

// APIKey is a static key in a Secret.
type APIKey struct {
	// secretRef names the Secret, in the namespace of the Credential, and the key in it.
	//
	// +required
	SecretRef SecretKeyReference `json:"secretRef,omitzero"`
}

// SecretKeyReference names one value in a Secret.
type SecretKeyReference struct {
	// name is the name of the Secret.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="name must be the name of a Secret, never a key itself: lower case letters, digits, '-' and '.'",reason=FieldValueForbidden
	Name string `json:"name,omitempty"`
	// key is the entry of the Secret's data that holds the API key, without a final newline.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="key must be the name of an entry of the Secret: letters, digits, '-', '_' and '.'",reason=FieldValueForbidden
	Key string `json:"key,omitempty"`
}

// CredentialStatus is what was observed of a credential. It is written by the keeper only.
//
// +kubebuilder:validation:MinProperties=1
type CredentialStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of; -1 before anybody looked.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// conditions hold Ready, and Stalled while somebody has to change the spec.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// tokenKind is the kind of the key, as the tokenKinds of its APIProvider tell it; Unknown for a key that is of none of them. It is unset while there is
	// no key, and for Credentials, whose Secrets Sandkeep's keeper does not read.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	TokenKind string `json:"tokenKind,omitempty"`
	// revision identifies the key material; it changes with the Secret.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`
	// hosts are those to which the key may go: spec.hosts, or those of the APIProvider when the credential was first Ready.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Hosts []string `json:"hosts,omitempty"`
	// lastUsedTime is when the gateway last put the key on a request, to half a minute.
	//
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`
}

// Sharing says who may use a Credential.
//
// +kubebuilder:validation:Enum=Namespace
type Sharing string

// SharingNamespace lets every Session of the namespace use a Credential.
const SharingNamespace Sharing = "Namespace"

// ObjectStatus is the status of a Kind that is either usable or not.
//
// +kubebuilder:validation:MinProperties=1
type ObjectStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of; -1 before anybody looked.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// conditions hold Ready, and Stalled while somebody has to change the spec.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
