package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

// maxUnderWay is how many requests of one sandbox may be under way. Each holds memory that all tenants share. An agent that works in parallel has a dozen.
const maxUnderWay = 64

// place is what requests are counted for: one sandbox, and apart from what its agent asks, what sandboxd says for itself, so that an agent cannot keep
// the report of its run out.
type place struct {
	pod types.UID
	own bool
}

// places bound what each sandbox has under way.
type places struct {
	mu    sync.Mutex
	taken map[place]int
	empty chan struct{} // closed when the last one leaves; nil while nobody waits for that
}

// take is false where there is no place left. Leave gives a place back.
func (p *places) take(at place) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[at] >= maxUnderWay {
		return nil, false
	}
	if p.taken == nil {
		p.taken = map[place]int{}
	}
	p.taken[at]++
	return func() { p.leave(at) }, true
}

func (p *places) leave(at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[at]--; p.taken[at] == 0 {
		delete(p.taken, at)
	}
	if len(p.taken) == 0 && p.empty != nil {
		close(p.empty)
		p.empty = nil
	}
}

// left waits until all places have been left, or ctx ends.
func (p *places) left(ctx context.Context) error {
	p.mu.Lock()
	if len(p.taken) == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.empty == nil {
		p.empty = make(chan struct{})
	}
	empty := p.empty
	p.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crowded answers a sandbox that has too much under way, as the provider would.
func (s *Server) crowded(w http.ResponseWriter, r *http.Request, caller identity.Caller, provider string) {
	s.Metrics.refused(caller.Session, provider, "TooManyRequests")
	var format meter.Format
	p := &v1alpha1.APIProvider{}
	if found, err := s.find(r.Context(), client.ObjectKey{Name: provider}, p); err == nil && found {
		format = meter.Format(p.Spec.Usage)
	}
	s.refuse(w, format, refusal{http.StatusTooManyRequests, "TooManyRequests",
		fmt.Sprintf("The sandbox has %d requests under way, and may not have more; try again when some have ended", maxUnderWay),
		contract.ProviderRateLimited, identity.RetryAfter})
}
