package keyhealth

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// useGrain is how exactly status says when a key was last used. A busy key would otherwise have its status written all the time.
const useGrain = 30 * time.Second

// statusFor is the status after a plan. It is pure.
func statusFor(f Facts, generation int64, p plan, now time.Time) v1alpha1.CredentialStatus {
	after := v1alpha1.CredentialStatus{
		ObservedGeneration: new(generation),
		Conditions:         acceptance.Conditions(f.Before.Conditions, generation, p.verdict, now),
		TokenKind:          f.TokenKind,
		Revision:           f.Revision,
		Hosts:              slices.Sorted(slices.Values(f.hosts())),
		LastUsedTime:       f.Before.LastUsedTime.DeepCopy(),
	}
	after.Conditions = withLimits(after.Conditions, p.limits, generation, now)
	if len(after.Hosts) == 0 && p.verdict.Accepted {
		after.Hosts = keep.HostsOf(f.Provider)
	}
	if used := p.seen.LastUsedTime.Truncate(useGrain); after.LastUsedTime == nil && !used.IsZero() || after.LastUsedTime != nil && used.After(after.LastUsedTime.Time) {
		after.LastUsedTime = new(metav1.NewTime(used))
	}
	return after
}

// withLimits adds the condition about limits, or takes away that of limits which are no more.
func withLimits(conditions []metav1.Condition, limits *metav1.Condition, generation int64, now time.Time) []metav1.Condition {
	if limits == nil {
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionWithinLimits)
		return conditions
	}
	limits.ObservedGeneration, limits.LastTransitionTime = generation, metav1.NewTime(now).Rfc3339Copy()
	meta.SetStatusCondition(&conditions, *limits)
	return conditions
}

// same compares what is stored with what is to be. Of a set, the API server need not keep the order.
func same(before, after v1alpha1.CredentialStatus) bool {
	before.Hosts = slices.Sorted(slices.Values(before.Hosts))
	return equality.Semantic.DeepEqual(before, after)
}

// applyStatus carries all of the status; conditions that it does not carry stay their owner's.
func applyStatus(s v1alpha1.CredentialStatus) *applyv1alpha1.CredentialStatusApplyConfiguration {
	apply := applyv1alpha1.CredentialStatus().WithObservedGeneration(*s.ObservedGeneration).
		WithConditions(acceptance.ApplyConditions(s.Conditions, v1alpha1.ConditionWithinLimits)...).WithHosts(s.Hosts...)
	if s.TokenKind != "" {
		apply.WithTokenKind(s.TokenKind)
	}
	if s.Revision != "" {
		apply.WithRevision(s.Revision)
	}
	if s.LastUsedTime != nil {
		apply.WithLastUsedTime(*s.LastUsedTime)
	}
	return apply
}
