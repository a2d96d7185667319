package credential

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/keyhealth"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// What somebody may do is the one thing that cannot be watched, so it is asked again: soon while an admin is waited for, and often enough that
// status tells within a minute or so that a permission is gone.
const (
	recheckWaiting = 30 * time.Second
	recheckGranted = time.Minute
	jitter         = 0.2
)

// world is what was observed of a Credential: the only data that the checks see.
type world struct {
	credential *v1alpha1.Credential
	// provider is nil when it does not exist.
	provider *v1alpha1.APIProvider
	// readable says that the gateway may read the Secret; asked only when Proxy is among the deliveries.
	readable bool
	observed []observation.Observation
}

// observe makes every read. The Secret is not among them: the keeper has no rights on Secrets of users.
func observe(ctx context.Context, c client.Client, o *v1alpha1.Credential) (world, error) {
	w := world{credential: o}
	provider := &v1alpha1.APIProvider{}
	err := c.Get(ctx, client.ObjectKey{Name: o.Spec.Provider}, provider)
	if client.IgnoreNotFound(err) != nil {
		return w, fmt.Errorf("read the APIProvider: %w", err)
	}
	if !apierrors.IsNotFound(err) {
		w.provider = provider
	}
	if w.byProxy() {
		if w.readable, err = readable(ctx, c, o); err != nil {
			return w, err
		}
	}
	w.observed, err = keyhealth.Observed(ctx, c, observation.Ref{
		Kind: v1alpha1.CredentialKindCredential, Namespace: o.Namespace, Name: o.Name,
	})
	return w, err
}

// readable asks the API server whether the gateway may read the one Secret.
func readable(ctx context.Context, c client.Client, o *v1alpha1.Credential) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + v1alpha1.NamespaceSystem + ":" + keep.GatewayServiceAccount,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + v1alpha1.NamespaceSystem, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: o.Namespace, Verb: "get", Version: "v1", Resource: "secrets", Name: o.Spec.APIKey.SecretRef.Name,
		},
	}}
	if err := c.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask what the gateway may read: %w", err)
	}
	return review.Status.Allowed, nil
}

// byProxy is true when Proxy is among the deliveries.
func (w world) byProxy() bool {
	deliveries := w.credential.Spec.Deliveries
	return len(deliveries) == 0 || slices.Contains(deliveries, v1alpha1.DeliveryProxy)
}

// look is what a gateway that may read the Secret found there, by the spec as it is; false where none has looked.
func (w world) look() (observation.Look, bool) {
	if !w.byProxy() || !w.readable {
		return observation.Look{}, false
	}
	return observation.LastLook(w.observed, w.credential.Generation)
}

// others are the deliveries beside Proxy, sorted.
func (w world) others() []string {
	var others []string
	for _, d := range w.credential.Spec.Deliveries {
		if d != v1alpha1.DeliveryProxy {
			others = append(others, string(d))
		}
	}
	slices.Sort(others)
	return others
}

// facts are what every credential has. The revision is the one that the gateway used last: nobody else reads the Secret.
func (w world) facts() keyhealth.Facts {
	f := keyhealth.Facts{
		Before: w.credential.Status, Provider: w.provider, Observed: w.observed, Limits: w.credential.Spec.Limits,
		Revision: cmp.Or(observation.Newest(w.observed), w.credential.Status.Revision),
	}
	switch {
	case w.byProxy() && w.readable:
		f.Recheck = wait.Jitter(recheckGranted, jitter)
	case w.byProxy():
		f.Recheck = wait.Jitter(recheckWaiting, jitter)
	}
	return f
}
