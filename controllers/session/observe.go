package session

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/keep"
	"github.com/sandkeep/sandkeep/internal/owner"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// world is everything that was read for one reconcile.
type world struct {
	key client.ObjectKey
	// image is the Sandkeep image.
	image string
	// session is nil when there is none.
	session *v1alpha1.Session
	// class is nil when it does not exist; className is then the name that was looked for, or empty for the default one.
	class              *v1alpha1.SessionClass
	className          string
	providers          []v1alpha1.APIProvider
	credentials        []v1alpha1.Credential
	clusterCredentials []v1alpha1.ClusterCredential
	// usable and unusable are what the owner may and may not use, of what a run is or would be made from; both are empty where there is none.
	usable, unusable []owner.Use
	// namespace is the Session's.
	namespace *corev1.Namespace
	// gateway is nil until the keeper has published by what certificates it is known.
	gateway *contract.Gateway
	// pods, configs and workspace are this Session's own, pods by rising run.
	pods      []corev1.Pod
	configs   []corev1.ConfigMap
	workspace *corev1.PersistentVolumeClaim
	// leftovers are pods of an earlier Session of the same name, or of one that let go of them.
	leftovers []corev1.Pod
}

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

// waitingSessions maps a class, provider or credential to the Sessions that may have waited for it: those whose agent is not at work. The limits of
// a class hold for those at work as well, and so does what becomes of a credential that the gateway holds for them.
func (r *Reconciler) waitingSessions(ctx context.Context, o client.Object) []reconcile.Request {
	namespace := o.GetNamespace()
	if r.isGatewayCA(o) {
		namespace = metav1.NamespaceAll
	}
	class, isClass := o.(*v1alpha1.SessionClass)
	return r.unfinished(ctx, namespace, func(s *v1alpha1.Session) bool {
		return !atWork(s) || isClass && s.Status.ClassName == class.Name || dependsOn(s, o)
	})
}

// dependsOn is true for a Session that was given a credential by Proxy, and o is that, its provider, or the namespace that must be allowed it.
func dependsOn(s *v1alpha1.Session, o client.Object) bool {
	return slices.ContainsFunc(s.Status.Credentials, func(c v1alpha1.ResolvedCredential) bool {
		if c.Delivery != v1alpha1.DeliveryProxy {
			return false
		}
		switch o.(type) {
		case *v1alpha1.Credential:
			return c.Ref == v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: o.GetName()}
		case *v1alpha1.ClusterCredential:
			return c.Ref == v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: o.GetName()}
		case *v1alpha1.APIProvider:
			return c.Provider == o.GetName()
		case *corev1.Namespace:
			return c.Ref.Kind == v1alpha1.CredentialKindClusterCredential
		}
		return false
	})
}

// sessionsIn maps a namespace, whose labels may have changed, to the Sessions in it that may have waited for that, or run on what that allowed.
func (r *Reconciler) sessionsIn(ctx context.Context, o client.Object) []reconcile.Request {
	return r.unfinished(ctx, o.GetName(), func(s *v1alpha1.Session) bool { return !atWork(s) || dependsOn(s, o) })
}

// unfinished are those Sessions of a namespace, or of all, that have not ended and that are meant.
func (r *Reconciler) unfinished(ctx context.Context, namespace string, meant func(*v1alpha1.Session) bool) []reconcile.Request {
	var list v1alpha1.SessionList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if s := &list.Items[i]; !finished(s) && meant(s) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		}
	}
	return requests
}

func atWork(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSandboxReady)
}

// finished is true once a Session has ended either way.
func finished(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished)
}

// run is the number of the last run that status knows; 0 before the first.
func (w *world) run() int32 {
	if w.session.Status.Run == nil {
		return 0
	}
	return *w.session.Status.Run
}

// live is the pod of the Session that has not ended; of several, which nothing of ours can bring about, the last. A pod that a
// cache still shows alive although status knows its end is none.
func (w *world) live() *corev1.Pod {
	for i := len(w.pods) - 1; i >= 0; i-- {
		if pod := &w.pods[i]; !sandbox.Ended(pod) && !w.recorded(pod) {
			return pod
		}
	}
	return nil
}

// known is true when status names the pod. What ends a live pod asks for that first: a Session that is behind its pods may also be
// behind its spec, and writing the name into its status shows whether it is.
func (w *world) known(pod *corev1.Pod) bool { return w.session.Status.PodUID == string(pod.UID) }

// unrecorded is a pod that ended and whose ending is not in status yet.
func (w *world) unrecorded() *corev1.Pod {
	for i := len(w.pods) - 1; i >= 0; i-- {
		if pod := &w.pods[i]; sandbox.Ended(pod) && !w.recorded(pod) {
			return pod
		}
	}
	return nil
}

// recorded is true when status knows how the run of a pod ended: it has moved on to a later run, or it names no live pod for
// this one.
func (w *world) recorded(pod *corev1.Pod) bool {
	run := sandbox.RunOf(pod)
	return run < w.run() || (run == w.run() && !w.known(pod))
}

// configOf is the ConfigMap of a run, or nil.
func (w *world) configOf(run int32) *corev1.ConfigMap {
	for i := range w.configs {
		if sandbox.RunOf(&w.configs[i]) == run {
			return &w.configs[i]
		}
	}
	return nil
}

// pin is who pays for the Session, once a run was given that; nil before.
func (w *world) pin() []v1alpha1.ResolvedCredential {
	if len(w.session.Status.Credentials) > 0 {
		return w.session.Status.Credentials
	}
	if pin := w.remembered(); pin != nil || w.run() == 0 {
		return pin
	}
	return []v1alpha1.ResolvedCredential{}
}

// remembered is who pays, as the newest ConfigMap remembers it: a crash between it and the status never resolves the payer
// anew. It is nil when there is no ConfigMap.
func (w *world) remembered() []v1alpha1.ResolvedCredential {
	newest := w.newestConfig()
	if newest == nil {
		return nil
	}
	config, err := contract.DecodeConfig([]byte(newest.Data[contract.ConfigFile]))
	if err != nil {
		return nil
	}
	return sandbox.PinOf(config)
}

// newestConfig is the ConfigMap of the last run that has one, or nil.
func (w *world) newestConfig() *corev1.ConfigMap {
	var newest *corev1.ConfigMap
	for i := range w.configs {
		if newest == nil || sandbox.RunOf(&w.configs[i]) > sandbox.RunOf(newest) {
			newest = &w.configs[i]
		}
	}
	return newest
}

// resolve chooses the credentials of the next run.
func (w *world) resolve() ([]credential.Resolved, *credential.Missing) {
	return credential.Resolve(w.credentialWorld(w.pin()))
}

// credentialWorld is what a decision about credentials is made from.
func (w *world) credentialWorld(pin []v1alpha1.ResolvedCredential) credential.World {
	c := credential.World{
		Session: w.session, Class: w.class, Namespace: w.namespace, Providers: w.providers,
		Credentials: w.credentials, ClusterCredentials: w.clusterCredentials, Pinned: pin,
	}
	for i := range w.clusterCredentials {
		if name := w.clusterCredentials[i].Name; slices.Contains(w.usable, owner.ClusterCredential(name)) {
			c.Usable = append(c.Usable, name)
		}
	}
	return c
}

// terms are the times that hold for the Session. Where its class is gone, the limits count with which its last run was made.
func (w *world) terms() sandbox.Terms {
	return sandbox.TermsOf(w.session, w.class, sandbox.RememberedLimits(w.newestConfig()))
}

// suspended is true while the spec asks for no pod.
func (w *world) suspended() bool { return w.session.Spec.Suspend != nil && *w.session.Spec.Suspend }

// wasReady is the Ready condition as status has it, or an empty one.
func (w *world) wasReady() metav1.Condition {
	return value(meta.FindStatusCondition(w.session.Status.Conditions, v1alpha1.ConditionReady))
}
