// Package witness remembers how providers answered to keys, and tells the keeper, which judges credentials by it.
package witness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// Pace of the writes: what says that a key was used can wait, what says whether it works must not.
const (
	lazily   = 30 * time.Second
	promptly = time.Second
	// limitedTime is the least time for which a credential is said to be at its limit: longer than lazily, so that it is not said anew all the time.
	limitedTime = time.Minute
)

// Answer is how a provider answered to a key.
type Answer struct {
	Ref      observation.Ref
	Revision string
	Verdict  Verdict
	// RetryAfter is the patience that the provider asked for.
	RetryAfter time.Duration
}

// Witness is one replica's memory. It is safe for concurrent use.
type Witness struct {
	client client.Client
	clock  clock.Clock
	pod    string
	uid    types.UID

	mutex sync.Mutex
	seen  map[observation.Ref]observation.Observation
	// due is when what has changed is to be written; zero when nothing has.
	due  time.Time
	wake chan struct{}
}

// New is a witness that has seen nothing, in a pod of Sandkeep's own namespace.
func New(c client.Client, cl clock.Clock, pod string, uid types.UID) *Witness {
	return &Witness{client: c, clock: cl, pod: pod, uid: uid, seen: map[observation.Ref]observation.Observation{}, wake: make(chan struct{}, 1)}
}

// Saw remembers an answer.
func (w *Witness) Saw(a Answer) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	before := w.seen[a.Ref]
	after := with(before, a, w.clock.Now())
	w.seen[a.Ref] = after
	w.schedule(news(before, after))
}

// Echoed remembers that an answer held the key.
func (w *Witness) Echoed(ref observation.Ref) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	o := w.seen[ref]
	o.Ref, o.KeyEchoedTime = ref, w.clock.Now()
	w.seen[ref] = o
	w.schedule(true)
}

// Limited is a request that was refused because of a limit of its credential.
type Limited struct {
	Ref observation.Ref
	// Limit says which limit it is, and For how long there may be no room.
	Limit string
	For   time.Duration
}

// Limited remembers that a limit was reached. One that stays reached is told of in its own time.
func (w *Witness) Limited(l Limited) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	o, now := w.seen[l.Ref], w.clock.Now()
	known := o.LimitedUntil.After(now) && o.Limit == l.Limit
	o.Ref, o.Limit, o.LimitReachedTime, o.LimitedUntil = l.Ref, l.Limit, now, now.Add(max(l.For, limitedTime))
	w.seen[l.Ref] = o
	w.schedule(!known)
}

// Looked remembers what was found when the key of a Credential was looked for, by which generation of it. What is as it was needs no word.
func (w *Witness) Looked(ref observation.Ref, generation int64, fault observation.Fault) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	o := w.seen[ref]
	if !o.Look.Time.IsZero() && o.Look.Generation == generation && o.Look.Fault == fault {
		return
	}
	o.Ref, o.Look = ref, observation.Look{Time: w.clock.Now(), Generation: generation, Fault: fault}
	w.seen[ref] = o
	w.schedule(true)
}

// with is an observation after one more answer. It is pure.
func with(o observation.Observation, a Answer, now time.Time) observation.Observation {
	if o.Revision != a.Revision {
		o = observation.Observation{Revision: a.Revision, LastUsedTime: o.LastUsedTime, KeyEchoedTime: o.KeyEchoedTime, Look: o.Look,
			LimitReachedTime: o.LimitReachedTime, LimitedUntil: o.LimitedUntil, Limit: o.Limit}
	}
	o.Ref, o.LastUsedTime = a.Ref, now
	switch a.Verdict {
	case Accepted:
		o.AcceptedTime, o.RejectedTimes = now, nil
	case Rejected:
		o.RejectedTimes = append(slices.Clone(o.RejectedTimes), now)
		o.RejectedTimes = o.RejectedTimes[max(0, len(o.RejectedTimes)-observation.RejectionsThatCount):]
	case RateLimited:
		o.RateLimitedTime, o.RateLimitedUntil = now, now.Add(max(a.RetryAfter, time.Second))
	case NoCredit:
		o.QuotaExhaustedTime = now
	}
	return o
}

// news is true when the keeper may judge the credential in another way.
func news(before, after observation.Observation) bool {
	trouble := func(o observation.Observation) bool {
		return len(o.RejectedTimes) > 0 || o.RateLimitedTime.After(o.AcceptedTime) || o.QuotaExhaustedTime.After(o.AcceptedTime)
	}
	return before.Revision != after.Revision || trouble(before) || trouble(after)
}

// schedule asks for a write, soon or in its own time. The mutex is held.
func (w *Witness) schedule(soon bool) {
	due := w.clock.Now().Add(lazily)
	if soon {
		due = w.clock.Now().Add(promptly)
	}
	if !w.due.IsZero() && w.due.Before(due) {
		return
	}
	w.due = due
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run writes what is due until ctx ends.
func (w *Witness) Run(ctx context.Context, failed func(error)) {
	for {
		var timer <-chan time.Time
		w.mutex.Lock()
		if !w.due.IsZero() {
			timer = w.clock.After(w.due.Sub(w.clock.Now()))
		}
		w.mutex.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer:
			if err := w.write(ctx); err != nil {
				failed(err)
			}
		}
	}
}

// write tells the keeper everything that this replica has seen.
func (w *Witness) write(ctx context.Context) error {
	w.mutex.Lock()
	all := make([]observation.Observation, 0, len(w.seen))
	for _, o := range w.seen {
		all = append(all, o)
	}
	w.due = time.Time{}
	w.mutex.Unlock()
	owner := applymetav1.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(w.pod).WithUID(w.uid)
	apply := applycorev1.ConfigMap(observation.ConfigMapPrefix+w.pod, v1alpha1.NamespaceSystem).
		WithLabels(map[string]string{v1alpha1.LabelObservations: ""}).WithOwnerReferences(owner).
		WithData(map[string]string{observation.ConfigMapKey: observation.Encode(all)})
	if err := w.client.Apply(ctx, apply, client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership); err != nil {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		w.schedule(false)
		return fmt.Errorf("write what was seen of credentials: %w", err)
	}
	return nil
}
