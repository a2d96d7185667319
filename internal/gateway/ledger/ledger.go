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

// Interval is the least time between two writes of one Session, but for one at the end of a run.
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

// Holding is a key that a sandbox was given, and says that it has.
type Holding struct {
	// Session and UID say whose sandbox it is.
	Session client.ObjectKey
	UID     types.UID
	// Provider, Ref and Revision say which key.
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
	sum
	// touched is when there was anything to write.
	touched   time.Time
	nextWrite time.Time
	dirty     bool
	// inFlight is true while a write may still give back what it took.
	inFlight bool
	// unsure are writes that nobody answered; writing guards them.
	unsure  attempts
	writing sync.Mutex
	// ended is the pod whose end was written last, at endWrite; writing guards them too.
	ended    types.UID
	endWrite time.Time
}

// New is an empty Ledger.
func New(live client.Reader, status client.StatusClient, c clock.Clock) *Ledger {
	return &Ledger{live: live, status: status, clock: c, accounts: map[types.UID]*account{}, wake: make(chan struct{}, 1)}
}

// Add counts one request.
func (l *Ledger) Add(e Entry) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	a, now := l.touch(e.UID, e.Session)
	a.active, a.counted = now, true
	a.input += e.InputTokens
	a.output += e.OutputTokens
	if e.Accepted {
		a.requests++
		a.uses(Holding{e.Session, e.UID, e.Provider, e.Ref, e.Revision}, now)
	}
}

// Hold notes a key that a sandbox has, which is no request.
func (l *Ledger) Hold(h Holding) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	a, now := l.touch(h.UID, h.Session)
	a.uses(h, now)
}

// touch is the account of a Session, which is to be written when its turn comes. The mutex is held.
func (l *Ledger) touch(uid types.UID, key client.ObjectKey) (*account, time.Time) {
	a := l.accounts[uid]
	if a == nil {
		a = &account{sum: sum{key: key, inUse: map[string]v1alpha1.CredentialInUse{}}}
		l.accounts[uid] = a
	}
	if !a.dirty {
		l.wakeUp() // those that are to be written already are in Run's plans
	}
	a.touched, a.dirty = l.clock.Now(), true
	return a, a.touched
}

func (a *account) uses(h Holding, now time.Time) {
	a.inUse[h.Provider] = v1alpha1.CredentialInUse{
		Provider: h.Provider, Ref: h.Ref, Revision: h.Revision, LastUsedTime: new(metav1.NewTime(now.Truncate(time.Second))),
	}
}

// wakeUp makes Run look through the accounts, which takes long where there are many.
func (l *Ledger) wakeUp() {
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

// Flush writes what is there of one Session at once: its run in a pod has ended. A sandbox could say so again and again; what it uses within an Interval
// after that was written is written in its turn.
func (l *Ledger) Flush(ctx context.Context, uid, pod types.UID) error {
	a := l.account(uid)
	if a == nil {
		return nil
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	now := l.clock.Now()
	if a.ended == pod && now.Sub(a.endWrite) < Interval {
		return nil
	}
	wrote, err := l.writeHeld(ctx, uid, a)
	if wrote {
		a.ended, a.endWrite = pod, now
	}
	return err
}

func (l *Ledger) account(uid types.UID) *account {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.accounts[uid]
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
		case !a.dirty && !a.inFlight && l.clock.Since(a.touched) > 2*Interval:
			delete(l.accounts, uid)
		}
	}
	return next
}

// tries bounds how often a write is tried again that another writer came before.
const tries = 5

// write adds what is there of a Session to its status.
func (l *Ledger) write(ctx context.Context, uid types.UID) error {
	a := l.account(uid)
	if a == nil {
		return nil
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	_, err := l.writeHeld(ctx, uid, a)
	return err
}

// writeHeld is write while a.writing is held; wrote is false where there was nothing to write, or that failed. Two replicas add to the same numbers, so
// that each write is made for the version that it was computed from.
func (l *Ledger) writeHeld(ctx context.Context, uid types.UID, a *account) (wrote bool, err error) {
	sum, ok := l.take(a)
	if !ok {
		return false, nil
	}
	var unsure attempts
	for range tries {
		if unsure, err = l.apply(ctx, uid, sum, a.unsure); !apierrors.IsConflict(err) {
			break
		}
	}
	l.settle(a, sum, unsure, err)
	if err != nil {
		return false, fmt.Errorf("write what Session %s used: %w", sum.key, err)
	}
	return true, nil
}

func (l *Ledger) take(a *account) (sum, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !a.dirty {
		return sum{}, false
	}
	s := a.sum
	a.counts, a.inUse = counts{}, map[string]v1alpha1.CredentialInUse{}
	a.dirty, a.inFlight = false, true
	a.nextWrite = l.clock.Now().Add(Interval)
	return s, true
}

// settle ends a write; what could not be written, or may not have been, is kept for the next time.
func (l *Ledger) settle(a *account, s sum, unsure attempts, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	a.inFlight = false
	if err != nil {
		a.dirty = true
		l.wakeUp()
	}
	switch {
	case err == nil:
		a.unsure = nil
	case unsure != nil:
		a.unsure = unsure
	default:
		a.sum = a.plus(s)
	}
}

// apply writes a sum, and what earlier writes have not. It returns those of which nobody knows whether they took effect, if this is one.
func (l *Ledger) apply(ctx context.Context, uid types.UID, s sum, unsure attempts) (attempts, error) {
	session := &v1alpha1.Session{}
	err := l.live.Get(ctx, s.key, session)
	if apierrors.IsNotFound(err) || (err == nil && session.UID != uid) {
		return nil, nil // nobody is left to be told
	}
	if err != nil {
		return nil, err
	}
	had := countsOf(session.Status)
	missing, unsure := unsure.missing(session.ResourceVersion, had)
	s = s.plus(missing)
	apply := applyv1alpha1.Session(s.key.Name, s.key.Namespace).WithUID(uid).WithResourceVersion(session.ResourceVersion).
		WithStatus(statusFor(session.Status, s))
	err = l.status.Status().Apply(ctx, apply, client.FieldOwner(v1alpha1.FieldOwnerGateway), client.ForceOwnership)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err == nil || refused(err):
		return nil, err
	}
	return append(slices.Clone(unsure), attempt{sum: s, version: session.ResourceVersion, before: had}), err
}

// statusFor is the gateway's part of a status after an addition. It is pure.
func statusFor(before v1alpha1.SessionStatus, s sum) *applyv1alpha1.SessionStatusApplyConfiguration {
	status := applyv1alpha1.SessionStatus()
	if s.counted || proxied(before.Credentials) {
		total := countsOf(before).plus(s.counts)
		status.WithUsage(applyv1alpha1.Usage().WithRequests(total.requests).WithInputTokens(total.input).WithOutputTokens(total.output).
			WithTotalTokens(total.input + total.output))
	}
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
	if !active.IsZero() {
		status.WithLastActivityTime(active)
	}
	return status
}

// proxied is true where the gateway tells what a Session uses; else the manager does, as the agent says.
func proxied(credentials []v1alpha1.ResolvedCredential) bool {
	return slices.ContainsFunc(credentials, func(c v1alpha1.ResolvedCredential) bool { return c.Delivery == v1alpha1.DeliveryProxy })
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
