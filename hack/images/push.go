package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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
	for _, d := range chosen {
		if d.audience == forOneself {
			return fmt.Errorf("%s is never pushed: its licence does not let us hand it on; build your own image and keep it private", d.name)
		}
	}
	return b.locked(ctx, func() error {
		index, err := b.buildAll(ctx, chosen)
		if err != nil {
			return err
		}
		for _, d := range chosen {
			if err := b.pushOne(ctx, d, index[d.name]); err != nil {
				return fmt.Errorf("push %s: %w", index[d.name].Reference, err)
			}
		}
		return nil
	})
}

func (b *builder) pushOne(ctx context.Context, d definition, e entry) error {
	tag, err := name.NewTag(e.Reference)
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	held, err := heldDigest(tag, options)
	switch {
	case err != nil:
		return pushAdvice(tag, err)
	case held == e.Digest:
		b.progress.say("%s is in the registry", e.Reference)
		return nil
	case held != "":
		return fmt.Errorf("the registry has another image of that name (%s, ours is %s): choose another VERSION", held, e.Digest)
	}
	return b.progress.step(ctx, "push "+e.Reference, func(ctx context.Context) error {
		l, err := b.layered(ctx, d)
		if err != nil {
			return err
		}
		img, err := l.image(gzipped)
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
func gzipped(l cachedLayer) (v1.Layer, error) { return tarball.LayerFromFile(l.path) }

// pushAdvice says what to do about a registry that wants to know who is asking.
func pushAdvice(tag name.Tag, err error) error {
	var refused *transport.Error
	if errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || refused.StatusCode == http.StatusForbidden) {
		return fmt.Errorf("%w; log in with `docker login %s`, or set REGISTRY to one that you may push to", err, tag.RegistryStr())
	}
	return err
}
