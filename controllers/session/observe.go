package session

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/owner"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// observe is every read of a reconcile, but the last look right before a pod is created.
func (r *Reconciler) observe(ctx context.Context, key client.ObjectKey) (*world, error) {
	w := &world{key: key, image: r.Image}
	session := &v1alpha1.Session{}
	if err := r.Client.Get(ctx, key, session); err == nil {
		w.session = session
	} else if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the Session: %w", err)
	}
	for _, read := range []func(context.Context, *world) error{r.observePods, r.observeMissingPod, r.checkLeftovers} {
		if err := read(ctx, w); err != nil {
			return nil, err
		}
	}
	if w.session == nil {
		return w, nil
	}
	for _, read := range []func(context.Context, *world) error{
		r.observeConfigs, r.observeWorkspace, r.observeClass, r.observeCredentials, r.observeGateway, r.observeAccess,
	} {
		if err := read(ctx, w); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// observePods tells the Session's own pods from those of an earlier namesake. Pods that carry our label and are of neither are nobody's business.
func (r *Reconciler) observePods(ctx context.Context, w *world) error {
	var list corev1.PodList
	if err := r.Client.List(ctx, &list, client.InNamespace(w.key.Namespace), client.MatchingLabels{v1alpha1.LabelSession: w.key.Name}); err != nil {
		return fmt.Errorf("list the pods of the Session: %w", err)
	}
	w.addPods(list.Items)
	return nil
}

func (w *world) addPods(pods []corev1.Pod) {
	for _, pod := range pods {
		switch {
		case w.session != nil && sandbox.OwnedBy(&pod, w.session):
			w.pods = append(w.pods, pod)
		case slices.Contains(pod.Finalizers, v1alpha1.FinalizerResult):
			w.leftovers = append(w.leftovers, pod)
		}
	}
	slices.SortFunc(w.pods, func(a, b corev1.Pod) int { return int(sandbox.RunOf(&a) - sandbox.RunOf(&b)) })
}

// checkLeftovers keeps a cache that is behind from taking the pods of a newer Session for those of an older one.
func (r *Reconciler) checkLeftovers(ctx context.Context, w *world) error {
	if len(w.leftovers) == 0 {
		return nil
	}
	session := &v1alpha1.Session{}
	if err := r.Live.Get(ctx, w.key, session); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("read the Session of the pods: %w", err)
	}
	if slices.ContainsFunc(w.leftovers, func(p corev1.Pod) bool { return sandbox.OwnedBy(&p, session) }) {
		return errStale
	}
	return nil
}

// observeMissingPod asks the API server for the pod that status speaks of when the cache does not know it: either the cache
// is behind our own write, or the pod is really gone, and only the latter may have consequences.
func (r *Reconciler) observeMissingPod(ctx context.Context, w *world) error {
	if w.session == nil {
		return nil
	}
	status := w.session.Status
	if status.PodUID == "" || slices.ContainsFunc(w.pods, func(p corev1.Pod) bool { return string(p.UID) == status.PodUID }) {
		return nil
	}
	pod := corev1.Pod{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: status.PodName}, &pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the pod of the Session: %w", err)
	}
	w.addPods([]corev1.Pod{pod})
	return nil
}

func (r *Reconciler) observeConfigs(ctx context.Context, w *world) error {
	var list corev1.ConfigMapList
	if err := r.Client.List(ctx, &list, client.InNamespace(w.key.Namespace), client.MatchingLabels{v1alpha1.LabelSession: w.key.Name}); err != nil {
		return fmt.Errorf("list the ConfigMaps of the Session: %w", err)
	}
	for _, c := range list.Items {
		if sandbox.OwnedBy(&c, w.session) {
			w.configs = append(w.configs, c)
		}
	}
	return nil
}

func (r *Reconciler) observeWorkspace(ctx context.Context, w *world) error {
	claim := &corev1.PersistentVolumeClaim{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: sandbox.WorkspaceName(w.key.Name)}, claim)
	if err == nil && sandbox.OwnedBy(claim, w.session) {
		w.workspace = claim
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the workspace of the Session: %w", err)
	}
	return nil
}

// observeClass finds the class that the Session names, or the default one. Of several defaults the newest counts, as for
// StorageClasses.
func (r *Reconciler) observeClass(ctx context.Context, w *world) error {
	var list v1alpha1.SessionClassList
	if err := r.Client.List(ctx, &list); err != nil {
		return fmt.Errorf("list the SessionClasses: %w", err)
	}
	w.className = w.session.Spec.ClassName
	if w.className == "" {
		w.className = w.session.Status.ClassName // a default that changes later does not move a Session
	}
	for i := range list.Items {
		c := &list.Items[i]
		if w.className != "" && c.Name == w.className {
			w.class = c
		}
		if w.className == "" && c.Annotations[v1alpha1.AnnotationDefaultClass] == "true" && newer(c, w.class) {
			w.class = c
		}
	}
	return nil
}

// newer says whether a was made after b; of two of the same second, the first by name counts.
func newer(a, b *v1alpha1.SessionClass) bool {
	if b == nil || b.CreationTimestamp.Before(&a.CreationTimestamp) {
		return true
	}
	return a.CreationTimestamp.Equal(&b.CreationTimestamp) && a.Name < b.Name
}

func (r *Reconciler) observeCredentials(ctx context.Context, w *world) error {
	var providers v1alpha1.APIProviderList
	if err := r.Client.List(ctx, &providers); err != nil {
		return fmt.Errorf("list the APIProviders: %w", err)
	}
	var credentials v1alpha1.CredentialList
	if err := r.Client.List(ctx, &credentials, client.InNamespace(w.key.Namespace)); err != nil {
		return fmt.Errorf("list the Credentials of the namespace: %w", err)
	}
	var clusterCredentials v1alpha1.ClusterCredentialList
	if err := r.Client.List(ctx, &clusterCredentials); err != nil {
		return fmt.Errorf("list the ClusterCredentials: %w", err)
	}
	namespace := &corev1.Namespace{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: w.key.Namespace}, namespace); err == nil {
		w.namespace = namespace
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read the namespace of the Session: %w", err)
	}
	w.providers, w.credentials, w.clusterCredentials = providers.Items, credentials.Items, clusterCredentials.Items
	return nil
}

// observeGateway finds the certificates by which sandboxes know the gateway.
func (r *Reconciler) observeGateway(ctx context.Context, w *world) error {
	bundle := &corev1.ConfigMap{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.SystemNamespace, Name: keep.GatewayBundle}, bundle)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the certificates of the gateway: %w", err)
	}
	if ca := bundle.Data[keep.GatewayBundleKey]; ca != "" {
		w.gateway = &contract.Gateway{URL: r.GatewayURL, CABundle: ca}
	}
	return nil
}

// observeAccess asks what the owner may use of what a run is or could be made from. Nobody tells when that changes.
func (r *Reconciler) observeAccess(ctx context.Context, w *world) error {
	if w.suspended() || finished(w.session) || !w.session.DeletionTimestamp.IsZero() {
		return nil
	}
	var uses []owner.Use
	if w.class != nil {
		uses = append(uses, owner.Class(w.class.Name))
	}
	if pin := w.pin(); w.class != nil || pin != nil {
		for _, name := range credential.Asked(w.credentialWorld(pin)) {
			uses = append(uses, owner.ClusterCredential(name))
		}
	}
	for _, use := range uses {
		may, err := r.Access.May(ctx, w.session.Spec.Owner, use)
		switch {
		case err != nil:
			return err
		case may:
			w.usable = append(w.usable, use)
		default:
			w.unusable = append(w.unusable, use)
		}
	}
	return nil
}
