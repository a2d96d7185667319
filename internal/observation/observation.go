// Package observation is what replicas of the gateway tell the keeper of credentials: how providers answered when a key was put on a
// request. It is pure. The gateway parses hostile traffic, so what it tells is read with care.
package observation

import (
	"cmp"
	"slices"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// RejectionsThatCount is how many rejections in a row make a key a rejected one: one may be the provider's own mishap.
const RejectionsThatCount = 2

// Ref names a credential.
type Ref struct {
	// Kind is the Kind of the credential.
	Kind v1alpha1.CredentialKind `json:"kind"`
	// Namespace is empty for a ClusterCredential.
	Namespace string `json:"namespace,omitempty"`
	// Name is the name of the credential.
	Name string `json:"name"`
}

// String names a credential for people.
func (r Ref) String() string {
	if r.Namespace == "" {
		return string(r.Kind) + " " + r.Name
	}
	return string(r.Kind) + " " + r.Namespace + "/" + r.Name
}

// Compare orders references.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, other.Kind), cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.Name, other.Name))
}

// Fault is what a gateway found wrong with the key that a Credential of a namespace names: nobody else of Sandkeep's may look.
type Fault string

// The faults; an empty one is none.
const (
	FaultSecretMissing Fault = "SecretMissing"
	FaultEntryMissing  Fault = "EntryMissing"
	FaultKeyMalformed  Fault = "KeyMalformed"
	// FaultTokenKindDenied and FaultSubscriptionToken are keys of kinds that the provider does not permit.
	FaultTokenKindDenied   Fault = "TokenKindDenied"
	FaultSubscriptionToken Fault = "SubscriptionToken"
)

// faults are all of them.
var faults = []Fault{"", FaultSecretMissing, FaultEntryMissing, FaultKeyMalformed, FaultTokenKindDenied, FaultSubscriptionToken}

// Look is what a gateway found when it looked for a key.
type Look struct {
	// Time is when it first found what it found last.
	Time time.Time `json:"time,omitzero"`
	// Generation is that of the Credential by which it looked.
	Generation int64 `json:"generation,omitempty"`
	Fault      Fault `json:"fault,omitempty"`
}

// Observation is what one replica saw of one credential. A zero time is something that was not seen. All times but RateLimitedUntil and
// LimitedUntil are in the past.
type Observation struct {
	Ref
	// Revision is the revision of the key to which AcceptedTime, RejectedTimes, the RateLimited and the QuotaExhausted times belong. A replica
	// begins them anew with each revision.
	Revision string `json:"revision,omitempty"`
	// AcceptedTime is when the provider last took the key: it answered with less than 400.
	AcceptedTime time.Time `json:"acceptedTime,omitzero"`
	// RejectedTimes are when the provider last refused the key (401, 403), in order, at most RejectionsThatCount, all later than AcceptedTime.
	RejectedTimes []time.Time `json:"rejectedTimes,omitempty"`
	// RateLimitedTime is when the provider last asked for patience (429), RateLimitedUntil until when.
	RateLimitedTime  time.Time `json:"rateLimitedTime,omitzero"`
	RateLimitedUntil time.Time `json:"rateLimitedUntil,omitzero"`
	// QuotaExhaustedTime is when the provider last said that there is no credit.
	QuotaExhaustedTime time.Time `json:"quotaExhaustedTime,omitzero"`
	// LastUsedTime is when the key was last put on a request, whatever the revision.
	LastUsedTime time.Time `json:"lastUsedTime,omitzero"`
	// KeyEchoedTime is when an answer last held the key, and was cut, whatever the revision.
	KeyEchoedTime time.Time `json:"keyEchoedTime,omitzero"`
	// LimitReachedTime is when a request was last refused because of a limit of the credential, Limit says which, and LimitedUntil until when there may be
	// no room, whatever the revision.
	LimitReachedTime time.Time `json:"limitReachedTime,omitzero"`
	LimitedUntil     time.Time `json:"limitedUntil,omitzero"`
	Limit            string    `json:"limit,omitempty"`
	// Look is the last look for the key, at a Credential of a namespace.
	Look Look `json:"look,omitzero"`
}

// Of are the observations of one credential among those of all replicas.
func Of(ref Ref, all []Observation) []Observation {
	var of []Observation
	for _, o := range all {
		if o.Ref == ref {
			of = append(of, o)
		}
	}
	return of
}

// Newest is the revision that was put on a request last; empty when none was.
func Newest(of []Observation) string {
	if len(of) == 0 {
		return ""
	}
	return slices.MaxFunc(of, func(a, b Observation) int {
		return cmp.Or(a.LastUsedTime.Compare(b.LastUsedTime), cmp.Compare(a.Revision, b.Revision))
	}).Revision
}

// LastLook is the last look of any replica by a generation of a Credential, and false where none has looked by that.
func LastLook(of []Observation, generation int64) (Look, bool) {
	var last Look
	for _, o := range of {
		if o.Look.Generation == generation && o.Look.Time.After(last.Time) {
			last = o.Look
		}
	}
	return last, !last.Time.IsZero()
}

// Merge makes one observation of a revision from those of the replicas: the newest of each fact. What belongs to another revision does not count, and
// nothing counts that is later than now by more than clocks differ. The order of the observations makes no difference.
func Merge(of []Observation, revision string, now time.Time) Observation {
	merged := Observation{Revision: revision}
	for _, o := range of {
		o = o.before(now.Add(skew))
		merged.Ref = o.Ref
		merged.LastUsedTime = later(merged.LastUsedTime, o.LastUsedTime)
		merged.KeyEchoedTime = later(merged.KeyEchoedTime, o.KeyEchoedTime)
		if o.LimitReachedTime.After(merged.LimitReachedTime) {
			merged.LimitReachedTime, merged.LimitedUntil, merged.Limit = o.LimitReachedTime, o.LimitedUntil, o.Limit
		}
		if o.Revision != revision {
			continue
		}
		merged.AcceptedTime = later(merged.AcceptedTime, o.AcceptedTime)
		merged.QuotaExhaustedTime = later(merged.QuotaExhaustedTime, o.QuotaExhaustedTime)
		if c := o.RateLimitedTime.Compare(merged.RateLimitedTime); c > 0 || c == 0 && o.RateLimitedUntil.After(merged.RateLimitedUntil) {
			merged.RateLimitedTime, merged.RateLimitedUntil = o.RateLimitedTime, o.RateLimitedUntil
		}
		merged.RejectedTimes = append(merged.RejectedTimes, o.RejectedTimes...)
	}
	merged.RejectedTimes = lastInARow(merged.RejectedTimes, merged.AcceptedTime)
	return merged
}

// lastInARow are the last rejections after the last acceptance, in order.
func lastInARow(rejected []time.Time, accepted time.Time) []time.Time {
	rejected = slices.DeleteFunc(rejected, func(t time.Time) bool { return !t.After(accepted) })
	slices.SortFunc(rejected, time.Time.Compare)
	return rejected[max(0, len(rejected)-RejectionsThatCount):]
}

// before leaves out what is said to have happened later.
func (o Observation) before(limit time.Time) Observation {
	for _, t := range []*time.Time{&o.AcceptedTime, &o.RateLimitedTime, &o.QuotaExhaustedTime, &o.LastUsedTime, &o.KeyEchoedTime, &o.LimitReachedTime} {
		if t.After(limit) {
			*t = time.Time{}
		}
	}
	o.RejectedTimes = slices.DeleteFunc(slices.Clone(o.RejectedTimes), func(t time.Time) bool { return t.After(limit) })
	return o
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
