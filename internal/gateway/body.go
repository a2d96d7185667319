package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// bodyTime is how long a body may make no progress while somebody waits for it.
	bodyTime = 30 * time.Second
	// lingerTime is how long the rest of a body is taken after the answer, so that the connection can be used again.
	lingerTime = time.Second
)

// errAnswered is what a read of a body gets whose request has been answered.
var errAnswered = errors.New("the request has been answered")

// body is that of a request, and gives up when no byte comes. The time runs while a read waits, and at no other: a provider may take its time with what
// has come. By HTTP/2 a deadline of net/http that stood longer would end the body meanwhile.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	timer   *time.Timer

	reading sync.Mutex // held by a read
	mu      sync.Mutex // guards what follows
	state   bodyState
	stalled bool
}

type bodyState int

const (
	resting bodyState = iota
	waiting           // a read waits for bytes
	ended             // nothing more comes
	over              // the request has been answered
)

// guardBody has the body of a request give up after idle. What it returns is to be called when the request has been answered.
func guardBody(w http.ResponseWriter, r *http.Request, idle time.Duration) (answered func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), idle: idle}
	b.timer = time.AfterFunc(idle, b.stall)
	r.Body = b
	return b.answered
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.enter(waiting) {
		return 0, errAnswered
	}
	b.timer.Reset(b.idle)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err == nil {
		b.enter(resting)
	} else {
		b.enter(ended)
	}
	return n, err
}

// enter is false once the request has been answered.
func (b *body) enter(s bodyState) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == over {
		return false
	}
	b.state = s
	return true
}

// stall gives up, if a read still waits.
func (b *body) stall() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == waiting {
		b.stalled = true
		b.deadline(0)
	}
}

// gaveUp is true for a body that did not come. Errors do not tell it: where one connection bears one request, net/http takes the agent for gone.
func (b *body) gaveUp() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stalled
}

// answered bounds how long net/http waits for the rest of a body. It would wait without end after a read that it has to interrupt itself.
func (b *body) answered() {
	b.timer.Stop()
	b.mu.Lock()
	before := b.state
	b.state = over
	b.mu.Unlock()
	if before == ended {
		return
	}
	if before == waiting {
		b.deadline(0)
		b.reading.Lock()
		defer b.reading.Unlock()
	}
	b.deadline(lingerTime)
}

func (b *body) deadline(after time.Duration) {
	_ = b.control.SetReadDeadline(time.Now().Add(after)) //nolint:forbidigo // connections know no other clock; all that net/http serves has deadlines
}
