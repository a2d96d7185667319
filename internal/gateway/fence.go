package gateway

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/clock"
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

// fenceTime is how long a fence that holds is not looked at again: no longer than a watch may take to tell that it does not.
const fenceTime = time.Second

// Remembered is a fence that is looked at once in fenceTime while it holds, and at each request while it does not.
func Remembered(fence Fence, c clock.PassiveClock) Fence {
	var held atomic.Pointer[time.Time]
	return func(ctx context.Context) error {
		now := c.Now()
		if last := held.Load(); last != nil && now.Sub(*last) < fenceTime {
			return nil
		}
		if err := fence(ctx); err != nil {
			held.Store(nil)
			return err
		}
		held.Store(&now)
		return nil
	}
}
