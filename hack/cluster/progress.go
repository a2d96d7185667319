package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress tells a person what is being done and how long it takes.
type progress struct {
	mu   sync.Mutex
	out  io.Writer
	beat time.Duration
}

func newProgress(out io.Writer) *progress {
	return &progress{out: out, beat: 15 * time.Second}
}

func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format, args...) // work goes on when nobody watches
}

// step runs one piece of work under a name. It shows signs of life while that takes long, and the time in the end.
func (p *progress) step(name string, work func() error) error {
	start := time.Now()
	p.printf("%s ...", name)
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() { p.heartbeat(start, done) })
	err := work()
	close(done)
	beating.Wait()
	if err != nil {
		p.printf(" failed after %s\n", seconds(start))
		return err
	}
	p.printf(" %s\n", seconds(start))
	return nil
}

func (p *progress) heartbeat(start time.Time, done <-chan struct{}) {
	tick := time.NewTicker(p.beat)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			p.printf("\n  %s so far ...", seconds(start))
		}
	}
}

func seconds(start time.Time) string {
	return fmt.Sprintf("%.1f s", time.Since(start).Seconds())
}
