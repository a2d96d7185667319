package policy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func TestEveryShippedPolicyIsKnownAndInForce(t *testing.T) {
	policies, bindings := shipped(t)
	var names, bound []string
	for _, p := range policies {
		names = append(names, p.Name)
	}
	for _, b := range bindings {
		bound = append(bound, b.Name)
	}
	slices.Sort(names)
	slices.Sort(bound)
	if diff := cmp.Diff(names, Names()); diff != "" {
		t.Errorf("policies (-config/policy +Names):\n%s", diff)
	}
	if diff := cmp.Diff(bound, Names()); diff != "" {
		t.Errorf("bindings (-config/policy +Names):\n%s", diff)
	}
	if missing := Missing(policies, bindings); len(missing) > 0 {
		t.Errorf("not in force as shipped: %v", missing)
	}
}

func TestMissingTellsEveryWayInWhichAPolicyIsNotInForce(t *testing.T) {
	const name = "sandkeep-sandbox-pods"
	type world struct {
		policies []admissionv1.ValidatingAdmissionPolicy
		bindings []admissionv1.ValidatingAdmissionPolicyBinding
	}
	policy := func(change func(*admissionv1.ValidatingAdmissionPolicy)) func(*world) {
		return func(w *world) {
			change(&w.policies[slices.IndexFunc(w.policies, func(p admissionv1.ValidatingAdmissionPolicy) bool { return p.Name == name })])
		}
	}
	binding := func(change func(*admissionv1.ValidatingAdmissionPolicyBinding)) func(*world) {
		return func(w *world) {
			change(&w.bindings[slices.IndexFunc(w.bindings, func(b admissionv1.ValidatingAdmissionPolicyBinding) bool { return b.Name == name })])
		}
	}
	cases := map[string]struct {
		change func(*world)
		want   []string
	}{
		"all in force":                {func(*world) {}, nil},
		"nothing installed":           {func(w *world) { *w = world{} }, Names()},
		"a failure policy by default": {policy(func(p *admissionv1.ValidatingAdmissionPolicy) { p.Spec.FailurePolicy = nil }), nil},
		"the policy is gone":          {policy(func(p *admissionv1.ValidatingAdmissionPolicy) { p.Name = "other" }), []string{name}},
		"the policy is being deleted": {policy(func(p *admissionv1.ValidatingAdmissionPolicy) {
			p.DeletionTimestamp = new(metav1.Now())
		}), []string{name}},
		"the policy lets pass what it cannot decide": {policy(func(p *admissionv1.ValidatingAdmissionPolicy) {
			p.Spec.FailurePolicy = new(admissionv1.Ignore)
		}), []string{name}},
		"the binding is gone": {binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) { b.Name = "other" }), []string{name}},
		"the binding is being deleted": {binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.DeletionTimestamp = new(metav1.Now())
		}), []string{name}},
		"the binding is of another policy": {binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) { b.Spec.PolicyName = "other" }), []string{name}},
		"the binding only warns": {binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
		}), []string{name}},
		"the binding leaves namespaces out": {binding(func(b *admissionv1.ValidatingAdmissionPolicyBinding) {
			b.Spec.MatchResources = &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}
		}), []string{name}},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			var w world
			w.policies, w.bindings = shipped(t)
			c.change(&w)
			if diff := cmp.Diff(c.want, Missing(w.policies, w.bindings)); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// shipped reads config/policy, without what kustomize needs.
func shipped(t *testing.T) (policies []admissionv1.ValidatingAdmissionPolicy, bindings []admissionv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	paths, err := filepath.Glob("../../config/policy/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no policies (%v)", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range documents(t, content) {
			var kind metav1.TypeMeta
			decode(t, document, &kind)
			switch kind.Kind {
			case "ValidatingAdmissionPolicy":
				policies = append(policies, admissionv1.ValidatingAdmissionPolicy{})
				decode(t, document, &policies[len(policies)-1])
			case "ValidatingAdmissionPolicyBinding":
				bindings = append(bindings, admissionv1.ValidatingAdmissionPolicyBinding{})
				decode(t, document, &bindings[len(bindings)-1])
			}
		}
	}
	return policies, bindings
}

func documents(t *testing.T, content []byte) [][]byte {
	t.Helper()
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
	defer reader.Close()
	var all [][]byte
	for {
		buffer := make([]byte, len(content)+1)
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, buffer[:n])
	}
}

func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.Unmarshal(document, into); err != nil {
		t.Fatal(err)
	}
}
