// Package limit keeps credentials within their limits, across the replicas of the gateway and their restarts.
//
// What all replicas have let through stands in one ConfigMap for each credential, and for each owner where limits are per owner. A replica lets
// a request through only after it has written it there, on condition that nobody else has written in between (resourceVersion); requests that
// wait at the same moment share one write. So the limits on requests, concurrent requests and Sessions are never exceeded, however many replicas
// there are; where the API server does not answer, nothing is let through. Only a replica that is cut off from the API server for longer than
// holdTime while its streams go on can make concurrent requests exceed their limit, by those streams.
//
// Tokens are known after they were used: their limit is exceeded by what the requests under way use, and those that begin within tokensAge plus
// flushTime of the last answer.
package limit

import (
	"fmt"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Name is which limit it is, as the field of a credential's spec.limits is called.
type Name string

// The limits.
const (
	RequestsPerMinute  Name = "requestsPerMinute"
	ConcurrentRequests Name = "concurrentRequests"
	TokensPerDay       Name = "tokensPerDay"
	Sessions           Name = "sessions"
)

// Patience with limits that end with somebody else's request or Session.
const (
	placesRetry   = time.Second
	sessionsRetry = 30 * time.Second
)

// Exceeded says which limit leaves no room for a request.
type Exceeded struct {
	Name  Name
	Limit int64
	// PerOwner is true for a limit of the owner's use, not of everybody's.
	PerOwner bool
	// RetryAfter is when there may be room again.
	RetryAfter time.Duration
}

func (a *account) exceeded(name Name, limit int64, after time.Duration) *Exceeded {
	return &Exceeded{Name: name, Limit: limit, PerOwner: a.key.perOwner, RetryAfter: after}
}

// String says what is limited.
func (e *Exceeded) String() string {
	text := map[Name]string{
		RequestsPerMinute: "%d requests per minute", ConcurrentRequests: "%d requests at the same time",
		TokensPerDay: "%d tokens per day (UTC)", Sessions: "%d Sessions at the same time",
	}[e.Name]
	text = fmt.Sprintf(text, e.Limit)
	if e.PerOwner {
		text += " for each owner"
	}
	return text
}

// Texts are what is said of each limit of a credential once it is reached.
func Texts(l *v1alpha1.CredentialLimits) []string {
	var texts []string
	all, perOwner := rulesOf(l)
	for i, rules := range []v1alpha1.Limits{all, perOwner} {
		for name, limit := range map[Name]*int64{
			RequestsPerMinute: wide(rules.RequestsPerMinute), ConcurrentRequests: wide(rules.ConcurrentRequests), TokensPerDay: rules.TokensPerDay, Sessions: wide(rules.Sessions),
		} {
			if limit != nil {
				texts = append(texts, (&Exceeded{Name: name, Limit: *limit, PerOwner: i == 1}).String())
			}
		}
	}
	return texts
}

func wide(limit *int32) *int64 {
	if limit == nil {
		return nil
	}
	return new(int64(*limit))
}

// rulesOf are the limits of a credential's whole use, and of each owner's.
func rulesOf(l *v1alpha1.CredentialLimits) (all, perOwner v1alpha1.Limits) {
	if l == nil {
		return all, perOwner
	}
	if l.PerOwner != nil {
		perOwner = *l.PerOwner
	}
	return l.Limits, perOwner
}
