package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Times for which a request goes on that nobody waits for any more, until its answer begins. The provider has taken it and will want money for it, and only
// the beginning of its answer tells how much: agents that always left before that would cost and be counted nothing.
const (
	goneTime    = 30 * time.Second
	revokedTime = 5 * time.Second
)

// errGone is why a request goes on for its count only.
var errGone = errors.New("the agent has gone")

// parting ends a request at the provider that nobody waits for any more: at once where the answer has begun, and else when it begins, or does not.
type parting struct {
	end context.CancelFunc

	mu    sync.Mutex
	begun bool
	why   error // nil while somebody waits
	timer *time.Timer
}

// leave is called when nobody waits any more, for one of two reasons. Only the first one counts.
func (p *parting) leave(why error, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.why != nil:
		return
	case p.begun:
		p.end()
	default:
		p.timer = time.AfterFunc(patience, p.end)
	}
	p.why = why
}

// begin is called when the first part of an answer has come.
func (p *parting) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.begun && p.why != nil {
		p.end()
	}
	p.begun = true
}

// left is why nobody waits any more, nil while somebody does.
func (p *parting) left() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// over lets go of everything: the exchange has ended.
func (p *parting) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.end()
}
