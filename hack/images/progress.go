package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// progress tells a person what is being done and for how long.
type progress struct {
	out   io.Writer
	every time.Duration // between two signs of life of one step
}

// step runs do under a title, with a sign of life while it lasts and its duration at the end.
func (p progress) step(ctx context.Context, title string, do func(context.Context) error) error {
	start := time.Now()
	p.say("%s ...", title)
	stop := p.signsOfLife(title, start)
	err := do(ctx)
	stop()
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	p.say("%s: done in %s", title, since(start))
	return nil
}

// signsOfLife prints until the returned function is called; nothing is printed after that returns.
func (p progress) signsOfLife(title string, start time.Time) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				p.say("%s: still at it after %s", title, since(start))
			}
		}
	}()
	return func() { close(quit); <-ended }
}

func (p progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, "images: "+format+"\n", args...) // the work goes on when nobody watches
}

func since(start time.Time) time.Duration {
	return time.Since(start).Round(100 * time.Millisecond)
}
