package gateway

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// bodyTime is how long a body may make no progress while somebody waits for it.
	bodyTime = 30 * time.Second
	// lingerTime is how long the rest of a body is taken after the answer, so that whoever still sends it gets to read that.
	lingerTime = time.Second
)

// errAnswered is what a read of a body gets whose request has been answered.
var errAnswered = errors.New("the request has been answered")

// body is that of a request, and gives up when no byte comes. The connection has a deadline while a read waits, and at no other time: a provider may take
// its own with what has come.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration

	reading sync.Mutex // held by a read
	mu      sync.Mutex // guards what follows
	state   bodyState
	stalled bool
}

type bodyState int

const (
	resting bodyState = iota
	waiting           // a read waits for bytes
	whole             // all of it has come
	over              // the request has been answered
)

// guardBody has the body of a request give up after idle. What it returns is to be called when the request has been answered. The request is one that
// nobody else looks at.
func guardBody(w http.ResponseWriter, r *http.Request, idle time.Duration) (answered func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), idle: idle}
	r.Body = b
	return b.answered
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.begin() {
		return 0, errAnswered
	}
	n, err := b.ReadCloser.Read(p)
	b.end(err)
	return n, err
}

// begin is false once the request has been answered.
func (b *body) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == over {
		return false
	}
	b.state = waiting
	b.deadline(b.idle)
	return true
}

// end takes the deadline away, by which net/http would take the agent for gone.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == over {
		return
	}
	b.state, b.stalled = resting, errors.Is(err, os.ErrDeadlineExceeded)
	if errors.Is(err, io.EOF) {
		b.state = whole
	}
	_ = b.control.SetReadDeadline(time.Time{})
}

// gaveUp is true for a body that did not come. The error of a request does not tell it: net/http takes the agent for gone.
func (b *body) gaveUp() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stalled
}

// answered bounds how long net/http waits for the rest of a body, which it takes off the connection in any case.
func (b *body) answered() {
	b.mu.Lock()
	before := b.state
	b.state = over
	b.mu.Unlock()
	if before == whole {
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
	_ = b.control.SetReadDeadline(time.Now().Add(after)) //nolint:forbidigo // connections know no other clock
}
