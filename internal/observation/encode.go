package observation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

const (
	// ConfigMapPrefix begins the names of the ConfigMaps of v1alpha1.NamespaceSystem in which replicas of the gateway put their observations, with
	// label v1alpha1.LabelObservations; the name of the pod follows, which owns it.
	ConfigMapPrefix = "sandkeep-gateway-"
	// ConfigMapKey is the entry that holds them.
	ConfigMapKey = "observations.json"

	// MaxEntries is how many credentials one replica can speak of; those used or looked for last are kept.
	MaxEntries = 1024
	// maxSize is the most that is read, in bytes; a ConfigMap has 1 MiB.
	maxSize = 1 << 20
	// maxName and maxRevision are the longest names and revisions that the API permits.
	maxName, maxRevision = 253, 64
	// maxLimit is longer than any description of a limit.
	maxLimit = 100
)

// errTooLarge is the answer to more than a replica would write.
var errTooLarge = errors.New("the observations are larger than a gateway writes them")

// document is what is written.
type document struct {
	Credentials []Observation `json:"credentials"`
}

// Encode writes what a replica saw, in an order of its own, so that what did not change is written alike. Of more than MaxEntries it leaves out
// those used longest ago.
func Encode(all []Observation) string {
	kept := slices.Clone(all)
	if len(kept) > MaxEntries {
		slices.SortStableFunc(kept, func(a, b Observation) int { return b.latest().Compare(a.latest()) })
		kept = kept[:MaxEntries]
	}
	for i := range kept {
		kept[i] = kept[i].inUTC()
	}
	slices.SortStableFunc(kept, func(a, b Observation) int { return a.Compare(b.Ref) })
	text, err := json.Marshal(document{Credentials: kept})
	if err != nil {
		return "" // a year outside of 0 to 9999, which no clock tells
	}
	return string(text)
}

// Decode reads what a replica wrote. Entries that cannot be of a credential are left out, and so is what exceeds MaxEntries; an error does
// not quote the text.
func Decode(text string) ([]Observation, error) {
	if len(text) > maxSize {
		return nil, errTooLarge
	}
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("read the observations: %w", withoutText(err))
	}
	kept := slices.DeleteFunc(d.Credentials, func(o Observation) bool { return !o.plausible() })
	kept = kept[:min(len(kept), MaxEntries)]
	for i := range kept {
		kept[i].RejectedTimes = lastInARow(kept[i].RejectedTimes, kept[i].AcceptedTime)
	}
	return kept, nil
}

// withoutText leaves out of an error what it may quote.
func withoutText(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("no JSON at byte %d", syntax.Offset)
	}
	return errors.New("another JSON than a gateway writes")
}

func (o Observation) plausible() bool {
	if !slices.Contains(faults, o.Look.Fault) {
		return false
	}
	named := o.Name != "" && len(o.Name) <= maxName && len(o.Namespace) <= maxName && len(o.Revision) <= maxRevision && len(o.Limit) <= maxLimit
	switch o.Kind {
	case v1alpha1.CredentialKindClusterCredential:
		return named && o.Namespace == ""
	case v1alpha1.CredentialKindCredential:
		return named && o.Namespace != ""
	}
	return false
}

// latest is when the replica last had to do with the credential.
func (o Observation) latest() time.Time { return later(o.LastUsedTime, o.Look.Time) }

// inUTC has its times in UTC, so that replicas write alike whatever their zone.
func (o Observation) inUTC() Observation {
	for _, t := range []*time.Time{
		&o.AcceptedTime, &o.RateLimitedTime, &o.RateLimitedUntil, &o.QuotaExhaustedTime, &o.LastUsedTime, &o.KeyEchoedTime, &o.Look.Time,
		&o.LimitReachedTime, &o.LimitedUntil,
	} {
		*t = t.UTC()
	}
	o.RejectedTimes = slices.Clone(o.RejectedTimes)
	for i, t := range o.RejectedTimes {
		o.RejectedTimes[i] = t.UTC()
	}
	return o
}
