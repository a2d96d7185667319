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
	"strings"
)

// load builds the named images, or those that everybody needs, and imports those that the local cluster lacks.
func (b *builder) load(ctx context.Context, names []string) error {
	chosen, err := choose(names, func(a audience) bool { return a != forOneself })
	if err != nil {
		return err
	}
	return b.locked(ctx, func() error {
		index, err := b.buildAll(ctx, chosen)
		if err != nil {
			return err
		}
		held, err := b.held()
		if err != nil {
			return err
		}
		missing := lacking(chosen, index, held)
		if len(missing) == 0 {
			b.progress.say("the cluster holds %s", strings.Join(imageNames(chosen), ", "))
			return nil
		}
		if err := b.importAll(ctx, missing); err != nil {
			return err
		}
		return b.recordHeld(held, missing)
	})
}

// lacking returns the images that the cluster does not hold as they are now.
func lacking(chosen []definition, index map[string]entry, held map[string]string) []entry {
	var missing []entry
	for _, d := range chosen {
		if e := index[d.name]; held[e.Reference] != e.Digest {
			missing = append(missing, e)
		}
	}
	return missing
}

// importAll hands the archives to the cluster's own command, which knows where its containerd is.
func (b *builder) importAll(ctx context.Context, missing []entry) error {
	args := []string{"run", "./hack/cluster", "load"}
	var references []string
	for _, e := range missing {
		args = append(args, e.Archive)
		references = append(references, e.Reference)
	}
	return b.progress.step(ctx, "load "+strings.Join(references, ", "), func(ctx context.Context) error {
		cmd := command(ctx, "go", args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = b.root, b.progress.out, b.progress.out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("go run ./hack/cluster load: %w; `make up` starts the cluster", err)
		}
		return nil
	})
}

// heldPath is the list of what the cluster's containerd holds. It lies in containerd's own folder, so that it vanishes
// when the images do, and stays when they outlive the cluster.
func (b *builder) heldPath() string {
	return filepath.Join(b.root, ".cluster", "containerd", "loaded-images.json")
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

func (b *builder) recordHeld(held map[string]string, loaded []entry) error {
	if !exists(filepath.Dir(b.heldPath())) {
		return nil // not our cluster: load again next time rather than remember what may be gone
	}
	for _, e := range loaded {
		held[e.Reference] = e.Digest
	}
	text, err := json.MarshalIndent(held, "", "  ")
	if err != nil {
		return err
	}
	return b.writeFile(b.heldPath(), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
