package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// epoch is the time of every file and image, so that equal contents make equal digests. It is not zero because zip, and
// therefore some build tools, cannot express a time before 1980.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// recipe makes one layer. Its key is different whenever the result could be.
type recipe struct {
	name string
	// work says in words for people what write does.
	work  string
	key   string
	write func(context.Context, io.Writer) error
}

// keyOf hashes the inputs of a recipe.
func keyOf(inputs ...string) string {
	h := sha256.New()
	for _, in := range inputs {
		_, _ = fmt.Fprintf(h, "%d:%s", len(in), in) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// cachedLayer is a layer in the cache. It is packed with zstd at its fastest, which costs less time than containerd saves
// by reading and keeping a third of the bytes.
type cachedLayer struct {
	path   string
	size   int64
	digest v1.Hash // of the packed layer
	diffID v1.Hash // of the layer itself
}

// Digest implements v1.Layer.
func (l cachedLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements v1.Layer.
func (l cachedLayer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size implements v1.Layer.
func (l cachedLayer) Size() (int64, error) { return l.size, nil }

// MediaType implements v1.Layer.
func (l cachedLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

// Compressed implements v1.Layer.
func (l cachedLayer) Compressed() (io.ReadCloser, error) { return os.Open(l.path) }

// Uncompressed implements v1.Layer.
func (l cachedLayer) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil {
		return nil, err
	}
	unpacked, err := zstd.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unpacking{unpacked.IOReadCloser(), f}, nil
}

// unpacking closes the packed file with the reader of its content.
type unpacking struct {
	io.ReadCloser
	packed io.Closer
}

// Close implements io.Closer.
func (u unpacking) Close() error { return errors.Join(u.ReadCloser.Close(), u.packed.Close()) }

// layer returns the layer of a recipe, from the cache where it is there. The digests are written last, so their presence
// proves that the layer is whole.
func (b *builder) layer(ctx context.Context, r recipe) (cachedLayer, error) {
	l := cachedLayer{path: b.cache("layers", r.name+"-"+r.key+".tar.zst")}
	stamp := b.cache("layers", r.name+"-"+r.key+".digests")
	if l.restore(stamp) == nil {
		return l, nil
	}
	err := b.progress.step(ctx, r.work, func(ctx context.Context) error {
		if err := b.pack(ctx, r, &l); err != nil {
			return err
		}
		return os.WriteFile(stamp, []byte(l.digest.String()+" "+l.diffID.String()), 0o644)
	})
	if err != nil {
		return cachedLayer{}, err
	}
	return l, removeOlder(l.path, stamp)
}

// restore reads back what was written beside a layer.
func (l *cachedLayer) restore(stamp string) error {
	text, err := os.ReadFile(stamp)
	if err != nil {
		return err
	}
	info, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	digest, diffID, _ := strings.Cut(string(text), " ")
	l.size = info.Size()
	l.digest, err = v1.NewHash(digest)
	if err != nil {
		return err
	}
	l.diffID, err = v1.NewHash(diffID)
	return err
}

// pack writes the layer of a recipe and takes its digests on the way.
func (b *builder) pack(ctx context.Context, r recipe, l *cachedLayer) error {
	packed, plain := sha256.New(), sha256.New()
	err := b.writeFile(l.path, func(w io.Writer) error {
		z, err := zstd.NewWriter(io.MultiWriter(w, packed), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return err
		}
		return errors.Join(r.write(ctx, io.MultiWriter(z, plain)), z.Close())
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(l.path)
	if err != nil {
		return err
	}
	l.size, l.digest, l.diffID = info.Size(), sha256Hash(packed), sha256Hash(plain)
	return nil
}

func sha256Hash(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// removeOlder deletes the layers of the same recipe with other inputs.
func removeOlder(keep ...string) error {
	base := filepath.Base(keep[0])
	prefix := base[:strings.LastIndex(base, "-")+1]
	entries, err := os.ReadDir(filepath.Dir(keep[0]))
	if err != nil {
		return err
	}
	for _, e := range entries {
		key, ok := strings.CutPrefix(e.Name(), prefix)
		full := filepath.Join(filepath.Dir(keep[0]), e.Name())
		if !ok || strings.Contains(key, "-") || slices.Contains(keep, full) {
			continue
		}
		if err := os.Remove(full); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file of the cache so that an interruption leaves the old one, or none.
func (b *builder) writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replaceFile(path, b.cache("tmp"), write)
}

// replaceFile writes to a temporary file in a folder of the same file system, and renames it when it is whole.
func replaceFile(path, folder string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(folder, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := write(buffered); err != nil {
		return diskAdvice(err)
	}
	if err := buffered.Flush(); err != nil {
		return diskAdvice(err)
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return diskAdvice(err)
	}
	return os.Rename(f.Name(), path)
}
