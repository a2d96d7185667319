package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Install applies what config renders to with these images, and waits until it works.
func (s Source) Install(ctx context.Context, c client.Client, detail io.Writer, images Images) error {
	manifests, err := s.Render(images)
	if err != nil {
		return err
	}
	objects := manifests.All()
	if err := Apply(ctx, c, objects); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(detail, "%d objects applied\n", len(objects))
	return RollOut(ctx, c, detail, objects)
}

// Config is the way to the cluster: the local one, or that of the current kubeconfig where the user brings one.
func (s Source) Config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if !s.Existing {
		rules.ExplicitPath = s.Kubeconfig()
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case err != nil && s.Existing:
		return nil, fmt.Errorf("find your cluster: %w; set KUBECONFIG, or choose a context with kubectl config use-context", err)
	case err != nil:
		return nil, fmt.Errorf("find the local cluster: %w; start it with `make up`, or set CLUSTER=existing to use that of your own kubeconfig", err)
	}
	config.QPS, config.Burst = 100, 200
	return config, nil
}

// Kubeconfig is the file of the local cluster.
func (s Source) Kubeconfig() string {
	if dir := os.Getenv("CLUSTER_DIR"); dir != "" {
		return filepath.Join(dir, "kubeconfig")
	}
	return filepath.Join(s.Root, ".cluster", "kubeconfig")
}

// The files that Write makes. Each is whole for one kubectl apply, the second once the API server knows the Kinds of the first.
const (
	ProgramsFile = "install.yaml"
	DefaultsFile = "defaults.yaml"
)

// Write puts the manifests into files of a folder, for kubectl and GitOps.
func (m Manifests) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder %s: %w", folder, err)
	}
	return errors.Join(writeFile(filepath.Join(folder, ProgramsFile), m.Programs), writeFile(filepath.Join(folder, DefaultsFile), m.Defaults))
}

func writeFile(path string, objects []*unstructured.Unstructured) error {
	first, rest := split(objects)
	text, err := encode(append(first, rest...))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
