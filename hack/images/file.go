package main

import (
	"archive/tar"
	_ "embed" // for the source of the layers
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// fileSource is part of what a layer of files is made from.
//
//go:embed file.go
var fileSource string

// filesKey is the key of a layer of files with those inputs.
func filesKey(inputs ...string) string {
	return keyOf(append(inputs, fileSource, epoch.String())...)
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
	defer func() { _ = content.Close() }()
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
			return nil, 0, errors.Join(err, f.Close())
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
