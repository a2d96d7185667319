package gateway

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// sharing hands out the same objects again and again, as watches do to those who ask for no copy.
type sharing struct {
	client.Reader
	mu      sync.Mutex
	objects map[string]client.Object
	first   map[string]client.Object
}

func (s *sharing) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("%T %s", o, key)
	have, ok := s.objects[name]
	if !ok {
		if err := s.Reader.Get(ctx, key, o, opts...); err != nil {
			return err
		}
		have = o.DeepCopyObject().(client.Object)
		s.objects[name], s.first[name] = have, o.DeepCopyObject().(client.Object)
	}
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(have).Elem())
	return nil
}

// TestNobodyChangesWhatAllRequestsShare makes requests of all kinds, and then looks at what they were given.
func TestNobodyChangesWhatAllRequestsShare(t *testing.T) {
	s := newStage(t, pieces(200, stream, started, word, finished))
	shared := &sharing{Reader: s.api, objects: map[string]client.Object{}, first: map[string]client.Object{}}
	s.Cache, s.Identity.Cache = shared, shared
	for range 2 {
		for _, r := range []*http.Request{
			s.request(http.MethodPost, messages+"?key=abc", "{}"), s.request(http.MethodGet, messages, ""), s.request(http.MethodPost, messages+"/other", ""),
			s.request(http.MethodPost, contract.GatewayProviders+"nobody/v1", ""), s.request(http.MethodPost, contract.GatewayReport, "{}"),
		} {
			s.do(r)
		}
	}
	if len(shared.objects) < 5 {
		t.Errorf("only %d objects were read", len(shared.objects))
	}
	for name, o := range shared.objects {
		if diff := cmp.Diff(shared.first[name], o); diff != "" {
			t.Errorf("%s has changed (-was +is):\n%s", name, diff)
		}
	}
}
