package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moduleOfTwo makes a checkout with one program that uses a package of another module. Files are added to both.
func moduleOfTwo(t *testing.T, files ...string) *builder {
	t.Helper()
	b := module(t, "hello")
	writeTestFile(t, filepath.Join(b.root, "go.mod"),
		"module example.com/m\n\ngo 1.26\n\nrequire example.com/dep v0.0.0\n\nreplace example.com/dep => ./dep\n")
	writeTestFile(t, filepath.Join(b.root, "cmd", "tool", "main.go"), "package main\n\nimport _ \"example.com/dep/used\"\n\nfunc main() {}\n")
	writeTestFile(t, filepath.Join(b.root, "dep", "go.mod"), "module example.com/dep\n\ngo 1.26\n")
	writeTestFile(t, filepath.Join(b.root, "dep", "used", "license.go"), "package used\n")
	for _, f := range files {
		writeTestFile(t, filepath.Join(b.root, f), "text of "+f)
	}
	return b
}

func TestImageHoldsTheLicencesOfWhatIsCompiledIn(t *testing.T) {
	b := moduleOfTwo(t, "LICENSE", "dep/License.txt", "dep/NOTICE", "dep/used/COPYING",
		"dep/licenses/x", "dep/unused/LICENSE", "dep/used/readme")
	r, err := licensesRecipe(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	if err := r.write(t.Context(), &layer); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range unpackTar(t, &layer) {
		if !strings.HasSuffix(e.Name, "/") && !strings.HasPrefix(e.Name, "licenses/go/") {
			got[e.Name] = e.text
		}
	}
	want := map[string]string{
		"licenses/example.com/m/LICENSE":        "text of LICENSE",
		"licenses/example.com/dep/License.txt":  "text of dep/License.txt",
		"licenses/example.com/dep/NOTICE":       "text of dep/NOTICE",
		"licenses/example.com/dep/used/COPYING": "text of dep/used/COPYING",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("licences (-want +got):\n%s", diff)
	}
}

func TestModuleWithoutALicenceIsNotHandedOn(t *testing.T) {
	_, err := licensesRecipe(t.Context(), moduleOfTwo(t, "LICENSE", "dep/unused/LICENSE"))
	wantError(t, err, "example.com/dep has no licence file")
}

func TestWrittenLicencesAreThoseOfTheImage(t *testing.T) {
	b, _ := newBuilder(t)
	b.root = filepath.Join("..", "..")
	folder := t.TempDir()
	if err := b.writeLicenses(t.Context(), []string{folder}); err != nil {
		t.Fatal(err)
	}
	texts, err := b.licenses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go/LICENSE", "github.com/sandkeep/sandkeep/LICENSE", "k8s.io/client-go/LICENSE", "github.com/coder/acp-go-sdk/LICENSE"} {
		if texts[name] == "" {
			t.Errorf("%s is missing among %s", name, slices.Sorted(maps.Keys(texts)))
		}
	}
	for name, text := range texts {
		written, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || string(written) != text {
			t.Errorf("%s was not written (%v)", name, err)
		}
	}
}
