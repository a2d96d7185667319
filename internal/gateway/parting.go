package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Times for which a request goes on that nobody waits for any more, until its answer says what it costs. The provider has taken it and will want money for it:
// agents that always left before that would cost and be counted nothing.
const (
	goneTime    = 30 * time.Second
	revokedTime = 5 * time.Second
	// stoppedTime leaves time within CutTime to write what was counted.
	stoppedTime = 2 * time.Second
)

// Reasons for which nobody waits, beside a revokedError.
var (
	errGone    = errors.New("the agent has gone")
	errStopped = errors.New("the gateway stops")
)

// parting ends a request at the provider that nobody waits for any more: at once where it is known what it costs, and else when it is, or a time has passed.
type parting struct {
	end context.CancelFunc

	mu    sync.Mutex
	known bool  // what it costs, as far as that will ever be known before its end
	done  bool  // the exchange has ended
	why   error // the first reason for which nobody waits; nil while somebody does
	due   time.Time
	timer *time.Timer
}

// leave is called when nobody waits any more. It may be called again: what comes to an end sooner by that, does.
func (p *parting) leave(why error, patience time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return
	}
	if p.why == nil {
		p.why = why
	}
	switch due := time.Now().Add(patience); { //nolint:forbidigo // as the timer's
	case p.known:
		p.end()
	case p.timer == nil:
		p.timer, p.due = time.AfterFunc(patience, p.end), due
	case due.Before(p.due):
		p.timer.Reset(patience)
		p.due = due
	}
}

// tell is called when it is known what the request costs.
func (p *parting) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known && p.why != nil {
		p.end()
	}
	p.known = true
}

// left is why nobody waits any more, nil while somebody does.
func (p *parting) left() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// over lets go of everything.
func (p *parting) over() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.end()
}
