package install

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	sigsyaml "sigs.k8s.io/yaml"
)

// placeholder is the registry that the manifests of config name; only the images below it are ours to replace.
const placeholder = "ghcr.io/sandkeep"

// Manifests is everything that an installation consists of, in the order in which it is applied.
type Manifests struct {
	// Programs are the Kinds and what runs: all that the Kinds of Kubernetes are enough for.
	Programs []*unstructured.Unstructured
	// Defaults are the shipped providers and classes. Their Kinds come with Programs, and kubectl asks for the Kinds of a whole
	// file before it applies the first object of it.
	Defaults []*unstructured.Unstructured
}

// All is both, for clients that wait until the API server knows the Kinds, as Apply does.
func (m Manifests) All() []*unstructured.Unstructured { return slices.Concat(m.Programs, m.Defaults) }

// Render makes the manifests, with the references of images in the place of those that the files name.
func (s Source) Render(images Images) (Manifests, error) {
	programs, err := s.renderParts(images, "config/default")
	if err != nil {
		return Manifests{}, err
	}
	defaults, err := s.renderParts(images, "config/providers", "config/classes")
	return Manifests{Programs: programs, Defaults: defaults}, err
}

func (s Source) renderParts(images Images, parts ...string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, part := range parts {
		objects, err := Kustomize(filepath.Join(s.Root, part))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	for _, o := range all {
		o.Object = replaced(o.Object, images).(map[string]any)
	}
	return all, nil
}

// Kustomize builds a kustomization as `kustomize build` does.
func Kustomize(folder string) ([]*unstructured.Unstructured, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("build the kustomization of %s: %w", folder, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("write the kustomization of %s: %w", folder, err)
	}
	return decode(bytes.NewReader(text))
}

// decode reads a stream of YAML documents.
func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// encode is the opposite of decode.
func encode(objects []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range objects {
		text, err := sigsyaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}

// replaced puts references of images into every string that is one of the placeholders. Unlike kustomize's own way this finds
// them wherever they are: in a variable of the manager, or in the template of a class.
func replaced(value any, images Images) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = replaced(v[key], images)
		}
	case []any:
		for i := range v {
			v[i] = replaced(v[i], images)
		}
	case string:
		return reference(v, images)
	}
	return value
}

func reference(text string, images Images) string {
	registry, image := path.Split(text)
	name, _, _ := strings.Cut(image, ":")
	if ref, known := images[name]; known && registry == placeholder+"/" {
		return ref
	}
	return text
}
