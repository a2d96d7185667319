package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// locked runs do while no other process works on the cache. Only then nobody's temporary files can be in use, so those
// that an interruption left are removed.
func (b *builder) locked(ctx context.Context, do func() error) error {
	if err := os.MkdirAll(b.cache(), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(b.cache("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.lock(ctx, f); err != nil {
		return err
	}
	if err := os.RemoveAll(b.cache("tmp")); err != nil {
		return err
	}
	if err := os.MkdirAll(b.cache("tmp"), 0o755); err != nil {
		return err
	}
	return do()
}

// lock waits for the lock in small steps, so that a person can interrupt it.
func (b *builder) lock(ctx context.Context, f *os.File) error {
	for waited := false; ; waited = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		if !waited {
			b.progress.say("waiting for another build to end")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
