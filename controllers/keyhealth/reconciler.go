// Package keyhealth is what the reconcilers of both Kinds of credentials have in common: how the provider answered to the key, what of
// that is in status, and who is woken when the gateway tells something new.
package keyhealth

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
)

// Check looks at one thing that may be wrong with a credential; it answers nil when that is not so.
type Check[W any] func(w W) *acceptance.Verdict

// Reconciler judges the credentials of one Kind, T, from what it observed of them, W. All of its fields are required.
type Reconciler[T client.Object, W any] struct {
	acceptance.Base
	// Observe makes every read.
	Observe func(ctx context.Context, o T) (W, error)
	// Facts are the part of what was observed that both Kinds have.
	Facts func(w W) Facts
	// Checks say in their order what may be wrong before the provider is asked; the first that objects decides.
	Checks []Check[W]
	// Accepted is the message of a credential with which nothing is wrong.
	Accepted func(w W) string
	// Apply is the apply configuration that carries a status of a credential.
	Apply func(o T, status *applyv1alpha1.CredentialStatusApplyConfiguration) runtime.ApplyConfiguration
}

// Reconcile judges one credential and reports the verdict, once.
func (r *Reconciler[T, W]) Reconcile(ctx context.Context, o T) (ctrl.Result, error) {
	if !o.GetDeletionTimestamp().IsZero() {
		return ctrl.Result{}, nil
	}
	w, err := r.Observe(ctx, o)
	if err != nil {
		return ctrl.Result{}, err
	}
	now, f := r.Clock.Now(), r.Facts(w)
	p := planFor(w, f, r.Checks, r.Accepted, now)
	if err := r.report(ctx, o, f, p, now); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: p.recheck}, nil
}

// report writes the status when it differs, and then tells of a transition in an event.
func (r *Reconciler[T, W]) report(ctx context.Context, o T, f Facts, p plan, now time.Time) error {
	after := statusFor(f, o.GetGeneration(), p, now)
	if same(f.Before, after) {
		return nil
	}
	if err := r.Client.Status().Apply(ctx, r.Apply(o, applyStatus(after)), r.FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	r.Announce(o, f.Before.Conditions, p.verdict)
	return nil
}

// Complain is the verdict of a check that objects.
func Complain(reason, format string, args ...any) *acceptance.Verdict {
	return &acceptance.Verdict{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Outside is the complaint of a credential whose key must not go to a host that its provider names now; nil when it may. Remedy says what to do.
func (f Facts) Outside(remedy string) *acceptance.Verdict {
	outside := f.outside()
	if len(outside) == 0 {
		return nil
	}
	return Complain(v1alpha1.ReasonEndpointsChanged, "APIProvider %q names %s, where this key was not made to go, so it goes nowhere; %s",
		f.Provider.Name, listed(outside), remedy)
}
