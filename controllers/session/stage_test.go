package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/access"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/owner"
	"github.com/sandkeep/sandkeep/internal/sandbox"
	"github.com/sandkeep/sandkeep/test/integration/scenario"
)

// stage is a scenario.Stage in memory, on which time is that of a synctest bubble.
type stage struct {
	testing.TB
	server  *server
	workers []*worker
	random  *rand.Rand
	// fault is the one call that fails, or nil.
	fault *fault
	// down is true from the fault of a manager that crashed until it is started again.
	down bool
	// calls are those of all reconcilers so far.
	calls []call
	// dirty says that an event has asked for a reconcile; wake is when the last one asked for another.
	dirty bool
	wake  time.Time
	// pace is the time before the retry of a reconcile that failed.
	pace time.Duration
	// err is why the last reconcile failed, or nil.
	err error
	// statuses are those that were written for the Session, in order.
	statuses []*v1alpha1.Session
	// permitted are the resources of which the owner may use all.
	permitted []string
	// world is what there was at the end of each step.
	world []string
}

// call is one request of a reconciler to the API server.
type call struct {
	worker, verb, kind string
	write, failed      bool
}

// fault is a request that fails: before it took effect, or after.
type fault struct {
	at    int
	after bool
	// crash is a fault after which the manager does nothing until it is started again.
	crash bool
}

var key = client.ObjectKey{Namespace: build.Namespace, Name: scenario.Name}

// newStage has one reconciler with a current cache, or several whose caches are behind.
func newStage(tb testing.TB, workers int, seed uint64) *stage {
	s := &stage{TB: tb, server: newServer(tb), random: rand.New(rand.NewPCG(seed, 0)), permitted: scenario.Resources}
	scenario.Put(s, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace}})
	s.server.onWrite = s.written
	for i := range workers {
		s.workers = append(s.workers, newWorker(s, string(rune('A'+i)), workers > 1 || seed > 0))
	}
	return s
}

func (s *stage) API() client.Client                  { return s.server }
func (s *stage) Namespace() string                   { return build.Namespace }
func (s *stage) Local(o client.Object) client.Object { return o.DeepCopyObject().(client.Object) }
func (s *stage) Now() time.Time                      { return time.Now() }
func (s *stage) request() ctrl.Request               { return ctrl.Request{NamespacedName: key} }
func (s *stage) session() *v1alpha1.Session          { return scenario.Look(s).Session }
func labelSet(o client.Object) labels.Set            { return o.GetLabels() }
func injected(err error) bool                        { return apierrors.IsServerTimeout(err) }
func errInjected() error                             { return apierrors.NewServerTimeout(sessionsResource, "call", 1) }

var sessionsResource = v1alpha1.GroupVersion.WithResource("sessions").GroupResource()

// effective are the writes since a call that took effect.
func (s *stage) effective(since int) []call {
	var list []call
	for _, c := range s.calls[since:] {
		if c.write && !c.failed {
			list = append(list, c)
		}
	}
	return list
}

// Permit says what the owner may use; nobody is woken by it.
func (s *stage) Permit(resources ...string) { s.permitted = resources }

// review answers whether somebody may use something. Nothing is stored.
func (s *stage) review(r *authorizationv1.SubjectAccessReview) error {
	want := owner.Review(*build.Owner(), owner.Use{Resource: r.Spec.ResourceAttributes.Resource, Name: r.Spec.ResourceAttributes.Name})
	r.Status.Allowed = apiequality.Semantic.DeepEqual(want.Spec, r.Spec) && slices.Contains(s.permitted, r.Spec.ResourceAttributes.Resource)
	return nil
}

// Bind puts a pod on a node, where from now on only the kubelet can say that it has ended.
func (s *stage) Bind(pod *corev1.Pod) {
	pod.Spec.NodeName = "node-1"
	pod.Finalizers = append(pod.Finalizers, finalizerKubelet)
	if err := s.server.Update(s.Context(), pod); err != nil {
		s.Fatal(err)
	}
}

// Pass lets time go by, with a reconcile whenever one is due.
func (s *stage) Pass(d time.Duration) {
	end := time.Now().Add(d)
	for !s.wake.IsZero() && !s.wake.After(end) {
		time.Sleep(time.Until(s.wake))
		s.wake = time.Time{}
		s.dirty = true
		s.settle()
	}
	time.Sleep(time.Until(end))
}

// written looks at each write of anybody: whom it wakes, and what it must never bring about.
func (s *stage) written(kind string, before, after client.Object) {
	o := after
	if o == nil {
		o = before
	}
	if o == nil {
		return
	}
	switch kind {
	case "Session":
		s.dirty = true
		if before != nil && after != nil {
			s.checkStatus(after.(*v1alpha1.Session))
		}
	case "Pod", "ConfigMap", "PersistentVolumeClaim":
		s.dirty = s.dirty || len(sessionOf(s.Context(), o)) > 0 || (before != nil && len(sessionOf(s.Context(), before)) > 0)
		s.checkLivePods()
		if pod, isPod := o.(*corev1.Pod); isPod && before == nil {
			s.checkConfig(pod)
		}
	}
	s.dirty = s.dirty || s.wakesWaiting(kind, o)
}

// wakesWaiting is true for what a Session has waited for.
func (s *stage) wakesWaiting(kind string, o client.Object) bool {
	r := s.workers[0].reconciler
	switch {
	case slices.Contains([]string{"SessionClass", "APIProvider", "Credential", "ClusterCredential"}, kind), kind == "ConfigMap" && r.isGatewayCA(o):
		return len(r.waitingSessions(s.Context(), o)) > 0
	case kind == "Namespace":
		return len(r.sessionsIn(s.Context(), o)) > 0
	}
	return false
}

// checkLivePods is I1: at every moment, at most one pod of a Session has not ended.
func (s *stage) checkLivePods() {
	live := map[string]string{}
	for _, o := range s.server.latest("Pod") {
		owner := metav1.GetControllerOf(o)
		if owner == nil || sandbox.Ended(o.(*corev1.Pod)) {
			continue
		}
		if other, taken := live[string(owner.UID)]; taken {
			s.Errorf("I1: pods %s and %s of one Session live at the same time", other, o.GetName())
		}
		live[string(owner.UID)] = o.GetName()
	}
}

// checkConfig wants that a new pod of a Session was made for what its ConfigMap says, without which it would not start.
func (s *stage) checkConfig(pod *corev1.Pod) {
	if pod.Labels[v1alpha1.LabelSession] == "" {
		return
	}
	config, found := s.server.latest("ConfigMap")[client.ObjectKeyFromObject(pod)].(*corev1.ConfigMap)
	if !found {
		s.Errorf("pod %s has no ConfigMap", pod.Name)
		return
	}
	digest := corev1.EnvVar{Name: contract.ConfigDigestEnv, Value: contract.Digest([]byte(config.Data[contract.ConfigFile]))}
	if !slices.Contains(pod.Spec.Containers[0].Env, digest) {
		s.Errorf("pod %s was made for another configuration than its ConfigMap's", pod.Name)
	}
}

// checkStatus is I10 and the form of conditions, for every status that is written.
func (s *stage) checkStatus(session *v1alpha1.Session) {
	if value(session.Status.ObservedGeneration) < 0 {
		return
	}
	s.statuses = append(s.statuses, session)
	for _, problem := range scenario.Malformed(session) {
		s.Errorf("status: %s", problem)
	}
}

// checkReady is the other half of I10. A status can be overtaken by a deletion, but not by a deletion that was seen.
func (s *stage) checkReady() {
	session := s.session()
	if session == nil || session.Status.PodUID == "" || scenario.Running().Unmet(scenario.Seen{Session: session}) != "" {
		return
	}
	pod := s.server.latest("Pod")[client.ObjectKey{Namespace: key.Namespace, Name: session.Status.PodName}]
	if pod == nil || !pod.GetDeletionTimestamp().IsZero() {
		s.Errorf("I10: Ready is True, but pod %s is terminating or gone", session.Status.PodName)
	}
}

// play acts a scenario out and checks each step.
func (s *stage) play(sc scenario.Scenario) {
	for _, o := range sc.Given {
		scenario.Put(s, o)
	}
	s.settle()
	for i, step := range sc.Steps {
		s.tuckIn(i == len(sc.Steps)-1)
		for _, do := range step.Do {
			do(s)
		}
		s.settle()
		s.checkStep(i, step)
		s.disturbSleep()
		if s.Failed() {
			return
		}
	}
}

// playLoosely acts a scenario out and looks at nothing but what must hold at every moment.
func (s *stage) playLoosely(sc scenario.Scenario) {
	sc.Steps = slices.Clone(sc.Steps)
	for i := range sc.Steps {
		sc.Steps[i].Want, sc.Steps[i].Also = scenario.Anything(), nil
	}
	s.play(sc)
}

func (s *stage) checkStep(i int, step scenario.Step) {
	seen := scenario.Look(s)
	if diff := step.Want.Unmet(seen); diff != "" {
		s.Errorf("step %d, when %s (-want +have):\n%s%s  last error: %v", i+1, step.When, diff, describeSession(seen.Session), s.err)
	}
	for _, fact := range step.Also {
		if problem := fact(seen); problem != "" {
			s.Errorf("step %d, when %s: %s", i+1, step.When, problem)
		}
	}
	s.checkReady()
	s.checkRest(i, step)
	s.world = append(s.world, s.snapshot())
}

// checkRest is I5: where nothing happens, a reconcile writes nothing.
func (s *stage) checkRest(i int, step scenario.Step) {
	before, f := len(s.calls), s.fault
	s.fault = nil
	for _, w := range s.awake() {
		w.catchUp()
		_, _ = w.reconciler.Reconcile(s.Context(), s.request())
	}
	if extra := s.effective(before); len(extra) > 0 {
		s.Errorf("I5: step %d, when %s: at rest a reconcile wrote %v", i+1, step.When, extra)
	}
	s.calls, s.fault = s.calls[:before], f
}

func describeSession(session *v1alpha1.Session) string {
	if session == nil {
		return ""
	}
	text := ""
	for _, c := range session.Status.Conditions {
		text += fmt.Sprintf("  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

// settle runs reconcilers until nothing happens any more.
func (s *stage) settle() {
	for range 100 {
		s.server.collectGarbage(s.Context())
		if !s.dirty || s.down {
			return
		}
		s.dirty = false
		s.reconcile()
	}
	s.Fatal("the reconcilers do not come to rest")
}

// reconcile is one turn of every reconciler.
func (s *stage) reconcile() {
	before := len(s.calls)
	results := s.turn()
	s.err = nil
	for _, r := range results {
		s.err = errors.Join(s.err, r.err)
		if injected(r.err) || (r.err != nil && len(s.effective(before)) > 0) || r.behind {
			s.dirty = true // a retry, or the event that a cache has not brought yet
		}
		if r.err == nil && r.RequeueAfter > 0 {
			s.wake = time.Now().Add(r.RequeueAfter)
		}
	}
	switch {
	case s.err == nil:
		s.pace = firstRetry
		return
	case injected(s.err):
		return // the retry comes at once, so that a fault changes no times
	}
	s.wake = time.Now().Add(s.pace)
	s.pace = min(2*max(s.pace, firstRetry), lastRetry)
}

// result is what came of a reconcile; behind says that it saw an old world.
type result struct {
	ctrl.Result
	err    error
	behind bool
}

// worker is one reconciler with its own cache.
type worker struct {
	stage      *stage
	name       string
	reconciler *Reconciler
	// behind is true for a cache that may lag; seen is the version of each Kind that it has got to.
	behind bool
	seen   map[string]int
	// asleep is true for a worker that does nothing for now, and wakes up with the cache that it has.
	asleep bool
	// beforeWrite is called once, between the reads of a reconcile and its first write.
	beforeWrite func()
	// atCall and goOn are the turnstile in front of each call, while several workers share a stage.
	atCall, goOn chan struct{}
}

func newWorker(s *stage, name string, behind bool) *worker {
	w := &worker{stage: s, name: name, behind: behind, seen: map[string]int{}}
	cached := interceptor.NewClient(s.server, interceptor.Funcs{
		Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
			return w.call("get", kindOf(o), false, func() error { return readObject(w.view(kindOf(o)), key, o) })
		},
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return w.call("list", kindOf(list), false, func() error { return readList(w.view(kindOf(list)), list, opts...) })
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if review, ok := o.(*authorizationv1.SubjectAccessReview); ok {
				return w.call("ask", kindOf(o), false, func() error { return s.review(review) })
			}
			return w.call("create", kindOf(o), true, func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.call("delete", kindOf(o), true, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return w.call("patch", kindOf(o), true, func() error { return c.Patch(ctx, o, patch, opts...) })
		},
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, apply runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			return w.call("apply status", "Session", true, func() error { return c.SubResource(sub).Apply(ctx, apply, opts...) })
		},
	})
	live := interceptor.NewClient(s.server, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return w.call("get live", kindOf(o), false, func() error { return c.Get(ctx, key, o, opts...) })
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return w.call("list live", kindOf(list), false, func() error { return c.List(ctx, list, opts...) })
		},
	})
	w.reconciler = &Reconciler{
		Client: cached, Live: live, Access: access.New(cached, clock.RealClock{}), Recorder: nobody{}, Clock: clock.RealClock{}, Image: "sandkeep.test/sandkeep:1",
		Metrics: NewMetrics(s.Context(), cached), Patience: NewPatience(), GatewayURL: "https://gateway.test", SystemNamespace: v1alpha1.NamespaceSystem,
	}
	return w
}

// nobody listens to events.
type nobody struct{}

func (nobody) Eventf(runtime.Object, runtime.Object, string, string, string, string, ...any) {}

// call lets a request through, unless it is the one that fails.
func (w *worker) call(verb, kind string, write bool, do func() error) error {
	if w.atCall != nil {
		w.atCall <- struct{}{}
		<-w.goOn
	}
	s := w.stage
	if surprise := w.beforeWrite; write && surprise != nil {
		w.beforeWrite = nil
		surprise()
	}
	n := len(s.calls)
	s.calls = append(s.calls, call{worker: w.name, verb: verb, kind: kind, write: write})
	hit := s.fault != nil && s.fault.at == n
	if hit && !s.fault.after {
		s.calls[n].failed = true
		s.down = s.fault.crash
		return errInjected()
	}
	err := do()
	s.calls[n].failed = err != nil
	if hit {
		return errInjected()
	}
	return err
}

// lagging are the Kinds of which a cache may be behind. What a Session waits for is always current: that an older choice is made from an
// older list is no fault.
var lagging = []string{"Session", "Pod", "ConfigMap", "PersistentVolumeClaim"}

// view is the cache: objects of a Kind as this worker knows them, of pods, ConfigMaps and claims only those of Sessions and what says how the
// gateway is known.
func (w *worker) view(kind string) version {
	versions := w.stage.server.history[kind]
	if len(versions) == 0 {
		return nil
	}
	last := len(versions) - 1
	if w.behind && slices.Contains(lagging, kind) {
		w.hear(kind)
		last = w.seen[kind]
	}
	if !slices.Contains(lagging[1:], kind) {
		return versions[last]
	}
	ours := version{}
	for key, o := range versions[last] {
		if o.GetLabels()[v1alpha1.LabelSession] != "" || w.reconciler.isGatewayCA(o) {
			ours[key] = o
		}
	}
	return ours
}

// hear is some of the news of a Kind that a cache has not got yet, or all of it, or none.
func (w *worker) hear(kind string) {
	if last := len(w.stage.server.history[kind]) - 1; w.seen[kind] < last {
		w.seen[kind] += w.stage.random.IntN(last - w.seen[kind] + 1)
	}
}

// catchUp brings a cache to the present.
func (w *worker) catchUp() {
	for kind, versions := range w.stage.server.history {
		w.seen[kind] = len(versions) - 1
	}
}

// late is true for a cache that knows less than it could.
func (w *worker) late() bool {
	return w.behind && slices.ContainsFunc(lagging, func(kind string) bool {
		return w.seen[kind] < len(w.stage.server.history[kind])-1
	})
}

func (w *worker) reconcile(s *stage) result {
	for _, kind := range lagging {
		w.hear(kind)
	}
	r, err := w.reconciler.Reconcile(s.Context(), s.request())
	return result{Result: r, err: err, behind: w.late()}
}

// tuckIn puts some of several workers to sleep for a step, but never the first; for the last step all are awake.
func (s *stage) tuckIn(last bool) {
	for _, w := range s.workers[1:] {
		w.asleep = !last && s.random.IntN(2) == 0
	}
}

// disturbSleep lets sleepers hear some news of some Kinds, so that what they know is torn as well as old.
func (s *stage) disturbSleep() {
	for _, w := range s.workers {
		for _, kind := range lagging {
			if w.asleep && s.random.IntN(2) == 0 {
				w.hear(kind)
			}
		}
	}
}

func (s *stage) awake() []*worker {
	var list []*worker
	for _, w := range s.workers {
		if !w.asleep {
			list = append(list, w)
		}
	}
	return list
}
