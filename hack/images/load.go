package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// load builds the named images, or those that everybody needs, and imports those that the local cluster lacks.
func (b *builder) load(ctx context.Context, names []string) error {
	if b.cluster == "" {
		return errors.New("CLUSTER=existing: images cannot be loaded into a cluster that is not ours; push them to a registry that it can pull from")
	}
	chosen, err := choose(names, func(a audience) bool { return a != forOneself })
	if err != nil {
		return err
	}
	return b.locked(ctx, func() error { return b.loadAll(ctx, chosen) })
}

func (b *builder) loadAll(ctx context.Context, chosen []definition) error {
	images, err := b.buildAll(ctx, chosen)
	if err != nil {
		return err
	}
	held, err := b.held()
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(images, func(m built) bool { return held[m.Reference] == m.Digest })
	if len(missing) == 0 {
		b.progress.say("the cluster holds %s", strings.Join(imageNames(chosen), ", "))
		return nil
	}
	if err := b.importAll(ctx, missing); err != nil {
		return err
	}
	return b.recordHeld(held, missing)
}

// importAll hands the archives to the cluster's own command, which knows where its containerd is.
func (b *builder) importAll(ctx context.Context, missing []built) error {
	archives, references := make([]string, 0, len(missing)), make([]string, 0, len(missing))
	for _, m := range missing {
		archives = append(archives, m.Archive)
		references = append(references, m.Reference)
	}
	b.progress.say("loading %s into the cluster", strings.Join(references, ", "))
	cmd := command(ctx, "go", append([]string{"run", "./hack/cluster", "load"}, archives...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.root, b.progress.out, b.progress.out // it tells its own progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("load into the cluster (`make up` starts it): %w", err)
	}
	return nil
}

// heldPath is the list of what the cluster's containerd holds. It lies in containerd's own folder, so that it vanishes
// when the images do, and stays when they outlive the cluster.
func (b *builder) heldPath() string {
	return filepath.Join(b.cluster, "containerd", "loaded-images.json")
}

// held returns the digests that were loaded, by reference.
func (b *builder) held() (map[string]string, error) {
	held := map[string]string{}
	text, err := os.ReadFile(b.heldPath())
	if errors.Is(err, fs.ErrNotExist) {
		return held, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &held); err != nil {
		return nil, fmt.Errorf("read %s (delete it to load the images again): %w", b.heldPath(), err)
	}
	return held, nil
}

func (b *builder) recordHeld(held map[string]string, loaded []built) error {
	if !exists(filepath.Dir(b.heldPath())) {
		return nil // better to load again next time than to remember images that may be gone
	}
	for _, m := range loaded {
		held[m.Reference] = m.Digest
	}
	text, err := json.MarshalIndent(held, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(b.heldPath(), filepath.Dir(b.heldPath()), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
