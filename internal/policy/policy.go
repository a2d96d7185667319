// Package policy knows the admission policies that Sandkeep stands on, and tells whether they are in force.
package policy

import (
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names are those of the ValidatingAdmissionPolicies in config/policy, sorted. The binding of each has the same name.
func Names() []string {
	return []string{
		"sandkeep-access-labels",
		"sandkeep-credential-secrets",
		"sandkeep-gateway-objects",
		"sandkeep-keep-pods",
		"sandkeep-keep-secrets",
		"sandkeep-manager-pods",
		"sandkeep-sandbox-exec",
		"sandkeep-sandbox-pods",
		"sandkeep-sandbox-tokens",
		"sandkeep-session-appliers",
		"sandkeep-session-owner",
		"sandkeep-status",
	}
}

// Missing are the names of policies that are not in force everywhere: that do not exist, are being deleted, let pass what they cannot decide, or
// have no binding of their name that denies in every namespace. It does not look at their rules, which only cluster admins can change.
func Missing(policies []admissionv1.ValidatingAdmissionPolicy, bindings []admissionv1.ValidatingAdmissionPolicyBinding) []string {
	var missing []string
	for _, name := range Names() {
		decides := slices.ContainsFunc(policies, func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name && decides(p) })
		denies := slices.ContainsFunc(bindings, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool { return b.Name == name && denies(b) })
		if !decides || !denies {
			missing = append(missing, name)
		}
	}
	return missing
}

// decides is true for a policy that refuses what it cannot decide.
func decides(p admissionv1.ValidatingAdmissionPolicy) bool {
	return alive(&p) && (p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy == admissionv1.Fail)
}

// denies is true for a binding that brings the policy of its name to bear on everything.
func denies(b admissionv1.ValidatingAdmissionPolicyBinding) bool {
	return alive(&b) && b.Spec.PolicyName == b.Name && b.Spec.MatchResources == nil && slices.Contains(b.Spec.ValidationActions, admissionv1.Deny)
}

func alive(o metav1.Object) bool { return o.GetDeletionTimestamp() == nil }
