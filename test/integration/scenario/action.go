package scenario

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

// What people and controllers do.

// apply makes an object, its status included.
func apply(o client.Object) Action {
	return func(s Stage) {
		s.Helper()
		Put(s, o)
	}
}

// Put makes an object on a stage, its status included.
func Put(s Stage, o client.Object) {
	s.Helper()
	o = s.Local(o)
	wanted := o.DeepCopyObject().(client.Object)
	o.SetUID("")
	must(s, s.API().Create(s.Context(), o))
	switch wanted.(type) {
	case *v1alpha1.SessionClass, *v1alpha1.APIProvider, *v1alpha1.Credential, *v1alpha1.ClusterCredential:
		setStatus(s, wanted)
	}
}

// setStatus writes the status that wanted has, in place of that Kind's own reconciler.
func setStatus(s Stage, wanted client.Object) {
	s.Helper()
	retryConflicts(s, func() error {
		o := wanted.DeepCopyObject().(client.Object)
		if err := s.API().Get(s.Context(), client.ObjectKeyFromObject(wanted), o); err != nil {
			return err
		}
		wanted.SetResourceVersion(o.GetResourceVersion())
		wanted.SetUID(o.GetUID())
		return s.API().Status().Update(s.Context(), wanted)
	})
}

// judged gives an object the status that it has here.
func judged(o client.Object) Action {
	return func(s Stage) {
		s.Helper()
		setStatus(s, s.Local(o))
	}
}

func remove(o client.Object, opts ...client.DeleteOption) Action {
	return func(s Stage) {
		s.Helper()
		must(s, s.API().Delete(s.Context(), s.Local(o), opts...))
	}
}

func retryConflicts(s Stage, do func() error) {
	s.Helper()
	for range 20 {
		err := do()
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			s.Fatal(err)
		}
	}
	s.Fatal("conflicts without end")
}

func editSession(edit func(*v1alpha1.Session)) Action {
	return func(s Stage) {
		s.Helper()
		retryConflicts(s, func() error {
			o := &v1alpha1.Session{}
			if err := s.API().Get(s.Context(), client.ObjectKey{Namespace: s.Namespace(), Name: Name}, o); err != nil {
				return err
			}
			edit(o)
			return s.API().Update(s.Context(), o)
		})
	}
}

func suspend(wanted bool) Action {
	return editSession(func(o *v1alpha1.Session) { o.Spec.Suspend = &wanted })
}

func editClass(change func(*v1alpha1.SessionClass)) Action {
	return edit(opencode().Obj(), change)
}

func editCredential(change func(*v1alpha1.Credential)) Action { return edit(shared().Obj(), change) }

// edit changes the object that has the name of o.
func edit[T client.Object](o T, change func(T)) Action {
	return func(s Stage) {
		s.Helper()
		retryConflicts(s, func() error {
			local := s.Local(o.DeepCopyObject().(client.Object)).(T)
			if err := s.API().Get(s.Context(), client.ObjectKeyFromObject(local), local); err != nil {
				return err
			}
			change(local)
			return s.API().Update(s.Context(), local)
		})
	}
}

func pass(d time.Duration) Action { return func(s Stage) { s.Pass(d) } }

// session is the Session of a scenario.
func session() *build.SessionBuilder { return build.Session(Name) }

// quota permits no pod at all.
func quota() *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "no-pods", Namespace: build.Namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}
}
