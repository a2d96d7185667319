package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// build makes the two programs.
func (b *bench) build(ctx context.Context, detail io.Writer) error {
	var err error
	if b.Scratch, err = os.MkdirTemp("", "sandkeep-bench-"); err != nil {
		return err
	}
	b.Undo("Remove temporary files", func(context.Context, io.Writer) error { return os.RemoveAll(b.Scratch) })
	overlay, err := b.Overlay("manager")
	if err != nil {
		return err
	}
	return errors.Join(
		b.Compile(ctx, detail, b.Checkout, "manager", "-overlay", overlay, "./cmd/manager"),
		b.Compile(ctx, detail, b.Path("hack", "bench", "kwok"), "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
	)
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
