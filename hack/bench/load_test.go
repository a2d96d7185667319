package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/meter"
)

// play does until the end of the test what controllers would do, to each object that comes.
func play(t *testing.T, b *bench, list client.ObjectList, do func(client.Object) error) {
	t.Helper()
	watcher, err := b.client.Watch(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	var playing sync.WaitGroup
	t.Cleanup(playing.Wait)
	t.Cleanup(watcher.Stop)
	playing.Go(func() {
		for event := range watcher.ResultChan() {
			if event.Type != "ADDED" {
				continue
			}
			if err := do(event.Object.(client.Object)); err != nil {
				t.Error(err)
			}
		}
	})
}

// end writes how a pod ended.
func (b *bench) end(o client.Object, phase corev1.PodPhase) error {
	pod := o.(*corev1.Pod)
	pod.Status.Phase, pod.Status.Message = phase, "no luck"
	return b.client.Status().Update(context.Background(), pod)
}

func TestBaseline(t *testing.T) {
	b := benchOn(t)
	play(t, b, &corev1.PodList{}, func(o client.Object) error { return b.end(o, corev1.PodSucceeded) })
	spec := corev1.PodSpec{NodeName: "of-another-pod", Containers: []corev1.Container{{Name: "agent", Image: "agent:bench"}}}
	b.podSpec = spec
	if err := b.runBaseline(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	var pods corev1.PodList
	if err := b.client.List(t.Context(), &pods, client.InNamespace(forBaseline), client.MatchingLabels{partOf: ours}); err != nil {
		t.Fatal(err)
	}
	spec.NodeName = "" // the scheduler is part of what is measured
	for _, pod := range pods.Items {
		if diff := cmp.Diff(spec, pod.Spec); diff != "" {
			t.Errorf("spec of %s (-want +got):\n%s", pod.Name, diff)
		}
	}
	if len(pods.Items) != 3 || b.report.Baseline.PerSecond <= 0 || b.report.Baseline.Ended.P99 < b.report.Baseline.Created.P50 {
		t.Errorf("%d pods, and a series %+v", len(pods.Items), b.report.Baseline)
	}
}

func TestPodThatFailsEndsTheBenchmark(t *testing.T) {
	b := benchOn(t)
	play(t, b, &corev1.PodList{}, func(o client.Object) error { return b.end(o, corev1.PodFailed) })
	wantError(t, b.runBaseline(t.Context(), io.Discard), "bench-000", "failed: no luck")
}

func TestSessionsAreSeenFromTheirPodsToTheirEnd(t *testing.T) {
	b := benchOn(t)
	play(t, b, &v1alpha1.SessionList{}, func(o client.Object) error {
		s := o.(*v1alpha1.Session)
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name + "-sandbox-1", Labels: map[string]string{v1alpha1.LabelSession: s.Name},
		}}
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSucceeded, Status: metav1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		return errors.Join(
			b.client.Create(context.Background(), pod), b.end(pod, corev1.PodSucceeded), b.client.Status().Update(context.Background(), s),
		)
	})
	lives, err := b.await(t.Context(), io.Discard, sessionsIn(forSessions, 4))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lives {
		if !l.closed() || l.created.Before(l.began) || l.ended.Before(l.created) {
			t.Errorf("a life in disorder: %+v", l)
		}
	}
	if len(lives) != 4 {
		t.Errorf("%d lives, want 4", len(lives))
	}
}

func TestRunningOutOfPatience(t *testing.T) {
	b := benchOn(t)
	b.patience = 50 * time.Millisecond
	_, err := b.await(t.Context(), io.Discard, barePods(1, corev1.PodSpec{}))
	wantError(t, err, "not all have ended after 50ms", "-patience")
}

func TestObjectThatCannotBeCreated(t *testing.T) {
	b := benchOn(t, &corev1.Pod{ObjectMeta: objectMeta(forBaseline, "bench-0001")})
	_, err := b.await(t.Context(), io.Discard, barePods(3, corev1.PodSpec{}))
	wantError(t, err, "create bench-0001", "already exists")
}

func TestRate(t *testing.T) {
	b := benchOn(t)
	b.rate = 20
	play(t, b, &corev1.PodList{}, func(o client.Object) error { return b.end(o, corev1.PodSucceeded) })
	began := time.Now()
	if err := b.runBaseline(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	// Three objects at 20 in a second are two pauses of 50 ms.
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

func TestInParallel(t *testing.T) {
	var mu sync.Mutex
	var done []int
	note := func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, i)
		if i == 3 {
			return fmt.Errorf("item %d is bad", i)
		}
		return nil
	}
	wantError(t, inParallel(4, []int{0, 1, 2, 3, 4, 5}, note), "item 3 is bad")
	slices.Sort(done)
	if len(done) < 4 || done[0] != 0 {
		t.Errorf("done %v", done)
	}
	if err := inParallel(2, []int{7}, note); err != nil {
		t.Error(err)
	}
}

func TestWorkOfAnotherManager(t *testing.T) {
	tallies := map[meter.Call]meter.Tally{
		{Verb: "create", Resource: "pods"}:       {Took: make([]time.Duration, 5), Failed: 2},
		{Verb: "create", Resource: "configmaps"}: {Took: make([]time.Duration, 4)},
	}
	if err := allOurOwn(tallies, 3); err != nil {
		t.Error(err)
	}
	wantError(t, allOurOwn(tallies, 4), "3 of 4 pods", "another manager")
}

func TestWatchThatTheServerEnds(t *testing.T) {
	b := benchOn(t)
	inner, watches := b.client, 0
	b.client = interceptor.NewClient(inner, interceptor.Funcs{
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) (watch.Interface, error) {
			watcher, err := c.Watch(ctx, list, o...)
			if watches++; err == nil && watches == 1 {
				watcher.Stop()
			}
			return watcher, err
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	tr := newTracker([]string{"bench-0000"}, func(err error) {
		if ctx.Err() == nil {
			t.Error(err)
		}
	})
	if err := b.follow(ctx, forBaseline, barePods(1, corev1.PodSpec{}).watches[0], tr); err != nil {
		t.Fatal(err)
	}
	// The fake API server remembers no events, so the pod is changed until the second watch is there to see it.
	pod := &corev1.Pod{ObjectMeta: objectMeta(forBaseline, "bench-0000")}
	if err := inner.Create(ctx, pod); err != nil {
		t.Fatal(err)
	}
	for seen := false; !seen; {
		if err := b.end(pod, corev1.PodSucceeded); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tr.done:
			seen = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
}
