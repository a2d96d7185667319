package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
)

// enter asks for room within the limits of the credential, before any money is spent.
func (x *exchange) enter(ctx context.Context) (*limit.Pass, *refusal) {
	pass, exceeded, err := x.Limits.Enter(ctx, limit.Request{
		Credential: x.ref(), Limits: x.grant.Limits, Session: x.caller.Session, Owner: username(x.caller.Session.Spec.Owner),
	})
	switch {
	case err != nil:
		x.Log.Error(err, "Requests whose credential has limits are refused")
		return nil, &refusal{http.StatusServiceUnavailable, "Unavailable", "Whether the credential's limits leave room for this request cannot be found out now; try again",
			contract.ProviderUnavailable, identity.RetryAfter}
	case exceeded != nil:
		return nil, x.limited(exceeded)
	}
	return pass, nil
}

// limited tells everybody that a limit was reached: the agent, whoever looks at the Session, and, by the keeper, whoever looks at the credential.
func (x *exchange) limited(e *limit.Exceeded) *refusal {
	ref := x.grant.Ref
	what := fmt.Sprintf("%s %q is limited to %s", ref.Kind, ref.Name, e)
	after := max(e.RetryAfter, time.Second).Round(time.Second)
	x.Witness.Limited(witness.Limited{Ref: x.ref(), Limit: e.String(), For: after})
	x.Recorder.Eventf(x.caller.Session, nil, corev1.EventTypeWarning, v1alpha1.ReasonLimitReached, "Forward",
		"A request was refused because %s; the agent was told to try again later", what)
	return &refusal{http.StatusTooManyRequests, v1alpha1.ReasonLimitReached, fmt.Sprintf("%s; there is room in %s, or when an admin raises the limit", what, after),
		contract.ProviderRateLimited, after}
}

// username is that of the owner of a Session; empty where there is none.
func username(o *v1alpha1.Owner) string {
	if o == nil {
		return ""
	}
	return o.Username
}
