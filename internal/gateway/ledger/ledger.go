// Package ledger keeps count of what Sessions use at the gateway, and writes it into their status: rarely enough for the API server, and soon
// enough for people.
package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// Interval is the least time between two writes of one Session, but for the one at the end of a run.
const Interval = 30 * time.Second

// Entry is one request that a provider answered.
type Entry struct {
	// Session and UID say whose request it was.
	Session client.ObjectKey
	UID     types.UID
	// Accepted is true when the provider took the request; only then the credential was in use.
	Accepted bool
	// InputTokens and OutputTokens are what the answer says it used.
	InputTokens, OutputTokens int64
	// Provider, Ref and Revision are what was put on it.
	Provider string
	Ref      v1alpha1.CredentialReference
	Revision string
}

// Ledger adds entries up. It is safe for concurrent use. A crash loses what was not written yet: at most an Interval of each Session.
type Ledger struct {
	// live reads Sessions as they are; status writes theirs.
	live   client.Reader
	status client.StatusClient
	clock  clock.Clock

	mutex    sync.Mutex
	accounts map[types.UID]*account
	wake     chan struct{}
}

// account is what is to be written for one Session.
type account struct {
	key       client.ObjectKey
	requests  int64
	input     int64
	output    int64
	inUse     map[string]v1alpha1.CredentialInUse
	active    time.Time
	nextWrite time.Time
	dirty     bool
	// inFlight is true while a write may still give back what it took.
	inFlight bool
	writing  sync.Mutex
}

// New is an empty Ledger.
func New(live client.Reader, status client.StatusClient, c clock.Clock) *Ledger {
	return &Ledger{live: live, status: status, clock: c, accounts: map[types.UID]*account{}, wake: make(chan struct{}, 1)}
}

// Add counts one request.
func (l *Ledger) Add(e Entry) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	a := l.accounts[e.UID]
	if a == nil {
		a = &account{key: e.Session, inUse: map[string]v1alpha1.CredentialInUse{}}
		l.accounts[e.UID] = a
	}
	now := l.clock.Now()
	a.active, a.dirty = now, true
	a.input += e.InputTokens
	a.output += e.OutputTokens
	if e.Accepted {
		a.requests++
		a.inUse[e.Provider] = v1alpha1.CredentialInUse{
			Provider: e.Provider, Ref: e.Ref, Revision: e.Revision, LastUsedTime: new(metav1.NewTime(now.Truncate(time.Second))),
		}
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run writes what is due until ctx ends, and then everything that is left.
func (l *Ledger) Run(ctx context.Context, failed func(error)) {
	for ctx.Err() == nil {
		next := l.flush(ctx, l.due(), failed)
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = l.clock.After(max(next.Sub(l.clock.Now()), time.Second))
		}
		select {
		case <-ctx.Done():
		case <-timer:
		case <-l.wake:
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), Interval)
	defer cancel()
	l.flush(last, l.all(), failed)
}

// Flush writes what is there of one Session at once: its run has ended.
func (l *Ledger) Flush(ctx context.Context, uid types.UID) error {
	return l.write(ctx, uid)
}

// due are the Sessions whose turn it is.
func (l *Ledger) due() []types.UID {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var uids []types.UID
	for uid, a := range l.accounts {
		if a.dirty && !l.clock.Now().Before(a.nextWrite) {
			uids = append(uids, uid)
		}
	}
	return uids
}

func (l *Ledger) all() []types.UID {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var uids []types.UID
	for uid := range l.accounts {
		uids = append(uids, uid)
	}
	return uids
}

// flush writes some Sessions, and says when the next one is due; zero: none is.
func (l *Ledger) flush(ctx context.Context, uids []types.UID, failed func(error)) time.Time {
	for _, uid := range uids {
		if err := l.write(ctx, uid); err != nil {
			failed(err)
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var next time.Time
	for uid, a := range l.accounts {
		switch {
		case a.dirty && (next.IsZero() || a.nextWrite.Before(next)):
			next = a.nextWrite
		case !a.dirty && !a.inFlight && l.clock.Since(a.active) > 2*Interval:
			delete(l.accounts, uid)
		}
	}
	return next
}

// tries bounds how often a write is tried again that another writer came before.
const tries = 5

// write adds what is there of a Session to its status. Two replicas add to the same numbers, so that each write is made for the version that it
// was computed from.
func (l *Ledger) write(ctx context.Context, uid types.UID) error {
	l.mutex.Lock()
	a := l.accounts[uid]
	l.mutex.Unlock()
	if a == nil {
		return nil
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	sum, ok := l.take(a)
	if !ok {
		return nil
	}
	var err error
	for range tries {
		if err = l.apply(ctx, uid, sum); !apierrors.IsConflict(err) {
			break
		}
	}
	l.settle(a, sum, err)
	if err != nil {
		return fmt.Errorf("write what Session %s used: %w", sum.key, err)
	}
	return nil
}

// sum is what one write adds.
type sum struct {
	key                     client.ObjectKey
	requests, input, output int64
	inUse                   map[string]v1alpha1.CredentialInUse
	active                  time.Time
}

func (l *Ledger) take(a *account) (sum, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !a.dirty {
		return sum{}, false
	}
	s := sum{a.key, a.requests, a.input, a.output, a.inUse, a.active}
	a.requests, a.input, a.output, a.dirty, a.inFlight = 0, 0, 0, false, true
	a.inUse = map[string]v1alpha1.CredentialInUse{}
	a.nextWrite = l.clock.Now().Add(Interval)
	return s, true
}

// settle ends a write; what could not be written is kept for the next time.
func (l *Ledger) settle(a *account, s sum, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	a.inFlight = false
	if err == nil {
		return
	}
	a.requests, a.input, a.output, a.dirty = a.requests+s.requests, a.input+s.input, a.output+s.output, true
	for provider, used := range s.inUse {
		if _, newer := a.inUse[provider]; !newer {
			a.inUse[provider] = used
		}
	}
}

func (l *Ledger) apply(ctx context.Context, uid types.UID, s sum) error {
	session := &v1alpha1.Session{}
	err := l.live.Get(ctx, s.key, session)
	if apierrors.IsNotFound(err) || (err == nil && session.UID != uid) {
		return nil // nobody is left to be told
	}
	if err != nil {
		return err
	}
	apply := applyv1alpha1.Session(s.key.Name, s.key.Namespace).WithUID(uid).WithResourceVersion(session.ResourceVersion).
		WithStatus(statusFor(session.Status, s))
	err = l.status.Status().Apply(ctx, apply, client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// statusFor is the gateway's part of a status after an addition. It is pure.
func statusFor(before v1alpha1.SessionStatus, s sum) *applyv1alpha1.SessionStatusApplyConfiguration {
	usage := applyv1alpha1.Usage()
	var had v1alpha1.Usage
	if before.Usage != nil {
		had = *before.Usage
	}
	usage.WithRequests(value(had.Requests) + s.requests)
	usage.WithInputTokens(value(had.InputTokens) + s.input)
	usage.WithOutputTokens(value(had.OutputTokens) + s.output)
	status := applyv1alpha1.SessionStatus().WithUsage(usage)
	for _, used := range merged(before.CredentialsInUse, s.inUse) {
		entry := applyv1alpha1.CredentialInUse().WithProvider(used.Provider).WithRevision(used.Revision).
			WithRef(applyv1alpha1.CredentialReference().WithKind(used.Ref.Kind).WithName(used.Ref.Name))
		if used.ExpirationTime != nil {
			entry.WithExpirationTime(*used.ExpirationTime)
		}
		if used.LastUsedTime != nil {
			entry.WithLastUsedTime(*used.LastUsedTime)
		}
		status.WithCredentialsInUse(entry)
	}
	active := metav1.NewTime(s.active.Truncate(time.Second))
	if before.LastActivityTime != nil && active.Before(before.LastActivityTime) {
		active = *before.LastActivityTime
	}
	return status.WithLastActivityTime(active)
}

// merged are the entries of before with those of now in their places, by provider; of two the one used later counts.
func merged(before []v1alpha1.CredentialInUse, now map[string]v1alpha1.CredentialInUse) []v1alpha1.CredentialInUse {
	var list []v1alpha1.CredentialInUse
	for _, b := range before {
		if n, ok := now[b.Provider]; !ok || n.LastUsedTime.Before(b.LastUsedTime) {
			list = append(list, b)
		}
	}
	for provider, n := range now {
		if !slices.ContainsFunc(list, func(b v1alpha1.CredentialInUse) bool { return b.Provider == provider }) {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b v1alpha1.CredentialInUse) int { return cmp.Compare(a.Provider, b.Provider) })
	return list
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
