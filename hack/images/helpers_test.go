package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// newBuilder works in an empty checkout. What it says goes to the returned buffer.
func newBuilder(t *testing.T) (*builder, *bytes.Buffer) {
	t.Helper()
	said := &bytes.Buffer{}
	root := t.TempDir()
	b := &builder{
		settings: settings{root: root, registry: "registry.example.com/team", cluster: filepath.Join(root, ".cluster")},
		progress: progress{out: said, every: time.Minute},
	}
	if err := os.MkdirAll(b.cache("tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	return b, said
}

// textRecipe makes a layer of one file, and counts in made how often it was written.
func textRecipe(name, text string, made *int) recipe {
	return recipe{
		name: name,
		key:  keyOf(text),
		write: func(_ context.Context, w io.Writer) error {
			*made++
			return writeFiles(w, []file{{path: "/" + name, mode: 0o644, open: fromText(text)}})
		},
	}
}

// textImage describes an image of one file.
func textImage(name, text string) definition {
	return definition{
		name: name, title: "Title of " + name, license: "Apache-2.0", audience: forEveryone,
		recipes: func(context.Context, *builder) ([]recipe, error) {
			var made int
			return []recipe{textRecipe(name, text, &made)}, nil
		},
		config: v1.Config{User: "10001:10001", WorkingDir: "/workspace"},
	}
}

// tarEntry is an entry of a tar with its content.
type tarEntry struct {
	tar.Header
	text string
}

func packTar(t *testing.T, entries ...tarEntry) *bytes.Buffer {
	t.Helper()
	packed := &bytes.Buffer{}
	w := tar.NewWriter(packed)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Size = int64(len(e.text))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed
}

func unpackTar(t *testing.T, r io.Reader) []tarEntry {
	t.Helper()
	var entries []tarEntry
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tarEntry{*h, string(text)})
	}
}

func entryNames(entries []tarEntry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

// fakePrograms replaces the programs of the machine by shell scripts.
func fakePrograms(t *testing.T, scripts map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", folder+":/usr/bin:/bin")
}

func writeTestFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readTestFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantError fails the test unless err says all of these.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}
