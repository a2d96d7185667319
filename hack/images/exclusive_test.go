package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestLockedKeepsOthersOut(t *testing.T) {
	first, _ := newBuilder(t)
	said := &bytes.Buffer{}
	second := &builder{settings: first.settings, progress: progress{out: said, every: time.Minute}}
	err := first.locked(t.Context(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return second.locked(ctx, func() error { return errors.New("both are inside") })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want that the second waited in vain", err)
	}
	if got, want := said.String(), "images: wait for another build to end ...\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	if err := second.locked(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestLockedRemovesWhatAnInterruptionLeft(t *testing.T) {
	b, _ := newBuilder(t)
	writeTestFile(t, b.cache("tmp", "mmdebstrap.x", "usr", "bin", "git"), "half")
	err := b.locked(t.Context(), func() error {
		if left := listFolder(t, b.cache("tmp")); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		f, err := os.CreateTemp(b.cache("tmp"), "x")
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLockedInAnEmptyCheckout(t *testing.T) {
	b, _ := newBuilder(t)
	if err := os.RemoveAll(b.cache()); err != nil {
		t.Fatal(err)
	}
	called := false
	if err := b.locked(t.Context(), func() error { called = true; return nil }); err != nil || !called {
		t.Errorf("called = %v, %v", called, err)
	}
}

func TestLockedDoesNotRemoveWhatIsMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	b, _ := newBuilder(t)
	precious := filepath.Join(t.TempDir(), "precious")
	writeTestFile(t, filepath.Join(precious, "file"), "x")
	at := b.cache("tmp", "root", "dev")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(precious, at, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("mounts are not allowed here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	}()
	wantError(t, b.locked(t.Context(), func() error { return nil }), "umount "+at)
	if !exists(filepath.Join(precious, "file")) {
		t.Error("a mounted file was removed")
	}
}
