package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/meter"
)

// load is many objects of a kind, and how to see what becomes of them.
type load struct {
	namespace string
	count     int
	object    func(name string) client.Object
	watches   []watched
}

// watched is a Kind of object of which each tells something.
type watched struct {
	list client.ObjectList
	look func(client.Object) sighting
}

func (l load) names() []string {
	names := make([]string, l.count)
	for i := range names {
		names[i] = fmt.Sprintf("bench-%04d", i)
	}
	return names
}

// sessionsIn are Sessions, which the manager makes pods for.
func sessionsIn(namespace string, count int) load {
	return load{
		namespace: namespace, count: count,
		watches: []watched{{&v1alpha1.SessionList{}, lookAtSession}, {&corev1.PodList{}, lookAtSandbox}},
		object: func(name string) client.Object {
			return &v1alpha1.Session{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.SessionSpec{
				ClassName: ours, Mode: v1alpha1.SessionModeTask, Prompt: "Do nothing, but quickly.",
				Owner: &v1alpha1.Owner{Username: ours, Groups: []string{user.SystemPrivilegedGroup}}, // whether policies stamp owners or not
			}}
		},
	}
}

// barePods are pods that nobody manages.
func barePods(count int, spec corev1.PodSpec) load {
	spec.NodeName = ""
	return load{
		namespace: forBaseline, count: count,
		watches: []watched{{&corev1.PodList{}, lookAtPod}},
		object: func(name string) client.Object {
			return &corev1.Pod{ObjectMeta: objectMeta(forBaseline, name), Spec: *spec.DeepCopy()}
		},
	}
}

// await creates the objects of a load and waits until they have settled.
func (b *bench) await(ctx context.Context, detail io.Writer, l load) ([]life, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.patience, fmt.Errorf("not all have ended after %s; see -patience", b.patience))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	t := newTracker(l.names(), fail)
	for _, w := range l.watches {
		if err := b.follow(ctx, l.namespace, w, t); err != nil {
			return nil, err
		}
	}
	created := make(chan struct{})
	go func() {
		defer close(created)
		if err := b.createAll(ctx, l, t); err != nil {
			fail(err)
		}
	}()
	err := t.wait(ctx, detail)
	<-created
	return t.all(), err
}

// follow watches one Kind until the context ends. What happens after this returns is not missed, also when the API server ends the watch,
// as it does with watches that are slow on a busy machine.
func (b *bench) follow(ctx context.Context, namespace string, w watched, t *tracker) error {
	list := w.list.DeepCopyObject().(client.ObjectList)
	if err := b.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list what is to be watched: %w", err)
	}
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		return b.client.Watch(ctx, list.DeepCopyObject().(client.ObjectList), client.InNamespace(namespace), &client.ListOptions{Raw: &o})
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	go func() {
		for event := range watcher.ResultChan() {
			at := time.Now()
			if o, ok := event.Object.(client.Object); ok {
				t.note(w.look(o), at)
			}
		}
		t.fail(errors.New("a watch ended and could not be taken up again; try again"))
	}()
	return nil
}

func (b *bench) createAll(ctx context.Context, l load, t *tracker) error {
	limit := flowcontrol.NewFakeAlwaysRateLimiter()
	if b.rate > 0 {
		limit = flowcontrol.NewTokenBucketRateLimiter(float32(b.rate), 1)
	}
	return inParallel(b.clients, l.names(), func(name string) error {
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		t.begin(name, time.Now())
		if err := b.client.Create(ctx, l.object(name)); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		return nil
	})
}

// runBaseline is what the cluster can do without a manager.
func (b *bench) runBaseline(ctx context.Context, detail io.Writer) error {
	lives, err := b.await(ctx, detail, barePods(b.sessions, b.podSpec))
	b.report.Baseline = seriesOf(lives)
	return err
}

// runSessions is what the benchmark is for.
func (b *bench) runSessions(ctx context.Context, detail io.Writer) error {
	before, err := b.manager.Look(ctx)
	if err != nil {
		return err
	}
	b.manager.gate.Reset()
	b.manager.ResetPeak()
	var lives []life
	err = b.manager.Profiled(ctx, b.profiles, func() (err error) {
		lives, err = b.await(ctx, detail, sessionsIn(forSessions, b.sessions))
		return errors.Join(err, b.manager.settle(ctx))
	})
	if err != nil {
		return err
	}
	calls := b.manager.gate.Tallies()
	if err := allOurOwn(calls, b.sessions); err != nil {
		return err
	}
	after, err := b.manager.Look(ctx)
	if err != nil {
		return err
	}
	b.report.Sessions = seriesOf(lives)
	b.report.Manager = costOf(before, after, calls, lives)
	return nil
}

// allOurOwn refuses figures of a manager that did not do all of the work: somebody may have deployed another meanwhile.
func allOurOwn(tallies map[meter.Call]meter.Tally, pods int) error {
	t := tallies[meter.Call{Verb: "create", Resource: "pods"}]
	if created := len(t.Took) - t.Failed; created != pods {
		return fmt.Errorf("the manager has created %d of %d pods, and another manager the rest; end that, and try again", created, pods)
	}
	return nil
}
