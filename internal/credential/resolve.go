// Package credential decides which credentials a Session runs on. It is pure: it sees objects and answers with a choice or with what
// is missing.
package credential

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Resolved is one credential that a Session runs on.
type Resolved struct {
	Provider   *v1alpha1.APIProvider
	Credential *v1alpha1.Credential
	Source     v1alpha1.CredentialSource
	Method     v1alpha1.CredentialMethod
	Delivery   v1alpha1.Delivery
}

// Missing says what a Session has to wait for. Reason is a condition reason, Message tells the user what to do.
type Missing struct {
	Reason  string
	Message string
}

// World is what a choice is made from.
type World struct {
	Session *v1alpha1.Session
	Class   *v1alpha1.SessionClass
	// Providers are all APIProviders, Credentials those of the Session's namespace.
	Providers   []v1alpha1.APIProvider
	Credentials []v1alpha1.Credential
	// Pinned is what an earlier run of the Session was given. Where it is not nil, nothing is chosen anew, even if it is
	// empty: who pays never changes.
	Pinned []v1alpha1.ResolvedCredential
}

// Resolve chooses a credential for every provider that the Session needs, in the order of the class. What it chooses does
// not depend on the order of the lists in w.
func Resolve(w World) ([]Resolved, *Missing) {
	if w.Pinned != nil {
		return w.pinned()
	}
	if missing := w.unusableChoice(); missing != nil {
		return nil, missing
	}
	var chosen []Resolved
	var wanting *Missing // of the AnyOf providers: one whose credential cannot be used before one that has none
	enough := false
	for _, need := range w.needs() {
		r, missing := w.find(need)
		switch {
		case missing == nil:
			chosen = append(chosen, r)
			enough = enough || need.Requirement == v1alpha1.RequirementAnyOf
		case need.Requirement == v1alpha1.RequirementRequired:
			return nil, missing
		case need.Requirement == v1alpha1.RequirementAnyOf:
			if wanting == nil || wanting.Reason == v1alpha1.ReasonCredentialNotFound {
				wanting = missing
			}
		}
	}
	if wanting != nil && !enough {
		return nil, w.noneOf(wanting)
	}
	return chosen, nil
}

// pinned looks up again what an earlier run was given.
func (w World) pinned() ([]Resolved, *Missing) {
	chosen := make([]Resolved, 0, len(w.Pinned))
	for _, p := range w.Pinned {
		r, missing := w.use(p.Provider, p.Ref.Name, p.Delivery)
		if missing != nil {
			return nil, missing
		}
		chosen = append(chosen, r)
	}
	return chosen, nil
}

// needs is the class's list with the provider of spec.model, and every provider that the Session names a credential for, made Required. Once
// the model says which provider is used, AnyOf has been answered, and the others are Optional.
func (w World) needs() []v1alpha1.ClassCredential {
	needs := slices.Clone(w.Class.Spec.Credentials)
	ofModel, _, _ := strings.Cut(w.Session.Spec.Model, "/")
	named := slices.ContainsFunc(needs, func(n v1alpha1.ClassCredential) bool { return n.Provider == ofModel })
	for i := range needs {
		switch {
		case needs[i].Provider == ofModel, w.choice(needs[i].Provider) != "":
			needs[i].Requirement = v1alpha1.RequirementRequired
		case named && needs[i].Requirement == v1alpha1.RequirementAnyOf:
			needs[i].Requirement = v1alpha1.RequirementOptional
		}
	}
	return needs
}

// choice is the name of the credential that the Session itself asks for, or empty.
func (w World) choice(provider string) string {
	for _, c := range w.Session.Spec.Credentials {
		if c.Provider == provider {
			return c.Ref.Name
		}
	}
	return ""
}

// unusableChoice reports a credential that the Session names for a provider that its class does not use.
func (w World) unusableChoice() *Missing {
	for _, c := range w.Session.Spec.Credentials {
		listed := slices.ContainsFunc(w.Class.Spec.Credentials, func(n v1alpha1.ClassCredential) bool { return n.Provider == c.Provider })
		if !listed {
			return &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
				"Class %q does not use provider %q, for which the Session names a credential; choose another class or ask its admin to add the provider",
				w.Class.Name, c.Provider)}
		}
	}
	return nil
}

// find chooses the credential for one provider: the Session's own choice, else the first by name that is usable.
func (w World) find(need v1alpha1.ClassCredential) (Resolved, *Missing) {
	if name := w.choice(need.Provider); name != "" {
		return w.use(need.Provider, name, need.Delivery)
	}
	shared := w.shared(need.Provider)
	if len(shared) == 0 {
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
			"No Credential for provider %q in namespace %q; create one that is shared with the namespace", need.Provider, w.Session.Namespace)}
	}
	var first *Missing
	for _, name := range shared {
		r, missing := w.use(need.Provider, name, need.Delivery)
		if missing == nil {
			return r, nil
		}
		first = cmp.Or(first, missing)
	}
	return Resolved{}, first
}

// shared lists the credentials that the namespace shares for a provider, by name.
func (w World) shared(provider string) []string {
	var names []string
	for i := range w.Credentials {
		c := &w.Credentials[i]
		if c.Spec.Provider == provider && c.Spec.Sharing == v1alpha1.SharingNamespace && c.DeletionTimestamp.IsZero() {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// use takes a credential by name, if it opens the provider, is accepted, and permits the delivery.
func (w World) use(providerName, name string, delivery v1alpha1.Delivery) (Resolved, *Missing) {
	c := byName(w.Credentials, name)
	switch {
	case c == nil || !c.DeletionTimestamp.IsZero():
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
			"Credential %q not found in namespace %q; create it for provider %q", name, w.Session.Namespace, providerName)}
	case c.Spec.Provider != providerName:
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"Credential %q is for provider %q, not for %q; name another one", name, c.Spec.Provider, providerName)}
	case len(c.Spec.Deliveries) > 0 && !slices.Contains(c.Spec.Deliveries, delivery):
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"Credential %q does not permit delivery %s, which class %q asks for; add it to spec.deliveries of the Credential or choose another class",
			name, delivery, w.Class.Name)}
	}
	provider := byName(w.Providers, providerName)
	if provider == nil {
		return Resolved{}, &Missing{v1alpha1.ReasonProviderNotFound, fmt.Sprintf(
			"APIProvider %q not found; ask an admin to create it", providerName)}
	}
	if missing := notReady(provider, c); missing != nil {
		return Resolved{}, missing
	}
	return Resolved{
		Provider: provider, Credential: c, Delivery: delivery,
		Source: v1alpha1.CredentialSourceNamespace, Method: v1alpha1.CredentialMethodAPIKey,
	}, nil
}

// notReady reports the first of provider and credential that its own reconciler has not accepted.
func notReady(provider *v1alpha1.APIProvider, c *v1alpha1.Credential) *Missing {
	if message, ok := accepted(provider.Status.Conditions); !ok {
		return &Missing{v1alpha1.ReasonProviderNotReady, fmt.Sprintf("APIProvider %q is not ready: %s", provider.Name, message)}
	}
	if message, ok := accepted(c.Status.Conditions); !ok {
		return &Missing{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf("Credential %q is not ready: %s", c.Name, message)}
	}
	return nil
}

// accepted is true with a Ready condition that is True; otherwise it answers with that condition's message.
func accepted(conditions []metav1.Condition) (string, bool) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "it is new, and is being checked", false
	}
	return ready.Message, ready.Status == metav1.ConditionTrue
}

// noneOf is the message for a class that needs one of several providers where none has a credential.
func (w World) noneOf(first *Missing) *Missing {
	var names []string
	for _, need := range w.Class.Spec.Credentials {
		if need.Requirement == v1alpha1.RequirementAnyOf {
			names = append(names, need.Provider)
		}
	}
	if len(names) == 1 || first.Reason != v1alpha1.ReasonCredentialNotFound {
		return first
	}
	slices.Sort(names)
	return &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
		"No Credential in namespace %q for any of the providers %s; create one that is shared with the namespace",
		w.Session.Namespace, strings.Join(names, ", "))}
}

type named[T any] interface {
	*T
	GetName() string
}

// byName finds an object in a list, or nil.
func byName[T any, P named[T]](list []T, name string) P {
	for i := range list {
		if P(&list[i]).GetName() == name {
			return P(&list[i])
		}
	}
	return nil
}
