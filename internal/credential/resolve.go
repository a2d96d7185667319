// Package credential decides which credentials a Session runs on. It is pure: it sees objects and answers with a choice or with what
// is missing.
package credential

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Resolved is one credential that a Session runs on.
type Resolved struct {
	Provider *v1alpha1.APIProvider
	Ref      v1alpha1.CredentialReference
	// Secret is where the key is.
	Secret   v1alpha1.SecretKeyReference
	Source   v1alpha1.CredentialSource
	Method   v1alpha1.CredentialMethod
	Delivery v1alpha1.Delivery
	// PassedOver says why a credential of the namespace's own is not used in its place, where the class permits that; else it is empty.
	PassedOver string
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
	// Namespace is the Session's; nil when it is not known, and then nothing is allowed that depends on it.
	Namespace *corev1.Namespace
	// Providers and ClusterCredentials are all there are, Credentials those of the Session's namespace.
	Providers          []v1alpha1.APIProvider
	Credentials        []v1alpha1.Credential
	ClusterCredentials []v1alpha1.ClusterCredential
	// Usable are the names of those of ClusterCredentials that the Session's owner may use; Asked says of which that has to be known.
	Usable []string
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
	var answers []int    // which of chosen answer AnyOf
	for _, need := range w.needs() {
		r, missing := w.find(need)
		switch {
		case missing == nil:
			if need.Requirement == v1alpha1.RequirementAnyOf {
				answers = append(answers, len(chosen))
			}
			chosen = append(chosen, r)
		case need.Requirement == v1alpha1.RequirementRequired:
			return nil, missing
		case need.Requirement == v1alpha1.RequirementAnyOf:
			if wanting == nil || wanting.Reason == v1alpha1.ReasonCredentialNotFound {
				wanting = missing
			}
		}
	}
	switch {
	case wanting == nil:
		return chosen, nil
	case len(answers) == 0:
		return nil, w.noneOf(wanting)
	}
	return w.byFallback(chosen, answers)
}

// byFallback is what the class makes of answers to AnyOf with which only admins pay, while the namespace has a credential of its own for another of
// those providers that cannot be used.
func (w World) byFallback(chosen []Resolved, answers []int) ([]Resolved, *Missing) {
	var ofOwn *Missing
	for _, need := range w.needs() {
		if need.Requirement != v1alpha1.RequirementAnyOf {
			continue
		}
		own, missing := w.firstUsable(need, w.shared(need.Provider))
		if own != nil {
			return chosen, nil
		}
		ofOwn = cmp.Or(ofOwn, missing)
	}
	switch {
	case ofOwn == nil:
		return chosen, nil
	case w.Class.Spec.Fallback != v1alpha1.FallbackShared:
		return nil, w.heldBack(ofOwn)
	}
	first := &chosen[answers[0]]
	first.PassedOver = cmp.Or(first.PassedOver, ofOwn.Message)
	return chosen, nil
}

// heldBack is what a Session waits for whose class forbids that an admin's credential takes the place of the namespace's own. The remedy comes last, since
// it may be a command.
func (w World) heldBack(missing *Missing) *Missing {
	return &Missing{missing.Reason, fmt.Sprintf("Class %q has fallback Never, so no ClusterCredential takes the place of the namespace's own: %s",
		w.Class.Name, missing.Message)}
}

// Asked are the names of the ClusterCredentials that Resolve may come to, if only the Session's owner may use them, sorted.
func Asked(w World) []string {
	var refs []v1alpha1.CredentialReference
	if w.Pinned != nil {
		for _, p := range w.Pinned {
			refs = append(refs, p.Ref)
		}
	} else {
		for _, need := range w.needs() {
			refs = append(refs, w.candidates(need)...)
		}
	}
	var names []string
	for _, ref := range refs {
		if ref.Kind == v1alpha1.CredentialKindClusterCredential && byName(w.ClusterCredentials, ref.Name) != nil {
			names = append(names, ref.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pinned looks up again what an earlier run was given.
func (w World) pinned() ([]Resolved, *Missing) {
	chosen := make([]Resolved, 0, len(w.Pinned))
	for _, p := range w.Pinned {
		r, missing := w.use(p.Provider, p.Ref, p.Delivery)
		if missing != nil {
			return nil, missing
		}
		r.PassedOver = p.PassedOver
		chosen = append(chosen, r)
	}
	return chosen, nil
}

// needs is the class's list with the provider of spec.model, and every provider that the Session names a credential for, made Required. Once
// model or credentials say which provider is used, AnyOf has been answered, and the others are Optional.
func (w World) needs() []v1alpha1.ClassCredential {
	needs := slices.Clone(w.Class.Spec.Credentials)
	ofModel, _, _ := strings.Cut(w.Session.Spec.Model, "/")
	named := slices.ContainsFunc(needs, func(n v1alpha1.ClassCredential) bool {
		return n.Provider == ofModel || n.Requirement == v1alpha1.RequirementAnyOf && w.choice(n.Provider) != nil
	})
	for i := range needs {
		switch {
		case needs[i].Provider == ofModel, w.choice(needs[i].Provider) != nil:
			needs[i].Requirement = v1alpha1.RequirementRequired
		case named && needs[i].Requirement == v1alpha1.RequirementAnyOf:
			needs[i].Requirement = v1alpha1.RequirementOptional
		}
	}
	return needs
}

// choice is the credential that the Session itself asks for, or nil.
func (w World) choice(provider string) *v1alpha1.CredentialReference {
	for _, c := range w.Session.Spec.Credentials {
		if c.Provider == provider {
			return &c.Ref
		}
	}
	return nil
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

// find chooses the credential for one provider: the Session's own choice, else the first that is usable of those that the namespace shares,
// by name, and then of those that an admin allows it, by priority and name. Where the namespace has one that is not usable, the class says whether an
// admin's takes its place.
func (w World) find(need v1alpha1.ClassCredential) (Resolved, *Missing) {
	if ref := w.choice(need.Provider); ref != nil {
		return w.use(need.Provider, *ref, need.Delivery)
	}
	own, ofOwn := w.firstUsable(need, w.shared(need.Provider))
	if own != nil {
		return *own, nil
	}
	admins, ofAdmins := w.firstUsable(need, w.allowed(need.Provider))
	switch {
	case ofOwn == nil && ofAdmins == nil && admins == nil:
		return Resolved{}, &Missing{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf(
			"No credential for provider %q in namespace %q; create a Credential there, or ask an admin for a ClusterCredential that allows the namespace",
			need.Provider, w.Session.Namespace)}
	case admins == nil:
		return Resolved{}, cmp.Or(ofOwn, ofAdmins)
	case ofOwn == nil:
		return *admins, nil
	case w.Class.Spec.Fallback != v1alpha1.FallbackShared:
		return Resolved{}, w.heldBack(ofOwn)
	}
	admins.PassedOver = ofOwn.Message
	return *admins, nil
}

// firstUsable is the first of a list that can be used, or nil with what is missing of the first; both are nil for an empty list.
func (w World) firstUsable(need v1alpha1.ClassCredential, refs []v1alpha1.CredentialReference) (*Resolved, *Missing) {
	var first *Missing
	for _, ref := range refs {
		r, missing := w.use(need.Provider, ref, need.Delivery)
		if missing == nil {
			return &r, nil
		}
		first = cmp.Or(first, missing)
	}
	return nil, first
}

// candidates are those that are tried for a provider, in this order.
func (w World) candidates(need v1alpha1.ClassCredential) []v1alpha1.CredentialReference {
	if ref := w.choice(need.Provider); ref != nil {
		return []v1alpha1.CredentialReference{*ref}
	}
	return append(w.shared(need.Provider), w.allowed(need.Provider)...)
}

// shared lists the credentials that the namespace shares for a provider, by name.
func (w World) shared(provider string) []v1alpha1.CredentialReference {
	var refs []v1alpha1.CredentialReference
	for i := range w.Credentials {
		c := &w.Credentials[i]
		if c.Spec.Provider == provider && c.Spec.Sharing == v1alpha1.SharingNamespace && c.DeletionTimestamp.IsZero() {
			refs = append(refs, v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: c.Name})
		}
	}
	slices.SortFunc(refs, func(a, b v1alpha1.CredentialReference) int { return cmp.Compare(a.Name, b.Name) })
	return refs
}

// allowed lists the credentials of admins that the namespace, though perhaps not the owner, may use for a provider, by falling priority, then by name.
func (w World) allowed(provider string) []v1alpha1.CredentialReference {
	var list []*v1alpha1.ClusterCredential
	for i := range w.ClusterCredentials {
		c := &w.ClusterCredentials[i]
		if c.Spec.Provider == provider && c.DeletionTimestamp.IsZero() && Allows(c, w.Namespace) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *v1alpha1.ClusterCredential) int {
		return cmp.Or(cmp.Compare(priority(b), priority(a)), cmp.Compare(a.Name, b.Name))
	})
	refs := make([]v1alpha1.CredentialReference, 0, len(list))
	for _, c := range list {
		refs = append(refs, v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: c.Name})
	}
	return refs
}

func priority(c *v1alpha1.ClusterCredential) int32 {
	if c.Spec.Priority == nil {
		return 0
	}
	return *c.Spec.Priority
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
		"No credential in namespace %q for any of the providers %s; create a Credential there, or ask an admin for a ClusterCredential that allows the namespace",
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
