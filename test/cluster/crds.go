package cluster

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Scheme knows every Kind of Sandkeep and of Kubernetes, and CustomResourceDefinitions.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// ApplyCRDs makes the API server know the Kinds as the checkout has them, whatever it knew before, and waits until it does.
func ApplyCRDs(t testing.TB, c client.Client) {
	t.Helper()
	for _, path := range CRDFiles(t) {
		applyCRD(t, c, path)
	}
}

// CRDFiles returns the paths of the generated CustomResourceDefinitions.
func CRDFiles(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(Root(t), "config/crd/bases/*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("No generated CRDs: run `make generate` (%v)", err)
	}
	return paths
}

func applyCRD(t testing.TB, c client.Client, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, crd); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	before := generation(t, c, crd.GetName())
	err = c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(crd), client.FieldOwner("sandkeep-tests"), client.ForceOwnership)
	if err != nil {
		t.Fatalf("Apply %s: %v", path, err)
	}
	waitEstablished(t, c, crd.GetName())
	if before != 0 && before != generation(t, c, crd.GetName()) {
		// The API server serves the old schema for a moment, and says nowhere when it stops.
		time.Sleep(2 * time.Second)
	}
}

// generation returns 0 for a CRD that does not exist.
func generation(t testing.TB, c client.Client, name string) int64 {
	t.Helper()
	var crd apiextensionsv1.CustomResourceDefinition
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, &crd); client.IgnoreNotFound(err) != nil {
		t.Fatalf("Get CRD %s: %v", name, err)
	}
	return crd.Generation
}

func waitEstablished(t testing.TB, c client.Client, name string) {
	t.Helper()
	var crd apiextensionsv1.CustomResourceDefinition
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKey{Name: name}, &crd)
		return established(&crd), err
	})
	if err != nil {
		t.Fatalf("CRD %s does not become Established: %v", name, err)
	}
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			return condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}
