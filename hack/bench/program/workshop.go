// Package program is what benchmarks have in common: they build programs of this checkout, run them as processes of their own, look into them, and
// leave nothing behind.
package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/hack/internal/compile"
)

// SignOfLife is how often a long step says that it goes on.
const SignOfLife = 10 * time.Second

// Workshop is where a benchmark builds and runs programs.
type Workshop struct {
	// Checkout is the top of the checkout.
	Checkout string
	// Scratch is a folder for the time of the benchmark.
	Scratch string
	// Abort ends the benchmark for a reason.
	Abort context.CancelCauseFunc
}

// Path is a path in the checkout.
func (w *Workshop) Path(parts ...string) string {
	return filepath.Join(append([]string{w.Checkout}, parts...)...)
}

// Cache is a path where things stay from one benchmark to the next.
func (w *Workshop) Cache(name string) string { return w.Path(".cache", "bench", name) }

// Lock keeps a second benchmark of this checkout out: it would take the first one's objects for leftovers, and both would measure each other.
func (w *Workshop) Lock() (unlock func(), err error) {
	if err := os.MkdirAll(w.Cache(""), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(w.Cache("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("another benchmark runs in this checkout; wait for its end")
	}
	return func() { _ = f.Close() }, nil
}

// Overlay makes the build of a command add one file, which lets it be looked into: figures of its memory are not worth a flag of the product. It
// returns the value of the flag -overlay.
func (w *Workshop) Overlay(command string) (string, error) {
	added := filepath.Join(w.Scratch, command+"-probe.go")
	source := "package main\n\nimport _ \"github.com/sandkeep/sandkeep/hack/bench/probe\"\n"
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{w.Path("cmd", command, "zz_probe.go"): added}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(w.Scratch, command+"-overlay.json")
	return overlay, errors.Join(os.WriteFile(added, []byte(source), 0o644), os.WriteFile(overlay, replace, 0o644))
}

// Compile builds a program in a folder with a go.mod. Go's build cache makes it quick when nothing has changed.
func (w *Workshop) Compile(ctx context.Context, detail io.Writer, dir, name string, args ...string) error {
	said := &compilation{out: detail, name: name, began: time.Now()}
	said.last = said.began
	args = slices.Concat([]string{"build", "-v"}, compile.Flags, []string{"-ldflags=-s -w", "-o", w.Cache(name)}, args)
	cmd := exec.CommandContext(ctx, "go", args...)
	// A workspace of the caller must not change what is built.
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"), said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, tail(said.text.String()))
	}
	return nil
}

// compilation tells how far a build is, from the names of packages that the go command prints.
type compilation struct {
	out         io.Writer
	name        string
	began, last time.Time
	packages    int
	text        strings.Builder
}

func (c *compilation) Write(text []byte) (int, error) {
	c.packages += strings.Count(string(text), "\n")
	c.text.Write(text)
	if now := time.Now(); now.Sub(c.last) >= SignOfLife {
		c.last = now
		_, _ = fmt.Fprintf(c.out, "%s: %d packages compiled in %.0f s\n", c.name, c.packages, now.Sub(c.began).Seconds())
	}
	return len(text), nil
}

// tail is the end of what a program said, indented.
func tail(text string) string {
	const lines = 15
	all := strings.Split(strings.TrimSpace(text), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
