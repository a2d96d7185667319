package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"
)

func buildText(t *testing.T, b *builder, name, text string) built {
	t.Helper()
	made, err := b.buildOne(t.Context(), textImage(name, text))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestArchiveIsAWholeImage(t *testing.T) {
	b, _ := newBuilder(t)
	made := buildText(t, b, "notes", "one")
	img, err := tarball.ImageFromPath(filepath.Join(b.root, made.Archive), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.RootFS.DiffIDs, packedLayers(t, b, made)); diff != "" {
		t.Errorf("layers (-configured +in the archive):\n%s", diff)
	}
	if config.OS != "linux" || config.Architecture != "amd64" || !config.Created.Equal(epoch) {
		t.Errorf("the image is for %s/%s and from %s", config.OS, config.Architecture, config.Created)
	}
	if config.Config.User != "10001:10001" || config.Config.WorkingDir != "/workspace" {
		t.Errorf("the image runs as %s in %s", config.Config.User, config.Config.WorkingDir)
	}
	want := map[string]string{
		"org.opencontainers.image.title":    "Title of notes",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source":   "https://github.com/sandkeep/sandkeep",
	}
	if diff := cmp.Diff(want, config.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	digest, err := img.ConfigName()
	if err != nil || digest.String() != made.Digest {
		t.Errorf("the archive holds %s, %v; recorded is %s", digest, err, made.Digest)
	}
}

// packedLayers returns the digests of what the layers of an archive unpack to.
func packedLayers(t *testing.T, b *builder, made built) []v1.Hash {
	t.Helper()
	archive, err := os.Open(filepath.Join(b.root, made.Archive))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	var digests []v1.Hash
	for _, e := range unpackTar(t, archive) {
		if !strings.HasSuffix(e.Name, ".tar.zst") {
			continue
		}
		unpacked, err := zstd.NewReader(strings.NewReader(e.text))
		if err != nil {
			t.Fatal(err)
		}
		digest, _, err := v1.SHA256(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	return digests
}

func TestArchiveNamesItsReference(t *testing.T) {
	b, _ := newBuilder(t)
	made := buildText(t, b, "notes", "one")
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(filepath.Join(b.root, made.Archive)) })
	if err != nil {
		t.Fatal(err)
	}
	want := "registry.example.com/team/notes:dev-" + strings.TrimPrefix(made.Digest, "sha256:")[:12]
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 || manifest[0].RepoTags[0] != want || made.Reference != want {
		t.Errorf("the archive names %+v and the index %s, want %s", manifest, made.Reference, want)
	}
}

func TestReferenceFollowsTheContent(t *testing.T) {
	b, _ := newBuilder(t)
	other, _ := newBuilder(t)
	first := buildText(t, b, "notes", "one")
	if same := buildText(t, other, "notes", "one"); same.Reference != first.Reference {
		t.Errorf("the same content is %s here and %s elsewhere", first.Reference, same.Reference)
	}
	if changed := buildText(t, b, "notes", "two"); changed.Reference == first.Reference {
		t.Errorf("another content has the same reference %s", changed.Reference)
	}
	d := textImage("notes", "one")
	d.config.User = "0"
	changed, err := b.buildOne(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if changed.Reference == first.Reference {
		t.Errorf("another configuration has the same reference %s", changed.Reference)
	}
}

func TestArchiveIsWrittenOnlyWhenSomethingChanged(t *testing.T) {
	b, said := newBuilder(t)
	made := buildText(t, b, "notes", "one")
	archive := filepath.Join(b.root, made.Archive)
	for _, tc := range []struct {
		name    string
		change  func() error
		written bool
	}{
		{"nothing", func() error { return nil }, false},
		{"archive deleted", func() error { return os.Remove(archive) }, true},
		{"index deleted", func() error { return os.Remove(b.cache("images.json")) }, true},
		{"another version", func() error { b.version = "v1"; return nil }, true},
		{"that version again", func() error { return nil }, false},
		{"no version again", func() error { b.version = ""; return nil }, true},
	} {
		said.Reset()
		if err := tc.change(); err != nil {
			t.Fatal(err)
		}
		again := buildText(t, b, "notes", "one")
		if written := strings.Contains(said.String(), "archive "); written != tc.written {
			t.Errorf("%s: written = %v, want %v; said:\n%s", tc.name, written, tc.written, said)
		}
		if again.Digest != made.Digest || !exists(archive) {
			t.Errorf("%s: built %s, want %s", tc.name, again.Digest, made.Digest)
		}
	}
}

func TestIndex(t *testing.T) {
	b, _ := newBuilder(t)
	notes, other := buildText(t, b, "notes", "one"), buildText(t, b, "other", "two")
	index, err := b.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]entry{"notes": notes.entry, "other": other.entry}
	if diff := cmp.Diff(want, index); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	if notes.Archive != ".cache/images/notes.tar" {
		t.Errorf("archive = %s, want a path from the top of the checkout", notes.Archive)
	}
}

func TestDamagedIndex(t *testing.T) {
	b, _ := newBuilder(t)
	writeTestFile(t, b.cache("images.json"), "{")
	_, err := b.buildOne(t.Context(), textImage("notes", "one"))
	wantError(t, err, "delete it to build anew")
}

func TestTransportDoesNotChangeTheImage(t *testing.T) {
	b, _ := newBuilder(t)
	made := buildText(t, b, "notes", "one")
	img, err := made.image(gzipped)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if err := validate.Layer(l); err != nil {
			t.Error(err)
		}
	}
	digest, err := img.ConfigName()
	if err != nil || digest.String() != made.Digest {
		t.Errorf("with gzip the image is %s, %v; want %s", digest, err, made.Digest)
	}
}

func TestPrintReference(t *testing.T) {
	b, _ := newBuilder(t)
	if err := b.writeIndex(map[string]entry{"opencode": {Reference: "registry.example.com/opencode:dev-1"}}); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	if err := b.printReference(&printed, []string{"opencode"}); err != nil {
		t.Fatal(err)
	}
	if printed.String() != "registry.example.com/opencode:dev-1\n" {
		t.Errorf("printed %q", printed.String())
	}
	wantError(t, b.printReference(&printed, []string{"fixture"}), "go run ./hack/images build fixture")
	wantError(t, b.printReference(&printed, []string{"unknown"}), "no image is called")
	wantError(t, b.printReference(&printed, nil), errUsage.Error())
}

func TestBuildAllNamesTheImageThatFails(t *testing.T) {
	b, _ := newBuilder(t)
	broken := textImage("broken", "")
	broken.recipes = func(context.Context, *builder) ([]recipe, error) { return nil, os.ErrPermission }
	_, err := b.buildAll(t.Context(), []definition{textImage("notes", "one"), broken})
	wantError(t, err, "build broken")
	if index, err := b.readIndex(); err != nil || len(index) != 1 {
		t.Errorf("index = %v, %v; want what was built before", index, err)
	}
}

func TestUnknownCommands(t *testing.T) {
	checkout(t)
	for _, args := range [][]string{nil, {"bild"}, {"ref"}} {
		if err := run(t.Context(), args); !errors.Is(err, errUsage) {
			t.Errorf("%v: error = %v, want the usage", args, err)
		}
	}
}
