package main

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of every file and image, so that equal contents make equal digests. It is not zero because zip, and
// therefore some build tools, cannot express a time before 1980.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// recipe makes one layer. Its key is different whenever the result could be.
type recipe struct {
	name  string
	key   string
	write func(context.Context, io.Writer) error
}

// keyOf hashes the inputs of a recipe.
func keyOf(inputs ...string) string {
	h := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(h, "%d:%s", len(in), in)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// cachedLayer is an uncompressed layer in the cache. As a v1.Layer it is used as it is: packing it would cost far more
// time than a local cluster saves by reading less.
type cachedLayer struct {
	path   string
	diffID v1.Hash
}

func (l cachedLayer) Digest() (v1.Hash, error)             { return l.diffID, nil }
func (l cachedLayer) DiffID() (v1.Hash, error)             { return l.diffID, nil }
func (l cachedLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l cachedLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l cachedLayer) MediaType() (types.MediaType, error)  { return types.DockerUncompressedLayer, nil }

func (l cachedLayer) Size() (int64, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// layer returns the layer of a recipe, from the cache where it is there. The digest beside the tar is written last, so
// its presence proves that the tar is whole.
func (b *builder) layer(ctx context.Context, r recipe) (cachedLayer, error) {
	l := cachedLayer{path: b.cache("layers", r.name+"-"+r.key+".tar")}
	stamp := strings.TrimSuffix(l.path, ".tar") + ".digest"
	if known, err := os.ReadFile(stamp); err == nil {
		if l.diffID, err = v1.NewHash(string(known)); err == nil && exists(l.path) {
			return l, nil
		}
	}
	err := b.progress.step(ctx, "layer "+r.name, func(ctx context.Context) error {
		digest := sha256.New()
		if err := b.writeFile(l.path, func(w io.Writer) error { return r.write(ctx, io.MultiWriter(w, digest)) }); err != nil {
			return err
		}
		l.diffID = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(digest.Sum(nil))}
		return os.WriteFile(stamp, []byte(l.diffID.String()), 0o644)
	})
	if err != nil {
		return cachedLayer{}, err
	}
	return l, removeOlder(l.path, stamp)
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

// writeFile writes a file so that an interruption leaves the old one, or none.
func (b *builder) writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.cache("tmp"), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
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

// file is one regular file of a layer; open also returns its size in bytes.
type file struct {
	path string // absolute, in the image
	mode int64
	open func() (io.ReadCloser, int64, error)
}

// writeFiles writes files, owned by root, as a layer: sorted, with their folders, and with fixed times.
func writeFiles(w io.Writer, files []file) error {
	tw := tar.NewWriter(w)
	made := map[string]bool{".": true}
	for _, f := range slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.path, b.path) }) {
		name := strings.TrimPrefix(f.path, "/")
		if err := writeFolders(tw, path.Dir(name), made); err != nil {
			return err
		}
		if err := writeContent(tw, name, f); err != nil {
			return fmt.Errorf("add %s: %w", f.path, err)
		}
	}
	return tw.Close()
}

func writeFolders(tw *tar.Writer, folder string, made map[string]bool) error {
	if made[folder] {
		return nil
	}
	if err := writeFolders(tw, path.Dir(folder), made); err != nil {
		return err
	}
	made[folder] = true
	return tw.WriteHeader(folderHeader(folder, 0o755, 0))
}

func folderHeader(name string, mode int64, owner int) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: epoch}
}

func writeContent(tw *tar.Writer, name string, f file) error {
	content, size, err := f.open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: f.mode, Size: size, ModTime: epoch}); err != nil {
		return err
	}
	_, err = io.Copy(tw, content)
	return err
}

// fromDisk opens a file of the machine.
func fromDisk(path string) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		return f, info.Size(), nil
	}
}

// fromText serves a text as a file.
func fromText(text string) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
