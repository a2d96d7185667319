package build

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// SessionBuilder makes a Session.
type SessionBuilder struct{ o v1alpha1.Session }

// Owner is the owner of every Session, unless told otherwise.
func Owner() *v1alpha1.Owner {
	return &v1alpha1.Owner{Username: "dev@acme.example", Groups: []string{"team-a", "system:authenticated"}}
}

// Session begins a Session that nobody has reconciled, of class "opencode", with an owner and a prompt.
func Session(name string) *SessionBuilder {
	return &SessionBuilder{v1alpha1.Session{
		ObjectMeta: objectMeta(name, Namespace),
		Spec:       v1alpha1.SessionSpec{ClassName: "opencode", Owner: Owner(), Mode: v1alpha1.SessionModeTask, Prompt: "Fix the login"},
		Status:     v1alpha1.SessionStatus{ObservedGeneration: new(int64(-1))},
	}}
}

// Obj is the Session; each call makes another copy.
func (b *SessionBuilder) Obj() *v1alpha1.Session { return b.o.DeepCopy() }

// With changes what no other method of the builder does.
func (b *SessionBuilder) With(change func(*v1alpha1.Session)) *SessionBuilder {
	change(&b.o)
	return b
}

// Namespace puts the Session elsewhere.
func (b *SessionBuilder) Namespace(namespace string) *SessionBuilder {
	b.o.Namespace = namespace
	return b
}

// Generation sets the generation of the spec.
func (b *SessionBuilder) Generation(generation int64) *SessionBuilder {
	b.o.Generation = generation
	return b
}

// Deleting makes it one that is being deleted.
func (b *SessionBuilder) Deleting() *SessionBuilder {
	deleting(&b.o)
	return b
}

// Class names the class; "" asks for the default one.
func (b *SessionBuilder) Class(name string) *SessionBuilder {
	b.o.Spec.ClassName = name
	return b
}

// Prompt sets the prompt.
func (b *SessionBuilder) Prompt(prompt string) *SessionBuilder {
	b.o.Spec.Prompt = prompt
	return b
}

// Model sets the model.
func (b *SessionBuilder) Model(model string) *SessionBuilder {
	b.o.Spec.Model = model
	return b
}

// Repository adds a repository; pushBranch may be empty.
func (b *SessionBuilder) Repository(url, pushBranch string) *SessionBuilder {
	b.o.Spec.Repositories = append(b.o.Spec.Repositories, v1alpha1.Repository{URL: url, PushBranch: pushBranch})
	return b
}

// Credential chooses the Credential for a provider.
func (b *SessionBuilder) Credential(provider, name string) *SessionBuilder {
	b.o.Spec.Credentials = append(b.o.Spec.Credentials, v1alpha1.SessionCredential{
		Provider: provider, Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: name},
	})
	return b
}

// ClusterCredential chooses an admin's credential for a provider.
func (b *SessionBuilder) ClusterCredential(provider, name string) *SessionBuilder {
	b.o.Spec.Credentials = append(b.o.Spec.Credentials, v1alpha1.SessionCredential{
		Provider: provider, Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: name},
	})
	return b
}

// Env adds a variable.
func (b *SessionBuilder) Env(name, value string) *SessionBuilder {
	b.o.Spec.Env = append(b.o.Spec.Env, Env(name, value))
	return b
}

// Resources asks for requests and limits.
func (b *SessionBuilder) Resources(requests, limits corev1.ResourceList) *SessionBuilder {
	b.o.Spec.Resources = &v1alpha1.Resources{Requests: requests, Limits: limits}
	return b
}

// Workspace asks for a volume; size and storageClassName may be empty.
func (b *SessionBuilder) Workspace(size, storageClassName string) *SessionBuilder {
	b.o.Spec.Workspace = workspace(size, storageClassName)
	return b
}

// Suspend asks for no sandbox.
func (b *SessionBuilder) Suspend() *SessionBuilder {
	b.o.Spec.Suspend = new(true)
	return b
}

// ActiveDeadline sets activeDeadlineSeconds.
func (b *SessionBuilder) ActiveDeadline(seconds int64) *SessionBuilder {
	b.o.Spec.ActiveDeadlineSeconds = &seconds
	return b
}

// RetainSandbox sets retainSandboxSeconds.
func (b *SessionBuilder) RetainSandbox(seconds int64) *SessionBuilder {
	b.o.Spec.RetainSandboxSeconds = &seconds
	return b
}

// TTL sets ttlSecondsAfterFinished.
func (b *SessionBuilder) TTL(seconds int64) *SessionBuilder {
	b.o.Spec.TTLSecondsAfterFinished = &seconds
	return b
}

// BackoffLimit sets backoffLimit.
func (b *SessionBuilder) BackoffLimit(failures int32) *SessionBuilder {
	b.o.Spec.BackoffLimit = &failures
	return b
}

// Condition adds a condition to the status, since Created.
func (b *SessionBuilder) Condition(kind string, status metav1.ConditionStatus, reason string) *SessionBuilder {
	b.o.Status.Conditions = append(b.o.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, ObservedGeneration: b.o.Generation, LastTransitionTime: Created,
	})
	return b
}

func workspace(size, storageClassName string) *v1alpha1.Workspace {
	w := &v1alpha1.Workspace{StorageClassName: storageClassName}
	if size != "" {
		w.Size = new(resource.MustParse(size))
	}
	return w
}
