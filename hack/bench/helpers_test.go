package main

import (
	"context"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/program"
	"github.com/sandkeep/sandkeep/hack/install"
)

// benchOn is a benchmark on a cluster that holds some objects and has no controllers.
func benchOn(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{
		options:  options{sessions: 3, nodes: 1, clients: 2, patience: testPatience},
		Course:   program.Course{Progress: &install.Progress{Out: io.Discard}},
		Workshop: program.Workshop{Checkout: t.TempDir(), Scratch: t.TempDir(), Abort: func(err error) { t.Errorf("aborted: %v", err) }},
	}
	numbered := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
		err := c.List(ctx, list, o...)
		list.SetResourceVersion("1") // real API servers number every list, and watches begin there
		return err
	}}
	b.client = fake.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).
		WithStatusSubresource(&corev1.Pod{}, &v1alpha1.Session{}).WithInterceptorFuncs(numbered).Build()
	return b
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
