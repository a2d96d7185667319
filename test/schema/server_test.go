package schema

import (
	"context"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/test/cluster"
)

// realServer is the API server of the cluster. What a case stores is deleted at its end.
type realServer struct {
	client    client.Client
	namespace string
}

func newRealServer(t *testing.T) realServer {
	t.Helper()
	c := cluster.Client(t)
	cluster.ApplyCRDs(t, c)
	return realServer{client: c, namespace: cluster.Namespace(t, c)}
}

// mended are the invalid cases that come valid to the schema: where Sandkeep's policies are in force, an owner that is left out is put back.
func (s realServer) mended(t *testing.T) []string {
	t.Helper()
	var policies admissionv1.MutatingAdmissionPolicyList
	if err := s.client.List(t.Context(), &policies); err != nil && !meta.IsNoMatchError(err) {
		t.Fatal(err)
	}
	for _, policy := range policies.Items {
		if policy.Name == "sandkeep-session-owner-stamp" {
			return []string{"session-owner-remove"}
		}
	}
	return nil
}

func (s realServer) store(t *testing.T, before, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	t.Helper()
	stored := object.DeepCopy()
	s.place(t, stored)
	if before != nil {
		return stored, s.update(t, stored)
	}
	err := s.client.Create(t.Context(), stored)
	if err == nil {
		t.Cleanup(func() { s.remove(t, stored) })
	}
	return stored, err
}

// update goes over whatever a manager that is at work wrote into the status meanwhile.
func (s realServer) update(t *testing.T, object *unstructured.Unstructured) error {
	t.Helper()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		current := object.NewEmptyInstance().(*unstructured.Unstructured)
		current.SetGroupVersionKind(object.GroupVersionKind())
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(object), current); err != nil {
			return err
		}
		object.SetResourceVersion(current.GetResourceVersion())
		return s.client.Update(t.Context(), object)
	})
}

func (s realServer) remove(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	err := s.client.Delete(context.WithoutCancel(t.Context()), object)
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("Delete %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
