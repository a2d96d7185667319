package clustercredential

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// world is what was observed of a ClusterCredential: the only data that the checks see.
type world struct {
	credential *v1alpha1.ClusterCredential
	// provider and secret are nil when they do not exist.
	provider *v1alpha1.APIProvider
	secret   *corev1.Secret
	observed []observation.Observation
}

// observe makes every read.
func observe(ctx context.Context, reader client.Reader, c *v1alpha1.ClusterCredential) (world, error) {
	w := world{credential: c}
	provider, err := found(ctx, reader, client.ObjectKey{Name: c.Spec.Provider}, &v1alpha1.APIProvider{})
	if err != nil {
		return w, fmt.Errorf("read the APIProvider: %w", err)
	}
	w.provider = provider
	secret, err := found(ctx, reader, client.ObjectKey{Namespace: v1alpha1.NamespaceKeys, Name: c.Spec.APIKey.SecretRef.Name}, &corev1.Secret{})
	if err != nil {
		return w, fmt.Errorf("read the Secret: %w", err)
	}
	w.secret = secret
	w.observed, err = keyhealth.Observed(ctx, reader, observation.Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: c.Name})
	return w, err
}

// found reads an object into o, and answers nil when there is none.
func found[T client.Object](ctx context.Context, reader client.Reader, key client.ObjectKey, o T) (T, error) {
	var none T
	err := reader.Get(ctx, key, o)
	if err != nil {
		return none, client.IgnoreNotFound(err)
	}
	return o, nil
}

// facts are what every credential has.
func (w world) facts() keyhealth.Facts {
	f := keyhealth.Facts{
		Before: w.credential.Status, Provider: w.provider, Hosts: w.credential.Spec.Hosts, Watched: true, Observed: w.observed,
		Limits: w.credential.Spec.Limits,
	}
	if _, ok := w.key(); ok {
		f.Revision = keep.Revision(w.secret)
	}
	f.TokenKind = w.kindName()
	return f
}

// kindName is what status says of the kind of the key. It is empty where there is nothing to be told apart: no provider, or no key.
func (w world) kindName() string {
	key, _ := w.key()
	switch kind := w.tokenKind(); {
	case kind != nil:
		return kind.Name
	case w.provider == nil || keep.Malformed(key) != "":
		return ""
	}
	return v1alpha1.TokenKindUnknown
}

// key is what the Secret holds as the key, if it is a Secret for keys and has that entry.
func (w world) key() ([]byte, bool) {
	if w.secret == nil || w.secret.Type != v1alpha1.SecretTypeAPIKey {
		return nil, false
	}
	key, ok := w.secret.Data[w.credential.Spec.APIKey.SecretRef.Key]
	return key, ok
}

// tokenKind is the kind of the key, or nil when it is of none that the provider knows.
func (w world) tokenKind() *v1alpha1.TokenKind {
	key, ok := w.key()
	if !ok || w.provider == nil {
		return nil
	}
	return keep.TokenKindOf(w.provider.Spec.TokenKinds, string(key))
}
