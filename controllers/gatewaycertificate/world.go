package gatewaycertificate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/keep/certificate"
)

// The three objects.
var (
	authoritiesKey = client.ObjectKey{Namespace: v1alpha1.NamespaceVault, Name: keep.GatewayAuthoritySecret}
	bundleKey      = client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: keep.GatewayBundle}
	servingKey     = client.ObjectKey{Namespace: v1alpha1.NamespaceKeys, Name: keep.GatewayServingSecret}
)

// world is what exists. What does not has no resourceVersion.
type world struct {
	authorities *corev1.Secret
	bundle      *corev1.ConfigMap
	serving     *corev1.Secret
}

func newWorld() world {
	labels := map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	at := func(key client.ObjectKey) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: labels}
	}
	return world{
		authorities: &corev1.Secret{ObjectMeta: at(authoritiesKey), Type: corev1.SecretTypeOpaque},
		bundle:      &corev1.ConfigMap{ObjectMeta: at(bundleKey)},
		serving:     &corev1.Secret{ObjectMeta: at(servingKey), Type: v1alpha1.SecretTypeCertificate},
	}
}

// observe reads the three objects in the opposite order of that in which they are written, and every write is refused when its object has changed
// since. So a keeper that writes a bundle knows of every authority that was in it, and one that writes a certificate of the bundle
// that is to cover it, whatever another keeper does at the same time.
func (r *Reconciler) observe(ctx context.Context) (world, error) {
	w := newWorld()
	for _, o := range []client.Object{w.serving, w.bundle, w.authorities} {
		if err := client.IgnoreNotFound(r.Client.Get(ctx, client.ObjectKeyFromObject(o), o)); err != nil {
			return w, fmt.Errorf("read %s: %w", o.GetName(), err)
		}
	}
	return w, nil
}

func (w world) state() certificate.State {
	return certificate.State{Authorities: w.authorities.Data, Bundle: w.bundle.Data[keep.GatewayBundleKey], Serving: w.serving.Data}
}

// act writes what the plan says, in its order, and stops at the first failure: what has been written until then is trusted already.
func (r *Reconciler) act(ctx context.Context, w world, p certificate.Plan) error {
	if p.Authorities != nil {
		w.authorities.Data = p.Authorities
		if err := r.write(ctx, w.authorities); err != nil {
			return err
		}
	}
	if p.Bundle != "" {
		w.bundle.Data = map[string]string{keep.GatewayBundleKey: p.Bundle}
		if err := r.write(ctx, w.bundle); err != nil {
			return err
		}
	}
	if p.Serving != nil {
		w.serving.Data = p.Serving
		return r.write(ctx, w.serving)
	}
	return nil
}

// write creates an object, or updates the version of it that was read and no other.
func (r *Reconciler) write(ctx context.Context, o client.Object) error {
	if o.GetResourceVersion() == "" {
		if err := r.Client.Create(ctx, o, client.FieldOwner(v1alpha1.FieldOwnerKeeper)); err != nil {
			return fmt.Errorf("create %s: %w", o.GetName(), err)
		}
		return nil
	}
	if err := r.Client.Update(ctx, o, client.FieldOwner(v1alpha1.FieldOwnerKeeper)); err != nil {
		return fmt.Errorf("write %s: %w", o.GetName(), err)
	}
	return nil
}
