package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
)

const (
	// recheckTime is how often it is looked at again whether what is under way is still permitted.
	recheckTime = 2 * time.Second
	// liveReads is every how many looks a Secret is read that is not watched.
	liveReads = 5
	// confirmTime is how long a request may go on of which nobody can tell whether it is still permitted.
	confirmTime = time.Minute
	// lastWords is how long a request that is cut before it was answered has to take its refusal.
	lastWords = 5 * time.Second
)

// streams are the requests that are under way. An answer can take minutes, and the permission for it end in the middle.
type streams struct {
	mu   sync.Mutex
	open map[*exchange]func(*revokedError)
}

// revokedError is why a request was cut that had been let through.
type revokedError struct{ refusal }

func (e *revokedError) Error() string { return e.kind + ": " + e.message }

// add has a request cut once it is not permitted any more, until remove is called.
func (s *streams) add(x *exchange, cut func(*revokedError)) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*exchange]func(*revokedError){}
	}
	s.open[x] = cut
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, x)
	}
}

// purpose is what permission is given for: all requests of one are permitted, or none.
type purpose struct {
	session  types.UID
	pod      types.UID
	provider string
}

// byPurpose are the requests under way.
func (s *streams) byPurpose() map[purpose][]*exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := map[purpose][]*exchange{}
	for x := range s.open {
		p := purpose{x.caller.Session.UID, x.caller.Pod.UID, x.grant.Provider.Name}
		groups[p] = append(groups[p], x)
	}
	return groups
}

// cut ends requests.
func (s *streams) cut(list []*exchange, why *revokedError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range list {
		if cut := s.open[x]; cut != nil {
			cut(why)
			delete(s.open, x)
		}
	}
}

// guardStreams cuts, until ctx ends, what is not permitted any more.
func (s *Server) guardStreams(ctx context.Context) {
	ticker := s.Clock.NewTicker(recheckTime)
	defer ticker.Stop()
	for look := 0; ; look++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			s.cutRevoked(ctx, look%liveReads == 0)
		}
	}
}

// cutRevoked looks at everything that is under way.
func (s *Server) cutRevoked(ctx context.Context, live bool) {
	for _, group := range s.streams.byPurpose() {
		x := group[0]
		why, known := s.revoked(ctx, x, live)
		switch now := s.Clock.Now(); {
		case known && why == nil:
			for _, x := range group {
				x.confirmed = now
			}
			continue
		case !known && now.Sub(x.confirmed) < confirmTime:
			continue
		case !known:
			why = &revokedError{refusal{http.StatusServiceUnavailable, "Unconfirmed", fmt.Sprintf(
				"The API server has not answered for %s whether this is still permitted; try again", confirmTime), contract.ProviderUnavailable, identity.RetryAfter}}
		}
		s.streams.cut(group, why)
		s.Metrics.cut(x.caller.Session, x.grant.Provider.Name, why.kind, len(group))
		s.Recorder.Eventf(x.caller.Session, nil, corev1.EventTypeWarning, why.kind, "Forward", "Answers of provider %q were cut: %s", x.grant.Provider.Name, why.message)
	}
}

// revoked says why a request that was let through would not be now, nil while it would; known is false where nobody can tell.
func (s *Server) revoked(ctx context.Context, x *exchange, live bool) (why *revokedError, known bool) {
	caller, turnedAway := s.Identity.Again(ctx, x.caller)
	if turnedAway != nil {
		if turnedAway.Status != http.StatusUnauthorized {
			return nil, false
		}
		return &revokedError{refusal{http.StatusUnauthorized, turnedAway.Reason, turnedAway.Message, "", 0}}, true
	}
	name := x.grant.Provider.Name
	world, err := s.world(ctx, caller, name)
	if err != nil {
		return nil, false //nolint:nilerr // nobody can tell
	}
	g, denied := grant.For(world, name)
	if denied == nil && (live || g.SecretNamespace == v1alpha1.NamespaceKeys) {
		_, _, denied = s.keys.read(ctx, s, g)
	}
	switch {
	case denied == nil:
		return nil, true
	case denied.Reason == v1alpha1.ReasonCredentialNotReady:
		return nil, false
	}
	return &revokedError{refusal{http.StatusForbidden, denied.Reason, denied.Message, contract.ProviderAuthenticationFailed, 0}}, true
}
