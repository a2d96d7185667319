package gateway

import (
	"context"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/internal/policy"
)

// Fence says what keeps the gateway from trusting what it sees; nil when nothing does.
type Fence func(ctx context.Context) error

// PolicyFence is the fence of the admission policies, without which anybody could make a pod that looks like a sandbox, or write the status of a
// Session. It reads watches only.
func PolicyFence(reader client.Reader) Fence {
	return func(ctx context.Context) error {
		var policies admissionv1.ValidatingAdmissionPolicyList
		if err := reader.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list the admission policies: %w", err)
		}
		var bindings admissionv1.ValidatingAdmissionPolicyBindingList
		if err := reader.List(ctx, &bindings, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list the bindings of the admission policies: %w", err)
		}
		if missing := policy.Missing(policies.Items, bindings.Items); len(missing) > 0 {
			return fmt.Errorf("the admission policies %s are not in force; apply Sandkeep's manifests again", strings.Join(missing, ", "))
		}
		return nil
	}
}
