// Package scene is what sessions of the demo and of the end-to-end tests meet: a scripted model provider and a git server,
// in a namespace of their own, and a provider and a class that lead to them.
package scene

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/install"
	"github.com/sandkeep/sandkeep/test/fixtures/gitserver"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// Image is the name of the image that holds both servers.
const Image = "fixture"

// The names of the servers, and the port of both.
const (
	providerName = "provider"
	gitName      = "git"
	port         = 8080
)

// Scene is a namespace with both servers.
type Scene struct {
	// Namespace holds the servers.
	Namespace string
	// Client writes objects.
	Client client.Client

	clientset kubernetes.Interface
}

// New is the scene in a namespace that need not exist yet.
func New(config *rest.Config, c client.Client, namespace string) (*Scene, error) {
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &Scene{Namespace: namespace, Client: c, clientset: clientset}, nil
}

// Set puts the namespace and the servers up and waits for them, without harm if they are there.
func (s *Scene) Set(ctx context.Context, detail io.Writer, image string) error {
	objects := []*unstructured.Unstructured{namespaceObject(s.Namespace)}
	objects = append(objects, server(s.Namespace, providerName, image, "provider", "--listen", listen)...)
	objects = append(objects, server(s.Namespace, gitName, image, "git", "--listen", listen, "--root", "/data/repositories")...)
	if err := install.Apply(ctx, s.Client, objects); err != nil {
		return err
	}
	return install.RollOut(ctx, s.Client, detail, objects)
}

// URL is the address of a repository for sandboxes, such as demo/calculator.
func (s *Scene) URL(repository string) string {
	return fmt.Sprintf("http://%s:%d/%s.git", s.host(gitName), port, repository)
}

func (s *Scene) host(server string) string { return server + "." + s.Namespace + ".svc" }

// Provider is the shipped provider under another name, at the address of the scripted one.
func (s *Scene) Provider(shipped *v1alpha1.APIProvider, name string) *v1alpha1.APIProvider {
	p := &v1alpha1.APIProvider{Spec: *shipped.Spec.DeepCopy()}
	p.Name = name
	p.Spec.Endpoints = []v1alpha1.Endpoint{{
		Scheme: v1alpha1.EndpointSchemeHTTP, Host: s.host(providerName), Port: new(int32(port)), AllowPrivate: new(true),
	}}
	return p
}

// Class is the shipped class under another name, with one provider in the place of its own.
func Class(shipped *v1alpha1.SessionClass, name, providerName string, delivery v1alpha1.Delivery) *v1alpha1.SessionClass {
	class := &v1alpha1.SessionClass{Spec: *shipped.Spec.DeepCopy()}
	class.Name = name
	class.Spec.Credentials = []v1alpha1.ClassCredential{{
		Provider: providerName, Requirement: v1alpha1.RequirementRequired, Delivery: delivery,
	}}
	return class
}

// Apply writes objects server-side.
func (s *Scene) Apply(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		u, err := toUnstructured(s.Client, o)
		if err != nil {
			return err
		}
		if err := install.Apply(ctx, s.Client, []*unstructured.Unstructured{u}); err != nil {
			return err
		}
	}
	return nil
}

// Stats are what the provider has counted.
func (s *Scene) Stats(ctx context.Context) (provider.Stats, error) {
	var stats provider.Stats
	text, err := s.ask(ctx, providerName, "/-/stats", nil)
	if err == nil {
		err = json.Unmarshal(text, &stats)
	}
	return stats, err
}

// Requests are the last requests that the provider has seen.
func (s *Scene) Requests(ctx context.Context) ([]provider.Seen, error) {
	var seen []provider.Seen
	text, err := s.ask(ctx, providerName, "/-/requests", nil)
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	return seen, err
}

// Log is what the git server has of a repository.
func (s *Scene) Log(ctx context.Context, repository string) (gitserver.Log, error) {
	var log gitserver.Log
	text, err := s.ask(ctx, gitName, "/-/log", map[string]string{"repo": repository})
	if err == nil {
		err = json.Unmarshal(text, &log)
	}
	return log, err
}

// Diff is what a branch changes, as git shows it.
func (s *Scene) Diff(ctx context.Context, repository, from, to string) (string, error) {
	text, err := s.ask(ctx, gitName, "/-/diff", map[string]string{"repo": repository, "from": from, "to": to})
	return string(text), err
}

// AddRepository makes a further repository, unless it exists.
func (s *Scene) AddRepository(ctx context.Context, repository string) error {
	_, err := s.clientset.CoreV1().RESTClient().Post().AbsPath(s.proxied(gitName, "/-/repos")).Param("repo", repository).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("make repository %s: %w", repository, err)
	}
	return nil
}

// ask goes through the API server, so that it works from wherever kubectl does.
func (s *Scene) ask(ctx context.Context, server, path string, params map[string]string) ([]byte, error) {
	text, err := s.clientset.CoreV1().Services(s.Namespace).ProxyGet("http", server, fmt.Sprint(port), path, params).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the %s server for %s: %w", server, path, err)
	}
	return text, nil
}

func (s *Scene) proxied(server, path string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/services/http:%s:%d/proxy%s", s.Namespace, server, port, path)
}

// Container is the state of one container of a pod, by name, or nil.
func Container(pod *corev1.Pod, name string) *corev1.ContainerState {
	i := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &pod.Status.ContainerStatuses[i].State
}
