package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// builder builds, loads and pushes images.
type builder struct {
	settings
	progress progress
}

// entry is one image in images.json.
type entry struct {
	// Reference is what a pod names.
	Reference string `json:"reference"`
	// Digest is that of the image's configuration, which a container runtime calls the image's ID.
	Digest string `json:"digest"`
	// Archive is the docker archive, relative to the top of the checkout.
	Archive string `json:"archive"`
}

// layered is an image of which the layers are in the cache.
type layered struct {
	definition
	layers []cachedLayer
}

// build builds the named images, or those that everybody needs, and returns the index of all that are built.
func (b *builder) build(ctx context.Context, names []string) (map[string]entry, error) {
	chosen, err := choose(names, func(a audience) bool { return a != forOneself })
	if err != nil {
		return nil, err
	}
	var index map[string]entry
	err = b.locked(ctx, func() error {
		index, err = b.buildAll(ctx, chosen)
		return err
	})
	return index, err
}

func (b *builder) buildAll(ctx context.Context, chosen []definition) (map[string]entry, error) {
	for _, d := range chosen {
		if err := b.buildOne(ctx, d); err != nil {
			return nil, fmt.Errorf("build %s: %w", d.name, err)
		}
	}
	return b.readIndex()
}

// buildOne brings the layers, the archive and the index entry of one image up to date.
func (b *builder) buildOne(ctx context.Context, d definition) error {
	l, err := b.layered(ctx, d)
	if err != nil {
		return err
	}
	img, err := l.image(plain)
	if err != nil {
		return err
	}
	digest, err := img.ConfigName()
	if err != nil {
		return err
	}
	archive := filepath.Join(".cache", "images", d.name+".tar")
	e := entry{Reference: b.reference(d.name, digest.String()), Digest: digest.String(), Archive: archive}
	index, err := b.readIndex()
	if err != nil {
		return err
	}
	if index[d.name] == e && exists(filepath.Join(b.root, archive)) {
		b.progress.say("%s is up to date: %s", d.name, e.Reference)
		return nil
	}
	err = b.progress.step(ctx, "archive "+e.Reference, func(context.Context) error { return b.writeArchive(e, img) })
	if err != nil {
		return err
	}
	return b.record(d.name, e)
}

// layered builds the layers of an image that are not in the cache.
func (b *builder) layered(ctx context.Context, d definition) (layered, error) {
	l := layered{definition: d}
	recipes, err := d.recipes(ctx, b)
	if err != nil {
		return l, err
	}
	for _, r := range recipes {
		made, err := b.layer(ctx, r)
		if err != nil {
			return l, err
		}
		l.layers = append(l.layers, made)
	}
	return l, nil
}

// plain uses a cached layer as it is.
func plain(l cachedLayer) (v1.Layer, error) { return l, nil }

// image puts the layers together, each as transport turns it out. The configuration, and so the digest that identifies
// the image, names the unpacked layers: it is the same however they travel.
func (l layered) image(transport func(cachedLayer) (v1.Layer, error)) (v1.Image, error) {
	var additions []mutate.Addendum
	for _, cached := range l.layers {
		packed, err := transport(cached)
		if err != nil {
			return nil, err
		}
		mediaType, err := packed.MediaType()
		if err != nil {
			return nil, err
		}
		additions = append(additions, mutate.Addendum{
			Layer:     packed,
			MediaType: mediaType,
			History:   v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "sandkeep hack/images"},
		})
	}
	img, err := mutate.Append(empty.Image, additions...)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platformOS, platformArch, v1.Time{Time: epoch}
	config.Config = l.config
	config.Config.Labels = l.labels()
	return mutate.ConfigFile(img, config)
}

func (d definition) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    d.title,
		"org.opencontainers.image.licenses": d.license,
		"org.opencontainers.image.source":   "https://github.com/sandkeep/sandkeep",
	}
}

func (b *builder) writeArchive(e entry, img v1.Image) error {
	tag, err := name.NewTag(e.Reference)
	if err != nil {
		return err
	}
	return b.writeFile(filepath.Join(b.root, e.Archive), func(w io.Writer) error { return tarball.Write(tag, img, w) })
}

// readIndex returns what has been built, by image name.
func (b *builder) readIndex() (map[string]entry, error) {
	index := map[string]entry{}
	text, err := os.ReadFile(b.cache("images.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, fmt.Errorf("read %s (delete it to build anew): %w", b.cache("images.json"), err)
	}
	return index, nil
}

// record writes an image into the index.
func (b *builder) record(image string, e entry) error {
	index, err := b.readIndex()
	if err != nil {
		return err
	}
	index = maps.Clone(index)
	index[image] = e
	text, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return b.writeFile(b.cache("images.json"), func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// printReference prints the reference of one image of the last build.
func (b *builder) printReference(w io.Writer, names []string) error {
	if len(names) != 1 {
		return errUsage
	}
	if _, err := choose(names, nil); err != nil {
		return err
	}
	index, err := b.readIndex()
	if err != nil {
		return err
	}
	e, ok := index[names[0]]
	if !ok {
		return fmt.Errorf("%[1]s has not been built: run `go run ./hack/images build %[1]s`", names[0])
	}
	_, err = fmt.Fprintln(w, e.Reference)
	return err
}
