package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SessionStatus is what was observed of a Session.
//
// +kubebuilder:validation:MinProperties=1
type SessionStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of; -1 before anybody looked.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// conditions say how the Session is. Ready is derived from the others; Succeeded and Finished are made for kubectl wait.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// className is the class that the current or last run uses.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
	// run numbers the pods of this Session, from 1; every retry and every resumption makes a new run.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Run *int32 `json:"run,omitempty"`
	// podName is the pod of the current or last run.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PodName string `json:"podName,omitempty"`
	// podUID is the UID of the one live pod. It is unset while there is none.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	PodUID string `json:"podUID,omitempty"`
	// failures counts the failures that count against backoffLimit.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failures *int32 `json:"failures,omitempty"`
	// retries counts the failures in a row that got another run, counted or not; the time between runs grows with it.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Retries *int32 `json:"retries,omitempty"`
	// nextRunTime is when the next run starts after a failure. It is unset otherwise.
	//
	// +optional
	NextRunTime *metav1.Time `json:"nextRunTime,omitempty"`
	// auth says in short who pays: source and method of the first credential, such as Namespace/APIKey.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Auth string `json:"auth,omitempty"`
	// credentials are the credentials that were resolved when the Session first ran. They do not change for its later runs.
	//
	// +optional
	// +listType=map
	// +listMapKey=provider
	// +kubebuilder:validation:MaxItems=16
	Credentials []ResolvedCredential `json:"credentials,omitempty"`
	// credentialsInUse are the credentials that the gateway put on the last accepted request to each provider.
	//
	// +optional
	// +listType=map
	// +listMapKey=provider
	// +kubebuilder:validation:MaxItems=16
	CredentialsInUse []CredentialInUse `json:"credentialsInUse,omitempty"`
	// usage is what was used, over all runs: as the gateway counted it where a key is delivered by Proxy, else as the agent said.
	//
	// +optional
	Usage *Usage `json:"usage,omitempty"`
	// lastActivityTime is when the gateway last saw a request of this Session, to half a minute.
	//
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`
	// startTime is when the first pod started, or the first one after the last resumption.
	//
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// completionTime is when the Session ended.
	//
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// result is what the agent left, as far as it is known.
	//
	// +optional
	Result *SessionResult `json:"result,omitempty"`
	// failure is why the last run failed. It is unset after a success.
	//
	// +optional
	Failure *SessionFailure `json:"failure,omitempty"`
}

// ResolvedCredential is a credential that a Session runs on.
type ResolvedCredential struct {
	// provider is the name of the APIProvider.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Provider string `json:"provider,omitempty"`
	// ref names the credential.
	//
	// +required
	Ref CredentialReference `json:"ref,omitzero"`
	// source says whose credential it is: Namespace for one that a namespace shares, Cluster for an admin's.
	//
	// +required
	Source CredentialSource `json:"source,omitempty"`
	// method says how the credential opens the provider: APIKey.
	//
	// +required
	Method CredentialMethod `json:"method,omitempty"`
	// delivery says how the key reaches the agent.
	//
	// +required
	Delivery Delivery `json:"delivery,omitempty"`
	// passedOver says why a Credential of the namespace was not used in its place, which fallback Shared of the class permits. It is unset otherwise.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	PassedOver string `json:"passedOver,omitempty"`
}

// CredentialInUse is a credential as it was put on a request that the provider accepted; where the gateway handed it out, as File or Env, as the sandbox
// says that it has it.
type CredentialInUse struct {
	// provider is the name of the APIProvider.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Provider string `json:"provider,omitempty"`
	// ref names the credential.
	//
	// +required
	Ref CredentialReference `json:"ref,omitzero"`
	// revision identifies the key material, as status.revision of the credential does.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`
	// expirationTime is when the key material ends to be valid. When unset, it does not by itself.
	//
	// +optional
	ExpirationTime *metav1.Time `json:"expirationTime,omitempty"`
	// lastUsedTime is when it was last used, or the sandbox last said that it has it, to half a minute.
	//
	// +optional
	LastUsedTime *metav1.Time `json:"lastUsedTime,omitempty"`
}

// CredentialSource says whose credential a Session runs on.
//
// +kubebuilder:validation:Enum=Namespace;Cluster
type CredentialSource string

// The sources.
const (
	// CredentialSourceNamespace is a Credential that its namespace shares.
	CredentialSourceNamespace CredentialSource = "Namespace"
	// CredentialSourceCluster is a ClusterCredential that allows the namespace.
	CredentialSourceCluster CredentialSource = "Cluster"
)

// CredentialMethod says how a credential opens its provider.
//
// +kubebuilder:validation:Enum=APIKey
type CredentialMethod string

// CredentialMethodAPIKey is a static key.
const CredentialMethodAPIKey CredentialMethod = "APIKey"

// Usage counts requests and tokens.
//
// +kubebuilder:validation:MinProperties=1
type Usage struct {
	// requests is the number of requests that providers took. Where no key is delivered by Proxy, all counts are what the agent tells.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests *int64 `json:"requests,omitempty"`
	// inputTokens is the number of tokens that were sent.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	InputTokens *int64 `json:"inputTokens,omitempty"`
	// outputTokens is the number of tokens that were answered.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	OutputTokens *int64 `json:"outputTokens,omitempty"`
	// totalTokens is the sum of inputTokens and outputTokens.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	TotalTokens *int64 `json:"totalTokens,omitempty"`
}

// SessionResult is what the agent left.
//
// +kubebuilder:validation:MinProperties=1
type SessionResult struct {
	// summary is the agent's last words, cut.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Summary string `json:"summary,omitempty"`
	// commits are the heads that the agent's work left, one a repository.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Commits []Commit `json:"commits,omitempty"`
}

// Commit is the head that a run left in a repository.
type Commit struct {
	// repository is the url of the repository.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Repository string `json:"repository,omitempty"`
	// branch is where the commit was pushed. When unset, it was not pushed and is in the workspace only.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`
	// commit is the object name of the commit, in hexadecimal digits.
	//
	// +required
	// +kubebuilder:validation:MinLength=7
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
}

// SessionFailure is why a run failed.
type SessionFailure struct {
	// class is the kind of failure; what follows from it is decided by it alone.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Class string `json:"class,omitempty"`
	// message says what happened and what to do next.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
}
