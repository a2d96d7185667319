package main

import (
	"context"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
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
		Course:   &program.Course{Progress: &install.Progress{Out: io.Discard}},
		Workshop: program.Workshop{Checkout: t.TempDir(), Scratch: t.TempDir(), Abort: func(err error) { t.Errorf("aborted: %v", err) }},
	}
	numbered := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
		err := c.List(ctx, list, o...)
		list.SetResourceVersion("1") // real API servers number every list, and watches begin there
		return err
	}, Watch: watchFrom}
	b.client = fake.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).
		WithStatusSubresource(&corev1.Pod{}, &v1alpha1.Session{}).WithInterceptorFuncs(numbered).Build()
	return b
}

// watchFrom begins, as real API servers do, with what has happened since the list whose version it is given; the fake one begins with what comes next.
func watchFrom(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) (watch.Interface, error) {
	w, err := c.Watch(ctx, list, o...)
	options := (&client.ListOptions{}).ApplyOptions(o)
	if err != nil || options.Raw == nil || options.Raw.ResourceVersion == "" {
		return w, err
	}
	now := list.DeepCopyObject().(client.ObjectList)
	if err := c.List(ctx, now, client.InNamespace(options.Namespace)); err != nil {
		return nil, err
	}
	objects, err := meta.ExtractList(now)
	if err != nil {
		return nil, err
	}
	events := make(chan watch.Event, len(objects))
	for _, object := range objects {
		events <- watch.Event{Type: watch.Added, Object: object}
	}
	all := watch.NewProxyWatcher(events)
	go func() {
		defer close(events)
		defer w.Stop()
		for {
			select {
			case <-all.StopChan():
				return
			case event, ok := <-w.ResultChan():
				if !ok {
					return
				}
				select {
				case events <- event:
				case <-all.StopChan():
					return
				}
			}
		}
	}()
	return all, nil
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
