package build

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// ClassBuilder makes a SessionClass.
type ClassBuilder struct{ o v1alpha1.SessionClass }

// Class begins a SessionClass that nobody has reconciled, with the least template and an agent that speaks ACP.
func Class(name string) *ClassBuilder {
	return &ClassBuilder{v1alpha1.SessionClass{
		ObjectMeta: objectMeta(name, ""),
		Spec: v1alpha1.SessionClassSpec{
			Agent:       v1alpha1.Agent{Protocol: v1alpha1.AgentProtocolACP, Command: []string{"opencode", "acp"}},
			PodTemplate: Template(),
		},
		Status: v1alpha1.ObjectStatus{ObservedGeneration: new(int64(-1))},
	}}
}

// Obj is the SessionClass; each call makes another copy.
func (b *ClassBuilder) Obj() *v1alpha1.SessionClass { return b.o.DeepCopy() }

// With changes what no other method of the builder does.
func (b *ClassBuilder) With(change func(*v1alpha1.SessionClass)) *ClassBuilder {
	change(&b.o)
	return b
}

// Default makes it the class of Sessions that name none.
func (b *ClassBuilder) Default() *ClassBuilder {
	b.o.Annotations = map[string]string{v1alpha1.AnnotationDefaultClass: "true"}
	return b
}

// Deleting makes it one that is being deleted.
func (b *ClassBuilder) Deleting() *ClassBuilder {
	deleting(&b.o)
	return b
}

// Ready makes it accepted.
func (b *ClassBuilder) Ready() *ClassBuilder {
	b.o.Status = readiness(metav1.ConditionTrue, v1alpha1.ReasonAccepted, "Sessions can use this class")
	return b
}

// NotReady makes it refused.
func (b *ClassBuilder) NotReady(reason, message string) *ClassBuilder {
	b.o.Status = readiness(metav1.ConditionFalse, reason, message)
	return b
}

// Agent names the agent.
func (b *ClassBuilder) Agent(name string) *ClassBuilder {
	b.o.Spec.Agent.Name = name
	return b
}

// Command makes it a class of protocol Command with output Text.
func (b *ClassBuilder) Command(command ...string) *ClassBuilder {
	b.o.Spec.Agent.Protocol, b.o.Spec.Agent.Command = v1alpha1.AgentProtocolCommand, command
	b.o.Spec.Agent.Output = v1alpha1.AgentOutputText
	return b
}

// Env adds a variable for the agent.
func (b *ClassBuilder) Env(name, value string) *ClassBuilder {
	b.o.Spec.Agent.Env = append(b.o.Spec.Agent.Env, Env(name, value))
	return b
}

// Credential adds a provider to the class.
func (b *ClassBuilder) Credential(provider string, requirement v1alpha1.Requirement, delivery v1alpha1.Delivery) *ClassBuilder {
	b.o.Spec.Credentials = append(b.o.Spec.Credentials, v1alpha1.ClassCredential{
		Provider: provider, Requirement: requirement, Delivery: delivery,
	})
	return b
}

// Template changes the pod template's spec.
func (b *ClassBuilder) Template(change func(*corev1.PodSpec)) *ClassBuilder {
	change(&b.o.Spec.PodTemplate.Spec)
	return b
}

// AgentContainer changes the agent's container in the template.
func (b *ClassBuilder) AgentContainer(change func(*corev1.Container)) *ClassBuilder {
	change(&b.o.Spec.PodTemplate.Spec.Containers[0])
	return b
}

// Limits changes the limits.
func (b *ClassBuilder) Limits(change func(*v1alpha1.ClassLimits)) *ClassBuilder {
	if b.o.Spec.Limits == nil {
		b.o.Spec.Limits = &v1alpha1.ClassLimits{}
	}
	change(b.o.Spec.Limits)
	return b
}

// Workspace gives Sessions a volume; size and storageClassName may be empty.
func (b *ClassBuilder) Workspace(size, storageClassName string) *ClassBuilder {
	b.o.Spec.Workspace = workspace(size, storageClassName)
	return b
}
