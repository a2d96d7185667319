package agent

import (
	"io"
	"sync"
	"time"
)

// silence finds out that nothing was heard for a while.
type silence struct {
	limit time.Duration
	timer *time.Timer
	once  sync.Once
	over  chan struct{}
}

// newSilence listens; with limit 0 it never loses patience.
func newSilence(limit time.Duration) *silence {
	s := &silence{limit: limit, over: make(chan struct{})}
	if limit > 0 {
		s.timer = time.AfterFunc(limit, func() { s.once.Do(func() { close(s.over) }) })
	}
	return s
}

// broken is told of every sign of life.
func (s *silence) broken() {
	if s.timer != nil {
		s.timer.Reset(s.limit)
	}
}

func (s *silence) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// tooLong is closed once nothing was heard for the whole limit.
func (s *silence) tooLong() <-chan struct{} { return s.over }

// signs is a Reader that breaks a silence.
type signs struct {
	io.Reader
	silence *silence
}

func (s signs) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if n > 0 {
		s.silence.broken()
	}
	return n, err
}
