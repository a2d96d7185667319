package session

import (
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// verb is what an action does to its object.
type verb int

const (
	create       verb = iota // make a ConfigMap or a volume claim
	createPod                // make the pod, after a last look
	remove                   // delete, if it is still the same object
	removeUnused             // delete the ConfigMap of a run that never had a pod, after a last look
	relabel                  // put back the labels by which we find a pod
	release                  // take the finalizer off
	expire                   // let the kubelet end the pod, and keep it and its log
)

// action is one write.
type action struct {
	verb   verb
	object client.Object
}

// outcome is what acting brought that planning could not know.
type outcome struct {
	// pod is the pod that was made.
	pod *corev1.Pod
	// blocked is why an object could not be made, or nil.
	blocked *sandbox.Blockage
}

// errStale says that what was planned on is not what the API server has.
var errStale = errors.New("the Session or its pods have changed since they were observed; trying again")

// act does every write of a reconcile but that of status. It decides nothing.
func (r *Reconciler) act(ctx context.Context, w *world, p plan) (outcome, error) {
	var out outcome
	for _, a := range p.actions {
		var err error
		switch a.verb {
		case create:
			err = r.create(ctx, w, a.object, &out)
		case createPod:
			err = r.createPod(ctx, w, a.object.(*corev1.Pod), &out)
		case remove:
			err = r.remove(ctx, a.object)
		case removeUnused:
			err = r.removeUnused(ctx, w, a.object)
		case relabel:
			err = r.relabel(ctx, w, a.object)
		case release:
			err = r.release(ctx, a.object)
		case expire:
			err = r.expire(ctx, a.object)
		}
		if err != nil || out.blocked != nil {
			return out, err
		}
	}
	return out, nil
}

// sweep lets go of the pods of a Session that is no more.
func (r *Reconciler) sweep(ctx context.Context, w *world) error {
	_, err := r.act(ctx, w, plan{actions: leftovers(w)})
	return err
}

// create makes an object. One of that name which is already ours is as good.
func (r *Reconciler) create(ctx context.Context, w *world, o client.Object, out *outcome) error {
	err := r.Client.Create(ctx, o)
	if apierrors.IsAlreadyExists(err) {
		return r.checkOwner(ctx, w, o, out)
	}
	if refused(err) {
		out.blocked = &sandbox.Blockage{Reason: v1alpha1.ReasonPodRejected, Message: refusal(o, err)}
		return nil
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", describe(o), err)
	}
	return nil
}

// createPod makes the pod after a last look at the API server itself, so that a stale cache never makes a second one.
func (r *Reconciler) createPod(ctx context.Context, w *world, pod *corev1.Pod, out *outcome) error {
	if err := r.lookAgain(ctx, w); err != nil {
		return err
	}
	if err := r.create(ctx, w, pod, out); err != nil || out.blocked != nil {
		return err
	}
	out.pod = pod
	return nil
}

// lookAgain compares the plan's premises with the API server: the Session stands where it stood, wants a pod, and has none.
func (r *Reconciler) lookAgain(ctx context.Context, w *world) error {
	session := &v1alpha1.Session{}
	if err := r.Live.Get(ctx, w.key, session); err != nil {
		return fmt.Errorf("read the Session once more: %w", err)
	}
	then, now := w.session.Status, session.Status
	if session.UID != w.session.UID || !session.DeletionTimestamp.IsZero() || session.Generation != w.session.Generation ||
		value(then.Run) != value(now.Run) || then.PodUID != now.PodUID || finished(session) {
		return errStale
	}
	var pods corev1.PodList
	if err := r.Live.List(ctx, &pods, client.InNamespace(w.key.Namespace), client.MatchingLabels{v1alpha1.LabelSession: w.key.Name}); err != nil {
		return fmt.Errorf("list the pods of the Session once more: %w", err)
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; sandbox.OwnedBy(pod, session) && (!sandbox.Ended(pod) || sandbox.RunOf(pod) > value(now.Run)) {
			return errStale
		}
	}
	return nil
}

// checkOwner looks at the object that has the name of one of ours. It must be read live: the caches hold labelled objects
// only.
func (r *Reconciler) checkOwner(ctx context.Context, w *world, o client.Object, out *outcome) error {
	existing := o.DeepCopyObject().(client.Object)
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(o), existing); err != nil {
		return fmt.Errorf("read %s: %w", describe(o), err)
	}
	if sandbox.OwnedBy(existing, w.session) {
		if len(sandbox.LostLabels(existing, w.session)) > 0 {
			return errors.Join(r.relabel(ctx, w, existing), errStale) // no cache shows it until then
		}
		if _, isConfig := o.(*corev1.ConfigMap); isConfig {
			return errStale // its content, which the pod must match, was not planned with
		}
		if pod, isPod := existing.(*corev1.Pod); isPod {
			*o.(*corev1.Pod) = *pod
		}
		return nil
	}
	out.blocked = &sandbox.Blockage{Reason: v1alpha1.ReasonNameConflict, Message: capitalize(fmt.Sprintf(
		"%s exists and is not of this Session; delete or rename it", describe(o)))}
	if owner := metav1.GetControllerOf(existing); owner != nil && owner.Kind == "Session" {
		out.blocked = &sandbox.Blockage{Reason: v1alpha1.ReasonTerminating, Message: capitalize(fmt.Sprintf(
			"%s of an earlier Session of this name is still ending", describe(o)))}
	}
	return nil
}

// remove deletes exactly the object that was observed, never a namesake. One that has changed since is left to the next reconcile, which
// its change brings about.
func (r *Reconciler) remove(ctx context.Context, o client.Object) error {
	err := r.Client.Delete(ctx, o, client.Preconditions{UID: new(o.GetUID()), ResourceVersion: new(o.GetResourceVersion())})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("delete %s: %w", describe(o), err)
	}
	return nil
}

// removeUnused deletes the ConfigMap of a run, unless the run has a pod after all.
func (r *Reconciler) removeUnused(ctx context.Context, w *world, o client.Object) error {
	if err := r.lookAgain(ctx, w); err != nil {
		return err
	}
	return r.remove(ctx, o)
}

// relabel puts back what caches and selectors find a pod by.
func (r *Reconciler) relabel(ctx context.Context, w *world, o client.Object) error {
	labelled := o.DeepCopyObject().(client.Object)
	labels := map[string]string{}
	maps.Copy(labels, o.GetLabels())
	maps.Copy(labels, sandbox.LostLabels(o, w.session))
	labelled.SetLabels(labels)
	patch := client.MergeFromWithOptions(o, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, labelled, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("label %s: %w", describe(o), err)
	}
	o.SetResourceVersion(labelled.GetResourceVersion()) // it may be changed further
	return nil
}

// release takes our finalizer off, and leaves those of others.
func (r *Reconciler) release(ctx context.Context, o client.Object) error {
	var keep []string
	for _, f := range o.GetFinalizers() {
		if f != v1alpha1.FinalizerResult {
			keep = append(keep, f)
		}
	}
	freed := o.DeepCopyObject().(client.Object)
	freed.SetFinalizers(keep)
	patch := client.MergeFromWithOptions(o, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, freed, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("release %s: %w", describe(o), err)
	}
	o.SetResourceVersion(freed.GetResourceVersion()) // it may be deleted next
	return nil
}

// expire makes the kubelet end the pod with its grace period. Unlike a deletion this keeps the pod, its log and its report.
func (r *Reconciler) expire(ctx context.Context, o client.Object) error {
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil,
		`{"metadata":{"uid":%q,"resourceVersion":%q},"spec":{"activeDeadlineSeconds":1}}`, o.GetUID(), o.GetResourceVersion()))
	if err := r.Client.Patch(ctx, o.DeepCopyObject().(client.Object), patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("end %s: %w", describe(o), err)
	}
	return nil
}

// refused is true for an answer that will be the same until somebody changes something: quota, Pod Security, a webhook, or a
// template that the API server does not accept.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

func refusal(o client.Object, err error) string {
	return capitalize(fmt.Sprintf("%s was refused; change the class, or the namespace's quota or policy: %s",
		describe(o), contract.OneLine(err.Error(), 1024)))
}

// describe names an object for messages and errors.
func describe(o client.Object) string {
	kind := "object"
	switch o.(type) {
	case *corev1.Pod:
		kind = "pod"
	case *corev1.ConfigMap:
		kind = "ConfigMap"
	case *corev1.PersistentVolumeClaim:
		kind = "PersistentVolumeClaim"
	case *v1alpha1.Session:
		kind = "Session"
	}
	return fmt.Sprintf("%s %q", kind, o.GetName())
}
