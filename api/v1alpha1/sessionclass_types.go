package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SessionClass is an admin's recipe for sandboxes, as a StorageClass is one for volumes: which agent runs, in which image,
// with which providers and within which limits. Each run of a Session uses the class as it is when the run starts.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=sandkeep
// +kubebuilder:printcolumn:name="Protocol",type=string,JSONPath=`.spec.agent.protocol`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.metadata.annotations.sandkeep\.dev/is-default-class`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must have at most 63 characters, since it is a label of pods"
type SessionClass struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects. The name has at most 63 characters.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is the recipe.
	//
	// +required
	Spec SessionClassSpec `json:"spec,omitzero"`
	// status says whether the recipe is usable.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status ObjectStatus `json:"status,omitzero"`
}

// SessionClassList is a list of SessionClasses.
//
// +kubebuilder:object:root=true
type SessionClassList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SessionClass `json:"items"`
}

// SessionClassSpec is a recipe for sandboxes.
//
// +kubebuilder:validation:XValidation:rule="has(self.podTemplate.spec)",message="podTemplate must have a spec with a container named agent"
type SessionClassSpec struct {
	// agent says how the agent is run.
	//
	// +required
	Agent Agent `json:"agent,omitzero"`
	// podTemplate is the pod that sandboxes are made from. It has exactly one container, named agent; helpers are init
	// containers with restartPolicy Always. Sandkeep adds its own parts, hardens what the template leaves unset, forces
	// restartPolicy Never, and takes ServiceAccount, API token and host namespaces away. Volumes that reach the node or
	// hold Secrets, secretKeyRef, envFrom and privileged containers are refused.
	//
	// +required
	PodTemplate corev1.PodTemplateSpec `json:"podTemplate,omitzero"` //nolint:kubeapilinter // the rule on SessionClassSpec refuses an empty template
	// workspace is the volume for Sessions that do not ask for one themselves. When unset, their workspace lives and dies with each pod.
	//
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`
	// credentials are the providers that the agent can use. When unset, the agent gets no key at all.
	//
	// +optional
	// +listType=map
	// +listMapKey=provider
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Credentials []ClassCredential `json:"credentials,omitempty"`
	// fallback says what happens where a namespace has a Credential for a provider that cannot be used: with Never, a Session waits
	// for it; with Shared, it uses a ClusterCredential that allows the namespace, and says so. What a Session names in
	// spec.credentials, and what it once began to use, is never replaced. When unset, it is Never.
	//
	// +optional
	// +kubebuilder:default=Never
	Fallback Fallback `json:"fallback,omitempty"`
	// logFormat is the form of the transcript that kubectl logs shows: Text for people, JSON for machines, one object a
	// line. When unset, it is Text.
	//
	// +optional
	// +kubebuilder:default=Text
	LogFormat LogFormat `json:"logFormat,omitempty"`
	// reportText is Full when the agent's last words may go into the status of the Session, and None when they may not. When unset, it is Full.
	//
	// +optional
	// +kubebuilder:default=Full
	ReportText ReportText `json:"reportText,omitempty"`
	// limits are defaults and maxima for Sessions. When unset, the defaults of Session apply and nothing is limited.
	//
	// +optional
	Limits *ClassLimits `json:"limits,omitempty"`
}

// Agent says how an agent is run.
//
// +kubebuilder:validation:XValidation:rule="self.protocol == 'Command' || !has(self.output)",message="output must be set for protocol Command only"
type Agent struct {
	// name says which agent this is, so that an APIProvider can tell it in its own way where the provider is. When unset, the agent gets
	// what the APIProvider tells every agent.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// protocol is ACP for the Agent Client Protocol over standard input and output, and Command for a program that reads
	// the prompt from standard input, prints its answer and ends.
	//
	// +required
	Protocol AgentProtocol `json:"protocol,omitempty"`
	// command is the program and its first arguments, as in the exec form of a container.
	//
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`
	// args follow command. $(MODEL), $(WORKSPACE) and $(HOME) are replaced; an argument that is $(MODEL) alone is left out,
	// with the option before it, for Sessions without a model. When unset, there are none.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=0
	// +kubebuilder:validation:items:MaxLength=16384
	Args []string `json:"args,omitempty"`
	// env is the environment of the agent, over that of the image. When unset, nothing is added.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Env []EnvVar `json:"env,omitempty"`
	// output is the format of what a program of protocol Command prints. When unset, it is Text.
	//
	// +optional
	Output AgentOutput `json:"output,omitempty"`
	// permissions answers what the agent asks leave for: Allow says yes, since the sandbox is the fence; Deny says no.
	// When unset, it is Allow.
	//
	// +optional
	// +kubebuilder:default=Allow
	Permissions AgentPermissions `json:"permissions,omitempty"`
}

// AgentProtocol is how an agent is spoken with.
//
// +kubebuilder:validation:Enum=ACP;Command
type AgentProtocol string

// The protocols.
const (
	AgentProtocolACP     AgentProtocol = "ACP"
	AgentProtocolCommand AgentProtocol = "Command"
)

// AgentOutput is the format of what an agent of protocol Command prints.
//
// +kubebuilder:validation:Enum=Text;OpenCodeJSON;ClaudeStreamJSON;CodexJSON
type AgentOutput string

// The formats.
const (
	AgentOutputText             AgentOutput = "Text"
	AgentOutputOpenCodeJSON     AgentOutput = "OpenCodeJSON"
	AgentOutputClaudeStreamJSON AgentOutput = "ClaudeStreamJSON"
	AgentOutputCodexJSON        AgentOutput = "CodexJSON"
)

// AgentPermissions answers an agent's permission requests.
//
// +kubebuilder:validation:Enum=Allow;Deny
type AgentPermissions string

// The answers.
const (
	AgentPermissionsAllow AgentPermissions = "Allow"
	AgentPermissionsDeny  AgentPermissions = "Deny"
)

// LogFormat is the form of a transcript.
//
// +kubebuilder:validation:Enum=Text;JSON
type LogFormat string

// The forms.
const (
	LogFormatText LogFormat = "Text"
	LogFormatJSON LogFormat = "JSON"
)

// ReportText says how much of an agent's words a status may carry.
//
// +kubebuilder:validation:Enum=Full;None
type ReportText string

// The amounts.
const (
	ReportTextFull ReportText = "Full"
	ReportTextNone ReportText = "None"
)

// ClassCredential says that sandboxes of a class use a provider.
type ClassCredential struct {
	// provider is the name of the APIProvider.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Provider string `json:"provider,omitempty"`
	// requirement is Required when a Session waits until it has a credential for this provider, AnyOf when one of all the
	// providers with AnyOf is enough, and Optional when a Session runs without. The provider that spec.model of a Session
	// names is required in any case, and then AnyOf of the others asks for nothing. When unset, it is Required.
	//
	// +optional
	// +kubebuilder:default=Required
	Requirement Requirement `json:"requirement,omitempty"`
	// delivery is how the key reaches the agent: Proxy, where it never does and the gateway puts it on requests; Env or File, for
	// agents that cannot be given another address. When unset, it is Proxy.
	//
	// +optional
	// +kubebuilder:default=Proxy
	Delivery Delivery `json:"delivery,omitempty"`
}

// Requirement says how much a class needs a provider.
//
// +kubebuilder:validation:Enum=Required;AnyOf;Optional
type Requirement string

// The requirements.
const (
	RequirementRequired Requirement = "Required"
	RequirementAnyOf    Requirement = "AnyOf"
	RequirementOptional Requirement = "Optional"
)

// Fallback says whether somebody else pays where a namespace's own credential cannot be used.
//
// +kubebuilder:validation:Enum=Never;Shared
type Fallback string

// The answers.
const (
	FallbackNever  Fallback = "Never"
	FallbackShared Fallback = "Shared"
)

// ClassLimits are defaults and maxima for Sessions of a class.
//
// +kubebuilder:validation:MinProperties=1
type ClassLimits struct {
	// activeDeadlineSeconds bounds spec.activeDeadlineSeconds of Sessions. When unset, the default is 7200 and there is no
	// maximum.
	//
	// +optional
	ActiveDeadlineSeconds *SecondsLimit `json:"activeDeadlineSeconds,omitempty"`
	// retainSandboxSeconds bounds spec.retainSandboxSeconds of Sessions. When unset, the default is 86400 and there is no
	// maximum.
	//
	// +optional
	RetainSandboxSeconds *SecondsLimit `json:"retainSandboxSeconds,omitempty"`
	// ttlSecondsAfterFinished bounds spec.ttlSecondsAfterFinished of Sessions. When unset, Sessions are kept and there is
	// no maximum.
	//
	// +optional
	TTLSecondsAfterFinished *SecondsLimit `json:"ttlSecondsAfterFinished,omitempty"`
	// resources is the most that a Session may ask for in spec.resources, requests and limits alike. When unset for a
	// resource, there is no maximum. The defaults are those of the agent container in podTemplate.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	Resources corev1.ResourceList `json:"resources,omitempty"`
}

// SecondsLimit is the default and the maximum of a time in seconds.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.default) || !has(self.max) || self.default <= self.max",message="default must not be greater than max"
type SecondsLimit struct {
	// default is what Sessions get that ask for nothing. When unset, the default of Session applies, cut to max.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	Default *int64 `json:"default,omitempty"`
	// max is the most that a Session may ask for. When unset, there is no maximum.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	Max *int64 `json:"max,omitempty"`
}
