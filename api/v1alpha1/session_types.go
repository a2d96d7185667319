package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Session is one piece of agent work: a prompt, the repositories that it is about, and what became of it. Sandkeep makes a
// sandbox pod for it, runs a coding agent there, and reports the end in status. A finished Session never runs again; to
// run the same work once more, make a new Session.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sess,categories=sandkeep
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.status.className`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Auth",type=string,JSONPath=`.status.auth`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Pod",type=string,JSONPath=`.status.podName`,priority=1
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`,priority=1
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner.username`,priority=1
// +kubebuilder:printcolumn:name="Credential",type=string,JSONPath=`.status.credentials[0].ref.name`,priority=1
// +kubebuilder:printcolumn:name="Tokens",type=integer,JSONPath=`.status.usage.totalTokens`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 52",message="metadata.name must have at most 52 characters, so that the names of pods made from it stay within 63"
type Session struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of objects. The name has at most 52 characters.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec is what is asked for. All of it but suspend, activeDeadlineSeconds, retainSandboxSeconds and
	// ttlSecondsAfterFinished is immutable.
	//
	// +required
	Spec SessionSpec `json:"spec,omitzero"`
	// status is what was observed. It is written by Sandkeep only.
	//
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SessionStatus `json:"status,omitzero"`
}

// SessionList is a list of Sessions.
//
// +kubebuilder:object:root=true
type SessionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Session `json:"items"`
}

// SessionSpec is what is asked for.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="self.mode != 'Task' || (has(self.prompt) && self.prompt.trim().size() > 0)",message="prompt must not be empty for mode Task"
// +kubebuilder:validation:XValidation:rule="has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)",message="className must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.owner) == has(oldSelf.owner) && (!has(self.owner) || self.owner == oldSelf.owner)",message="owner must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.prompt) == has(oldSelf.prompt) && (!has(self.prompt) || self.prompt == oldSelf.prompt)",message="prompt must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.model) == has(oldSelf.model) && (!has(self.model) || self.model == oldSelf.model)",message="model must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.repositories) == has(oldSelf.repositories) && (!has(self.repositories) || self.repositories == oldSelf.repositories)",message="repositories must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.credentials) == has(oldSelf.credentials) && (!has(self.credentials) || self.credentials == oldSelf.credentials)",message="credentials must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.env) == has(oldSelf.env) && (!has(self.env) || self.env == oldSelf.env)",message="env must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.resources) == has(oldSelf.resources) && (!has(self.resources) || self.resources == oldSelf.resources)",message="resources must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.workspace) == has(oldSelf.workspace) && (!has(self.workspace) || self.workspace == oldSelf.workspace)",message="workspace must not change; make a new Session"
// +kubebuilder:validation:XValidation:rule="has(self.backoffLimit) == has(oldSelf.backoffLimit) && (!has(self.backoffLimit) || self.backoffLimit == oldSelf.backoffLimit)",message="backoffLimit must not change; make a new Session"
type SessionSpec struct {
	// className is the SessionClass, the recipe for the sandbox. When unset, the class with the annotation
	// sandkeep.dev/is-default-class=true is used; when there is none, the Session waits for one.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
	// owner is for whom the Session runs: its class and the ClusterCredentials that pay for it must be ones that the owner may use. When
	// unset, it is whoever creates the Session, from Kubernetes 1.36 on; before, it must be set. To name somebody else needs the verb assign-owner on that user.
	//
	// +optional
	Owner *Owner `json:"owner,omitempty"`
	// mode is Task: the Session ends when the agent has answered its prompt. When unset, it is Task.
	//
	// +optional
	// +kubebuilder:default=Task
	Mode SessionMode `json:"mode,omitempty"`
	// prompt is what the agent is asked to do, at most 128 KiB. It is required for mode Task. Everyone who may read the
	// Session can read it, so it must not contain keys; what looks like one is refused.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=131072
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 131072",message="prompt must be at most 128 KiB, in UTF-8",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\b(sk-|glpat-|AIza|github_pat_|gh[pousr]_|xox[abpr]-)[\w-]{20}|AKIA\w{16}|PRIVATE KEY-----')`,message="prompt must not contain a key; put it into a Secret and make a Credential for it",reason=FieldValueForbidden
	Prompt string `json:"prompt,omitempty"`
	// model is passed to the agent as it is, such as anthropic/claude-sonnet-5. The part before the first slash, where it names a
	// provider of the class, makes that provider's credential required. When unset, the agent chooses.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-')",message="model must not begin with '-'",reason=FieldValueForbidden
	Model string `json:"model,omitempty"`
	// repositories are cloned into the workspace before the agent starts, at most 10. No two have the same path, and none
	// lies inside another. When unset, the workspace is empty.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	// +kubebuilder:validation:XValidation:rule=`[self.map(r, (has(r.path) ? r.path : r.url.endsWith('.git') ? r.url.substring(r.url.lastIndexOf('/') + 1, r.url.size() - 4) : r.url.substring(r.url.lastIndexOf('/') + 1)) + '/')].all(paths, paths.all(a, paths.exists_one(b, b.startsWith(a))))`,message="repositories must not have the same path, nor one inside another; set path to tell them apart"
	Repositories []Repository `json:"repositories,omitempty"`
	// credentials names the credential to use for a provider. When unset for a provider, a Credential that the namespace shares is used, the first
	// by name; where the namespace has none, a ClusterCredential that allows the namespace, by falling priority and then by name. Where it
	// has one that cannot be used, fallback of the class decides.
	//
	// +optional
	// +listType=map
	// +listMapKey=provider
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Credentials []SessionCredential `json:"credentials,omitempty"`
	// env is added to the environment of the agent, over the variables of the class. When unset, nothing is added.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Env []EnvVar `json:"env,omitempty"`
	// resources are the compute resources of the agent, within the limits of the class. When unset, the class decides.
	//
	// +optional
	Resources *Resources `json:"resources,omitempty"`
	// workspace asks for a volume that outlives the pods of the Session, so that a retry or a resume finds what an earlier
	// run left. When unset, the class decides; where it says nothing, the workspace lives and dies with each pod.
	//
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`
	// suspend ends the sandbox pod, after what the agent made was pushed where pushBranch asks for it, and starts a new one when it becomes
	// false again. When unset, it is false.
	//
	// +optional
	Suspend *bool `json:"suspend,omitempty"`
	// activeDeadlineSeconds is how long the Session may take, in seconds, from the start of its first pod (or from its
	// resumption) over all retries. Then it fails with DeadlineExceeded. When unset, the class decides; where it says
	// nothing, 7200.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`
	// retainSandboxSeconds is how long the ended pod, with its log, and the volumes are kept, in seconds. 0 removes them
	// at once. When unset, the class decides; where it says nothing, 86400.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	RetainSandboxSeconds *int64 `json:"retainSandboxSeconds,omitempty"`
	// ttlSecondsAfterFinished deletes the Session itself so many seconds after its end. When unset, it is never deleted,
	// so that a GitOps controller that still has its manifest does not make and run it again.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TTLSecondsAfterFinished *int64 `json:"ttlSecondsAfterFinished,omitempty"`
	// backoffLimit is how many failures that are worth another try get one. When unset, it is 2.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	BackoffLimit *int32 `json:"backoffLimit,omitempty"`
}

// Owner is a person or a service account, as the API server knows them.
type Owner struct {
	// username is the name that the API server knows the owner by. That of a service account is
	// system:serviceaccount:<namespace>:<name>.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Username string `json:"username,omitempty"`
	// groups are those that the owner was in when the Session was made. Leaving a group later takes nothing away from the Session;
	// removing the role that was bound to it does. When unset, the owner is in the groups only that the API server puts everybody in.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	Groups []string `json:"groups,omitempty"`
}

// SessionMode is how a Session ends.
//
// +kubebuilder:validation:Enum=Task
type SessionMode string

// SessionModeTask ends when the agent has answered its prompt.
const SessionModeTask SessionMode = "Task"

// Repository is a git repository for the agent to work on.
//
// +kubebuilder:validation:XValidation:rule=`has(self.path) || self.url.matches(r'/\w[\w.-]*$') || !self.url.matches(r'^https?://[^@?#\s]*[^/@?#\s]$')`,message="path must be set, since the last part of url is no name for a directory"
type Repository struct {
	// url is where the repository is cloned from, by http or https. It has no login in it: for now only repositories that need none can be used.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.startsWith('http://') || self.startsWith('https://')",message="url must begin with https:// or http://",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('http') || !self.contains('@')",message="url must not contain a login; for now only repositories that need none can be used",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('http') || self.contains('@') || !self.contains('?') && !self.contains('#')",message="url must not contain a query or a fragment; for now only repositories that need no token can be used, and ref names a branch",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('http') || self.matches(r'[@?#]|^[a-z]+://[\w.:\[\]-]+(/[!-.0-~]+)+$')`,message="url must name a host and a repository, such as https://git.example.com/team/app.git",reason=FieldValueForbidden
	URL string `json:"url,omitempty"`
	// ref is the branch, tag or commit to start from. When unset, the default branch of the repository is used.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-')",message="ref must not begin with '-'",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^[^~^:?*\[\\\x00-\x20\x7f]+$') && !self.contains('..') && !self.contains('@{')`,message="ref must be the name of a branch or tag, or a commit",reason=FieldValueForbidden
	Ref string `json:"ref,omitempty"`
	// path is where the repository is put, relative to the workspace. When unset, it is the last part of url without .git;
	// where that is no name for a directory, path is required.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-')",message="path must not begin with '-'",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && self.split('/').all(p, p != '' && p != '.' && p != '..')",message="path must stay in the workspace: relative, without '.', '..' or empty parts",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._/-]+$') && self.split('/').all(p, p.lowerAscii() != '.git')",message="path must consist of letters, digits, '.', '_', '-' and '/', and no part of it may be .git",reason=FieldValueForbidden
	Path string `json:"path,omitempty"`
	// pushBranch is the branch to which what the agent made is committed and pushed at the end, never by force. When
	// unset, nothing is pushed.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('-')",message="pushBranch must not begin with '-'",reason=FieldValueForbidden
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._/-]+$') && self.split('/').all(p, p != '' && !p.startsWith('.') && !p.endsWith('.lock') && !p.endsWith('.')) && !self.contains('..')",message="pushBranch must be the name of a branch, such as sandkeep/fix-login",reason=FieldValueForbidden
	PushBranch string `json:"pushBranch,omitempty"`
}

// SessionCredential chooses the credential for one provider.
type SessionCredential struct {
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
}
