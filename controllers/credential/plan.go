package credential

import (
	"fmt"
	"strings"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// checks are what may be wrong with a Credential before its provider is asked.
var checks = []keyhealth.Check[world]{
	providerMissing,   // the APIProvider does not exist
	hostsChanged,      // the provider names a host that the key was not made for
	secretNotReadable, // nothing but Proxy is permitted, and the gateway may not read the Secret
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
	return keyhealth.Complain(v1alpha1.ReasonSecretNotReadable, "The gateway may not read Secret %q; ask an admin to run: %s", w.ref().Name, w.command())
}

// accepted is the message of a Credential with which nothing is wrong. Whether the Secret exists is not looked at: the keeper has no rights on it, and
// who needs the key says when it is missing.
func accepted(w world) string {
	ref := w.ref()
	switch {
	case !w.byProxy():
		return fmt.Sprintf("Sessions get key %q of Secret %q; whether it is there shows when one starts", ref.Key, ref.Name)
	case !w.readable:
		return fmt.Sprintf("Sessions get key %q of Secret %q by %s; for Proxy, ask an admin to run: %s",
			ref.Key, ref.Name, strings.Join(w.others(), " or "), w.command())
	}
	return fmt.Sprintf("The gateway may read key %q of Secret %q; whether it is there shows when a Session uses it", ref.Key, ref.Name)
}

func (w world) ref() v1alpha1.SecretKeyReference { return w.credential.Spec.APIKey.SecretRef }

// command lets the gateway read the one Secret. RBAC restricts by resourceNames in Roles only, so each Secret has one of its own.
func (w world) command() string {
	name := keep.CredentialReader + "-" + w.ref().Name
	return fmt.Sprintf("kubectl -n %[1]s create role %[2]s --verb=get --resource=secrets --resource-name=%[3]s && "+
		"kubectl -n %[1]s create rolebinding %[2]s --role=%[2]s --serviceaccount=%[4]s:%[5]s",
		w.credential.Namespace, name, w.ref().Name, v1alpha1.NamespaceSystem, keep.GatewayServiceAccount)
}
