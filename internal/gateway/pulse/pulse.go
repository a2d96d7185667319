// Package pulse knows whether what a replica of the gateway watches is new enough to decide by. A watch that stands still looks like a world in
// which nothing happens, and permission that has ended would go on.
//
// A replica renews a Lease of its own and watches it, by the connection by which it watches everything else. The renewal that came back last
// says how old the watches can be. A single watch that fails, while the others go on, is told of by its reflector.
package pulse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycoordinationv1 "k8s.io/client-go/applyconfigurations/coordination/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

const (
	// MaxAge is how old watches may be that are decided by.
	MaxAge = 30 * time.Second
	// renewTime is how often the Lease is renewed.
	renewTime = 10 * time.Second
	// LeasePrefix begins the names of the Leases in v1alpha1.NamespaceSystem, with label v1alpha1.LabelPulse; the name of the pod follows, which owns it.
	LeasePrefix = "sandkeep-gateway-"
)

// Pulse is that of one replica.
type Pulse struct {
	// Cache watches, Writer writes.
	Cache  client.Reader
	Writer client.Client
	// Clock is the time.
	Clock clock.WithTicker
	// Pod and UID are those of the replica.
	Pod string
	UID types.UID
	// Trouble is what reflectors tell.
	Trouble *Trouble

	// seen is the renewal that was seen last. Each request asks several times.
	seen atomic.Pointer[vouch]
}

// vouch is what a renewal says of the watches: that they are new enough until some time.
type vouch struct{ renewed, until time.Time }

// troubleTime is how long a watch that failed is taken to be behind: longer than its reflector waits before it tries again, and tells again if it fails
// (https://pkg.go.dev/k8s.io/client-go/tools/cache#Reflector: 30 s and jitter at most).
const troubleTime = 75 * time.Second

// Trouble is when a watch last failed.
type Trouble struct {
	// Clock is the time.
	Clock clock.PassiveClock
	last  atomic.Pointer[time.Time]
}

// WatchFailed is a cache.WatchErrorHandlerWithContext.
func (t *Trouble) WatchFailed(ctx context.Context, r *cache.Reflector, err error) {
	cache.DefaultWatchErrorHandler(ctx, r, err)
	t.note(err)
}

func (t *Trouble) note(err error) {
	if !ended(err) {
		t.last.Store(new(t.Clock.Now()))
	}
}

// ended is true for a watch that came to its end, as all do, and is begun anew at once.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

func (t *Trouble) recent(now time.Time) bool {
	last := t.last.Load()
	return last != nil && now.Sub(*last) < troubleTime
}

func (p *Pulse) key() client.ObjectKey {
	return client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: LeasePrefix + p.Pod}
}

// Run renews until ctx ends.
func (p *Pulse) Run(ctx context.Context, failed func(error)) {
	ticker := p.Clock.NewTicker(renewTime)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if err := p.renew(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C():
		}
	}
}

func (p *Pulse) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	owner := applymetav1.OwnerReference().WithAPIVersion("v1").WithKind("Pod").WithName(p.Pod).WithUID(p.UID)
	spec := applycoordinationv1.LeaseSpec().WithHolderIdentity(p.Pod).WithRenewTime(metav1.NewMicroTime(p.Clock.Now())).
		WithLeaseDurationSeconds(int32(MaxAge / time.Second))
	lease := applycoordinationv1.Lease(p.key().Name, p.key().Namespace).
		WithLabels(map[string]string{v1alpha1.LabelPulse: ""}).WithOwnerReferences(owner).WithSpec(spec)
	if err := p.Writer.Apply(ctx, lease, client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership); err != nil {
		return fmt.Errorf("renew the Lease by which the age of watches is known: %w", err)
	}
	return nil
}

// Fresh is true while watches are no older than MaxAge, and none has failed lately.
func (p *Pulse) Fresh(ctx context.Context) bool {
	now := p.Clock.Now()
	if p.Trouble.recent(now) {
		return false
	}
	last := p.seen.Load()
	if last != nil && !now.After(last.until) {
		return true
	}
	lease := &coordinationv1.Lease{}
	if err := p.Cache.Get(ctx, p.key(), lease); err != nil || lease.Spec.RenewTime == nil {
		return false
	}
	renewed := lease.Spec.RenewTime.Time
	if last != nil && last.renewed.Equal(renewed) {
		return false
	}
	// Counted from now, by a clock that is never set, and with no trust in a renewal from the future.
	until := now.Add(MaxAge - max(0, now.Sub(renewed)))
	p.seen.Store(&vouch{renewed, until})
	return !now.After(until)
}

// Reader reads from watches while they are fresh, and from the API server while they are not.
type Reader struct {
	Cache, Live client.Reader
	// Fresh says which.
	Fresh func(ctx context.Context) bool
}

// Get implements client.Reader.
func (r Reader) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	return r.now(ctx).Get(ctx, key, o, options...)
}

// List implements client.Reader.
func (r Reader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return r.now(ctx).List(ctx, list, options...)
}

func (r Reader) now(ctx context.Context) client.Reader {
	if r.Fresh(ctx) {
		return r.Cache
	}
	return r.Live
}

var _ client.Reader = Reader{}
