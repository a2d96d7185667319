// Package grant decides what a sandbox may do at a provider, now: by which credential, and what of it goes where. It is pure.
package grant

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/owner"
)

// World is what a decision is made from. What was not found is nil.
type World struct {
	Session           *v1alpha1.Session
	Namespace         *corev1.Namespace
	Provider          *v1alpha1.APIProvider
	Credential        *v1alpha1.Credential
	ClusterCredential *v1alpha1.ClusterCredential
	// MayUse says whether the Session's owner may use the ClusterCredential.
	MayUse bool
}

// Grant is permission for one request, or to hand out a key once.
type Grant struct {
	Provider *v1alpha1.APIProvider
	Ref      v1alpha1.CredentialReference
	// Generation is that of the credential.
	Generation int64
	// Delivery is what the permission is for: Proxy for a request, Env or File for the key itself.
	Delivery v1alpha1.Delivery
	// Endpoint is where the request goes.
	Endpoint v1alpha1.Endpoint
	// SecretNamespace and Secret say where the key is.
	SecretNamespace string
	Secret          v1alpha1.SecretKeyReference
	// Header and Prefix say how the key is presented.
	Header, Prefix string
	// Limits bound the use of the credential; nil for none.
	Limits *v1alpha1.CredentialLimits
}

// Refusal is why a request must not be made. Reason is a condition reason.
type Refusal struct {
	Reason  string
	Message string
}

// PinOf is the credential that a Session was given for a provider, in whatever delivery, or nil.
func PinOf(s *v1alpha1.Session, provider string) *v1alpha1.ResolvedCredential {
	for i := range s.Status.Credentials {
		if c := &s.Status.Credentials[i]; c.Provider == provider {
			return c
		}
	}
	return nil
}

// For decides about a request of a Session to a provider. Status names the credential, and permits nothing by that: the credential itself must
// permit it now, and the namespace and the owner of the Session must be ones that may use it (I4).
func For(w World, provider string) (Grant, *Refusal) {
	pin := PinOf(w.Session, provider)
	if pin == nil || pin.Delivery != v1alpha1.DeliveryProxy {
		return Grant{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"The Session has no credential for provider %q that is delivered by Proxy", provider)}
	}
	return w.use(pin)
}

// ToHandOut decides about giving a key itself to the sandbox of a Session. It is only for keys of the keep: those of a namespace come by the kubelet.
func ToHandOut(w World, provider string) (Grant, *Refusal) {
	pin := PinOf(w.Session, provider)
	if pin == nil || pin.Ref.Kind != v1alpha1.CredentialKindClusterCredential ||
		(pin.Delivery != v1alpha1.DeliveryEnv && pin.Delivery != v1alpha1.DeliveryFile) {
		return Grant{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
			"The Session has no credential for provider %q whose key the gateway hands out", provider)}
	}
	return w.use(pin)
}

// use decides about a credential in the delivery in which it was given.
func (w World) use(pin *v1alpha1.ResolvedCredential) (Grant, *Refusal) {
	provider := pin.Provider
	if w.Provider == nil {
		return Grant{}, &Refusal{v1alpha1.ReasonProviderNotFound, fmt.Sprintf("APIProvider %q not found; ask an admin to create it", provider)}
	}
	if len(w.Provider.Spec.Endpoints) == 0 {
		return Grant{}, &Refusal{v1alpha1.ReasonProviderNotReady, fmt.Sprintf("APIProvider %q has no endpoints; ask an admin to name one", provider)}
	}
	p, refusal := w.permission(pin)
	if refusal != nil {
		return Grant{}, refusal
	}
	endpoint := w.Provider.Spec.Endpoints[0]
	switch {
	case p.provider != provider:
		return Grant{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf("%s %q is for another provider", pin.Ref.Kind, pin.Ref.Name)}
	case !slices.Contains(credential.Deliveries(p.deliveries), pin.Delivery):
		return Grant{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf("%s %q does not permit delivery %s any more", pin.Ref.Kind, pin.Ref.Name, pin.Delivery)}
	}
	if refusal := unusable(pin.Ref, p.status); refusal != nil { // before the hosts, which are recorded when it is judged
		return Grant{}, refusal
	}
	if !slices.Contains(p.hosts, endpoint.Host) {
		return Grant{}, elsewhere(pin.Ref, endpoint.Host)
	}
	g := Grant{
		Provider: w.Provider, Ref: pin.Ref, Delivery: pin.Delivery, Generation: p.generation, Endpoint: endpoint, SecretNamespace: p.secretNamespace, Secret: p.secret,
		Header: "Authorization", Prefix: "Bearer ", Limits: p.limits,
	}
	if auth := w.Provider.Spec.Auth; auth != nil && auth.APIKey != nil {
		g.Header, g.Prefix = auth.APIKey.Header, auth.APIKey.Prefix
	}
	return g, nil
}

// permission is what credentials of both Kinds have in common.
type permission struct {
	provider        string
	generation      int64
	secretNamespace string
	secret          v1alpha1.SecretKeyReference
	deliveries      []v1alpha1.Delivery
	hosts           []string
	limits          *v1alpha1.CredentialLimits
	status          v1alpha1.CredentialStatus
}

func (w World) permission(pin *v1alpha1.ResolvedCredential) (permission, *Refusal) {
	if pin.Ref.Kind == v1alpha1.CredentialKindClusterCredential {
		c := w.ClusterCredential
		switch {
		case c == nil || c.Name != pin.Ref.Name || !c.DeletionTimestamp.IsZero():
			return permission{}, gone(pin.Ref)
		case !credential.Allows(c, w.Namespace):
			return permission{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, fmt.Sprintf(
				"ClusterCredential %q does not allow namespace %q any more; ask an admin", c.Name, w.Session.Namespace)}
		case !w.MayUse:
			return permission{}, &Refusal{v1alpha1.ReasonCredentialNotAllowed, owner.Denied(w.Session.Spec.Owner, owner.ClusterCredential(c.Name))}
		}
		return permission{c.Spec.Provider, c.Generation, v1alpha1.NamespaceKeys, c.Spec.APIKey.SecretRef, c.Spec.Deliveries, hosts(c.Spec.Hosts, c.Status), c.Spec.Limits, c.Status}, nil
	}
	c := w.Credential
	if c == nil || c.Name != pin.Ref.Name || c.Namespace != w.Session.Namespace || !c.DeletionTimestamp.IsZero() {
		return permission{}, gone(pin.Ref)
	}
	return permission{c.Spec.Provider, c.Generation, c.Namespace, c.Spec.APIKey.SecretRef, c.Spec.Deliveries, hosts(nil, c.Status), c.Spec.Limits, c.Status}, nil
}

func gone(ref v1alpha1.CredentialReference) *Refusal {
	return &Refusal{v1alpha1.ReasonCredentialNotFound, fmt.Sprintf("%s %q does not exist any more", ref.Kind, ref.Name)}
}

// elsewhere refuses a host that a credential was not made for. Only a ClusterCredential can name hosts.
func elsewhere(ref v1alpha1.CredentialReference, host string) *Refusal {
	remedy := "where that is right, make a new Credential"
	if ref.Kind == v1alpha1.CredentialKindClusterCredential {
		remedy = "ask an admin whether the key may go there, and to add it to spec.hosts"
	}
	return &Refusal{v1alpha1.ReasonEndpointsChanged, fmt.Sprintf("%s %q was not made for host %q; %s", ref.Kind, ref.Name, host, remedy)}
}

// hosts are those that a credential names itself, else those that were recorded when it was first Ready.
func hosts(named []string, status v1alpha1.CredentialStatus) []string {
	if len(named) > 0 {
		return named
	}
	return status.Hosts
}

// fatal are the reasons for which a key must not be sent at all. What a provider said of a key is none of them: only another request shows that
// it works again.
var fatal = []string{v1alpha1.ReasonEndpointsChanged, v1alpha1.ReasonTokenKindDenied, v1alpha1.ReasonSubscriptionTokenRefused, v1alpha1.ReasonKeyMalformed}

func unusable(ref v1alpha1.CredentialReference, status v1alpha1.CredentialStatus) *Refusal {
	ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return &Refusal{v1alpha1.ReasonCredentialNotReady, fmt.Sprintf("%s %q is new, and is being checked; try again", ref.Kind, ref.Name)}
	}
	if slices.Contains(fatal, ready.Reason) {
		return &Refusal{ready.Reason, fmt.Sprintf("%s %q is not usable: %s", ref.Kind, ref.Name, ready.Message)}
	}
	return nil
}
