package install

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReferencesFollowFromRegistryAndVersion(t *testing.T) {
	source := Source{Registry: "registry.example.com/team/", Version: "v1"}
	got, err := source.References(t.Context(), io.Discard, Shipped...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someImages, got); diff != "" {
		t.Error(diff)
	}
}

func TestProvideForAForeignClusterNeedsARegistry(t *testing.T) {
	_, err := Source{Existing: true}.Provide(t.Context(), io.Discard, Shipped...)
	if err == nil || !strings.Contains(err.Error(), "REGISTRY=") {
		t.Errorf("got %v, want what to set", err)
	}
}

// fakeGo puts a go command first in PATH that notes its arguments, and answers a question for a reference.
func fakeGo(t *testing.T) (notes func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho \"$*\" >> " + log + "\n[ \"$3\" != ref ] || echo registry.example.com/team/$4:v1\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

func TestProvide(t *testing.T) {
	for name, test := range map[string]struct {
		source Source
		want   string
	}{
		"loads into the local cluster":    {Source{}, "run ./hack/images load sandkeep opencode\n"},
		"pushes for a cluster of another": {Source{Existing: true, Registry: "registry.example.com/team"}, "run ./hack/images push sandkeep opencode\n"},
	} {
		t.Run(name, func(t *testing.T) {
			notes := fakeGo(t)
			test.source.Root = t.TempDir()
			got, err := test.source.Provide(t.Context(), io.Discard, Shipped...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(someImages, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.want+"run ./hack/images ref sandkeep\nrun ./hack/images ref opencode\n", notes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProvideTellsWhichCommandFailed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Source{Root: t.TempDir()}.Provide(t.Context(), io.Discard, Shipped...)
	if err == nil || !strings.Contains(err.Error(), "go run ./hack/images load") {
		t.Errorf("got %v", err)
	}
}

func TestSourceHereIsFoundFromBelow(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	for _, dir := range []string{deep, filepath.Join(root, "config", "default")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	source, err := SourceHere()
	if err != nil || source.Root != root {
		t.Errorf("got %q, %v; want %q", source.Root, err, root)
	}
}

func TestSourceHereSaysThatThereIsNone(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := SourceHere(); err == nil || !strings.Contains(err.Error(), "not a checkout") {
		t.Errorf("got %v", err)
	}
}
