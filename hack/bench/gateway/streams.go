package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/sandkeep/sandkeep/hack/bench/probe"
)

// opening is how many streams are being opened at the same time.
const opening = 32

// stream is one that is open: what has come of it, and the rest.
type stream struct {
	text bytes.Buffer
	rest io.ReadCloser
}

// measureStreams opens streams from as many sandboxes, and looks at the memory while all of them are open.
func (b *bench) measureStreams(ctx context.Context, _ io.Writer) error {
	return errors.Join(
		b.measureStreamsOf(ctx, b.gateway, &b.report.Gateway.Streams),
		b.measureStreamsOf(ctx, b.bare, &b.report.Bare.Streams),
		b.settle(ctx),
	)
}

// settle waits until the gateway has written what the streams of all sandboxes used: so many of them end at once nowhere else.
func (b *bench) settle(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(context.Context) (bool, error) {
		return b.api.Idle() >= time.Second, nil
	})
}

func (b *bench) measureStreamsOf(ctx context.Context, f *front, into *memory) error {
	before, err := f.Look(ctx)
	if err != nil {
		return err
	}
	f.ResetPeak()
	list, err := b.openAll(ctx, f.url)
	if err == nil {
		open, lookErr := f.Look(ctx)
		*into, err = memoryOf(before, open), errors.Join(lookErr, f.Keep(ctx, probe.PathHeap, b.profiles, "streams-"+f.name+".pprof"))
	}
	b.provider.letGo()
	errs := []error{err}
	for i := range list {
		if s := &list[i]; s.rest != nil {
			errs = append(errs, whole(&s.text, s.rest), s.rest.Close())
		}
	}
	b.disconnect()
	return firstOf(errs)
}

// firstOf is the first of many errors, which say the same again and again.
func firstOf(errs []error) error {
	i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	if i < 0 {
		return nil
	}
	return errs[i]
}

// openAll opens all streams, and reads each up to where the provider holds it.
func (b *bench) openAll(ctx context.Context, url string) ([]stream, error) {
	list, errs, queue := make([]stream, b.streams), make([]error, b.streams), make(chan int)
	var working sync.WaitGroup
	for range min(opening, b.streams) {
		working.Go(func() {
			for i := range queue {
				if list[i].rest, errs[i] = b.agents[i].open(ctx, url, true); errs[i] == nil {
					errs[i] = list[i].begin()
				}
			}
		})
	}
	for i := range list {
		queue <- i
	}
	close(queue)
	working.Wait()
	return list, firstOf(errs)
}

// begin reads all events that come before the provider holds the stream.
func (s *stream) begin() error {
	piece := make([]byte, 4096)
	for !bytes.Contains(s.text.Bytes(), []byte("event: content_block_stop\n")) {
		n, err := s.rest.Read(piece)
		s.text.Write(piece[:n])
		if err != nil {
			return fmt.Errorf("read the beginning of a stream: %w", err)
		}
	}
	return nil
}

// leftTime is how long connections may take to end on both sides.
const leftTime = 30 * time.Second

// nothingLeft waits until the gateway has no more goroutines than before all of this.
func (b *bench) nothingLeft(ctx context.Context, detail io.Writer) error {
	b.disconnect()
	last := 0
	err := wait.PollUntilContextTimeout(ctx, glance, leftTime, true, func(ctx context.Context) (bool, error) {
		l, err := b.gateway.Look(ctx)
		last = l.Goroutines
		return last <= b.idle, err
	})
	if err == nil {
		_, _ = fmt.Fprintf(detail, "%d goroutines, as before\n", last)
		return nil
	}
	stacks, askErr := b.gateway.Ask(ctx, probe.PathGoroutines)
	return errors.Join(fmt.Errorf("%d goroutines are left in the gateway after everybody has gone, and %d before; see .cache/bench/goroutines.txt: %w", last, b.idle, err),
		askErr, os.WriteFile(b.Cache("goroutines.txt"), stacks, 0o644))
}

// compareUsage stops the gateway, which then writes everything that it counted, and compares that with what the provider did.
func (b *bench) compareUsage(ctx context.Context, detail io.Writer) error {
	b.gateway.Stop()
	var got usage
	for _, s := range b.api.Sessions() {
		if u := s.Status.Usage; u != nil {
			got = got.plus(usage{*u.Requests, *u.InputTokens, *u.OutputTokens})
		}
	}
	want, err := b.provider.usage(ctx, gatewayKey)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the statuses of the Sessions say %+v, the provider %+v", got, want)
	}
	_, _ = fmt.Fprintf(detail, "%d requests, %d tokens in and %d out, in status as at the provider\n", got.requests, got.input, got.output)
	return nil
}
