package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
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
	defer func() { _ = f.Close() }()
	if err := b.lock(ctx, f); err != nil {
		return err
	}
	if err := removeUnmounted(b.cache("tmp")); err != nil {
		return err
	}
	if err := os.MkdirAll(b.cache("tmp"), 0o755); err != nil {
		return err
	}
	return do()
}

// removeUnmounted removes a folder unless something is mounted in it: that can be a part of this machine.
func removeUnmounted(folder string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	written := strings.ReplaceAll(folder, " ", `\040`)
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, written+"/") {
			return fmt.Errorf("something is mounted in a folder that has to go: run `umount %s` and this again", at)
		}
	}
	return os.RemoveAll(folder)
}

// lock takes the lock, and waits for it in small steps, so that a person can interrupt it.
func (b *builder) lock(ctx context.Context, f *os.File) error {
	taken, err := tryLock(f)
	if taken || err != nil {
		return err
	}
	return b.progress.step(ctx, "wait for another build to end", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
			if taken, err := tryLock(f); taken || err != nil {
				return err
			}
		}
	})
}

func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}
