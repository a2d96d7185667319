package keyhealth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/internal/gateway/limit"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// Facts are what was observed of a credential of either Kind.
type Facts struct {
	// Before is the status as it is.
	Before v1alpha1.CredentialStatus
	// Provider is the APIProvider, or nil when there is none.
	Provider *v1alpha1.APIProvider
	// Hosts are those of the spec; empty when it names none.
	Hosts []string
	// TokenKind and Revision are those of the key, as far as they are known.
	TokenKind, Revision string
	// Watched says that a change of the Secret is noticed.
	Watched bool
	// Limits are those of the spec; nil for none.
	Limits *v1alpha1.CredentialLimits
	// Observed is what replicas of the gateway saw of this credential.
	Observed []observation.Observation
	// Recheck is the time to the next look at what cannot be watched; 0 when all can.
	Recheck time.Duration
}

// plan is what follows from the facts.
type plan struct {
	verdict acceptance.Verdict
	// seen is what gateways saw of this revision of the key.
	seen observation.Observation
	// recheck is the time to the next look; 0 for none.
	recheck time.Duration
	// limits is the condition that says whether the use is within the limits; nil where there are none.
	limits *metav1.Condition
}

// planFor asks the checks of the Kind in their order, and then how the provider answered.
func planFor[W any](w W, f Facts, checks []Check[W], accepted func(W) string, now time.Time) plan {
	p := plan{seen: f.seen(now), recheck: f.Recheck}
	p.lookAtLimits(f, now)
	for _, check := range checks {
		if objection := check(w); objection != nil {
			p.verdict = *objection
			return p
		}
	}
	h := observation.HealthOf(p.seen, f.Watched, now)
	if h.Reason == "" {
		p.verdict = acceptance.Accepted(accepted(w))
		return p
	}
	p.verdict = acceptance.Verdict{Reason: h.Reason, Message: h.Message}
	p.lookAgain(h.Until, now)
	return p
}

// lookAgain asks for another look at a time; zero for none.
func (p *plan) lookAgain(at, now time.Time) {
	if wait := at.Sub(now); !at.IsZero() && (p.recheck == 0 || wait < p.recheck) {
		p.recheck = wait
	}
}

// lookAtLimits says whether a limit was reached lately.
func (p *plan) lookAtLimits(f Facts, now time.Time) {
	if f.Limits == nil {
		return
	}
	p.limits = &metav1.Condition{
		Type: v1alpha1.ConditionWithinLimits, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWithinLimits, Message: "No limit was reached lately",
	}
	if !p.seen.LimitedUntil.After(now) || !slices.Contains(limit.Texts(f.Limits), p.seen.Limit) {
		return // long ago, or by a limit that has been changed since
	}
	p.limits.Status, p.limits.Reason = metav1.ConditionFalse, v1alpha1.ReasonLimitReached
	p.limits.Message = fmt.Sprintf("Requests were refused because the use is limited to %s; raise the limit, or wait until there is room", p.seen.Limit)
	p.lookAgain(p.seen.LimitedUntil, now)
}

// seen is what gateways saw of this revision of the key. What a replica that is gone had told is remembered in status: a key that was refused
// is not taken for a good one because the gateway was restarted.
func (f Facts) seen(now time.Time) observation.Observation {
	seen := observation.Merge(f.Observed, f.Revision, now)
	ready := meta.FindStatusCondition(f.Before.Conditions, v1alpha1.ConditionReady)
	if ready == nil || f.Revision == "" || f.Before.Revision != f.Revision {
		return seen
	}
	since := ready.LastTransitionTime.Time
	switch {
	case ready.Reason == v1alpha1.ReasonKeyRejected && len(seen.RejectedTimes) < observation.RejectionsThatCount && since.After(seen.AcceptedTime):
		seen.RejectedTimes = []time.Time{since, since}
	case ready.Reason == v1alpha1.ReasonQuotaExhausted && seen.QuotaExhaustedTime.IsZero():
		seen.QuotaExhaustedTime = since
	}
	return seen
}

// hosts are those to which the key may go: what the spec says, else what was recorded.
func (f Facts) hosts() []string {
	if len(f.Hosts) > 0 {
		return f.Hosts
	}
	return f.Before.Hosts
}

// outside are the hosts that the provider names and to which the key must not go. Before any are recorded, there are none.
func (f Facts) outside() []string {
	if f.Provider == nil || len(f.hosts()) == 0 {
		return nil
	}
	return keep.Outside(f.Provider, f.hosts())
}

// listed is a list for a message.
func listed(hosts []string) string {
	if len(hosts) == 1 {
		return "host " + hosts[0]
	}
	return "hosts " + strings.Join(hosts, ", ")
}
