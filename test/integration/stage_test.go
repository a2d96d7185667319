package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/session"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/owner"
	"github.com/sandkeep/sandkeep/test/cluster"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// patience is how long anything may take.
const patience = 90 * time.Second

// stage is a scenario.Stage on a real API server: a namespace, a node without a kubelet, and managers with caches of their own that see
// only this namespace, and for which time stands still until the scenario lets it pass.
type stage struct {
	testing.TB
	config    *rest.Config
	api       client.Client
	namespace string
	clock     *stoppedClock
	pokes     int
}

// stoppedClock is the time of the managers.
type stoppedClock struct {
	mu  sync.Mutex
	now time.Time
}

var _ clock.PassiveClock = (*stoppedClock)(nil)

func (c *stoppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stoppedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// pass goes on from the later of its own time and the API server's, since that is what objects bear.
func (c *stoppedClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.now.Before(now) {
		c.now = now
	}
	c.now = c.now.Add(d)
}

func newStage(t *testing.T, managers int) *stage {
	t.Helper()
	api := cluster.Client(t)
	s := &stage{TB: t, config: cluster.Config(t), api: api, namespace: cluster.Namespace(t, api), clock: &stoppedClock{now: time.Now()}}
	t.Cleanup(s.release)
	s.fence()
	s.Permit(scenario.Resources...)
	s.makeNode()
	s.awaitServiceAccount()
	for range managers {
		s.startManager()
	}
	return s
}

// API is the API server.
func (s *stage) API() client.Client { return s.api }

// Namespace is where the scenario plays.
func (s *stage) Namespace() string { return s.namespace }

// Now is the time of the managers.
func (s *stage) Now() time.Time { return s.clock.Now() }

// Local names what has no namespace after the one of the stage, and sends pods to its node only.
func (s *stage) Local(o client.Object) client.Object {
	o = o.DeepCopyObject().(client.Object)
	if o.GetNamespace() != "" {
		o.SetNamespace(s.namespace)
	}
	o.SetResourceVersion("")
	switch typed := o.(type) {
	case *v1alpha1.SessionClass:
		typed.Name = s.local(typed.Name)
		typed.Spec.PodTemplate.Spec.SchedulerName = "nobody"
		for i := range typed.Spec.Credentials {
			typed.Spec.Credentials[i].Provider = s.local(typed.Spec.Credentials[i].Provider)
		}
	case *v1alpha1.APIProvider:
		typed.Name = s.local(typed.Name)
	case *v1alpha1.Credential:
		typed.Spec.Provider = s.local(typed.Spec.Provider)
	case *v1alpha1.ClusterCredential:
		typed.Name, typed.Spec.Provider = s.local(typed.Name), s.local(typed.Spec.Provider)
		if typed.Spec.Allow != nil && slices.Equal(typed.Spec.Allow.Namespaces.Names, []string{build.Namespace}) {
			typed.Spec.Allow.Namespaces.Names = []string{s.namespace}
		}
	case *v1alpha1.Session:
		typed.Spec.ClassName = s.local(typed.Spec.ClassName)
		if typed.Spec.Owner != nil {
			typed.Spec.Owner = s.owner()
		}
		for i := range typed.Spec.Credentials {
			choice := &typed.Spec.Credentials[i]
			choice.Provider = s.local(choice.Provider)
			if choice.Ref.Kind == v1alpha1.CredentialKindClusterCredential {
				choice.Ref.Name = s.local(choice.Ref.Name)
			}
		}
	}
	return o
}

func (s *stage) local(name string) string { return s.namespace + "-" + name }

// owner is a user whom nobody else's roles are bound to.
func (s *stage) owner() *v1alpha1.Owner { return &v1alpha1.Owner{Username: s.local("owner")} }

// Permit binds the owner to a role, and waits until the API server goes by it.
func (s *stage) Permit(resources ...string) {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: s.local("owner")}}
	for _, resource := range resources {
		role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: []string{owner.Verb}})
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: s.owner().Username}},
	}
	for _, o := range []client.Object{role, binding} {
		err := s.api.Create(s.Context(), o.DeepCopyObject().(client.Object))
		if apierrors.IsAlreadyExists(err) {
			err = s.api.Update(s.Context(), o)
		}
		s.must(err)
	}
	for _, resource := range scenario.Resources {
		s.await("the permission to use "+resource, func() string {
			review := owner.Review(*s.owner(), owner.Use{Resource: resource, Name: "any"})
			s.must(s.api.Create(s.Context(), review))
			if review.Status.Allowed != slices.Contains(resources, resource) {
				return fmt.Sprintf("allowed is %t", review.Status.Allowed)
			}
			return ""
		})
	}
}

// Bind puts a pod on the node, as a scheduler does.
func (s *stage) Bind(pod *corev1.Pod) {
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: s.namespace}}
	s.must(s.api.SubResource("binding").Create(s.Context(), pod, binding))
}

// Pass lets the managers' time go by, and makes them look at the Session, as their own timers would.
func (s *stage) Pass(d time.Duration) {
	s.clock.pass(d)
	s.poke()
}

func (s *stage) poke() {
	s.pokes++
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"test":"%d"}}}`, s.pokes)
	o := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: scenario.Name}}
	s.must(client.IgnoreNotFound(s.api.Patch(s.Context(), o, client.RawPatch("application/merge-patch+json", patch))))
}

func (s *stage) must(err error) {
	if err != nil {
		s.Helper()
		s.Fatal(err)
	}
}

// play acts a scenario out and waits after each step for what must follow.
func (s *stage) play(sc scenario.Scenario) {
	s.Helper()
	for _, o := range sc.Given {
		scenario.Put(s, o)
	}
	for i, step := range sc.Steps {
		for _, do := range step.Do {
			do(s)
		}
		s.await(fmt.Sprintf("step %d, when %s", i+1, step.When), func() string { return unmet(s, step) })
	}
}

// unmet says what a step has not brought about; empty when it has.
func unmet(s *stage, step scenario.Step) string {
	seen := scenario.Look(s)
	if diff := step.Want.Unmet(seen); diff != "" {
		return diff
	}
	for _, fact := range step.Also {
		if problem := fact(seen); problem != "" {
			return problem
		}
	}
	if seen.Session == nil {
		return ""
	}
	return strings.Join(scenario.Malformed(seen.Session), "\n")
}

// await polls until nothing is missing any more.
func (s *stage) await(what string, missing func() string) {
	s.Helper()
	var last string
	err := wait.PollUntilContextTimeout(s.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = missing()
		return last == "", nil
	})
	if err != nil {
		s.Fatalf("%s: %v\n%s", what, err, last)
	}
}

// startManager runs the Session reconciler as cmd/manager does, for this namespace.
func (s *stage) startManager() {
	s.Helper()
	mgr, err := ctrl.NewManager(s.config, ctrl.Options{
		Scheme: cluster.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	s.must(err)
	ctx, stop := context.WithCancel(context.WithoutCancel(s.Context()))
	reconciler := &session.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Access: access.New(mgr.GetClient(), s.clock), Recorder: mgr.GetEventRecorder("sandkeep"), Clock: s.clock,
		Image: "registry.example/sandkeep:1", Metrics: session.NewMetrics(ctx, mgr.GetClient()),
		Patience: session.NewPatience(), GatewayURL: "https://gateway.test", SystemNamespace: s.namespace,
	}
	s.must(reconciler.SetupWithManager(mgr, 2))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.Errorf("The manager ended with %v", err)
		}
	})
}

// makeNode makes a node that has no kubelet and takes no pods but those that a scenario binds to it.
func (s *stage) makeNode() {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec:       corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{{Key: "sandkeep.dev/test", Effect: corev1.TaintEffectNoSchedule}}},
	}
	s.must(s.api.Create(s.Context(), node))
	s.Cleanup(func() { s.must(client.IgnoreNotFound(s.api.Delete(context.WithoutCancel(s.Context()), node))) })
}

// awaitServiceAccount waits for what no pod can be made without.
func (s *stage) awaitServiceAccount() {
	s.await("the namespace", func() string {
		err := s.api.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: "default"}, &corev1.ServiceAccount{})
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// release takes away what a scenario that failed has left, so that its namespace can go, and what has no namespace.
func (s *stage) release() {
	ctx := context.WithoutCancel(s.Context())
	var pods corev1.PodList
	s.must(s.api.List(ctx, &pods, client.InNamespace(s.namespace)))
	for i := range pods.Items {
		pod := &pods.Items[i]
		s.must(client.IgnoreNotFound(s.api.Patch(ctx, pod, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))))
		s.must(client.IgnoreNotFound(s.api.Delete(ctx, pod, client.GracePeriodSeconds(0))))
	}
	for _, o := range []client.Object{
		&v1alpha1.SessionClass{ObjectMeta: metav1.ObjectMeta{Name: s.local("opencode")}},
		&v1alpha1.APIProvider{ObjectMeta: metav1.ObjectMeta{Name: s.local("anthropic")}},
		&v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: s.local("org")}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: s.local("owner")}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: s.local("owner")}},
	} {
		s.must(client.IgnoreNotFound(s.api.Delete(ctx, o)))
	}
}

var _ scenario.Stage = (*stage)(nil)
