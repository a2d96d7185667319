package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Rules are charged for what they look at; the largest objects must not use up what the API server grants.
func TestLargestObjectsStayInTheBudget(t *testing.T) {
	all := readDefinitions(t)
	for name, object := range largest(t) {
		t.Run(name, func(t *testing.T) {
			stored, onCreate, err := all.validate(t.Context(), nil, object)
			if err != nil {
				t.Fatal(err)
			}
			_, onUpdate, err := all.validate(t.Context(), stored, object)
			if err != nil {
				t.Fatal(err)
			}
			for way, cost := range map[string]int64{"create": onCreate, "update": onUpdate} {
				t.Logf("%s costs %d of %d", way, cost, celconfig.RuntimeCELCostBudget)
				if cost > celconfig.RuntimeCELCostBudget*8/10 {
					t.Errorf("%s costs %d, more than 80 %% of the budget %d", way, cost, celconfig.RuntimeCELCostBudget)
				}
			}
		})
	}
}

func TestServerTakesLargestObjects(t *testing.T) {
	s := newRealServer(t)
	for name, object := range largest(t) {
		t.Run(name, func(t *testing.T) {
			checkValid(t, s, testCase{objects: []*unstructured.Unstructured{object, object}})
		})
	}
}

// largest returns objects with the longest texts and lists that their schemas permit and a request can carry.
func largest(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	return map[string]*unstructured.Unstructured{
		"session":  toUnstructured(t, "Session", largestSession(), "example"),
		"class":    toUnstructured(t, "SessionClass", largestClass(), "largest"),
		"provider": toUnstructured(t, "APIProvider", largestProvider(), "largest"),
	}
}

func largestSession() any {
	spec := v1alpha1.SessionSpec{
		Prompt: strings.Repeat("sk- ", 131072/4),
		Model:  strings.Repeat("m", 256),
		Env:    largestEnv(64),
	}
	for i := range 10 {
		url := fmt.Sprintf("https://git.example.com/%02d/", i)
		spec.Repositories = append(spec.Repositories, v1alpha1.Repository{
			URL:        url + strings.Repeat("a/", (2048-len(url))/2-1) + "b",
			Ref:        strings.Repeat("r", 255),
			Path:       fmt.Sprintf("%02d", i) + strings.Repeat("/p", 126),
			PushBranch: strings.Repeat("b/", 99) + "bb",
		})
	}
	for i := range 16 {
		spec.Credentials = append(spec.Credentials, v1alpha1.SessionCredential{
			Provider: fmt.Sprintf("%02d", i) + strings.Repeat("p", 251),
			Ref:      v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: strings.Repeat("c", 253)},
		})
	}
	return &v1alpha1.Session{Spec: spec}
}

func largestClass() any {
	class := &v1alpha1.SessionClass{}
	class.Spec.Agent = v1alpha1.Agent{Protocol: v1alpha1.AgentProtocolACP, Command: []string{"agent"}, Env: largestEnv(64)}
	for range 16 {
		class.Spec.Agent.Args = append(class.Spec.Agent.Args, strings.Repeat("a", 16384))
	}
	class.Spec.PodTemplate.Spec.Containers = []corev1.Container{{Name: "agent"}}
	return class
}

func largestProvider() any {
	config := v1alpha1.AgentConfig{Env: largestEnv(32)}
	for i := range 8 {
		config.Agents = append(config.Agents, v1alpha1.NamedAgentConfig{Name: fmt.Sprintf("agent-%d", i), Env: largestEnv(16)})
	}
	for i := range 16 {
		path := fmt.Sprintf("%02d", i) + strings.Repeat("/p", 126)
		config.Files = append(config.Files, v1alpha1.AgentFile{Path: path, Content: "x"})
	}
	provider := &v1alpha1.APIProvider{Spec: v1alpha1.APIProviderSpec{AgentConfig: config}}
	for range 8 {
		provider.Spec.Endpoints = append(provider.Spec.Endpoints, v1alpha1.Endpoint{Host: strings.Repeat("h", 253)})
	}
	return provider
}

// largestEnv has values that make the search for keys work: they begin like keys, again and again.
func largestEnv(n int) []v1alpha1.EnvVar {
	var env []v1alpha1.EnvVar
	for i := range n {
		env = append(env, v1alpha1.EnvVar{
			Name:  fmt.Sprintf("V%03d", i) + strings.Repeat("N", 124),
			Value: new(strings.Repeat("sk- ", 8192/4)),
		})
	}
	return env
}

func toUnstructured(t *testing.T, kind string, object any, name string) *unstructured.Unstructured {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	// Through JSON, so that numbers have the types that a server sees.
	raw, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, &u.Object); err != nil {
		t.Fatal(err)
	}
	delete(u.Object, "status")
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetName(name)
	return u
}
