// Package cluster gives tests the cluster that they run on: the local one, or with CLUSTER=existing that of the current
// kubeconfig. Tests that ask for it are skipped by `go test -short`, and fail when no cluster answers.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Config returns the way to the API server of the cluster, as an admin.
func Config(t testing.TB) *rest.Config {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a cluster")
	}
	config, err := load()
	if err == nil {
		err = answers(config)
	}
	if err != nil {
		t.Fatalf("No cluster answers: %v\nStart one with `make up`, or set CLUSTER=existing to use the cluster of your kubeconfig", err)
	}
	return config
}

// Client returns a client without a cache, for every Kind of Sandkeep and of Kubernetes. It refuses unknown fields.
func Client(t testing.TB) client.Client {
	t.Helper()
	c, err := client.New(Config(t), client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatalf("Make a client: %v", err)
	}
	return client.WithFieldValidation(c, "Strict")
}

// Namespace makes a namespace for one test, and deletes it and what is in it at the end.
func Namespace(t testing.TB, c client.Client) string {
	t.Helper()
	namespace := &corev1.Namespace{}
	namespace.GenerateName = "test-"
	namespace.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatalf("Create a namespace: %v", err)
	}
	t.Cleanup(func() {
		// The context of the test has ended here.
		if err := c.Delete(context.WithoutCancel(t.Context()), namespace); client.IgnoreNotFound(err) != nil {
			t.Errorf("Delete namespace %s: %v", namespace.Name, err)
		}
	})
	return namespace.Name
}

// Root returns the top of the checkout.
func Root(t testing.TB) string {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func load() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if os.Getenv("CLUSTER") != "existing" {
		kubeconfig, err := localKubeconfig()
		if err != nil {
			return nil, err
		}
		rules.ExplicitPath = kubeconfig
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return config, nil
}

// localKubeconfig never falls back to the kubeconfig of the person who runs the tests: it may lead to production.
func localKubeconfig() (string, error) {
	dir := os.Getenv("CLUSTER_DIR")
	if dir == "" {
		root, err := findRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cluster")
	}
	return filepath.Join(dir, "kubeconfig"), nil
}

func answers(config *rest.Config) error {
	short := rest.CopyConfig(config)
	short.Timeout = 10 * time.Second
	c, err := discovery.NewDiscoveryClientForConfig(short)
	if err != nil {
		return err
	}
	_, err = c.ServerVersion()
	return err
}

func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(content), "module github.com/sandkeep/sandkeep\n") {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("%s is not in the checkout of Sandkeep", dir)
		}
		dir = filepath.Dir(dir)
	}
}
