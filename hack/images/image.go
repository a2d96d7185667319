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

// built is an image of which the layers and the archive are in the cache.
type built struct {
	definition
	entry
	layers []cachedLayer
}

// build builds the named images, or those that everybody needs.
func (b *builder) build(ctx context.Context, names []string) error {
	chosen, err := choose(names, func(a audience) bool { return a != forOneself })
	if err != nil {
		return err
	}
	return b.locked(ctx, func() error {
		_, err := b.buildAll(ctx, chosen)
		return err
	})
}

func (b *builder) buildAll(ctx context.Context, chosen []definition) ([]built, error) {
	images := make([]built, 0, len(chosen))
	for _, d := range chosen {
		made, err := b.buildOne(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", d.name, err)
		}
		images = append(images, made)
	}
	return images, nil
}

// buildOne brings the layers, the archive and the index entry of one image up to date.
func (b *builder) buildOne(ctx context.Context, d definition) (built, error) {
	layers, err := b.layers(ctx, d)
	if err != nil {
		return built{}, err
	}
	made := built{definition: d, layers: layers}
	img, err := made.image(asCached)
	if err != nil {
		return built{}, err
	}
	digest, err := img.ConfigName()
	if err != nil {
		return built{}, err
	}
	made.entry = entry{
		Reference: b.reference(d.name, digest.String()),
		Digest:    digest.String(),
		Archive:   filepath.Join(".cache", "images", d.name+".tar"),
	}
	return made, b.archive(ctx, made, img)
}

// layers returns the layers of an image, building those that are not in the cache.
func (b *builder) layers(ctx context.Context, d definition) ([]cachedLayer, error) {
	recipes, err := d.recipes(ctx, b)
	if err != nil {
		return nil, err
	}
	layers := make([]cachedLayer, 0, len(recipes))
	for _, r := range recipes {
		l, err := b.layer(ctx, r)
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	return layers, nil
}

// archive writes the docker archive of an image, unless the index says that it is there.
func (b *builder) archive(ctx context.Context, made built, img v1.Image) error {
	index, err := b.readIndex()
	if err != nil {
		return err
	}
	if index[made.name] == made.entry && exists(filepath.Join(b.root, made.Archive)) {
		b.progress.say("%s is up to date: %s", made.name, made.Reference)
		return nil
	}
	tag, err := name.NewTag(made.Reference)
	if err != nil {
		return err
	}
	err = b.progress.step(ctx, "archive "+made.Reference, func(context.Context) error {
		return b.writeFile(filepath.Join(b.root, made.Archive), func(w io.Writer) error { return tarball.Write(tag, img, w) })
	})
	if err != nil {
		return err
	}
	index[made.name] = made.entry
	return b.writeIndex(index)
}

// asCached uses a layer as it is in the cache.
func asCached(l cachedLayer) (v1.Layer, error) { return l, nil }

// image puts the layers together, each as transport turns it out. The configuration, and so the digest that identifies
// the image, names the unpacked layers: it is the same however they travel.
func (m built) image(transport func(cachedLayer) (v1.Layer, error)) (v1.Image, error) {
	var additions []mutate.Addendum
	for _, cached := range m.layers {
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
	config.Config = m.config
	config.Config.Labels = m.labels()
	return mutate.ConfigFile(img, config)
}

func (d definition) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    d.title,
		"org.opencontainers.image.licenses": d.license,
		"org.opencontainers.image.source":   "https://github.com/sandkeep/sandkeep",
	}
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

func (b *builder) writeIndex(index map[string]entry) error {
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
