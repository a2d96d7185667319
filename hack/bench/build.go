package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// signOfLife is how often a long step says that it goes on.
const signOfLife = 10 * time.Second

// path is a path in the checkout.
func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.Root}, parts...)...)
}

// cache is a path where things stay from one benchmark to the next.
func (b *bench) cache(name string) string { return b.path(".cache", "bench", name) }

// lock keeps a second benchmark of this checkout out: it would take the first one's objects for leftovers.
func (b *bench) lock() (unlock func(), err error) {
	if err := os.MkdirAll(b.cache(""), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(b.cache("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errors.New("another benchmark runs in this checkout; wait for its end")
	}
	return func() { _ = f.Close() }, nil
}

// build makes the two programs. Go's build cache makes it quick when nothing has changed.
func (b *bench) build(ctx context.Context, detail io.Writer) error {
	var err error
	if b.scratch, err = os.MkdirTemp("", "sandkeep-bench-"); err != nil {
		return err
	}
	b.undo("Remove temporary files", func(context.Context, io.Writer) error { return os.RemoveAll(b.scratch) })
	overlay, err := b.overlay()
	if err != nil {
		return err
	}
	return errors.Join(
		b.compile(ctx, detail, b.Root, "manager", "-overlay", overlay, "./cmd/manager"),
		b.compile(ctx, detail, b.path("hack", "bench", "kwok"), "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
	)
}

// overlay makes the build add one file to the manager, which lets it be looked into: figures of its memory are not worth a flag of the
// product.
func (b *bench) overlay() (string, error) {
	added := filepath.Join(b.scratch, "probe.go")
	source := "package main\n\nimport _ \"github.com/sandkeep/sandkeep/hack/bench/probe\"\n"
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{b.path("cmd", "manager", "zz_probe.go"): added}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(b.scratch, "overlay.json")
	return overlay, errors.Join(os.WriteFile(added, []byte(source), 0o644), os.WriteFile(overlay, replace, 0o644))
}

func (b *bench) compile(ctx context.Context, detail io.Writer, dir, name string, args ...string) error {
	said := &compilation{out: detail, name: name, began: time.Now()}
	said.last = said.began
	args = append([]string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", b.cache(name)}, args...)
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
	if now := time.Now(); now.Sub(c.last) >= signOfLife {
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

// kindsIn reads the files of a folder, one definition each.
func kindsIn(dir string) ([]*unstructured.Unstructured, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no definitions in %s; run `make generate`", dir)
	}
	var kinds []*unstructured.Unstructured
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		kind := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, kind); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}
