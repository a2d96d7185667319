package observation

import (
	"fmt"
	"slices"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

const (
	// LongestPatience bounds how long a provider's wish for patience, or its word that there is no credit, is believed. Then the key counts as
	// usable again, so that somebody tries, and the provider says how things are.
	LongestPatience = time.Hour
	// RejectionPatience bounds how long a rejection is believed where a better key would not be noticed.
	RejectionPatience = 5 * time.Minute
	// skew is how much clocks of nodes may differ.
	skew = time.Minute
)

// Health is what observations say of a key.
type Health struct {
	// Reason is a condition reason, or empty for a key of which nothing bad is known.
	Reason string
	// Message says what happened and what to do.
	Message string
	// Until is when this must be looked at again; zero for what a new observation or key has to change.
	Until time.Time
}

// HealthOf says what a merged observation tells of its revision of the key. What happened before the key was last accepted does not count.
// Watched says that a change of the Secret would be noticed; otherwise even a rejection is believed for a time only, since nothing
// else would ever have a better key tried.
func HealthOf(o Observation, watched bool, now time.Time) Health {
	for _, of := range []func(Observation, bool) Health{rejected, exhausted, limited} {
		if h := of(o, watched); h.Reason != "" && (h.Until.IsZero() || h.Until.After(now)) {
			return h
		}
	}
	return Health{}
}

func rejected(o Observation, watched bool) Health {
	rejections := lastInARow(slices.Clone(o.RejectedTimes), o.AcceptedTime)
	if len(rejections) < RejectionsThatCount {
		return Health{}
	}
	if watched {
		return Health{Reason: v1alpha1.ReasonKeyRejected,
			Message: "The provider refused the key twice; put a good one into the Secret, or annotate the Secret to have the same key tried again"}
	}
	until := rejections[len(rejections)-1].Add(RejectionPatience)
	return Health{Reason: v1alpha1.ReasonKeyRejected, Until: until, Message: fmt.Sprintf(
		"The provider refused the key twice; put a good one into the Secret, which is tried again at %s", clockTime(until))}
}

func exhausted(o Observation, watched bool) Health {
	if !o.QuotaExhaustedTime.After(o.AcceptedTime) {
		return Health{}
	}
	until, sooner := o.QuotaExhaustedTime.Add(LongestPatience), ""
	if watched {
		sooner = ", or at once when you annotate the Secret"
	}
	return Health{Reason: v1alpha1.ReasonQuotaExhausted, Until: until, Message: fmt.Sprintf(
		"The provider says that the account has no credit; add some; the key is tried again at %s%s", clockTime(until), sooner)}
}

func limited(o Observation, _ bool) Health {
	if !o.RateLimitedTime.After(o.AcceptedTime) {
		return Health{}
	}
	until := o.RateLimitedUntil
	if longest := o.RateLimitedTime.Add(LongestPatience); until.After(longest) {
		until = longest
	}
	if until.IsZero() {
		return Health{}
	}
	return Health{Reason: v1alpha1.ReasonRateLimited, Until: until, Message: fmt.Sprintf(
		"The provider asks for patience until %s; wait, or ask it for a higher limit", clockTime(until))}
}

// clockTime is a time for a message, in whole seconds, rounded up.
func clockTime(t time.Time) string {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		t = whole.Add(time.Second)
	}
	return t.UTC().Format("15:04:05 MST")
}
