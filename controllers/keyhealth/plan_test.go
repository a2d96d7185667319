package keyhealth

import (
	"testing"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

func TestALimitIsReachedUntilItEndsOrIsChanged(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	refused := observation.Observation{LimitReachedTime: now, LimitedUntil: now.Add(time.Hour), Limit: "300 tokens per day (UTC) for each owner"}
	limits := func(all, perOwner int64) *v1alpha1.CredentialLimits {
		return &v1alpha1.CredentialLimits{Limits: v1alpha1.Limits{TokensPerDay: &all}, PerOwner: &v1alpha1.Limits{TokensPerDay: &perOwner}}
	}
	for name, c := range map[string]struct {
		limits *v1alpha1.CredentialLimits
		at     time.Time
		want   string
		again  time.Duration
	}{
		"reached":        {limits(900, 300), now, v1alpha1.ReasonLimitReached, time.Hour},
		"it has ended":   {limits(900, 300), now.Add(time.Hour), v1alpha1.ReasonWithinLimits, 0},
		"it was raised":  {limits(900, 301), now, v1alpha1.ReasonWithinLimits, 0},
		"another's":      {limits(300, 900), now, v1alpha1.ReasonWithinLimits, 0},
		"it was removed": {&v1alpha1.CredentialLimits{}, now, v1alpha1.ReasonWithinLimits, 0},
		"no limits":      {nil, now, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan{seen: refused}
			p.lookAtLimits(Facts{Limits: c.limits}, c.at)
			got := ""
			if p.limits != nil {
				got = p.limits.Reason
			}
			if got != c.want || p.recheck != c.again {
				t.Errorf("got %q, to be looked at again in %s; want %q, %s", got, p.recheck, c.want, c.again)
			}
		})
	}
}
