package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// server is an API server in memory: the fake client, with what it leaves out and Sandkeep relies upon. It keeps every version of
// every object, so that caches can be behind.
type server struct {
	client.WithWatch
	tb testing.TB
	// births counts the objects of a Kind and name, so that UIDs are the same in every run of a scenario.
	births map[string]int
	// history holds, for each Kind, the objects by key after each write; versions are never changed.
	history map[string][]version
	// onWrite is called after each write that changed something.
	onWrite func(kind string, before, after client.Object)
}

type version map[client.ObjectKey]client.Object

// finalizerKubelet stands for the grace period of a pod on a node: until the kubelet confirms its end, the pod exists.
const finalizerKubelet = "kubelet.test/running"

// scheme is built once; it is read-only from then on.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}()

// converters know the types of a Session, so that server-side apply merges its conditions as the real API server does. Who manages
// which field of other Kinds is nobody's question here.
var converters = func() []managedfields.TypeConverter {
	ours := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(ours))
	return []managedfields.TypeConverter{unmanaged{}, applyconfiguration.NewTypeConverter(ours)}
}()

// unmanaged sees no field in any object but a Session, which saves most of the time of the fake client.
type unmanaged struct{}

func (unmanaged) ObjectToTyped(o runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if o.GetObjectKind().GroupVersionKind().Kind == "Session" {
		return nil, errors.New("managed")
	}
	return typed.DeducedParseableType.FromUnstructured(map[string]any{}, opts...)
}

func (unmanaged) TypedToObject(*typed.TypedValue) (runtime.Object, error) {
	return nil, errors.New("nothing is applied but Sessions")
}

func newServer(tb testing.TB) *server {
	s := &server{
		tb: tb, births: map[string]int{}, history: map[string][]version{},
		onWrite: func(string, client.Object, client.Object) {},
	}
	base := fake.NewClientBuilder().WithScheme(scheme).WithTypeConverters(converters...).WithGlobalResourceVersionCounter().
		WithStatusSubresource(&v1alpha1.Session{}, &v1alpha1.SessionClass{}, &v1alpha1.APIProvider{}, &v1alpha1.Credential{},
			&v1alpha1.ClusterCredential{}, &corev1.Pod{}).Build()
	s.WithWatch = interceptor.NewClient(base, interceptor.Funcs{
		Get:               s.get,
		List:              s.list,
		Create:            s.create,
		Delete:            s.delete,
		Update:            s.update,
		Patch:             s.patch,
		SubResourceApply:  s.applyStatus,
		SubResourceUpdate: s.updateStatus,
	})
	return s
}

func kindOf(o runtime.Object) string {
	return strings.TrimSuffix(reflect.TypeOf(o).Elem().Name(), "List")
}

// latest is the newest version of a Kind.
func (s *server) latest(kind string) version {
	versions := s.history[kind]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1]
}

// record keeps what a write made of an object.
func (s *server) record(base client.Client, o client.Object) {
	kind, key := kindOf(o), client.ObjectKeyFromObject(o)
	before := s.latest(kind)[key]
	after := reflect.New(reflect.TypeOf(o).Elem()).Interface().(client.Object)
	if err := base.Get(context.Background(), key, after); apierrors.IsNotFound(err) {
		after = nil
	} else if err != nil {
		s.tb.Fatal(err)
	}
	next := version{}
	maps.Copy(next, s.latest(kind))
	delete(next, key)
	if after != nil {
		next[key] = after
	}
	s.history[kind] = append(s.history[kind], next)
	s.onWrite(kind, before, after)
}

func (s *server) get(_ context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	return readObject(s.latest(kindOf(o)), key, o)
}

func (s *server) list(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
	return readList(s.latest(kindOf(list)), list, opts...)
}

func readObject(v version, key client.ObjectKey, into client.Object) error {
	found, ok := v[key]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kindOf(into)}, key.Name)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
	return nil
}

func readList(v version, into client.ObjectList, opts ...client.ListOption) error {
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	var items []runtime.Object
	for key, o := range v {
		if options.Namespace != "" && key.Namespace != options.Namespace {
			continue
		}
		if options.LabelSelector != nil && !options.LabelSelector.Matches(labelSet(o)) {
			continue
		}
		items = append(items, o.DeepCopyObject())
	}
	slices.SortFunc(items, func(a, b runtime.Object) int {
		return strings.Compare(a.(client.Object).GetName(), b.(client.Object).GetName())
	})
	return meta.SetList(into, items)
}

func (s *server) create(ctx context.Context, base client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	if err := s.admit(o); err != nil {
		return err
	}
	born := o.DeepCopyObject().(client.Object)
	id := fmt.Sprintf("%s/%s/%d", kindOf(o), o.GetName(), s.births[kindOf(o)+"/"+o.GetName()]+1)
	born.SetUID(types.UID(id))
	born.SetCreationTimestamp(metav1.Now().Rfc3339Copy())
	born.SetGeneration(1)
	born.SetResourceVersion("")
	switch typed := born.(type) {
	case *v1alpha1.Session:
		typed.Status = v1alpha1.SessionStatus{ObservedGeneration: new(int64(-1))}
	case *corev1.Pod:
		typed.Status = corev1.PodStatus{Phase: corev1.PodPending}
	}
	if err := base.Create(ctx, born, opts...); err != nil {
		return err
	}
	s.births[kindOf(o)+"/"+o.GetName()]++
	reflect.ValueOf(o).Elem().Set(reflect.ValueOf(born).Elem())
	s.record(base, o)
	return nil
}

// admit is the quota of a namespace, of which the scenarios know one only: no pods.
func (s *server) admit(o client.Object) error {
	if _, isPod := o.(*corev1.Pod); !isPod {
		return nil
	}
	if len(s.latest("ResourceQuota")) == 0 {
		return nil
	}
	return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, o.GetName(), errors.New("exceeded quota: no-pods, requested: pods=1, used: pods=0, limited: pods=0"))
}

func (s *server) delete(ctx context.Context, base client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	options := client.DeleteOptions{}
	options.ApplyOptions(opts)
	current := s.latest(kindOf(o))[client.ObjectKeyFromObject(o)]
	if p := options.Preconditions; current != nil && p != nil {
		if (p.UID != nil && *p.UID != current.GetUID()) || (p.ResourceVersion != nil && *p.ResourceVersion != current.GetResourceVersion()) {
			return apierrors.NewConflict(schema.GroupResource{Resource: kindOf(o)}, o.GetName(), errors.New("precondition failed"))
		}
	}
	if current == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: kindOf(o)}, o.GetName())
	}
	switch {
	case options.GracePeriodSeconds != nil && *options.GracePeriodSeconds == 0:
		setFinalizers(ctx, s.tb, base, current, without(current.GetFinalizers(), finalizerKubelet))
	case options.PropagationPolicy != nil && *options.PropagationPolicy == metav1.DeletePropagationForeground:
		setFinalizers(ctx, s.tb, base, current, append(slices.Clone(current.GetFinalizers()), metav1.FinalizerDeleteDependents))
	}
	if current.GetDeletionTimestamp().IsZero() || len(current.GetFinalizers()) == 0 {
		if err := client.IgnoreNotFound(base.Delete(ctx, o.DeepCopyObject().(client.Object))); err != nil {
			return err
		}
	}
	s.record(base, o)
	return nil
}

func without(list []string, unwanted string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return f == unwanted })
}

// setFinalizers changes finalizers behind the back of everybody, as the API server does itself.
func setFinalizers(ctx context.Context, tb testing.TB, base client.Client, o client.Object, finalizers []string) {
	changed := o.DeepCopyObject().(client.Object)
	changed.SetFinalizers(finalizers)
	if err := base.Update(ctx, changed); err != nil {
		tb.Fatal(err)
	}
}

func (s *server) update(ctx context.Context, base client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
	before := s.latest(kindOf(o))[client.ObjectKeyFromObject(o)]
	if before != nil && !apiequality.Semantic.DeepEqual(spec(before), spec(o)) {
		o.SetGeneration(before.GetGeneration() + 1)
	}
	err := base.Update(ctx, o, opts...)
	if err == nil {
		s.record(base, o)
	}
	return err
}

func spec(o client.Object) any {
	field := reflect.ValueOf(o).Elem().FieldByName("Spec")
	if !field.IsValid() {
		return nil
	}
	return field.Interface()
}

func (s *server) patch(ctx context.Context, base client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	data, err := patch.Data(o)
	if err != nil {
		return err
	}
	var claim struct {
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &claim); err != nil {
		return err
	}
	current := s.latest(kindOf(o))[client.ObjectKeyFromObject(o)]
	if current != nil && claim.Metadata.UID != "" && claim.Metadata.UID != current.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{Resource: kindOf(o)}, o.GetName(), errors.New("uid mismatch"))
	}
	if err := base.Patch(ctx, o, client.RawPatch(patch.Type(), data), opts...); err != nil {
		return err
	}
	s.record(base, o)
	return nil
}

// applyStatus refuses what the real API server refuses: no object, or another one of the same name.
func (s *server) applyStatus(ctx context.Context, base client.Client, subResource string, apply runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	data, err := json.Marshal(apply)
	if err != nil {
		return err
	}
	target := &v1alpha1.Session{}
	if err := json.Unmarshal(data, target); err != nil {
		return err
	}
	current := s.latest("Session")[client.ObjectKeyFromObject(target)]
	if current == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "sessions"}, target.Name)
	}
	if target.UID != "" && target.UID != current.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{Resource: "sessions"}, target.Name, errors.New("uid mismatch"))
	}
	if err := base.SubResource(subResource).Apply(ctx, apply, opts...); err != nil {
		return err
	}
	s.record(base, target)
	return nil
}

func (s *server) updateStatus(ctx context.Context, base client.Client, subResource string, o client.Object, opts ...client.SubResourceUpdateOption) error {
	if err := base.SubResource(subResource).Update(ctx, o, opts...); err != nil {
		return err
	}
	if pod, ok := o.(*corev1.Pod); ok && sandbox.Ended(pod) && slices.Contains(pod.Finalizers, finalizerKubelet) {
		setFinalizers(ctx, s.tb, base, o, without(o.GetFinalizers(), finalizerKubelet))
	}
	s.record(base, o)
	return nil
}

// collectGarbage does what Kubernetes' garbage collector does: objects go after their owner, and in the foreground before it.
func (s *server) collectGarbage(ctx context.Context) {
	for s.collectOnce(ctx) {
		continue
	}
}

func (s *server) collectOnce(ctx context.Context) bool {
	for _, kind := range []string{"Pod", "ConfigMap", "PersistentVolumeClaim"} {
		for _, o := range s.latest(kind) {
			if owner := metav1.GetControllerOf(o); owner != nil && o.GetDeletionTimestamp().IsZero() && s.forsaken(o.GetNamespace(), *owner) {
				if err := s.Delete(ctx, o); err != nil {
					s.tb.Fatal(err)
				}
				return true
			}
		}
	}
	return s.finishForeground(ctx)
}

// forsaken is true for an owner that does not exist, or that waits for its dependents to go.
func (s *server) forsaken(namespace string, owner metav1.OwnerReference) bool {
	session := s.latest("Session")[client.ObjectKey{Namespace: namespace, Name: owner.Name}]
	return session == nil || session.GetUID() != owner.UID || slices.Contains(session.GetFinalizers(), metav1.FinalizerDeleteDependents)
}

// finishForeground lets a Session go that waited for its dependents.
func (s *server) finishForeground(ctx context.Context) bool {
	for key, session := range s.latest("Session") {
		if !slices.Contains(session.GetFinalizers(), metav1.FinalizerDeleteDependents) || s.hasDependents(session.GetUID()) {
			continue
		}
		fresh := &v1alpha1.Session{}
		if err := readObject(s.latest("Session"), key, fresh); err != nil {
			s.tb.Fatal(err)
		}
		fresh.Finalizers = without(fresh.Finalizers, metav1.FinalizerDeleteDependents)
		if err := s.Update(ctx, fresh); err != nil {
			s.tb.Fatal(err)
		}
		return true
	}
	return false
}

func (s *server) hasDependents(uid types.UID) bool {
	for _, kind := range []string{"Pod", "ConfigMap", "PersistentVolumeClaim"} {
		for _, o := range s.latest(kind) {
			if owner := metav1.GetControllerOf(o); owner != nil && owner.UID == uid {
				return true
			}
		}
	}
	return false
}
