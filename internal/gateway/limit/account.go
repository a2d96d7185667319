package limit

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"sync"
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// How fresh the state has to be for what, and how long a replica keeps what it does not use.
const (
	// tokensAge is for letting a request through: tokens that other replicas have counted since may be unknown.
	tokensAge = time.Second
	// refusalAge is for refusing one: other replicas may have given something back since.
	refusalAge = 250 * time.Millisecond
	// idleTime is how long places are kept that nobody uses.
	idleTime = 500 * time.Millisecond
	// forgetTime is how long an account is remembered that nobody asks about.
	forgetTime = 10 * time.Minute
)

// accountKey is what is counted for: a credential, or one owner's use of it.
type accountKey struct {
	credential observation.Ref
	perOwner   bool
	owner      string
}

// name is that of the ConfigMap. Names of owners can hold anything, so it is a digest.
func (k accountKey) name() string {
	h := sha256.New()
	kind := "all"
	if k.perOwner {
		kind = "owner"
	}
	for _, part := range []string{string(k.credential.Kind), k.credential.Namespace, k.credential.Name, kind, k.owner} {
		_, _ = h.Write([]byte(part + "\x00")) // a hash takes everything
	}
	return ConfigMapPrefix + hex.EncodeToString(h.Sum(nil)[:16])
}

// session is the Session of a request.
type session struct {
	uid string
	sessionKey
}

// account is one replica's share of what is counted for a key.
type account struct {
	key     accountKey
	replica string
	// turn is held by whoever talks to the API server about the account, one request for all that wait.
	turn chan struct{}

	mu      sync.Mutex
	rules   v1alpha1.Limits
	waiting int32
	// known is the state as it was read or written last, at readTime; version is its resourceVersion, empty where there is none yet.
	known    state
	readTime time.Time
	version  string
	// prepaid are requests that were claimed, good until prepaidUntil.
	prepaid      int32
	prepaidUntil time.Time
	// held are the places of this replica, of which inUse are in use; renewTime is when the others were told last.
	held, inUse          int32
	renewTime, idleSince time.Time
	// spent are tokens that the others were not told of.
	spent int64
	// askedTime is when somebody last asked.
	askedTime time.Time
}

func newAccount(key accountKey, replica string) *account {
	return &account{key: key, replica: replica, turn: make(chan struct{}, 1)}
}

// consume lets a request through on what this replica has, if that is enough.
func (a *account) consume(now time.Time, s session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, admitted := a.known.Sessions[s.uid]
	r := a.rules
	switch {
	case r.TokensPerDay != nil && (now.Sub(a.readTime) > tokensAge || a.known.at(now).Tokens+a.spent >= *r.TokensPerDay),
		r.Sessions != nil && !admitted,
		r.RequestsPerMinute != nil && a.left(now) < 1,
		r.ConcurrentRequests != nil && (a.inUse >= a.held || now.Sub(a.renewTime) >= holdTime-renewTime):
		return false
	}
	if r.RequestsPerMinute != nil {
		a.prepaid--
	}
	a.inUse++
	return true
}

// proposal is what a replica would write, and what it may do once that is written.
type proposal struct {
	state    state
	changed  bool
	time     time.Time
	requests int32
	held     int32
	spent    int64
}

// propose lets as many of count requests through as the limits leave room for, and says which limit leaves room for none. With a count of 0 it
// only tells the others what has become of earlier ones.
func (a *account) propose(now time.Time, count int32, s session) (proposal, *Exceeded) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.known.at(now)
	p := proposal{state: before, time: now, spent: a.spent}
	p.state.Tokens += a.spent
	for _, limited := range []func(*proposal, int32, session) *Exceeded{a.limitTokens, a.limitSessions, a.limitPlaces, a.limitRequests} {
		if exceeded := limited(&p, count, s); exceeded != nil {
			return p, exceeded
		}
	}
	p.changed = !reflect.DeepEqual(before, p.state)
	return p, nil
}

func (a *account) limitTokens(p *proposal, count int32, _ session) *Exceeded {
	if limit := a.rules.TokensPerDay; limit != nil && count > 0 && p.state.Tokens >= *limit {
		return a.exceeded(TokensPerDay, *limit, untilTomorrow(p.time))
	}
	return nil
}

func (a *account) limitSessions(p *proposal, count int32, s session) *Exceeded {
	limit := a.rules.Sessions
	if limit == nil || count == 0 {
		return nil
	}
	var ok bool
	if p.state, ok = p.state.admitted(s, *limit); !ok {
		return a.exceeded(Sessions, int64(*limit), sessionsRetry)
	}
	return nil
}

// limitRequests claims no more than there are places for: a claim that nobody can use is lost.
func (a *account) limitRequests(p *proposal, count int32, _ session) *Exceeded {
	limit, have := a.rules.RequestsPerMinute, a.left(p.time)
	if a.rules.ConcurrentRequests != nil {
		count = min(count, p.held-a.inUse)
	}
	if limit == nil || count <= have {
		return nil
	}
	if p.state, p.requests = p.state.claimed(count-have, *limit, p.time); have+p.requests == 0 {
		return a.exceeded(RequestsPerMinute, int64(*limit), p.state.nextRequest(p.time))
	}
	return nil
}

// left are the claimed requests that may still be made.
func (a *account) left(now time.Time) int32 {
	if !now.Before(a.prepaidUntil) {
		return 0
	}
	return a.prepaid
}

func (a *account) limitPlaces(p *proposal, count int32, _ session) *Exceeded {
	limit := a.rules.ConcurrentRequests
	if limit == nil {
		p.state, p.held = p.state.occupied(a.replica, 0, 0, 0, p.time)
		return nil
	}
	if p.state, p.held = p.state.occupied(a.replica, a.inUse, a.inUse+count, *limit, p.time); count > 0 && p.held <= a.inUse {
		return a.exceeded(ConcurrentRequests, int64(*limit), placesRetry)
	}
	return nil
}

// written takes up what the API server has accepted.
func (a *account) written(p proposal, version string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.version, a.readTime = p.state, version, p.time
	if a.prepaid = a.left(p.time); a.prepaid == 0 {
		a.prepaidUntil = p.time.Add(claimTime)
	}
	a.prepaid += p.requests
	a.held, a.renewTime = p.held, p.time
	a.spent -= p.spent
}

// learned takes up what was read.
func (a *account) learned(s state, version string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known, a.version, a.readTime = s, version, now
}

// age is how old the known state is.
func (a *account) age(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return now.Sub(a.readTime)
}

// finish ends a request that was let through, and that used so many tokens.
func (a *account) finish(now time.Time, tokens int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse--
	a.idleSince = now
	if a.rules.TokensPerDay != nil {
		a.spent += tokens
	}
}

// undo takes back that a request was let through, which was not made.
func (a *account) undo() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inUse-- // idleSince stays: whoever only asks must not keep places from being given back
	if a.rules.RequestsPerMinute != nil {
		a.prepaid++
	}
}

// unsettled is true when the others have to be told something; at the end, of all that is not in use.
func (a *account) unsettled(now time.Time, end bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spent > 0 ||
		a.held > a.inUse && (end || now.Sub(a.idleSince) >= idleTime) ||
		a.held > 0 && now.Sub(a.renewTime) >= renewTime
}

// idle is true when nothing is lost by forgetting the account.
func (a *account) idle(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiting == 0 && a.inUse == 0 && a.held == 0 && a.spent == 0 && now.Sub(a.askedTime) > forgetTime
}
