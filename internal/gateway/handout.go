package gateway

import (
	"context"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/grant"
	"github.com/sandkeep/sandkeep/internal/gateway/identity"
	"github.com/sandkeep/sandkeep/internal/gateway/ledger"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

// maxKeyRequest bounds a contract.KeyRequest: names and revisions are short.
const maxKeyRequest = 4 << 10

// handOut gives a sandbox a key that it may have, for agents that must hold one. It takes note of the one that the sandbox has.
func (s *Server) handOut(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxKeyRequest))
	asked, noRequest := contract.DecodeKeyRequest(body)
	if err != nil || noRequest != nil {
		s.refuse(w, meter.Format(""), refusal{http.StatusBadRequest, "BadRequest", "The request must name a provider, in JSON", "", 0})
		return
	}
	key, ref, refused := s.keyFor(r.Context(), caller, asked.Provider)
	if refused != nil {
		s.Metrics.refused(caller.Session, asked.Provider, refused.kind)
		if refused.status == http.StatusForbidden && grant.PinOf(caller.Session, asked.Provider) != nil { // the name is the caller's to choose
			s.Recorder.Eventf(caller.Session, nil, corev1.EventTypeWarning, refused.kind, "HandOut",
				"The key of provider %q is not handed out: %s", asked.Provider, refused.message)
		}
		s.refuse(w, meter.Format(""), *refused)
		return
	}
	has := compare(asked.Revision, key.Revision)
	if has == older || has == current {
		s.Ledger.Hold(ledger.Holding{
			Session: client.ObjectKeyFromObject(caller.Session), UID: caller.Session.UID, Provider: asked.Provider, Ref: ref, Revision: asked.Revision,
		})
	}
	w.Header().Set("Cache-Control", "no-store")
	if !wanted(has, key.Delivery) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := key.Encode()
	if err != nil {
		s.refuse(w, meter.Format(""), refusal{http.StatusInternalServerError, "Unavailable", "The key cannot be sent", "", 0})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // whoever asked has gone
}

// keyFor is the key that the caller may have for a provider, now.
func (s *Server) keyFor(ctx context.Context, caller identity.Caller, provider string) (contract.Key, v1alpha1.CredentialReference, *refusal) {
	world, err := s.world(ctx, caller, provider)
	if err != nil {
		return contract.Key{}, v1alpha1.CredentialReference{}, &refusal{
			http.StatusServiceUnavailable, "Unavailable", "The API server does not answer; try again", "", identity.RetryAfter}
	}
	var value, revision string
	g, denied := grant.ToHandOut(world, provider)
	if denied == nil {
		value, revision, denied = s.keys.read(ctx, s, g)
	}
	if denied != nil {
		return contract.Key{}, g.Ref, keyDenied(denied)
	}
	return contract.Key{Provider: provider, Delivery: contract.Delivery(g.Delivery), Revision: revision, Value: value}, g.Ref, nil
}

// keyDenied is a refusal without a failure class where it may pass by itself: sandboxes ask again then.
func keyDenied(d *grant.Refusal) *refusal {
	if d.Reason == v1alpha1.ReasonCredentialNotReady {
		return &refusal{http.StatusServiceUnavailable, d.Reason, d.Message, "", identity.RetryAfter}
	}
	return &refusal{http.StatusForbidden, d.Reason, d.Message, contract.ProviderAuthenticationFailed, 0}
}

// holding is what a sandbox says that it has, beside what there is.
type holding int

const (
	nothing holding = iota
	older
	current
	// newer was handed out by a replica whose watch is ahead, or is made up. Nothing is told of it.
	newer
)

// compare orders revisions, which are the resourceVersions of one Secret.
func compare(held, present string) holding {
	order, err := resourceversion.CompareResourceVersion(held, present)
	switch {
	case err != nil:
		return nothing
	case order < 0:
		return older
	case order > 0:
		return newer
	}
	return current
}

// wanted says whether a sandbox can do anything with the key that there is: what is in the environment of a process stays as it is.
func wanted(has holding, d contract.Delivery) bool {
	return has == nothing || (has == older && d == contract.DeliveryFile)
}
