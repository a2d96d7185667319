package credential

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// checks are what may be wrong with a Credential before its provider is asked.
var checks = []keyhealth.Check[world]{
	providerMissing,   // the APIProvider does not exist
	hostsChanged,      // the provider names a host that the key was not made for
	secretNotReadable, // nothing but Proxy is permitted, and the gateway may not read the Secret
	keyNotFound,       // the gateway found no key
	keyMalformed,      // what it found cannot be a key
	tokenKindDenied,   // it is a key of a kind that the provider does not permit
	notLookedAnew,     // no gateway that runs has looked, and one that is gone found something wrong
	notLookedYet,      // no gateway has looked at all
}

func providerMissing(w world) *acceptance.Verdict {
	if w.provider != nil {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonProviderNotFound,
		"APIProvider %q not found; ask an admin to create it, or make a new Credential for another provider", w.credential.Spec.Provider)
}

func hostsChanged(w world) *acceptance.Verdict {
	return w.facts().Outside("where that is right, make a new Credential")
}

func secretNotReadable(w world) *acceptance.Verdict {
	if !w.byProxy() || w.readable || len(w.others()) > 0 {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonSecretNotReadable, "The gateway may not read Secret %q; ask an admin to run this, which shows here within %d s: %s",
		w.ref().Name, int((1+jitter)*recheckWaiting.Seconds()), w.command())
}

func keyNotFound(w world) *acceptance.Verdict {
	switch look, _ := w.look(); look.Fault {
	case observation.FaultSecretMissing:
		return keyhealth.Complain(v1alpha1.ReasonSecretNotFound, "Secret %q not found in namespace %q; create it: %s",
			w.ref().Name, w.credential.Namespace, w.key("create"))
	case observation.FaultEntryMissing:
		return keyhealth.Complain(v1alpha1.ReasonSecretNotFound, "Secret %q in namespace %q has no entry %q; put the key there: %s",
			w.ref().Name, w.credential.Namespace, w.ref().Key, w.key("replace"))
	default:
		return nil
	}
}

func keyMalformed(w world) *acceptance.Verdict {
	if look, _ := w.look(); look.Fault != observation.FaultKeyMalformed {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonKeyMalformed, "Entry %q of Secret %q in namespace %q is no key: it is empty, or has a blank or a newline in it or at its end "+
		"(--from-file keeps the newline at the end of a file); put the bare key there: %s", w.ref().Key, w.ref().Name, w.credential.Namespace, w.key("replace"))
}

// tokenKindDenied does not name the kind: the keeper has not seen the key, and which kinds are denied is in the APIProvider.
func tokenKindDenied(w world) *acceptance.Verdict {
	switch look, _ := w.look(); look.Fault {
	case observation.FaultTokenKindDenied:
		return keyhealth.Complain(v1alpha1.ReasonTokenKindDenied, "The key is of a kind that spec.tokenKinds of APIProvider %q denies; put a key of another kind into Secret %q: %s",
			w.provider.Name, w.ref().Name, w.key("replace"))
	case observation.FaultSubscriptionToken:
		return keyhealth.Complain(v1alpha1.ReasonSubscriptionTokenRefused, "The key is a token of a person's own subscription, which APIProvider %q does not permit; "+
			"put an API key into Secret %q: %s", w.provider.Name, w.ref().Name, w.key("replace"))
	default:
		return nil
	}
}

// faulty are the reasons of credentials of whose key a gateway found something wrong.
var faulty = []string{
	v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonKeyMalformed, v1alpha1.ReasonTokenKindDenied, v1alpha1.ReasonSubscriptionTokenRefused,
}

// notLookedAnew keeps what was found when all gateways are new, as after an upgrade: the next look is seconds away, and Sessions that wait for the key would
// all start.
func notLookedAnew(w world) *acceptance.Verdict {
	before := w.credential.Status
	ready := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady)
	_, looked := w.look()
	if !w.byProxy() || !w.readable || looked || ready == nil || ready.ObservedGeneration != w.credential.Generation ||
		!slices.Contains(faulty, ready.Reason) {
		return nil
	}
	return &acceptance.Verdict{Reason: ready.Reason, Message: ready.Message}
}

// seenBefore are the reasons of credentials whose key somebody has seen.
var seenBefore = []string{
	v1alpha1.ReasonAccepted, v1alpha1.ReasonKeyRejected, v1alpha1.ReasonRateLimited, v1alpha1.ReasonQuotaExhausted, v1alpha1.ReasonEndpointsChanged,
}

// notLookedYet lets nobody use a key that nobody has seen: a Session would start at once, and fail where there is none.
func notLookedYet(w world) *acceptance.Verdict {
	ready := meta.FindStatusCondition(w.credential.Status.Conditions, v1alpha1.ConditionReady)
	_, looked := w.look()
	seen := ready != nil && ready.ObservedGeneration == w.credential.Generation && slices.Contains(seenBefore, ready.Reason)
	if !w.byProxy() || !w.readable || len(w.others()) > 0 || looked || seen {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonSecretNotReadable,
		"The gateway may read Secret %q, and looks there within seconds; where that does not happen, ask an admin to look at it: kubectl -n %s get pods",
		w.ref().Name, v1alpha1.NamespaceSystem)
}

// accepted is the message of a Credential with which nothing is wrong. The keeper has no rights on the Secret: of Proxy the gateway says what it found, of the
// other deliveries a Session says when the key is missing.
func accepted(w world) string {
	ref := w.ref()
	switch {
	case !w.byProxy():
		return fmt.Sprintf("Sessions get key %q of Secret %q; whether it is there shows when one starts", ref.Key, ref.Name)
	case !w.readable:
		return fmt.Sprintf("Sessions get key %q of Secret %q by %s; for Proxy, ask an admin to run: %s",
			ref.Key, ref.Name, strings.Join(w.others(), " or "), w.command())
	}
	return fmt.Sprintf("The gateway has found key %q in Secret %q", ref.Key, ref.Name)
}

func (w world) ref() v1alpha1.SecretKeyReference { return w.credential.Spec.APIKey.SecretRef }

// key is the command that puts the key into the Secret without a newline at its end; verb is create or replace. The key stays out of arguments, which others
// can read.
func (w world) key(verb string) string {
	if verb == "create" {
		return fmt.Sprintf(`printf %%s "$KEY" | kubectl -n %s create secret generic %s --from-file=%s=/dev/stdin`, w.credential.Namespace, w.ref().Name, w.ref().Key)
	}
	return keep.PutEntry(w.credential.Namespace, w.ref())
}

// command lets the gateway read the one Secret. RBAC restricts by resourceNames in Roles only, so each Secret has one of its own.
func (w world) command() string {
	name := keep.CredentialReader + "-" + w.ref().Name
	return fmt.Sprintf("kubectl -n %[1]s create role %[2]s --verb=get --resource=secrets --resource-name=%[3]s && "+
		"kubectl -n %[1]s create rolebinding %[2]s --role=%[2]s --serviceaccount=%[4]s:%[5]s",
		w.credential.Namespace, name, w.ref().Name, v1alpha1.NamespaceSystem, keep.GatewayServiceAccount)
}
