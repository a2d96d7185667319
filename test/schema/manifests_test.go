package schema

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/hack/install"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// The limit of the API server for all annotations of an object together, and our own for CRDs, which grow.
const (
	annotationLimit = 256 << 10
	crdLimit        = 200_000
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Client-side `kubectl apply` keeps a copy of the object in an annotation.
func TestManifestsFitIntoAnAnnotation(t *testing.T) {
	eachManifest(t, func(t *testing.T, object *unstructured.Unstructured) {
		size, limit := len(lastApplied)+len(toJSON(t, object)), annotationLimit
		if object.GetKind() == "CustomResourceDefinition" {
			limit = crdLimit
		}
		if size > limit {
			t.Errorf("%s %s has %d bytes, more than %d", object.GetKind(), object.GetName(), size, limit)
		}
	})
}

func TestManifestsAreValid(t *testing.T) {
	all := readDefinitions(t)
	eachManifest(t, func(t *testing.T, object *unstructured.Unstructured) {
		if _, ours := all[object.GetKind()]; !ours {
			return
		}
		if _, err := all.store(t, nil, object); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	})
}

func TestServerTakesManifests(t *testing.T) {
	s := newRealServer(t)
	eachManifest(t, func(t *testing.T, object *unstructured.Unstructured) {
		if object.GetKind() == "ServiceMonitor" {
			return // its CRD is the Prometheus operator's
		}
		s.place(t, object)
		object.SetAnnotations(withEntry(object.GetAnnotations(), lastApplied, toJSON(t, object)))
		s.dryRun(t, object)
	})
}

// place moves an object of a namespace into that of the test.
func (s realServer) place(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	namespaced, err := s.client.IsObjectNamespaced(object)
	if err != nil {
		t.Fatal(err)
	}
	if namespaced {
		object.SetNamespace(s.namespace)
	}
}

func (s realServer) dryRun(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	err := s.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object),
		client.DryRunAll, client.ForceOwnership, client.FieldOwner("sandkeep-tests"))
	if err != nil {
		t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

// The namespace of the test enforces the Restricted standard for pods, as that of the programs does.
func TestPodsOfProgramsAreRestricted(t *testing.T) {
	s := newRealServer(t)
	for _, program := range []string{"manager", "keeper", "gateway"} {
		pod := &corev1.Pod{}
		template, _, _ := unstructured.NestedMap(deployment(t, "config/default", program).Object, "spec", "template")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
			t.Fatal(err)
		}
		pod.Name, pod.Namespace, pod.Spec.ServiceAccountName = program, s.namespace, "default"
		if err := client.NewDryRunClient(s.client).Create(t.Context(), pod); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	}
}

// An overlay that names other images changes those of classes too, and with the replacement that config/manager speaks of,
// the one that the manager hands to sandboxes.
func TestOverlayChangesImages(t *testing.T) {
	overlay := t.TempDir()
	content := fmt.Sprintf(overlayFormat, configFolder(t, overlay, "classes"), configFolder(t, overlay, "manager"))
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, object := range build(t, overlay) {
		switch object.GetKind() {
		case "SessionClass":
			got[object.GetName()] = agentImage(object)
		case "Deployment":
			got["SANDKEEP_IMAGE"] = managerContainer(t, object).Env[0].Value
		}
	}
	want := map[string]string{
		"opencode":       "registry.example.com/opencode:v1",
		"command":        "registry.example.com/opencode:v1",
		"claude-code":    "registry.example.com/claude-code:2.1.330",
		"SANDKEEP_IMAGE": "registry.example.com/sandkeep:v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

const overlayFormat = `
resources: [%s, %s]
images:
- {name: ghcr.io/sandkeep/opencode, newName: registry.example.com/opencode, newTag: v1}
- {name: ghcr.io/sandkeep/sandkeep, newName: registry.example.com/sandkeep, newTag: v1}
replacements:
- source: {kind: Deployment, name: sandkeep-manager, fieldPath: "spec.template.spec.containers.[name=manager].image"}
  targets:
  - select: {kind: Deployment, name: sandkeep-manager}
    fieldPaths: ["spec.template.spec.containers.[name=manager].env.[name=SANDKEEP_IMAGE].value"]
`

// configFolder is relative to an overlay, as kustomize wants it.
func configFolder(t *testing.T, overlay, name string) string {
	t.Helper()
	path, err := filepath.Rel(overlay, filepath.Join(cluster.Root(t), "config", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func agentImage(class *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(class.Object, "spec", "podTemplate", "spec", "containers")
	image, _, _ := unstructured.NestedString(containers[0].(map[string]any), "image")
	return image
}

// Sandboxes get sandboxd from the manager's own image.
func TestManagerKnowsItsImage(t *testing.T) {
	manager := managerContainer(t, deployment(t, "config/default", "manager"))
	if diff := cmp.Diff([]corev1.EnvVar{{Name: "SANDKEEP_IMAGE", Value: manager.Image}}, manager.Env); diff != "" {
		t.Errorf("environment of the manager (-want +got):\n%s", diff)
	}
}

func managerContainer(t *testing.T, deployment *unstructured.Unstructured) corev1.Container {
	t.Helper()
	var typed appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(deployment.Object, &typed); err != nil {
		t.Fatal(err)
	}
	return typed.Spec.Template.Spec.Containers[0]
}

func TestOneClassIsTheDefault(t *testing.T) {
	var defaults []string
	for _, class := range build(t, "config/classes") {
		if class.GetAnnotations()["sandkeep.dev/is-default-class"] == "true" {
			defaults = append(defaults, class.GetName())
		}
	}
	if diff := cmp.Diff([]string{"opencode"}, defaults); diff != "" {
		t.Errorf("default classes (-want +got):\n%s", diff)
	}
}

func deployment(t *testing.T, dir, program string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range build(t, dir) {
		if object.GetKind() == "Deployment" && object.GetName() == "sandkeep-"+program {
			return object
		}
	}
	t.Fatalf("no %s in %s", program, dir)
	return nil
}

// eachManifest visits every object of every kustomization of config/.
func eachManifest(t *testing.T, visit func(t *testing.T, object *unstructured.Unstructured)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(cluster.Root(t), "config/*/kustomization.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no kustomizations (%v)", err)
	}
	for _, path := range paths {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			for _, object := range build(t, dir) {
				visit(t, object)
			}
		})
	}
}

func build(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(cluster.Root(t), dir)
	}
	objects, err := install.Kustomize(dir)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func toJSON(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func withEntry(annotations map[string]string, key, value string) map[string]string {
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	return annotations
}
