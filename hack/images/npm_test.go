package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// npmArchive packs a package the way npm does, and returns it with its pinned description.
func npmArchive(t *testing.T, name string, entries ...tarEntry) ([]byte, npmPackage) {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(packTar(t, entries...).Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(packed.Bytes())
	return packed.Bytes(), npmPackage{name, "1.2.3", "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
}

func program(text string) tarEntry {
	e := tarEntry{text: text}
	e.Name, e.Mode = "package/bin/tool", 0o755
	return e
}

// servedByNpm makes npm pack hand out an archive and write down how it was asked.
func servedByNpm(t *testing.T, archive []byte) (asked string) {
	t.Helper()
	folder := t.TempDir()
	writeTestFile(t, filepath.Join(folder, "served.tgz"), string(archive))
	asked = filepath.Join(folder, "asked")
	fakePrograms(t, map[string]string{
		"npm": `echo "$*" >> ` + asked + `
while [ "$1" != --pack-destination ]; do shift; done
cp ` + filepath.Join(folder, "served.tgz") + ` "$2/some-name.tgz"`,
	})
	return asked
}

func TestFetchNpm(t *testing.T) {
	b, _ := newBuilder(t)
	archive, pinned := npmArchive(t, "@example/tool-linux-x64", program("v1"))
	asked := servedByNpm(t, archive)
	for range 2 {
		got, err := b.fetchNpm(t.Context(), pinned)
		if err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(b.root, ".cache", "npm", "example-tool-linux-x64-1.2.3.tgz")
		if got != want || readTestFile(t, got) != string(archive) {
			t.Errorf("fetched %s, want %s with the archive", got, want)
		}
	}
	requests := strings.Split(strings.TrimSpace(readTestFile(t, asked)), "\n")
	if len(requests) != 1 || !strings.HasPrefix(requests[0], "pack --silent --ignore-scripts ") ||
		!strings.HasSuffix(requests[0], " @example/tool-linux-x64@1.2.3") {
		t.Errorf("npm was asked %q, want one pack", requests)
	}
	if left := listFolder(t, b.cache("tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFetchNpmRefusesAnotherPackage(t *testing.T) {
	b, _ := newBuilder(t)
	_, pinned := npmArchive(t, "tool", program("v1"))
	forged, _ := npmArchive(t, "tool", program("evil"))
	servedByNpm(t, forged)
	_, err := b.fetchNpm(t.Context(), pinned)
	wantError(t, err, "tool@1.2.3 is not the package that is pinned", pinned.integrity, "npm config get registry")
	if cached := listFolder(t, filepath.Join(b.root, ".cache", "npm")); len(cached) != 0 {
		t.Errorf("the forged package is in the cache: %v", cached)
	}
}

func TestFetchNpmReplacesADamagedArchive(t *testing.T) {
	b, _ := newBuilder(t)
	archive, pinned := npmArchive(t, "tool", program("v1"))
	servedByNpm(t, archive)
	cached := filepath.Join(b.root, ".cache", "npm", "tool-1.2.3.tgz")
	writeTestFile(t, cached, string(archive[:20]))
	if _, err := b.fetchNpm(t.Context(), pinned); err != nil {
		t.Fatal(err)
	}
	if readTestFile(t, cached) != string(archive) {
		t.Error("the damaged archive is still in the cache")
	}
}

func TestFetchNpmWithoutTheRegistry(t *testing.T) {
	b, _ := newBuilder(t)
	_, pinned := npmArchive(t, "tool", program("v1"))
	fakePrograms(t, map[string]string{"npm": "echo npm error code ENOTFOUND >&2; exit 1"})
	_, err := b.fetchNpm(t.Context(), pinned)
	wantError(t, err, "npm: exit status 1", "npm config get registry")
}

func TestNpmLayerHoldsOnlyTheNamedFiles(t *testing.T) {
	b, _ := newBuilder(t)
	script, license := program("rm -rf /"), program("MIT")
	script.Name, license.Name = "package/postinstall.sh", "package/LICENSE"
	archive, pinned := npmArchive(t, "tool", script, license, program("v1"))
	servedByNpm(t, archive)
	r, err := npmRecipe(
		npmFile{pinned, "bin/tool", "/usr/local/bin/tool", 0o755},
		npmFile{pinned, "LICENSE", "/usr/share/doc/tool/copyright", 0o644},
	)(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	if err := r.write(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range unpackTar(t, &layer) {
		if !strings.HasSuffix(e.Name, "/") {
			got[e.Name] = e.text
		}
	}
	want := map[string]string{"usr/local/bin/tool": "v1", "usr/share/doc/tool/copyright": "MIT"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if r.name != "tool" {
		t.Errorf("the layer is called %s, want the name of the program", r.name)
	}
}

func TestNpmLayerIsAnotherOneForAnotherPackage(t *testing.T) {
	base := npmFile{npmPackage{"tool", "1.2.3", "sha512-a"}, "bin/tool", "/usr/local/bin/tool", 0o755}
	keys := map[string]string{}
	for name, change := range map[string]func(*npmFile){
		"as it is":  func(*npmFile) {},
		"version":   func(f *npmFile) { f.pkg.version = "1.2.4" },
		"integrity": func(f *npmFile) { f.pkg.integrity = "sha512-b" },
		"source":    func(f *npmFile) { f.source = "bin/other" },
		"target":    func(f *npmFile) { f.target = "/bin/tool" },
		"mode":      func(f *npmFile) { f.mode = 0o700 },
	} {
		f := base
		change(&f)
		r, err := npmRecipe(f)(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := keys[r.key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		keys[r.key] = name
	}
}

func TestMissingFileOfAPackage(t *testing.T) {
	archive, _ := npmArchive(t, "tool", program("v1"))
	path := filepath.Join(t.TempDir(), "tool.tgz")
	writeTestFile(t, path, string(archive))
	_, _, err := fromPackage(path, "bin/other")()
	wantError(t, err, "find bin/other in tool.tgz")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v does not wrap fs.ErrNotExist", err)
	}
}

func TestPinsAreWhole(t *testing.T) {
	for _, p := range []npmPackage{openCode, openCodeLicense, claudeCode} {
		sum, ok := strings.CutPrefix(p.integrity, "sha512-")
		raw, err := base64.StdEncoding.DecodeString(sum)
		if !ok || err != nil || len(raw) != sha512.Size {
			t.Errorf("%s: integrity %q is not a sha512", p.name, p.integrity)
		}
		if p.version == "" || strings.ContainsAny(p.version, "^~*x") {
			t.Errorf("%s: version %q is not exact", p.name, p.version)
		}
	}
	if openCode.version != openCodeLicense.version {
		t.Errorf("the licence is of %s, the program is %s", openCodeLicense.version, openCode.version)
	}
}

func TestVerifyMissingArchive(t *testing.T) {
	if err := openCode.verify(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error = %v, want that it does not exist", err)
	}
}
