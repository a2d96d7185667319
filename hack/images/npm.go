package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// npmFile is one file of a package and its place in the image.
type npmFile struct {
	pkg    npmPackage
	source string // in the package
	target string // absolute, in the image
	mode   int64
}

// npmRecipe makes a layer of files from npm packages. No script of a package runs and nothing else of it gets in.
func npmRecipe(files ...npmFile) func(context.Context, *builder) (recipe, error) {
	return func(_ context.Context, b *builder) (recipe, error) {
		inputs := make([]string, 0, len(files))
		for _, f := range files {
			inputs = append(inputs, fmt.Sprint(f))
		}
		return recipe{
			name:  filepath.Base(files[0].target),
			work:  fmt.Sprintf("download %s %s from npm, and unpack it", files[0].pkg.name, files[0].pkg.version),
			key:   filesKey(inputs...),
			write: func(ctx context.Context, w io.Writer) error { return b.writeNpm(ctx, w, files) },
		}, nil
	}
}

func (b *builder) writeNpm(ctx context.Context, w io.Writer, files []npmFile) error {
	var layer []file
	for _, f := range files {
		archive, err := b.fetchNpm(ctx, f.pkg)
		if err != nil {
			return err
		}
		layer = append(layer, file{path: f.target, mode: f.mode, open: fromPackage(archive, f.source)})
	}
	return writeFiles(w, layer)
}

// fetchNpm returns the verified archive of a package, asking the registry of this machine's npm when it is not cached.
func (b *builder) fetchNpm(ctx context.Context, p npmPackage) (string, error) {
	cached := filepath.Join(b.root, ".cache", "npm", strings.NewReplacer("@", "", "/", "-").Replace(p.name)+"-"+p.version+".tgz")
	if p.verify(cached) == nil {
		return cached, nil
	}
	if err := b.ensureProgram(ctx, "npm"); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(cached), 0o755); err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp(b.cache("tmp"), "npm.*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	pack := command(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, p.name+"@"+p.version)
	if _, err := output(pack); err != nil {
		return "", err
	}
	fetched, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil {
		return "", err
	}
	if len(fetched) != 1 {
		return "", fmt.Errorf("npm pack of %s left %d archives, want 1", p.name, len(fetched))
	}
	if err := p.verify(fetched[0]); err != nil {
		return "", err
	}
	return cached, os.Rename(fetched[0], cached)
}

// verify compares an archive with the pinned integrity.
func (p npmPackage) verify(archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != p.integrity {
		return fmt.Errorf("%s@%s is not the package that is pinned (%s, want %s): do not use it, and find out what `npm config get registry` serves",
			p.name, p.version, got, p.integrity)
	}
	return nil
}

// fromPackage opens one file of an npm archive, in which everything is under "package/".
func fromPackage(archive, name string) func() (io.ReadCloser, int64, error) {
	return func() (io.ReadCloser, int64, error) {
		f, err := os.Open(archive)
		if err != nil {
			return nil, 0, err
		}
		content, size, err := findInPackage(f, "package/"+name)
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("find %s in %s: %w", name, filepath.Base(archive), err), f.Close())
		}
		return struct {
			io.Reader
			io.Closer
		}{content, f}, size, nil
	}
}

func findInPackage(r io.Reader, name string) (io.Reader, int64, error) {
	unpacked, err := gzip.NewReader(r)
	if err != nil {
		return nil, 0, err
	}
	entries := tar.NewReader(unpacked)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil, 0, os.ErrNotExist
		}
		if err != nil {
			return nil, 0, err
		}
		if h.Name == name && h.Typeflag == tar.TypeReg {
			return entries, h.Size, nil
		}
	}
}
