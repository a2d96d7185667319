package session

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
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
