package limit

import (
	"maps"
	"slices"
	"time"
)

// How long what replicas write counts.
const (
	// window is how long a claim of requests counts: the minute of requestsPerMinute, and the time in which a replica may still use the claim.
	window = time.Minute + claimTime
	// claimTime is how long a replica may use what it has claimed.
	claimTime = time.Second
	// grain is the time whose claims are written as one, with the time of the last: they count a little longer, and are few at any rate.
	grain = time.Second
	// holdTime is how long the places of a replica count that has not renewed them: it is gone.
	holdTime = 30 * time.Second
	// renewTime is how often a replica renews the places that it holds.
	renewTime = 10 * time.Second
)

// state is what all replicas know of an account. It is a value: its methods return another one.
type state struct {
	// Requests are the claims that still count.
	Requests []claim `json:"requests,omitempty"`
	// Places are those of requests that are under way, by replica.
	Places map[string]places `json:"places,omitempty"`
	// Day is the UTC day of which Tokens are the tokens.
	Day    string `json:"day,omitempty"`
	Tokens int64  `json:"tokens,omitempty"`
	// Sessions are those that use the credential, by UID.
	Sessions map[string]sessionKey `json:"sessions,omitempty"`
}

// claim is a number of requests that a replica may make.
type claim struct {
	Time  time.Time `json:"time"`
	Count int32     `json:"count"`
}

// places are how many requests a replica may have under way.
type places struct {
	Count     int32     `json:"count"`
	RenewTime time.Time `json:"renewTime"`
}

// sessionKey says where a Session is found again.
type sessionKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// at leaves out what does not count any more.
func (s state) at(now time.Time) state {
	s.Requests = slices.DeleteFunc(slices.Clone(s.Requests), func(c claim) bool { return now.Sub(c.Time) >= window })
	s.Places = maps.Clone(s.Places)
	maps.DeleteFunc(s.Places, func(_ string, p places) bool { return now.Sub(p.RenewTime) >= holdTime })
	if today := now.UTC().Format(time.DateOnly); s.Day != today {
		s.Day, s.Tokens = today, 0
	}
	s.Sessions = maps.Clone(s.Sessions)
	return s
}

// requested is how many requests count now.
func (s state) requested() int32 {
	var sum int32
	for _, c := range s.Requests {
		sum += c.Count
	}
	return sum
}

// claimed adds a claim of as many of the wanted requests as the limit leaves, and says how many those are.
func (s state) claimed(want, limit int32, now time.Time) (state, int32) {
	got := min(want, limit-s.requested())
	if got <= 0 {
		return s, 0
	}
	s.Requests = slices.Clone(s.Requests)
	if last := len(s.Requests) - 1; last >= 0 && s.Requests[last].Time.Truncate(grain).Equal(now.Truncate(grain)) && !now.Before(s.Requests[last].Time) {
		s.Requests[last] = claim{now, s.Requests[last].Count + got}
		return s, got
	}
	s.Requests = append(s.Requests, claim{now, got})
	return s, got
}

// nextRequest is how long it takes until a claim does not count any more.
func (s state) nextRequest(now time.Time) time.Duration {
	wait := window
	for _, c := range s.Requests {
		wait = min(wait, c.Time.Add(window).Sub(now))
	}
	return wait
}

// occupied gives a replica as many places as the limit leaves of those that it wants, and no fewer than it has in use: what is under way cannot
// be taken back. It renews them, too.
func (s state) occupied(replica string, inUse, want, limit int32, now time.Time) (state, int32) {
	var others int32
	for name, p := range s.Places {
		if name != replica {
			others += p.Count
		}
	}
	count := max(inUse, min(want, limit-others))
	s.Places = maps.Clone(s.Places)
	if count == 0 {
		delete(s.Places, replica)
		return s, 0
	}
	if s.Places == nil {
		s.Places = map[string]places{}
	}
	s.Places[replica] = places{count, now}
	return s, count
}

// admitted takes up a Session, if the limit leaves room for it.
func (s state) admitted(who session, limit int32) (state, bool) {
	if _, known := s.Sessions[who.uid]; known {
		return s, true
	}
	if int32(len(s.Sessions)) >= limit { //nolint:gosec // no more than an int32 are ever taken up
		return s, false
	}
	s.Sessions = maps.Clone(s.Sessions)
	if s.Sessions == nil {
		s.Sessions = map[string]sessionKey{}
	}
	s.Sessions[who.uid] = who.sessionKey
	return s, true
}

// without leaves Sessions out.
func (s state) without(uids []string) state {
	s.Sessions = maps.Clone(s.Sessions)
	maps.DeleteFunc(s.Sessions, func(uid string, _ sessionKey) bool { return slices.Contains(uids, uid) })
	return s
}

// untilTomorrow is how long the UTC day lasts.
func untilTomorrow(now time.Time) time.Duration {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}
