package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// push builds the named images, or the shipped ones, and pushes them with the credentials of ~/.docker/config.json.
func (b *builder) push(ctx context.Context, names []string) error {
	chosen, err := choose(names, func(a audience) bool { return a == forEveryone })
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(chosen, func(d definition) bool { return d.audience == forOneself }); i >= 0 {
		return fmt.Errorf("%s is never pushed: its licence does not let us hand it on; build your own image and keep it private", chosen[i].name)
	}
	return b.locked(ctx, func() error { return b.pushAll(ctx, chosen) })
}

func (b *builder) pushAll(ctx context.Context, chosen []definition) error {
	images, err := b.buildAll(ctx, chosen)
	if err != nil {
		return err
	}
	for _, m := range images {
		if err := b.pushOne(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// pushOne pushes an image unless the registry has it. What a registry has under a name is never replaced.
func (b *builder) pushOne(ctx context.Context, m built) error {
	tag, err := name.NewTag(m.Reference)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	held, err := heldDigest(tag, options)
	switch {
	case err != nil:
		return fmt.Errorf("look for %s: %w", m.Reference, pushAdvice(tag, err))
	case held == m.Digest:
		b.progress.say("%s is in the registry", m.Reference)
		return nil
	case held != "":
		return fmt.Errorf("the registry has another image of the name %s (%s, ours is %s): choose another VERSION", m.Reference, held, m.Digest)
	}
	return b.progress.step(ctx, "push "+m.Reference, func(context.Context) error {
		img, err := m.image(gzipped)
		if err != nil {
			return err
		}
		return pushAdvice(tag, remote.Write(tag, img, options...))
	})
}

// heldDigest returns the configuration digest of what the registry has under a tag, or nothing.
func heldDigest(tag name.Tag, options []remote.Option) (string, error) {
	img, err := remote.Image(tag, options...)
	var refused *transport.Error
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	digest, err := img.ConfigName()
	return digest.String(), err
}

// gzipped packs a layer in the form that every registry and runtime takes.
func gzipped(l cachedLayer) (v1.Layer, error) { return tarball.LayerFromOpener(l.Uncompressed) }

// pushAdvice says what to do about a registry that wants to know who is asking.
func pushAdvice(tag name.Tag, err error) error {
	var refused *transport.Error
	if errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("%w; log in with `docker login %s`, or set REGISTRY to one that you may push to", err, tag.RegistryStr())
	}
	return err
}
