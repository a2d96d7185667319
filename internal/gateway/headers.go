package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// headersTime is for how long it is remembered by which headers providers take credentials.
const headersTime = 5 * time.Second

// headers are those by which the providers that there are take credentials.
type headers struct {
	mu    sync.Mutex
	names []string
	until time.Time
}

// with are the names, in lower case, and one more that may be too new to be among them.
func (h *headers) with(ctx context.Context, s *Server, name string) ([]string, error) {
	names, err := h.all(ctx, s)
	if name = strings.ToLower(name); !slices.Contains(names, name) {
		names = append(slices.Clip(names), name)
	}
	return names, err
}

func (h *headers) all(ctx context.Context, s *Server) ([]string, error) {
	if names, fresh := h.remembered(s.Clock.Now()); fresh {
		return names, nil
	}
	var list v1alpha1.APIProviderList
	if err := s.Cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list the APIProviders: %w", err)
	}
	var names []string
	for i := range list.Items {
		if auth := list.Items[i].Spec.Auth; auth != nil && auth.APIKey != nil {
			names = append(names, strings.ToLower(auth.APIKey.Header))
		}
	}
	slices.Sort(names)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names, h.until = slices.Compact(names), s.Clock.Now().Add(headersTime)
	return h.names, nil
}

func (h *headers) remembered(now time.Time) (names []string, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.names, now.Before(h.until)
}
