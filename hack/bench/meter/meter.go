// Package meter stands between a program and the API server and counts what the program asks of it.
package meter

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// Call is a kind of request.
type Call struct {
	// Verb is that of Kubernetes, such as create or patch.
	Verb string
	// Resource is such as pods, or sessions/status.
	Resource string
}

// Tally is what was seen of one kind of request.
type Tally struct {
	// Failed are those that were refused, conflicts included, and those that got no answer.
	Failed int
	// Took are the times until the answer began.
	Took []time.Duration
}

// Writes is true for a call that changes something.
func (c Call) Writes() bool { return c.Verb != "get" && c.Verb != "list" }

// Meter is an http.RoundTripper that counts requests for resources. Watches, which last, are left out.
type Meter struct {
	next     http.RoundTripper
	prefix   string
	resolver request.RequestInfoFactory

	mu      sync.Mutex
	tallies map[Call]Tally
	// open is how many counted requests have no answer yet, last when one got one.
	open int
	last time.Time
}

// New returns a Meter that hands requests on to next. All paths of the API server begin with prefix, which is mostly empty.
func New(next http.RoundTripper, prefix string) *Meter {
	return &Meter{
		next:   next,
		prefix: strings.TrimSuffix(prefix, "/"),
		resolver: request.RequestInfoFactory{
			APIPrefixes:          map[string]sets.Empty{"api": {}, "apis": {}},
			GrouplessAPIPrefixes: map[string]sets.Empty{"api": {}},
		},
		tallies: map[Call]Tally{},
	}
}

// RoundTrip hands a request on and counts it.
func (m *Meter) RoundTrip(r *http.Request) (*http.Response, error) {
	plain := &http.Request{Method: r.Method, URL: &url.URL{Path: strings.TrimPrefix(r.URL.Path, m.prefix), RawQuery: r.URL.RawQuery}}
	info, err := m.resolver.NewRequestInfo(plain)
	if err != nil || !info.IsResourceRequest || info.Verb == "watch" {
		return m.next.RoundTrip(r)
	}
	began := time.Now()
	m.begin()
	response, err := m.next.RoundTrip(r)
	m.count(callOf(info), time.Since(began), err != nil || response.StatusCode >= http.StatusBadRequest)
	return response, err
}

// Idle is for how long no counted request has been waiting for an answer.
func (m *Meter) Idle() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open > 0 {
		return 0
	}
	return time.Since(m.last)
}

func (m *Meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
}

func callOf(info *request.RequestInfo) Call {
	c := Call{Verb: info.Verb, Resource: info.Resource}
	if info.Subresource != "" {
		c.Resource += "/" + info.Subresource
	}
	return c
}

func (m *Meter) count(c Call, took time.Duration, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
	m.last = time.Now()
	t := m.tallies[c]
	t.Took = append(t.Took, took)
	if failed {
		t.Failed++
	}
	m.tallies[c] = t
}

// Reset forgets what was counted.
func (m *Meter) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tallies = map[Call]Tally{}
}

// Tallies is what was counted since the last Reset.
func (m *Meter) Tallies() map[Call]Tally {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.tallies)
}
