package gateway

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// Pace of the looks at Secrets of namespaces. They cannot be watched: the right that an admin gives for one Secret is to get it.
const (
	scoutTick = 5 * time.Second
	// lookAgain is for keys with which something is wrong, so that somebody mends it; lookNowAndThen for all others.
	lookAgain      = 20 * time.Second
	lookNowAndThen = 5 * time.Minute
	// maxLooks bounds the looks of one tick, so that they never hold up requests, however many Credentials there are.
	maxLooks = 20
)

// look is one look for a key, and when it is due again.
type look struct {
	generation int64
	ready      string
	due        time.Time
}

// scout looks for the keys of the Credentials of namespaces before a Session needs them, until ctx ends: only the gateway may read them, and a Session
// whose key is missing should wait for it rather than fail.
func (s *Server) scout(ctx context.Context) {
	looks := map[client.ObjectKey]look{}
	for {
		looks = s.lookAround(ctx, looks)
		select {
		case <-ctx.Done():
			return
		case <-s.Clock.After(scoutTick):
		}
	}
}

// lookAround makes the looks that are due, and returns all that are remembered.
func (s *Server) lookAround(ctx context.Context, before map[client.ObjectKey]look) map[client.ObjectKey]look {
	var list v1alpha1.CredentialList
	if err := s.Cache.List(ctx, &list); err != nil {
		s.Log.Error(err, "Keys of namespaces are not looked for; it is tried again")
		return before
	}
	now := s.Clock.Now()
	after := make(map[client.ObjectKey]look, len(list.Items))
	var due []*v1alpha1.Credential
	for i := range list.Items {
		c := &list.Items[i]
		if !mayLook(c) {
			continue
		}
		key := client.ObjectKeyFromObject(c)
		last, known := before[key]
		if known {
			after[key] = last
		}
		if !known || last.generation != c.Generation || last.ready != readiness(c) || !now.Before(last.due) {
			due = append(due, c)
		}
	}
	due = fairly(due, before)
	for _, c := range due[:min(len(due), maxLooks)] {
		after[client.ObjectKeyFromObject(c)] = look{c.Generation, readiness(c), now.Add(s.lookFor(ctx, c))}
	}
	return after
}

// fairly takes turns among namespaces, so that none gets more looks by more Credentials, and in each begins with what was due first.
func fairly(due []*v1alpha1.Credential, before map[client.ObjectKey]look) []*v1alpha1.Credential {
	slices.SortStableFunc(due, func(a, b *v1alpha1.Credential) int {
		return before[client.ObjectKeyFromObject(a)].due.Compare(before[client.ObjectKeyFromObject(b)].due)
	})
	seen, turn := map[string]int{}, map[*v1alpha1.Credential]int{}
	for _, c := range due {
		turn[c] = seen[c.Namespace]
		seen[c.Namespace]++
	}
	slices.SortStableFunc(due, func(a, b *v1alpha1.Credential) int { return turn[a] - turn[b] })
	return due
}

// mayLook is true for a Credential whose key the gateway holds, once the keeper has judged it. One that is not readable is tried as well: that an admin has
// permitted it shows nowhere else.
func mayLook(c *v1alpha1.Credential) bool {
	return slices.Contains(credential.Deliveries(c.Spec.Deliveries), v1alpha1.DeliveryProxy) && c.DeletionTimestamp.IsZero() && readiness(c) != ""
}

// readiness is the reason of Ready; empty for a Credential that nobody has looked at.
func readiness(c *v1alpha1.Credential) string {
	ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason
}

// lookFor looks for the key of one Credential, and returns the time until the next look.
func (s *Server) lookFor(ctx context.Context, c *v1alpha1.Credential) time.Duration {
	secret, ref := &corev1.Secret{}, c.Spec.APIKey.SecretRef
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: ref.Name}, secret)
	fault, known := faultOf(secret, err, ref.Key, s.tokenKinds(ctx, c.Spec.Provider))
	if !known && readiness(c) == v1alpha1.ReasonSecretNotReadable {
		return lookAgain
	}
	if !known {
		return lookNowAndThen
	}
	s.Witness.Looked(observation.Ref{Kind: v1alpha1.CredentialKindCredential, Namespace: c.Namespace, Name: c.Name}, c.Generation, fault)
	if fault != "" {
		return lookAgain
	}
	return lookNowAndThen
}

// tokenKinds are those that a provider knows; none where there is no such provider, which the keeper tells.
func (s *Server) tokenKinds(ctx context.Context, provider string) []v1alpha1.TokenKind {
	p := &v1alpha1.APIProvider{}
	if found, err := s.find(ctx, client.ObjectKey{Name: provider}, p); err != nil || !found {
		return nil
	}
	return p.Spec.TokenKinds
}

// faultOf is what is wrong with a key in a Secret as it was read; known is false where reading it failed in a way that tells nothing of it.
func faultOf(secret *corev1.Secret, err error, entry string, kinds []v1alpha1.TokenKind) (fault observation.Fault, known bool) {
	if err != nil {
		return observation.FaultSecretMissing, apierrors.IsNotFound(err)
	}
	value, found := secret.Data[entry]
	switch {
	case !found:
		return observation.FaultEntryMissing, true
	case keep.Malformed(value) != "":
		return observation.FaultKeyMalformed, true
	}
	switch keep.DenialOf(keep.TokenKindOf(kinds, string(value))) {
	case v1alpha1.ReasonTokenKindDenied:
		return observation.FaultTokenKindDenied, true
	case v1alpha1.ReasonSubscriptionTokenRefused:
		return observation.FaultSubscriptionToken, true
	}
	return "", true
}
