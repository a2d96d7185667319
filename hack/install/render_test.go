package install

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var someImages = Images{"sandkeep": "registry.example.com/team/sandkeep:v1", "opencode": "registry.example.com/team/opencode:v1"}

func TestReference(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"without a tag":                 {"ghcr.io/sandkeep/sandkeep", "registry.example.com/team/sandkeep:v1"},
		"with a tag":                    {"ghcr.io/sandkeep/opencode:v0.1.0", "registry.example.com/team/opencode:v1"},
		"an image that was not built":   {"ghcr.io/sandkeep/fixture", "ghcr.io/sandkeep/fixture"},
		"a namesake elsewhere":          {"registry.example.com/claude-code:2.1.330", "registry.example.com/claude-code:2.1.330"},
		"a namesake below another path": {"ghcr.io/sandkeep/mirror/sandkeep", "ghcr.io/sandkeep/mirror/sandkeep"},
		"a word":                        {"sandkeep", "sandkeep"},
		"a sentence that holds one":     {"see ghcr.io/sandkeep/sandkeep", "see ghcr.io/sandkeep/sandkeep"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reference(test.text, someImages); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// kinds lists what objects are, in order.
func kinds(objects []*unstructured.Unstructured) []string {
	var list []string
	for _, o := range objects {
		list = append(list, o.GetKind())
	}
	return list
}

func TestSplitPutsFirstWhatOthersStandOn(t *testing.T) {
	objects := ofKinds("Deployment", "CustomResourceDefinition", "SessionClass", "Namespace", "ServiceAccount")
	first, rest := split(objects)
	if diff := cmp.Diff([]string{"CustomResourceDefinition", "Namespace"}, kinds(first)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Deployment", "SessionClass", "ServiceAccount"}, kinds(rest)); diff != "" {
		t.Error(diff)
	}
}

func ofKinds(names ...string) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, name := range names {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		o.SetKind(name)
		objects = append(objects, o)
	}
	return objects
}

func TestDecodeReadsWhatEncodeWrote(t *testing.T) {
	objects := ofKinds("Namespace", "Deployment")
	objects[1].Object["spec"] = map[string]any{"replicas": float64(2), "text": "a: b\n---\nc"}
	text, err := encode(objects)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects, got); diff != "" {
		t.Error(diff)
	}
}

// Render goes through every manifest of config: each image that is ours is replaced, wherever it is.
func TestRenderReplacesEveryImage(t *testing.T) {
	source := checkout(t)
	manifests, err := source.Render(someImages)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encode(manifests.All())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(placeholder+"/")) {
		t.Errorf("a reference below %s is left", placeholder)
	}
	for image, want := range map[string]int{someImages["sandkeep"]: 4, someImages["opencode"]: 2} {
		if got := bytes.Count(text, []byte(image)); got != want {
			t.Errorf("%s occurs %d times, want %d", image, got, want)
		}
	}
}

// A file that holds an object of a Kind that it also defines cannot be applied in one go.
func TestNoFileNeedsAKindThatItDefines(t *testing.T) {
	manifests, err := checkout(t).Render(someImages)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range manifests.Programs {
		if o.GroupVersionKind().Group == "sandkeep.dev" {
			t.Errorf("%s %s is beside the definition of its Kind", o.GetKind(), o.GetName())
		}
	}
	for _, o := range manifests.Defaults {
		if o.GroupVersionKind().Group != "sandkeep.dev" {
			t.Errorf("%s %s waits for Kinds that it does not need", o.GetKind(), o.GetName())
		}
	}
	if len(manifests.Programs) == 0 || len(manifests.Defaults) == 0 {
		t.Errorf("%d programs and %d defaults, want some of both", len(manifests.Programs), len(manifests.Defaults))
	}
}

func TestWritePutsWhatOthersStandOnFirst(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	manifests := Manifests{Programs: ofKinds("Deployment", "CustomResourceDefinition"), Defaults: ofKinds("SessionClass")}
	if err := manifests.Write(folder); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		ProgramsFile: "---\nkind: CustomResourceDefinition\n---\nkind: Deployment\n",
		DefaultsFile: "---\nkind: SessionClass\n",
	} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != want {
			t.Errorf("%s holds %q, want %q", name, text, want)
		}
	}
}

// checkout is the one that this test is in.
func checkout(t *testing.T) Source {
	t.Helper()
	source, err := SourceHere()
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func TestEveryKustomizationBuilds(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(checkout(t).Root, "config", "*", "kustomization.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d kustomizations: %v", len(files), err)
	}
	for _, file := range files {
		if objects, err := Kustomize(filepath.Dir(file)); err != nil || len(objects) == 0 {
			t.Errorf("%s: %d objects, %v", file, len(objects), err)
		}
	}
}
