package clustercredential

import (
	"fmt"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// checks are what may be wrong with a ClusterCredential before its provider is asked.
var checks = []keyhealth.Check[world]{
	providerMissing,   // the APIProvider does not exist
	secretMissing,     // there is no Secret of that name in the keep
	secretOfWrongType, // it is not one for keys, and may be the keep's own
	keyMissing,        // it does not have the entry
	keyMalformed,      // what is there cannot be a key
	tokenKindDenied,   // the provider does not permit keys of that kind
	hostsChanged,      // the provider names a host that the key was not made for
}

func providerMissing(w world) *acceptance.Verdict {
	if w.provider != nil {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonProviderNotFound,
		"APIProvider %q not found; create it, or make a new ClusterCredential for another provider", w.credential.Spec.Provider)
}

func secretMissing(w world) *acceptance.Verdict {
	if w.secret != nil {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonSecretNotFound, "Secret %q not found in namespace %q; create it: %s",
		w.ref().Name, v1alpha1.NamespaceKeys, w.command("create"))
}

func secretOfWrongType(w world) *acceptance.Verdict {
	if w.secret.Type == v1alpha1.SecretTypeAPIKey {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonSecretNotFound, "Secret %q in namespace %q is of type %q, not %q; create one under another name, or delete it and create it anew: %s",
		w.ref().Name, v1alpha1.NamespaceKeys, w.secret.Type, v1alpha1.SecretTypeAPIKey, w.command("create"))
}

func keyMissing(w world) *acceptance.Verdict {
	if _, ok := w.key(); ok {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonSecretNotFound, "Secret %q in namespace %q has no entry %q; put the key there: %s",
		w.ref().Name, v1alpha1.NamespaceKeys, w.ref().Key, w.command("replace"))
}

func keyMalformed(w world) *acceptance.Verdict {
	key, _ := w.key()
	problem := keep.Malformed(key)
	if problem == "" {
		return nil
	}
	return keyhealth.Complain(v1alpha1.ReasonKeyMalformed,
		"Entry %q of Secret %q in namespace %q %s, so it is no key (--from-file keeps the newline at the end of a file); put the bare key there: %s",
		w.ref().Key, w.ref().Name, v1alpha1.NamespaceKeys, problem, w.command("replace"))
}

func tokenKindDenied(w world) *acceptance.Verdict {
	kind := w.tokenKind()
	reason := keep.DenialOf(kind)
	if reason == "" {
		return nil
	}
	return keyhealth.Complain(reason,
		"The key is of kind %q, which APIProvider %q does not permit; put a key of another kind into Secret %q of namespace %q",
		kind.Name, w.provider.Name, w.ref().Name, v1alpha1.NamespaceKeys)
}

func hostsChanged(w world) *acceptance.Verdict {
	return w.facts().Outside("where that is right, set spec.hosts to all hosts to which the key may go")
}

// accepted is the message of a ClusterCredential with which nothing is wrong.
func accepted(w world) string {
	if w.credential.Spec.Allow == nil {
		return "The gateway has the key; nobody may use it until spec.allow says who"
	}
	return "The gateway has the key for those whom spec.allow names"
}

func (w world) ref() v1alpha1.SecretKeyReference { return w.credential.Spec.APIKey.SecretRef }

// command puts the key into the Secret without a newline at its end; verb is create or replace. The key stays out of arguments, which others can read.
func (w world) command(verb string) string {
	if verb == "create" {
		return fmt.Sprintf(`printf %%s "$KEY" | kubectl -n %s create secret generic %s --type=%s --from-file=%s=/dev/stdin`,
			v1alpha1.NamespaceKeys, w.ref().Name, v1alpha1.SecretTypeAPIKey, w.ref().Key)
	}
	return keep.PutEntry(v1alpha1.NamespaceKeys, w.ref())
}
